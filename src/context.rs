//! The facts of a request on its way through the gateway, in one extension.
//!
//! The door puts a [`RequestContext`] into the request's extensions; each stage adds what it found. A layer of your
//! own reads it, and may keep facts of its own in an extension type of its own.
//!
//! ```
//! use http::Request;
//! use tower_gateway::RequestContext;
//!
//! fn tenant<B>(request: &Request<B>) -> Option<&str> {
//!     request.extensions().get::<RequestContext>()?.param("tenant")
//! }
//! # assert_eq!(tenant(&Request::new(())), None);
//! ```

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use http::{
    HeaderValue,
    uri::{PathAndQuery, Scheme},
};
use smallvec::SmallVec;

use crate::identity::Identity;

/// What the gateway knows of a request. Clones share the record of how the request fares.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) client_ip: Option<IpAddr>,
    pub(crate) peer_is_trusted: bool,
    pub(crate) scheme: Option<Scheme>,
    /// A valid host and port, mostly with the bytes of `Host`.
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) params: Params,
    pub(crate) identity: Option<Identity>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) upgrade: Option<Arc<str>>,
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) tried: Option<Arc<Tried>>,
    /// When the head of the answer has to be there, or the request is dropped and sent again.
    pub(crate) try_ends: Option<Instant>,
    /// The hop-by-hop fields and whatever only the gateway may say are gone, and the path is canonical.
    pub(crate) is_admitted: bool,
}

impl RequestContext {
    /// The facts of a request that is given to a layer or an [`Upstream`](crate::Upstream) without a gateway.
    pub fn new() -> Self {
        Self::default()
    }

    /// The address of whoever opened the connection, as [the server](crate::GatewayBuilder::peer_addr) tells it; `None` if
    /// it does not.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client's address: the peer's, or, behind [trusted proxies](crate::GatewayBuilder::trust_proxies), the one that
    /// the outermost of them saw. `None` if the peer's is not known.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client_ip
    }

    /// Whether the peer is one of the trusted proxies. Without a gateway: `false`.
    pub fn peer_is_trusted(&self) -> bool {
        self.peer_is_trusted
    }

    /// The scheme that the client used, `http` or `https`; `None` without a gateway.
    pub fn scheme(&self) -> Option<&Scheme> {
        self.scheme.as_ref()
    }

    /// The host, with a port if there was one, that the client asked for, or that a trusted proxy reports. `None` for
    /// HTTP/1.0 without `Host`.
    pub fn authority(&self) -> Option<&str> {
        text(self.authority.as_ref()?)
    }

    /// The host that the client asked for, without a port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> Option<&str> {
        let authority = self.authority()?;
        match authority.rfind(':') {
            Some(colon) if !authority.ends_with(']') => authority.get(..colon),
            _ => Some(authority),
        }
    }

    /// The request's id: the one that a trusted peer sent, or a new one; `None` when
    /// [there shall be none](crate::ObserveLayer::request_id).
    pub fn request_id(&self) -> Option<&str> {
        text(self.request_id.as_ref()?)
    }

    /// The [name](crate::Route::name) of the route that took the request; `None` before the match.
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// What a `{name}` or `{*name}` of the route's path took, percent-encoded as in the canonical path.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// All path parameters, in the order of the pattern.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Who sends the request, when somebody has found out; `None` before that, and for what anybody may do.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Says who sends the request: for a layer of your own that has checked it.
    pub fn set_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// The moment by which the answer has to be whole: the earliest of the route's timeout and those of the layers. `None`:
    /// there is none. An upstream's own timeout is not known in front of it.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Moves the deadline forward: it can get earlier, never later. What is sent afterwards is held to it: 504, or a broken
    /// body.
    pub fn limit_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(
            self.deadline
                .map_or(deadline, |current| current.min(deadline)),
        );
    }

    /// When whoever waits for the head of the answer gives up. Dropped from then on, it was the backend that took too long; before,
    /// the client that left.
    pub(crate) fn patience(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.try_ends).min()
    }

    /// The protocol that the client wants to switch to (`Upgrade`), if it is one that the gateway lets through.
    pub fn upgrade(&self) -> Option<&str> {
        self.upgrade.as_deref()
    }

    /// The same facts for a request that goes its own way: what becomes of it is no affair of the client's, and not held to the
    /// client's time.
    pub(crate) fn detached(&self) -> Self {
        Self {
            deadline: None,
            record: None,
            tried: None,
            try_ends: None,
            upgrade: None,
            ..self.clone()
        }
    }

    pub(crate) fn record(&self, note: impl FnOnce(&mut Notes)) {
        if let Some(record) = &self.record {
            note(&mut record.lock());
        }
    }
}

/// What is ASCII, as text.
fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// The path parameters of a request: names of the pattern, and where in the canonical path their values stand.
#[derive(Clone, Default)]
pub struct Params(Option<Found>);

#[derive(Clone)]
struct Found {
    path: PathAndQuery,
    names: Arc<[Box<str>]>,
    ranges: SmallVec<[Option<Range<u32>>; 4]>,
}

