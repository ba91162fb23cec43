//! Who sends a request, and whether they may.

mod authenticator;
#[allow(dead_code, reason = "its users are on their way")]
mod bearer;
mod denied;
pub mod jose;
mod query;
mod service;

pub use authenticator::Authenticator;
pub use denied::Denied;
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
