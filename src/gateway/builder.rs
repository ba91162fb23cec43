//! Assembles a gateway, and lists everything that is wrong with it.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Extensions, HeaderName, Request, Response};
use tower::{Layer, Service};

use super::{
    BuildError, Gateway, Next, Route, Upstream,
    assembly::Assembly,
    door::{Door, PeerOf, TlsOf, TrustedProxies},
    guards::Guards,
    next::Layers,
    outer::Outer,
    pipeline::{Inside, Pipeline, Plan},
};
use crate::{
    body::Body,
    error::BoxError,
    observe::ObserveLayer,
    path::PathPolicy,
    random,
    upstream::{ForwardHeaders, OwnedHeaders, Via},
};

/// Takes upstreams, routes, layers and settings, and makes a [`Gateway`] of them.
///
/// | setting | default |
/// |---|---|
/// | [`name`](Self::name) | a random one |
/// | [`peer_addr`](Self::peer_addr) | a bare [`SocketAddr`] among the request's extensions |
/// | [`is_tls`](Self::is_tls) | no: the scheme is `http` |
/// | [`trust_proxies`](Self::trust_proxies) | none |
/// | [`forward_headers`](Self::forward_headers) | `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` are set |
/// | [`path_policy`](Self::path_policy) | [`PathPolicy::new`] |
/// | [`body_limit`](Self::body_limit) | none |
/// | [`deadline`](Self::deadline), [`concurrency_limit`](Self::concurrency_limit) | off |
/// | [`authenticate`](Self::authenticate), [`identity_headers`](Self::identity_headers) | off |
/// | [`throttle`](Self::throttle), [`throttle_routes`](Self::throttle_routes) | off |
/// | [`observe`](Self::observe) | [`ObserveLayer::new`] |
/// | [`proxy_status`](Self::proxy_status) | off |
///
/// A setting that is given twice counts as it was given last; upstreams, routes, layers, trusted proxies and own headers
/// are added to those there are.
#[derive(Default)]
pub struct GatewayBuilder {
    name: Option<String>,
    pub(super) assembly: Assembly,
    layers: Layers,
    pub(super) guards: Guards,
    trusted: Vec<String>,
    reads_forwarded: bool,
    peer: Option<Box<PeerOf>>,
    tls: Option<Box<TlsOf>>,
    path: Option<PathPolicy>,
    owned: Vec<HeaderName>,
    forward: Option<ForwardHeaders>,
    observe: Option<ObserveLayer>,
    proxy_status: bool,
    pub(super) outer: Outer,
}

impl GatewayBuilder {
    /// The gateway's name in `Via` and `Proxy-Status`, the same for all instances of it and for no other gateway on
    /// the way: a request that carries it is answered with 508 (RFC 9110, section 7.6.3). Letters, digits and `-._~`.
    /// Default: a random one.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A backend under a name, for routes and logs. Each name is given once.
    pub fn upstream(mut self, name: impl Into<String>, upstream: Upstream) -> Self {
        self.assembly.upstreams.push((name.into(), upstream));
        self
    }

    /// A route. Their order does not matter: the most specific one takes a request.
    pub fn route(mut self, route: Route) -> Self {
        self.assembly.routes.push(route);
        self
    }

    /// Wraps all routes in a layer, behind the door's checks and before the match; the first one added is the
    /// outermost. The layer is applied once, so what its service shares among clones is shared by all requests. Its
    /// errors become answers: see [`Error::from_boxed`](crate::Error::from_boxed).
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

    /// Where the server puts the peer's address. For axum:
    /// `|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)`. Default: a bare [`SocketAddr`]
    /// in the extensions, if there is one. Without an address backends are told of no client, and nobody is trusted.
    pub fn peer_addr(
        mut self,
        peer: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.peer = Some(Box::new(peer));
        self
    }

    /// Whether the client's connection is encrypted, for `X-Forwarded-Proto` and [`RequestContext::scheme`]. A trusted
    /// proxy knows better. Default: no; the scheme that a request claims in its target or `:scheme` is never believed.
    ///
    /// [`RequestContext::scheme`]: crate::RequestContext::scheme
    pub fn is_tls(mut self, tls: impl Fn(&Extensions) -> bool + Send + Sync + 'static) -> Self {
        self.tls = Some(Box::new(tls));
        self
    }

    /// Proxies in front of the gateway, as addresses or networks (`10.0.0.0/8`, `fd00::/8`). They are believed about the
    /// client, its scheme and host, and its request id; of the addresses that they report, the first one from the right
    /// that is not trusted is the client's, among the last 32. What else is reported is removed. Default: none.
    pub fn trust_proxies<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.trusted.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Reads `Forwarded` (RFC 7239) of trusted proxies instead of `X-Forwarded-*`, never both. Default: `X-Forwarded-*`.
    pub fn read_forwarded(mut self) -> Self {
        self.reads_forwarded = true;
        self
    }

