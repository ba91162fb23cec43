//! By what requests are counted.

use std::{fmt, net::IpAddr, sync::Arc};

use http::request::Parts;
use smallvec::SmallVec;

use crate::{context::RequestContext, error::BoxError};

/// Says by what a request is counted, from its head: all requests with the same key spend from the same limit.
///
/// Most keys are built in: see [`Key`]. One that needs no waiting is [`Key::from_fn`].
///
/// ```
/// use http::request::Parts;
/// use tower_gateway::{BoxError, throttle::{KeyExtractor, Rule, Policy}};
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
/// let rule = Rule::new(Policy::per_minute(600)).by(Tenant);
/// # let _ = rule;
/// ```
pub trait KeyExtractor: Send + Sync + 'static {
    /// The key; `None` if the request has none, and an error if that can not be found out: the request is answered with 503.
    fn extract(
        &self,
        head: &Parts,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, BoxError>> + Send;

    /// What is wrong with the settings, each with what is allowed. Default: nothing.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// By what requests are counted.
#[derive(Clone)]
pub struct Key(Source);

#[derive(Clone)]
enum Source {
    ClientIp,
}

/// A key as it was read: which kind of key it is, and its value, in a form in which two different ones never are the same bytes.
pub(super) type KeyBytes = SmallVec<[u8; 32]>;

/// What can be said of a key without waiting.
pub(super) enum Now {
    Found,
    Missing,
    /// It has to be waited for.
    Later,
}

impl Key {
    /// The client's address.
    pub fn client_ip() -> Self {
        Self(Source::ClientIp)
    }
}
