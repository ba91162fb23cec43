//! What may be stored, for how long, and when it may be used: RFC 9111 for a shared cache, with RFC 5861, 9213 and 9211.
//!
//! Times are milliseconds since 1970, and arguments; durations that a field gives are seconds.

mod asked;
mod directives;
mod freshness;
mod reuse;
mod scan;
mod status;
mod storing;
mod targeted;
mod terms;
#[cfg(test)]
mod tests;

pub(in crate::cache) use asked::Asked;
pub(in crate::cache) use reuse::{Kept, Reuse};
pub(in crate::cache) use status::{CacheName, CacheStatus, Fwd};
pub(in crate::cache) use storing::{Exchange, NotStored, Override, Settings, Storable};
pub(in crate::cache) use terms::Age;
pub use terms::Terms;
