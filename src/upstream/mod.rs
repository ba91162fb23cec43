//! Backends: their endpoints, the choice among them, and what is done to a message on its way there and back.

mod affinity;
mod balance;
mod discover;
#[cfg(feature = "dns")]
mod dns;
mod endpoint;
mod endpoints;
mod expect;
mod failover;
mod forwarded;
mod hygiene;
mod max_forwards;
mod outlier;
mod owned;
mod probe;
mod proxy;
mod score;
mod tunnel;
mod upgrade;
mod upload;
mod via;

pub(crate) use endpoint::Factory;
pub use endpoint::{Endpoint, EndpointStatus};
pub(crate) use endpoints::{Choice, Endpoints};
pub(crate) use forwarded::Facts as ForwardFacts;
pub use forwarded::{Action, ForwardHeaders};
pub(crate) use hygiene::{
    OwnedHeaders, join_cookies, restore_upgrade, strip_request, strip_response,
};
pub(crate) use max_forwards::count_down;
pub(crate) use proxy::{Proxy, ProxySettings, admit};
pub(crate) use via::Via;

pub use affinity::Affinity;
pub use balance::{Balance, Candidates};
pub(crate) use discover::AnyDiscover;
pub use discover::{Discover, Discovered};
#[cfg(feature = "dns")]
pub use dns::Dns;
pub use outlier::OutlierEjection;
pub use probe::HealthCheck;
pub use proxy::HostHeader;