/// Without the query, which may have a key in it.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Params {
    pub(crate) fn new(
        path: PathAndQuery,
        names: Arc<[Box<str>]>,
        ranges: impl IntoIterator<Item = Option<Range<u32>>>,
    ) -> Self {
        if names.is_empty() {
            Self(None)
        } else {
            Self(Some(Found {
                path,
                names,
                ranges: ranges.into_iter().collect(),
            }))
        }
    }

    /// The value of a parameter, percent-encoded; `None` if there is none of this name, or if a `{*rest}` had no
    /// segment to take.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .and_then(|(_, value)| value)
    }

    /// Names and values, in the order of the pattern.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().flat_map(|found| {
            found.names.iter().zip(&found.ranges).map(|(name, range)| {
                let value = range.as_ref().and_then(|range| {
                    found
                        .path
                        .path()
                        .get(range.start as usize..range.end as usize)
                });
                (&**name, value)
            })
        })
    }
}

/// How the request fares, for the log: filled in by whoever knows. Exists only when somebody observes.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Notes>);

/// Where a request has been. Exists only for one that may be sent again, and is shared by all its tries.
#[derive(Debug, Default)]
pub(crate) struct Tried(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    /// Each by its own number.
    endpoints: SmallVec<[u64; 3]>,
    /// The targets of splits that did not take it, each by its address.
    refused: SmallVec<[usize; 2]>,
}

impl Tried {
    pub(crate) fn add(&self, endpoint: u64) {
        let endpoints = &mut self.lock().endpoints;
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }

    pub(crate) fn all(&self) -> SmallVec<[u64; 3]> {
        self.lock().endpoints.clone()
    }

    pub(crate) fn refuse(&self, target: usize) {
        let refused = &mut self.lock().refused;
        if !refused.contains(&target) {
            refused.push(target);
        }
    }

    pub(crate) fn has_refused(&self, target: usize) -> bool {
        self.lock().refused.contains(&target)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a [`Record`] holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) route: Option<Arc<str>>,
    pub(crate) upstream: Option<Arc<str>>,
    pub(crate) endpoint: Option<Arc<str>>,
    pub(crate) tries: u32,
}

/// The names of an upstream and of its endpoint.
pub(crate) type Place = (Option<Arc<str>>, Option<Arc<str>>);

impl Notes {
    /// Where the request is.
    pub(crate) fn place(&self) -> Place {
        (self.upstream.clone(), self.endpoint.clone())
    }

    /// It turned out that the answer comes from here.
    pub(crate) fn set_place(&mut self, place: Place) {
        (self.upstream, self.endpoint) = place;
    }

    /// The request is given to this upstream.
    pub(crate) fn go_to(&mut self, upstream: &Arc<str>) {
        self.upstream = Some(upstream.clone());
        self.endpoint = None;
    }

    /// The request is sent once more, by an upstream with this name. One without a name is used by itself, or by another
    /// one that has noted its own.
    pub(crate) fn try_at(&mut self, upstream: Option<&Arc<str>>, endpoint: Option<&Arc<str>>) {
        match upstream {
            Some(upstream) => self.go_to(upstream),
            None if self.upstream.is_none() => self.upstream = Some("upstream".into()),
            None => {}
        }
        self.endpoint = endpoint.cloned();
        self.tries += 1;
    }
}

impl Record {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn params_point_into_the_path() {
        let path = PathAndQuery::from_static("/users/42/files/a/b?x=1");
        let names: Arc<[Box<str>]> = ["id".into(), "rest".into(), "none".into()].into();
        let params = Params::new(path, names, [Some(7..9), Some(16..19), None]);
        assert_eq!(params.get("id"), Some("42"));
        assert_eq!(params.get("rest"), Some("a/b"));
        assert_eq!(params.get("none"), None);
        assert_eq!(params.get("other"), None);
    }

    #[test]
    fn a_host_is_an_authority_without_its_port() {
        for (authority, host) in [
            ("t.example", "t.example"),
            ("t.example:80", "t.example"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
        ] {
            let mut context = RequestContext::new();
            context.authority = Some(HeaderValue::from_static(authority));
            assert_eq!(context.authority(), Some(authority));
            assert_eq!(context.host(), Some(host));
        }
        assert_eq!(RequestContext::new().host(), None);
    }

    #[test]
    fn clones_share_where_a_request_has_been() {
        let context = RequestContext {
            tried: Some(Arc::default()),
            ..RequestContext::new()
        };
        let (one, other) = (context.clone().tried.unwrap(), context.tried.unwrap());
        assert!(one.all().is_empty());
        [7, 8, 7].into_iter().for_each(|endpoint| one.add(endpoint));
        assert_eq!(other.all()[..], [7, 8]);
    }

    #[test]
    fn a_deadline_only_gets_earlier() {
        let now = crate::clock::now();
        let mut context = RequestContext::new();
        context.limit_deadline(now + Duration::from_secs(2));
        context.limit_deadline(now + Duration::from_secs(3));
        assert_eq!(context.deadline(), Some(now + Duration::from_secs(2)));
    }
}
