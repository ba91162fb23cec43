//! Backends: their endpoints, the choice among them, and what is done to a message on its way there and back.

mod balance;
mod endpoint;
mod expect;
mod failover;
mod forwarded;
mod hygiene;
mod max_forwards;
mod owned;
mod proxy;
mod tunnel;
mod upgrade;
mod via;

pub(crate) use endpoint::Endpoint;
pub(crate) use forwarded::Facts as ForwardFacts;
pub use forwarded::{Action, ForwardHeaders};
pub(crate) use hygiene::{
    OwnedHeaders, join_cookies, restore_upgrade, strip_request, strip_response,
};
pub(crate) use max_forwards::count_down;
pub(crate) use proxy::{Proxy, ProxySettings, admit};
pub(crate) use via::Via;

pub use balance::{Balance, Candidates};
pub use proxy::HostHeader;
