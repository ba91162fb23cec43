//! A shared HTTP cache (RFC 9111).

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
pub use service::{Cache, CacheFuture};
pub use store::{CacheStore, MemoryStore};
pub use stored::{Stored, StoredBody, StoredHead, Variants};
