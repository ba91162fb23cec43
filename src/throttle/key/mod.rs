//! By what requests are counted.

mod bytes;
mod extractor;
mod part;
#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, pin::Pin, sync::Arc};

use http::{HeaderName, request::Parts};

pub(super) use bytes::KeyBytes;
pub use extractor::KeyExtractor;
use part::{Part, Written};

use super::client::client_ip;
use crate::error::BoxError;

/// By what requests are counted: all that have the same key spend from the same limit. Clones share it.
///
/// | key | a request has none if |
/// |---|---|
/// | [`client_ip`](Self::client_ip), [`client_network`](Self::client_network) | the client's address is not known |
/// | [`header`](Self::header), [`cookie`](Self::cookie), [`param`](Self::param) | it is not there, or empty, or there with several values |
/// | [`subject`](Self::subject), [`claim`](Self::claim), [`api_key`](Self::api_key) | nobody has found out who sends it, or it is not said of them |
/// | [`route`](Self::route), [`host`](Self::host) | no route has taken it, it names no host |
/// | [`method`](Self::method), [`constant`](Self::constant) | – |
/// | [`from_fn`](Self::from_fn), a [`KeyExtractor`] | it says so |
/// | [`all`](Self::all) | it has none of one of them |
///
/// Two keys of different kinds, of different names, or with different values are never the same, whatever a client sends. What a client may
/// choose freely, such as most headers, is no limit by itself: whoever sends another value has a limit of their own.
///
/// ```
/// use tower_gateway::throttle::Key;
///
/// let by_user_and_route = Key::all([Key::subject(), Key::route()]);
/// # let _ = by_user_and_route;
/// ```
#[derive(Clone)]
pub struct Key(Arc<[Part]>);

/// What can be said of a key without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    Found,
    Missing,
    /// It has to be waited for.
    Later,
}

/// What has to be known of a request before it has a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Who sends it.
    pub(crate) identity: bool,
    /// Which route takes it.
    pub(crate) route: bool,
    /// What these path params of the route are.
    pub(crate) params: Vec<String>,
}

/// The head comes back with its key.
pub(super) type Reading =
    Pin<Box<dyn Future<Output = (Parts, Result<Option<KeyBytes>, BoxError>)> + Send>>;

impl Key {
    /// The client's address: of IPv4 the whole of it, of IPv6 its /64, as whoever has one IPv6 address has 2^64 of them. An IPv4-mapped IPv6
    /// address is IPv4, and so is one of NAT64's well-known prefix, `64:ff9b::/96` (RFC 6052): all of IPv4 is in one /64 of it. Those of private networks, which
    /// the prefix must not have (section 3.1), stay as they are.
    ///
    /// It is [`RequestContext::client_ip`](crate::RequestContext::client_ip), or the peer's address in front of a gateway and without one.
    pub fn client_ip() -> Self {
        Self::client_network(32, 64)
    }

    /// The network of the client's address, by the length of its prefix in bits: 0 to 32 of IPv4, 0 to 128 of IPv6.
    pub fn client_network(v4_prefix: u8, v6_prefix: u8) -> Self {
        Self::one(Part::Network {
            v4: v4_prefix,
            v6: v6_prefix,
        })
    }

    /// A header field. If it is there several times with different values, the request has none: which one a backend takes is not known.
    pub fn header(name: HeaderName) -> Self {
        Self::one(Part::Header(name))
    }

    /// A cookie. If it is there several times with different values, the request has none: which one a backend takes is not known.
    pub fn cookie(name: impl Into<Arc<str>>) -> Self {
        Self::one(Part::Cookie(name.into()))
    }

    /// Who sends the request: the subject of its [`Identity`](crate::Identity), together with its issuer, for it is unique within that
    /// only (RFC 7519, section 4.1.2). Where there is no issuer, the [method](crate::Identity::method) stands for it.
    pub fn subject() -> Self {
        Self::one(Part::Subject)
    }

    /// A claim of the [`Identity`](crate::Identity), by its [path](crate::Claims): a text, or the JSON of anything else as it was written. An
    /// empty text and `null` are none. The text `1` and the number `1` are two keys.
    ///
    /// It does not have the issuer with it: for several issuers that are not of one mind there is `Key::all([Key::claim("iss"), …])`.
    pub fn claim(path: impl Into<Arc<str>>) -> Self {
        Self::one(Part::Claim(path.into()))
    }

    /// The API key that the request was sent with: its identifier and its owner, so that each key of an owner has a limit of its own. Keys
    /// without an identifier are counted by their owner, as with [`subject`](Self::subject) all are.
    ///
    /// It is that of an [`Identity`](crate::Identity) by the method `api-key`, and no other.
    pub fn api_key() -> Self {
        Self::one(Part::ApiKey)
    }

    /// The [name](crate::Route::name) of the route.
    pub fn route() -> Self {
        Self::one(Part::Route)
    }

    /// The host that the client asks for, in lower case and without the port.
    pub fn host() -> Self {
        Self::one(Part::Host)
    }

