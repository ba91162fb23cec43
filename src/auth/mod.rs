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
mod authenticator;
#[cfg(feature = "basic-auth")]
mod basic;
#[allow(dead_code, reason = "its users are on their way")]
mod bearer;
#[allow(dead_code, reason = "its users may be left out")]
mod cache;
mod denied;
mod fields;
pub mod jose;
mod query;
mod service;

pub use api_key::{ApiKey, ApiKeyError, ApiKeyLayer, ApiKeyStore, ApiKeys};
pub use authenticator::Authenticator;
#[cfg(feature = "basic-auth")]
pub use basic::{BasicLayer, BasicUser, BasicUserError, BasicUsers};
pub use denied::Denied;
pub use service::{Authenticate, AuthenticateFuture, AuthenticateLayer};

#[cfg(test)]
mod tests;
