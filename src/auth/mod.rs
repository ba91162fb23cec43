//! Who sends a request, and whether they may.

mod authenticator;
mod authorize;
mod bearer;
mod denied;
mod identity_headers;
pub mod jose;
mod jwt;
mod keys;
mod known;
mod query;
mod service;

pub use authenticator::Authenticator;
pub use authorize::{Authorize, AuthorizeFuture, AuthorizeLayer};
pub use denied::Denied;
pub use identity_headers::{
    IdentityHeaders, IdentityHeadersFuture, IdentityHeadersLayer, InternalToken,
};
#[cfg(feature = "redis")]
pub use jwt::RedisRevocation;
pub use jwt::{Issuer, JwtLayer, Revocation, RevocationList};
pub use keys::{KeySource, KeysError};
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
