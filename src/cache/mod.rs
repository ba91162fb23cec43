//! A shared HTTP cache (RFC 9111): answers are kept for others, and none is given to anybody whom it is not for.
//!
//! [`CacheLayer`] stands in front of any service, alone or in the slots of a gateway: [`Route::cache`](crate::Route::cache) and
//! [`GatewayBuilder::cache_routes`](crate::GatewayBuilder::cache_routes). What may be stored, for how long, and when it may be used, answers and requests say themselves, as the RFC
//! has it; also RFC 5861 (`stale-while-revalidate`, `stale-if-error`) and RFC 9213 (`CDN-Cache-Control`). `Cache-Status` (RFC 9211) says of each answer what was done.
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_gateway::{
//!     Gateway, Route, Upstream,
//!     cache::{CacheKey, CacheLayer, MemoryStore},
//! };
//!
//! # fn main() -> Result<(), tower_gateway::BuildError> {
//! let cache = CacheLayer::new(MemoryStore::new(256 << 20))
//!     .key(CacheKey::new().without_query(["utm_source"]))
//!     .ttl(404..=404, Duration::from_secs(5))
//!     .stale_if_error(Duration::from_secs(600));
//! let handle = cache.handle();
//! let gateway = Gateway::builder()
//!     .upstream("shop", Upstream::http(["http://10.0.0.1:8080"]))
//!     .cache_routes(cache)
//!     .route(Route::get("/products/{id}").to("shop"))
//!     .route(Route::new("/cart").to("shop").uncached())
//!     .build()?;
//! assert_eq!(handle.figures().hits, 0);
//! # let _ = gateway; Ok(()) }
//! ```
//!
//! * **One request for many.** Requests for the same that come while it is on its way wait for it, and read its body as it comes: see
//!   [`wait`](CacheLayer::wait). Where the answer is not for all, nobody waits for the next two minutes.
//! * **Nobody's answer is another's.** Of who has shown who they are (`Authorization`, or an [identity](crate::Identity)) an answer is stored only if it says that others may have it
//!   (RFC 9111, section 3.5), or if the [key says who](CacheKey::identity). What sets a cookie is [not stored](CacheLayer::store_set_cookie).
//! * **The backend may be away**: what is stale is there, where it may be, while the backend fails or its circuit is open.
//! * **What changes something** (`POST`, `PUT`, …) takes what is stored of its URL away, and of those that the answer names.
//! * **By hand**: [`CacheHandle::purge`] by tag, by path, or all of it.

mod condition;
mod fetch;
mod filling;
mod flights;
mod handle;
mod invalidation;
mod key;
mod layer;
mod purge;
mod range;
mod reply;
mod rules;
mod service;
mod shared;
mod store;
mod stored;
mod tags;
mod validation;
mod vary;

pub use handle::{CacheFigures, CacheHandle};
pub use key::{CacheKey, Key};
pub use layer::CacheLayer;
pub use purge::Purge;
pub use rules::Terms;
pub use service::{Cache, CacheFuture};
pub use store::{CacheStore, MemoryStore};
pub use stored::{Stored, StoredBody, StoredHead, Variants};
