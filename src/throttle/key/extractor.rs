//! The trait that people implement.

use std::pin::Pin;

use http::request::Parts;

use crate::error::BoxError;

/// Says by what a request is counted, from its head: all requests with the same key spend from the same limit.
///
/// Most keys are built in: see [`Key`](super::Key). One that needs no waiting is [`Key::from_fn`](super::Key::from_fn).
///
/// ```
/// use http::request::Parts;
/// use tower_gateway::{BoxError, throttle::{Key, KeyExtractor}};
///
/// struct Tenant;
///
/// impl KeyExtractor for Tenant {
///     async fn extract(&self, head: &Parts) -> Result<Option<Vec<u8>>, BoxError> {
///         let host = head.headers.get("host").map(|host| host.as_bytes());
///         // A lookup in a database, for one.
///         Ok(host.map(<[u8]>::to_ascii_lowercase))
///     }
/// }
///
/// let key = Key::all([Key::from(Tenant), Key::method()]);
/// # let _ = key;
/// ```
pub trait KeyExtractor: Send + Sync + 'static {
    /// The key; `None` if the request has none, and an error if that can not be found out: the request is answered with 503.
    ///
    /// Dropped before it is done, it leaves nothing behind: the client has gone. It has to end in time by itself.
    fn extract(
        &self,
        head: &Parts,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, BoxError>> + Send;

    /// What is wrong with the settings, each with what is allowed. Default: nothing.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

type Extracting<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>, BoxError>> + Send + 'a>>;

/// A [`KeyExtractor`] of any type.
pub(super) trait Extract: Send + Sync {
    fn extract<'a>(&'a self, head: &'a Parts) -> Extracting<'a>;

    fn mistakes(&self) -> Vec<String>;
}

impl<K: KeyExtractor> Extract for K {
    fn extract<'a>(&'a self, head: &'a Parts) -> Extracting<'a> {
        Box::pin(KeyExtractor::extract(self, head))
    }

    fn mistakes(&self) -> Vec<String> {
        KeyExtractor::mistakes(self)
    }
}
