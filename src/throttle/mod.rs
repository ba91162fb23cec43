//! Throttling: each client gets its share, and what is beyond is answered before anything is done for it.
//!
//! | for | see |
//! |---|---|
//! | the layer, its answers and settings | [`ThrottleLayer`] |
//! | how much: a rate with a burst, a quota in a sliding window | [`Policy`] |
//! | of whom: by address, user, claim, header, route, … | [`Key`], [`KeyExtractor`] |
//! | what a request costs, before or afterwards; what without a key | [`Rule`] |
//! | free and paid | [`Plans`] |
//! | who is left out, or shut out | [`AddressList`] |
//! | who remembers what was spent | [`LocalStore`], `RedisLimiter` (feature `redis`), [`RateLimiter`] |
//!
//! A gateway has two places for it: [at the door](crate::GatewayBuilder::throttle), and
//! [on routes](crate::GatewayBuilder::throttle_routes), behind authentication. The guide is `docs/throttling.md`.
//!
//! ```
//! use tower_gateway::{
//!     Gateway, Route, Upstream,
//!     throttle::{Key, Policy, Rule, ThrottleLayer},
//! };
//!
//! # fn main() -> Result<(), tower_gateway::BuildError> {
//! let by_address = ThrottleLayer::new(Policy::per_second(50).burst(100));
//! // Both have to allow it, or nothing is spent of either.
//! let search = ThrottleLayer::new(Rule::shared(Policy::per_second(200).named("search")))
//!     .rule(Rule::new(Policy::per_minute(30).named("tenant")).by(Key::param("tenant")));
//! let gateway = Gateway::builder()
//!     .upstream("shop", Upstream::http(["http://10.0.0.1:8080"]))
//!     .throttle(by_address)
//!     .route(Route::get("/{tenant}/search").to("shop").throttle(search))
//!     .route(Route::new("/{*rest}").to("shop"))
//!     .build()?;
//! # let _ = gateway; Ok(()) }
//! ```
//!
//! The store decides by itself, too, for what is no request:
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use tower_gateway::throttle::{Ask, LocalStore, Policy};
//!
//! let store = LocalStore::new();
//! let burst = Policy::per_second(10).burst(20).named("burst");
//! let daily = Policy::sliding_window(10_000, Duration::from_secs(86_400)).named("daily");
//! let asks = [
//!     Ask { policy: &burst, key: b"192.0.2.7", cost: 1 },
//!     Ask { policy: &daily, key: b"ada", cost: 1 },
//! ];
//!
//! let now = Instant::now();
//! for _ in 0..20 {
//!     assert!(store.check_all(&asks, now).is_allowed());
//! }
//! let refused = store.check_all(&asks, now);
//! assert!(!refused.is_allowed());
//! let [burst, daily] = refused.as_slice() else { unreachable!() };
//! assert_eq!(burst.retry_after(), Some(Duration::from_millis(100)));
//! assert_eq!(daily.remaining(), 9_980); // a refused request spends nothing anywhere
//! ```

mod addresses;
mod algorithm;
mod client;
mod decision;
mod failure;
mod gcra;
mod handle;
mod headers;
mod key;
mod layer;
mod limiter;
mod limits;
mod log;
mod plans;
mod policy;
#[cfg(feature = "redis")]
mod redis;
mod refusal;
mod rule;
mod service;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod window;

pub use addresses::{AddressList, AddressListError};
pub use decision::Decision;
pub use failure::OnFailure;
pub use handle::ThrottleHandle;
pub use key::{Key, KeyExtractor};
pub use layer::ThrottleLayer;
pub use limiter::{Ask, Decisions, RateLimiter};
pub use limits::RateLimits;
pub use plans::{PlanLookup, Plans};
pub use policy::Policy;
#[cfg(feature = "redis")]
pub use redis::{RedisFigures, RedisLimiter};
pub use rule::{Rule, WithoutKey};
pub use service::{Throttle, ThrottleFuture};
pub use store::{LocalStore, StoreFigures};