    /// What backends are told about the client. Default: `X-Forwarded-For`, `-Proto`, `-Host`, `-Prefix` are set.
    pub fn forward_headers(mut self, forward: ForwardHeaders) -> Self {
        self.forward = Some(forward);
        self
    }

    /// What is allowed in a path; what is not is answered with 400. Default: [`PathPolicy::new`], slashes merged,
    /// encoded slashes refused.
    pub fn path_policy(mut self, path: PathPolicy) -> Self {
        self.path = Some(path);
        self
    }

    /// The most bytes of a request's body on routes that do not say otherwise; then 413. A body that was decompressed
    /// counts as what came out. Nothing is buffered: a body of unknown length is cut off where it passes the limit.
    /// Default: no limit.
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.assembly.body_limit = Some(bytes);
        self
    }

    /// A header that only the gateway's layers set for backends: what a client sends under this name, in any spelling
    /// with `_`, is removed at the door, trusted proxies or not. Default: `Forwarded`, `X-Real-IP`, `X-Forwarded-*`
    /// (kept from trusted proxies), and those of [`ObserveLayer`].
    pub fn own_header(mut self, name: HeaderName) -> Self {
        self.owned.push(name);
        self
    }

    /// How requests are observed. Default: [`ObserveLayer::new`].
    pub fn observe(mut self, observe: ObserveLayer) -> Self {
        self.observe = Some(observe);
        self
    }

    /// Says in `Proxy-Status` (RFC 9209) what went wrong, with the gateway's [`name`](Self::name) and
    /// [`ErrorKind::proxy_status`](crate::ErrorKind::proxy_status). Default: off.
    pub fn proxy_status(mut self, on: bool) -> Self {
        self.proxy_status = on;
        self
    }

    /// The gateway.
    ///
    /// # Errors
    /// Every mistake: an unknown upstream, a bad URL, path, host or template, a parameter that does not exist, two routes
    /// that can not be told apart, a setting of zero.
    pub fn build(self) -> Result<Gateway, BuildError> {
        let mut mistakes = Vec::new();
        let forward = self.forward.unwrap_or_default();
        let routes = self.assembly.routes(forward, &mut mistakes);
        mistakes.extend(self.guards.mistakes());
        mistakes.extend(self.assembly.access.mistakes());
        mistakes.extend(self.assembly.shares.mistakes());
        mistakes.extend(self.assembly.spent_twice(self.guards.throttle.as_ref()));
        let stages = self.guards.of_gateway(&self.layers);
        let plan = Plan {
            outer: &self.outer,
            layers: &stages,
            assembly: &self.assembly,
        }
        .to_string();
        let name = self
            .name
            .unwrap_or_else(|| format!("gw-{:016x}", random::next_u64()));
        let trusted = TrustedProxies::new(&self.trusted)
            .map_err(|errors| mistakes.extend(errors.iter().map(ToString::to_string)));
        let via = Via::new(&name);
        if via.is_none() {
            mistakes.push(format!(
                "`{name}` is no gateway name: letters, digits and -._~ are allowed"
            ));
        }
        let (Some(routes), Ok(trusted), Some(via), []) = (routes, trusted, via, &mistakes[..])
        else {
            return Err(BuildError::new(mistakes));
        };
        let routes = Arc::new(routes);
        let layers = (!stages.is_empty()).then(|| {
            let routes = routes.clone();
            let dispatch = Next::from_fn(move |request| routes.dispatch(request));
            stages.around(dispatch)
        });
        let observe = self.observe.unwrap_or_default();
        let door =
            Door {
                peer: Some(self.peer.unwrap_or_else(|| {
                    Box::new(|extensions| extensions.get::<SocketAddr>().copied())
                })),
                tls: self.tls,
                trusted: trusted.read_forwarded(self.reads_forwarded),
                path: self.path.unwrap_or_default(),
                owned: OwnedHeaders::new()
                    .own(self.owned)
                    .own(self.assembly.owned())
                    .settle(observe.fields()),
                forward,
                via,
            };
        let proxy_status = self.proxy_status.then_some(name);
        let inside = Arc::new(Inside {
            door,
            layers,
            routes,
            proxy_status,
        });
        Ok(Gateway::new(Pipeline {
            observe,
            outer: self.outer.around(&inside),
            inside,
            plan,
        }))
    }
}
