//! Who sends a request, and whether they may.
//!
//! | for | see |
//! |---|---|
//! | JSON Web Tokens | [`JwtLayer`], [`Issuer`]; their keys: [`keys`]; without a gateway: [`jose`] |
//! | tokens that mean nothing by themselves (RFC 7662) | [`IntrospectionLayer`] |
//! | API keys | [`ApiKeyLayer`] |
//! | passwords (RFC 7617) | `BasicLayer`, with the feature `basic-auth` |
//! | client certificates | [`ClientCertLayer`] |
//! | another service that decides | [`ForwardAuthLayer`] |
//! | a way of your own | [`Authenticator`] |
//! | several of them | [`AuthenticateLayer`] |
//! | what somebody may do | [`AuthorizeLayer`] |
//! | what backends are told | [`IdentityHeadersLayer`], [`InternalToken`] |
//!
//! Each of them is a tower layer that works by itself, and is given to a [`GatewayBuilder`](crate::GatewayBuilder::authenticate) or a
//! [`Route`](crate::Route::authenticate), where it has its place in front of everything that costs something. Who it is stands in
//! [`RequestContext::identity`](crate::RequestContext::identity) from then on. Credentials stay at the door, unless a layer is told to pass them
//! on; whoever is not let in is told no more than they need to try again.
//!
//! ```
//! use tower_gateway::{
//!     Gateway, Route, Upstream,
//!     auth::{AuthorizeLayer, IdentityHeadersLayer, Issuer, JwtLayer, keys::Jwks},
//! };
//!
//! # fn main() -> Result<(), tower_gateway::BuildError> {
//! let issuer = Issuer::new("https://id.example", Jwks::discover("https://id.example")).audience(["orders"]);
//! let gateway = Gateway::builder()
//!     .upstream("orders", Upstream::http(["http://10.0.0.1:8080"]))
//!     .authenticate(JwtLayer::new(issuer))
//!     .identity_headers(IdentityHeadersLayer::new().header("x-user-id", "{claims.sub}"))
//!     .route(Route::get("/orders").to("orders").authorize(AuthorizeLayer::new().all_scopes(["orders:read"])))
//!     .route(Route::get("/users/{id}/orders").to("orders").authorize(AuthorizeLayer::new().claim_is_param("sub", "id")))
//!     .route(Route::get("/healthz").to("orders").anonymous())
//!     .build()?;
//! # let _ = gateway; Ok(()) }
//! ```
//!
//! The guide is `docs/authentication.md`; what was tried against it, and with which test, is in `docs/security.md`.

/// Makes an authenticator a layer by itself.
macro_rules! impl_layer {
    ($layer:ty) => {
        impl<S> tower::Layer<S> for $layer {
            type Service = crate::auth::Authenticate<S>;

            fn layer(&self, inner: S) -> Self::Service {
                crate::auth::AuthenticateLayer::new(self.clone()).layer(inner)
            }
        }
    };
}

mod api_key;
mod asked;
mod authenticator;
mod authorize;
#[cfg(feature = "basic-auth")]
mod basic;
mod bearer;
mod client_cert;
mod denied;
mod fetch;
mod forward;
mod identity_headers;
mod introspection;
pub mod jose;
mod jwt;
pub mod keys;
mod known;
mod query;
mod service;

pub use api_key::{ApiKey, ApiKeyError, ApiKeyLayer, ApiKeyStore, ApiKeys};
pub use authenticator::Authenticator;
pub use authorize::{Authorize, AuthorizeFuture, AuthorizeLayer};
#[cfg(feature = "basic-auth")]
pub use basic::{BasicLayer, BasicUser, BasicUserError, BasicUsers};
pub use client_cert::{
    CertificateFormat, ClientCertLayer, ClientCertificate, ClientCertificateError,
};
pub use denied::Denied;
pub use forward::ForwardAuthLayer;
pub use identity_headers::{
    IdentityHeaders, IdentityHeadersFuture, IdentityHeadersLayer, InternalToken,
};
pub use introspection::IntrospectionLayer;
#[cfg(feature = "redis")]
pub use jwt::RedisRevocation;
pub use jwt::{Issuer, JwtLayer, Revocation, RevocationList};
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
