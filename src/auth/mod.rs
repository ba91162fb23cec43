//! Who sends a request, and whether they may.

mod authenticator;
mod authorize;
#[allow(dead_code, reason = "its users are on their way")]
mod bearer;
mod denied;
mod fetch;
mod identity_headers;
pub mod jose;
pub mod keys;
mod query;
mod service;

pub use authenticator::Authenticator;
pub use authorize::{Authorize, AuthorizeFuture, AuthorizeLayer};
pub use denied::Denied;
pub use identity_headers::{IdentityHeaders, IdentityHeadersFuture, IdentityHeadersLayer};
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
