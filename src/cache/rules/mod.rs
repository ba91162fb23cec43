//! What may be stored, for how long, and when it may be used (RFC 9111, as a shared cache).
//!
//! An answer is judged once, when it comes: what was worked out stands in its [`Terms`], and a hit reads no field again.

mod age;
mod asked;
mod delta;
mod directives;
mod freshness;
mod status;
mod targeted;
mod terms;
#[cfg(test)]
mod tests;

pub use self::terms::Terms;
pub(super) use self::{
    asked::Asked,
    status::{CacheStatus, Forwarded, name as status_name},
    terms::{Exchange, Override, Rules, Use, Verdict},
};
