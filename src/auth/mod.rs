//! Who sends a request, and whether they may.

mod authenticator;
mod authorize;
mod bearer;
mod denied;
mod fetch;
mod identity_headers;
pub mod jose;
mod jwt;
pub mod keys;
mod known;
mod query;
mod service;

pub use authenticator::Authenticator;
pub use authorize::{Authorize, AuthorizeFuture, AuthorizeLayer};
pub use denied::Denied;
pub use identity_headers::{
    IdentityHeaders, IdentityHeadersFuture, IdentityHeadersLayer, InternalToken,
};
pub use jwt::{Issuer, JwtLayer, Revocation, RevocationList};
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
