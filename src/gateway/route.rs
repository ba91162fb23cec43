//! A route, as people write it down.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use tower::{Layer, Service};

use super::{Next, access::Access, caching::Caching, guards::Guards, next::Layers, shares::Shares};
use crate::{
    body::Body,
    error::BoxError,
    routing::{HeaderMatch, QueryMatch, Rewrite},
    sticky::StickyKey,
};

/// Which requests are taken, where they go, and what is done to them.
///
/// | setting | default |
/// |---|---|
/// | methods, hosts, header and query predicates | any |
/// | [`order`](Self::order) | 0 |
/// | [`name`](Self::name) | the path |
/// | [`sticky`](Self::sticky) | at random, by weight |
/// | [`body_limit`](Self::body_limit) | the gateway's |
/// | [`timeout`](Self::timeout) | none |
/// | [`authenticate`](Self::authenticate), [`identity_headers`](Self::identity_headers) | the gateway's |
/// | [`authorize`](Self::authorize) | whoever is authenticated |
/// | [`throttle`](Self::throttle), [`cache`](Self::cache) | the gateway's for routes |
/// | [`priority`](Self::priority) | what a layer before has said, or normal |
/// | [`deadline`](Self::deadline), [`concurrency_limit`](Self::concurrency_limit), [`retry`](Self::retry), [`circuit_breaker`](Self::circuit_breaker) | off |
///
/// Nothing is checked before [`build`](crate::GatewayBuilder::build), which reports each mistake with the route's name.
/// Clones are independent, but for what their layers share.
///
/// ```
/// use tower_gateway::Route;
///
/// let route = Route::get("/orders/{id}").host("*.example.com").to("orders").strip_prefix("/orders");
/// ```
#[derive(Clone)]
pub struct Route {
    pub(crate) path: String,
    pub(crate) name: Option<String>,
    pub(crate) methods: Vec<Method>,
    pub(crate) hosts: Vec<String>,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) queries: Vec<QueryMatch>,
    pub(crate) order: i32,
    pub(crate) targets: Vec<(String, u32)>,
    pub(crate) sticky: Option<StickyKey>,
    pub(crate) rewrite: Rewrite,
    pub(crate) body_limit: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) layers: Layers,
    pub(super) guards: Guards,
    pub(super) access: Access,
    pub(super) shares: Shares,
    pub(super) caching: Caching,
}

macro_rules! with_method {
    ($($name:ident: $method:ident),*) => {$(
        #[doc = concat!("Takes `", stringify!($method), "` requests for this path.")]
        pub fn $name(path: impl Into<String>) -> Self {
            Self::new(path).method(Method::$method)
        }
    )*};
}

impl Route {
    /// Takes requests for this path, with any method: `/users`, `/users/{id}`, `/files/{*rest}`. See
    /// [`PathPattern`](crate::routing::PathPattern).
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            name: None,
            methods: Vec::new(),
            hosts: Vec::new(),
            headers: Vec::new(),
            queries: Vec::new(),
            order: 0,
            targets: Vec::new(),
            sticky: None,
            rewrite: Rewrite::new(),
            body_limit: None,
            timeout: None,
            layers: Layers::default(),
            guards: Guards::default(),
            access: Access::default(),
            shares: Shares::default(),
            caching: Caching::default(),
        }
    }

    with_method!(get: GET, post: POST, put: PUT, patch: PATCH, delete: DELETE, head: HEAD, options: OPTIONS);

    /// Takes only this method, or one more; others get 405 if no other route has them. `HEAD` is served by `GET` routes
    /// (RFC 9110, section 9.3.2). Default: any.
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// Takes only this host, or one more: `shop.example.com`, `*.example.com`. Case and port do not matter. See
    /// [`HostPattern`](crate::routing::HostPattern). Default: any, and requests without a host.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Takes only requests with such a header field. Several have to hold together.
    pub fn header(mut self, header: HeaderMatch) -> Self {
        self.headers.push(header);
        self
    }

    /// Takes only requests with such a query parameter. Several have to hold together.
    pub fn query(mut self, query: QueryMatch) -> Self {
        self.queries.push(query);
        self
    }

    /// Comes before every route of a higher order, however specific; it may be negative. Default: 0.
    pub fn order(mut self, order: i32) -> Self {
        self.order = order;
        self
    }

    /// The name in logs, errors and [`RequestContext::route`](crate::RequestContext::route). Default: the path.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sends the requests to this upstream. Named more than once, they share the requests equally.
    pub fn to(self, upstream: impl Into<String>) -> Self {
        self.split([(upstream.into(), 1)])
    }

    /// Shares the requests among upstreams by weight; the sum may be anything above 0. A weight of 0 takes nothing.
    /// Upstreams are added to those that the route has; each is named once.
    pub fn split<N: Into<String>>(mut self, targets: impl IntoIterator<Item = (N, u32)>) -> Self {
        self.targets.extend(
            targets
                .into_iter()
                .map(|(name, weight)| (name.into(), weight)),
        );
        self
    }

    /// Sends requests with the same key to the same upstream of a split, in every process. Requests without the key are
    /// sent at random. Default: all are.
    pub fn sticky(mut self, key: StickyKey) -> Self {
        self.sticky = Some(key);
        self
    }

    /// Takes this prefix off the path, and tells the backend in `X-Forwarded-Prefix`. See
    /// [`Rewrite::strip_prefix`].
    pub fn strip_prefix(self, prefix: impl Into<String>) -> Self {
        self.rewrite(|rewrite| rewrite.strip_prefix(prefix))
    }

    /// Puts this prefix, a template, in front of the path, behind [`strip_prefix`](Self::strip_prefix).
    pub fn add_prefix(self, prefix: impl Into<String>) -> Self {
        self.rewrite(|rewrite| rewrite.add_prefix(prefix))
    }

    /// Writes the path anew, from a template: `/v2/{id}/{*rest}`. The query stays. It excludes the two prefixes; a value
    /// that is missing, or does not fit into a path, is answered with 400.
    pub fn rewrite_path(self, template: impl Into<String>) -> Self {
        self.rewrite(|rewrite| rewrite.path(template))
    }

    /// Changes path, query and headers; see [`Rewrite`].
    pub fn rewrite(mut self, change: impl FnOnce(Rewrite) -> Rewrite) -> Self {
        self.rewrite = change(self.rewrite);
        self
    }

    /// The most bytes of a request's body, instead of what the gateway has for all routes; then 413. `u64::MAX` is no
    /// limit. Default: the gateway's.
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// How long a request may take as a whole, the route's layers and its answer's body included; then 504, or a broken
    /// body when the head is out. Not 0. Default: no limit.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Wraps the route in a layer, behind the match, body limit and timeout, and before rewriting; the first one added is
    /// the outermost. The layer is applied once, when the gateway is built. Its errors become answers: see
    /// [`Error::from_boxed`](crate::Error::from_boxed).
    pub fn layer<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Body>>>::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.layers.push(layer);
        self
    }

    /// What it takes, for people to read.
    pub(crate) fn takes(&self) -> String {
        let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        let hosts = match &self.hosts[..] {
            [] => vec![""],
            some => some.iter().map(String::as_str).collect(),
        };
        let places: Vec<_> = hosts
            .iter()
            .map(|host| format!("{host}{}", self.path))
            .collect();
        let name = self.name.iter().map(|name| format!("({name})"));
        [methods.join("|"), places.join("|")]
            .into_iter()
            .chain(name)
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    pub(crate) fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.path.clone())
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("path", &self.path)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}
