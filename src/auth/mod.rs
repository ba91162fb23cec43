//! Who sends a request, and whether they may.

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
pub use jwt::{Issuer, JwtLayer, Revocation, RevocationList};
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