    /// The method. A client may make some up, so it is no limit by itself on a route that takes all of them.
    pub fn method() -> Self {
        Self::one(Part::Method)
    }

    /// A path param of the route, by its name in the pattern.
    pub fn param(name: impl Into<Arc<str>>) -> Self {
        Self::one(Part::Param(name.into()))
    }

    /// The same for all requests, which share one limit.
    pub fn constant(text: impl Into<Arc<str>>) -> Self {
        Self::one(Part::Constant(text.into()))
    }

    /// All of these together: by address and route, for one. At least one; each may be a [`KeyExtractor`].
    pub fn all(keys: impl IntoIterator<Item = impl Into<Self>>) -> Self {
        let keys: Vec<Self> = keys.into_iter().map(Into::into).collect();
        Self(keys.iter().flat_map(|key| key.0.iter().cloned()).collect())
    }

    /// What this function makes of the head of a request; `None`: the request has no key. It must not wait: for that there is
    /// [`KeyExtractor`].
    ///
    /// It may be asked more than once for a request that waits for something, such as another key.
    ///
    /// Functions have no names: if two of them make the same key, they share what limits of the same name have.
    pub fn from_fn<F, K>(function: F) -> Self
    where
        F: Fn(&Parts) -> Option<K> + Send + Sync + 'static,
        K: Into<Vec<u8>>,
    {
        let function = move |head: &Parts| function(head).map(Into::into);
        Self::one(Part::Function(Arc::new(function)))
    }

    /// The key of a request as a limiter gets it: for [`LocalStore::forget`](super::LocalStore::forget) and [`peek`](super::LocalStore::peek) beside a layer. `None`: it has
    /// none, or it has to be waited for. The client's address is that of the [`RequestContext`](crate::RequestContext), or a bare [`SocketAddr`](std::net::SocketAddr) in the
    /// extensions.
    pub fn of(&self, head: &Parts) -> Option<Vec<u8>> {
        let mut key = KeyBytes::new();
        match self.read(head, client_ip(&head.extensions, None), &mut key) {
            Now::Found => Some(key.to_vec()),
            Now::Missing | Now::Later => None,
        }
    }

    fn one(part: Part) -> Self {
        Self([part].into())
    }

    /// Reads it into `out`, in place of what is there. `client` is the client's address. If it is missing, or has to be waited for, what is in
    /// `out` has no meaning.
    pub(super) fn read(&self, head: &Parts, client: Option<IpAddr>, out: &mut KeyBytes) -> Now {
        out.clear();
        let mut now = match self.0.is_empty() {
            true => Now::Missing,
            false => Now::Found,
        };
        for part in &*self.0 {
            match part.write(head, client, out) {
                Written::Yes => {}
                // Nobody has to wait to learn that there is none.
                Written::Missing => return Now::Missing,
                Written::By(_) => now = Now::Later,
            }
        }
        now
    }

    /// Waits for it.
    pub(super) fn wait(&self, head: Parts, client: Option<IpAddr>) -> Reading {
        let parts = self.0.clone();
        Box::pin(async move {
            let read = collect(&parts, &head, client).await;
            (head, read)
        })
    }

    /// What is wrong, each with what is allowed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes: Vec<_> = self.0.iter().flat_map(Part::mistakes).collect();
        if self.0.is_empty() {
            mistakes.push("a combination of no keys; it has at least one".to_owned());
        }
        for mistake in &mut mistakes {
            mistake.insert_str(0, "throttle key: ");
        }
        mistakes
    }

    /// What has to be known first.
    pub(super) fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for part in &*self.0 {
            match part {
                Part::Subject | Part::Claim(_) | Part::ApiKey => needs.identity = true,
                Part::Route => needs.route = true,
                Part::Param(name) => needs.params.push(name.to_string()),
                _ => {}
            }
        }
        needs
    }

    /// Whether both make the same of any request, as far as that can be seen.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_plain = |key: &Self| {
            let mut parts = key.0.iter();
            parts.all(|part| !matches!(part, Part::Function(_) | Part::Extractor(_)))
        };
        Arc::ptr_eq(&self.0, &other.0) || is_plain(self) && self.label() == other.label()
    }

    /// What it is, in a few words.
    pub(super) fn label(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(Part::to_string).collect();
        parts.join(" + ")
    }
}

/// As [`Key::read`]; but an extractor is waited for.
async fn collect(
    parts: &[Part],
    head: &Parts,
    client: Option<IpAddr>,
) -> Result<Option<KeyBytes>, BoxError> {
    let mut out = KeyBytes::new();
    for part in parts {
        match part.write(head, client, &mut out) {
            Written::Yes => {}
            Written::Missing => return Ok(None),
            Written::By(extractor) => match extractor.extract(head).await? {
                Some(value) => bytes::one(&mut out, bytes::Kind::Extractor, &value),
                None => return Ok(None),
            },
        }
    }
    Ok((!parts.is_empty()).then_some(out))
}

impl<K: KeyExtractor> From<K> for Key {
    fn from(extractor: K) -> Self {
        Self::one(Part::Extractor(Arc::new(extractor)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.label())
    }
}
