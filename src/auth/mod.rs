//! Who sends a request, and whether they may.

mod authenticator;
mod authorize;
mod denied;
mod identity_headers;
pub mod jose;
mod service;

pub use authenticator::Authenticator;
pub use authorize::{Authorize, AuthorizeFuture, AuthorizeLayer};
pub use denied::Denied;
pub use identity_headers::{IdentityHeaders, IdentityHeadersFuture, IdentityHeadersLayer};
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
