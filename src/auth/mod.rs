//! Who sends a request, and whether they may.

mod authenticator;
mod authorize;
mod denied;
pub mod jose;
mod service;

pub use authenticator::Authenticator;
pub use authorize::{Authorize, AuthorizeFuture, AuthorizeLayer};
pub use denied::Denied;
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
