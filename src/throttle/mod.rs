//! Throttling: how much each client may spend, in which time.
//!
//! A [`Policy`] is a limit: a rate with a burst (GCRA), or a quota in a sliding window. A [`LocalStore`] keeps what each key has spent.
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
mod log;
mod plans;
mod policy;
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
pub use plans::{PlanLookup, Plans};
pub use policy::Policy;
pub use rule::{Rule, WithoutKey};
pub use service::{Throttle, ThrottleFuture};
pub use store::{LocalStore, StoreFigures};
