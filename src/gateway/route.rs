//! A route, as people write it down.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use tower::{Layer, Service};

use super::{Next, next::Layers};
use crate::{
    body::Body,
    error::BoxError,
    routing::{HeaderMatch, QueryMatch, Rewrite, StickyKey},
};

/// Which requests are taken, where they go, and what is done to them.
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
    /// Takes requests for this path, with any method: `/users`, `/users/{id}`, `/files/{*rest}`.
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
        }
    }

    with_method!(get: GET, post: POST, put: PUT, patch: PATCH, delete: DELETE, head: HEAD, options: OPTIONS);

    /// Takes one more method. `HEAD` is served by `GET` routes.
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// Takes only this host, or one more: `shop.example.com`, `*.example.com`. A port does not matter.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Takes only requests with such a header field.
    pub fn header(mut self, header: HeaderMatch) -> Self {
        self.headers.push(header);
        self
    }

    /// Takes only requests with such a query parameter.
    pub fn query(mut self, query: QueryMatch) -> Self {
        self.queries.push(query);
        self
    }

    /// Comes before every route of a higher order, however specific. Default: 0.
    pub fn order(mut self, order: i32) -> Self {
        self.order = order;
        self
    }

    /// The name in logs and errors. Default: the path.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sends the requests to this upstream.
    pub fn to(self, upstream: impl Into<String>) -> Self {
        self.split([(upstream.into(), 1)])
    }

    /// Shares the requests among upstreams by weight. A weight of 0 takes nothing.
    pub fn split<N: Into<String>>(mut self, targets: impl IntoIterator<Item = (N, u32)>) -> Self {
        self.targets.extend(
            targets
                .into_iter()
                .map(|(name, weight)| (name.into(), weight)),
        );
        self
    }

    /// Sends requests with the same key to the same upstream of a split. Without a key: at random.
    pub fn sticky(mut self, key: StickyKey) -> Self {
        self.sticky = Some(key);
        self
    }

    /// Takes this prefix off the path, and tells the backend in `X-Forwarded-Prefix`.
    pub fn strip_prefix(self, prefix: impl Into<String>) -> Self {
        self.rewrite(|rewrite| rewrite.strip_prefix(prefix))
    }

    /// Puts this prefix in front of the path.
    pub fn add_prefix(self, prefix: impl Into<String>) -> Self {
        self.rewrite(|rewrite| rewrite.add_prefix(prefix))
    }

    /// Writes the path anew: `/v2/{id}/{*rest}`.
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

    /// How long a request may take as a whole, then 504. Default: no limit.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Wraps the route in a layer; the first one added is the outermost.
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
