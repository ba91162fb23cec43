//! A backend, as people write it down.

mod build;
mod endpoints;
mod handle;
#[cfg(feature = "tls")]
mod tls;

use std::{
    fmt,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer, Service};

pub use handle::UpstreamHandle;

use super::{BuildError, Next, NextFuture, guards::Guards, in_process::InProcess, next::Layers};
use crate::{
    body::Body,
    client::{ClientConfig, Protocol, Resolver},
    error::{BoxError, Error, ErrorKind},
    upstream::{
        AnyDiscover, Choice, Discover, Endpoint, Endpoints, HealthCheck, HostHeader, Proxy,
        ProxySettings,
    },
};

/// A backend: one or more endpoints that serve the same, or a service in this process.
///
/// It is a tower service by itself; under a name it becomes part of a [`Gateway`](crate::Gateway). Clones share the
/// connections, until a setting is changed, whatever their names. A setting of 0 is a mistake that `build` reports.
///
/// | setting | default |
/// |---|---|
/// | protocol | HTTP/1.1 in clear, what ALPN says over TLS |
/// | connect timeout, with name resolution and TLS | 5 s |
/// | activity timeout: no byte in either direction | 100 s |
/// | response head timeout, whole timeout | none |
/// | connections for each endpoint and runtime | 1024, and 1024 requests that wait at most 5 s for one |
/// | an idle connection is closed after | 60 s |
/// | a silent HTTP/2 connection is asked for a sign of life after | 5 minutes, and closed 10 s later |
/// | names are resolved again after | 30 s, or when no address worked |
/// | `Host` | the endpoint's |
/// | upgrades | `websocket` |
/// | an upgraded connection is closed when silent for | 10 minutes |
/// | choice of the endpoint | [`Balance::power_of_two`](crate::Balance::power_of_two), no affinity, no cap on its requests |
/// | health checks, ejection, slow start | off; when no endpoint is left, all are used |
/// | retries, circuit, concurrency limit, deadline, mirroring | off |
#[derive(Clone)]
pub struct Upstream {
    target: Target,
    config: ClientConfig,
    settings: ProxySettings,
    choice: Choice,
    check: Option<HealthCheck>,
    resolver: Resolver,
    #[cfg(feature = "tls")]
    tls: crate::tls::TlsSettings,
    pub(super) layers: Layers,
    pub(super) guards: Guards,
    mistakes: Vec<String>,
    built: Arc<OnceLock<Result<Built, BuildError>>>,
}

#[derive(Clone)]
enum Target {
    /// A URL that is not an endpoint is a mistake, for `build` to report.
    Http(Vec<Endpoint>),
    Discover(Arc<dyn AnyDiscover>),
    Service(Next),
}

/// What settings became.
#[derive(Clone)]
struct Built {
    ready: Ready,
    /// Unless it is a service.
    live: Option<Arc<Endpoints>>,
}

/// An upstream that is ready for requests, without a name at first.
#[derive(Clone)]
pub(crate) enum Ready {
    Proxy(Proxy),
    InProcess(InProcess),
    Layered(Next),
}

impl Upstream {
    /// Endpoints by URL: `http://host:port/base`, `https://host`, or `unix:/path/to/socket`.
    ///
    /// Several are [balanced](Self::balance), by [weight](Endpoint::weight). A request whose endpoint can not be
    /// reached (no address, no connection, no TLS; also within the connect timeout) goes to the others, each once, as
    /// long as its time lasts: nothing of it was sent, so that this is safe for every method and body. An endpoint that
    /// was not reached is left for last until it is, and is given a chance in one of 16 draws.
    ///
    /// A URL that is not an endpoint, or none at all, is a mistake that `build` reports.
    pub fn http<I>(endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Endpoint>,
    {
        Self::new(Target::Http(
            endpoints.into_iter().map(Into::into).collect(),
        ))
    }

    /// Endpoints that are found while the gateway runs: see [`Discover`]. What is found replaces what was there; an endpoint that
    /// stays keeps its connections, and one that goes ends what it has under way and gets nothing new. The first request waits
    /// until somebody was asked, within the [connect timeout](Self::connect_timeout) and its own time.
    ///
    /// The search goes on in a task of its own, which begins with the first request if the upstream was not made on a
    /// runtime, and ends with the last clone. That nothing was found is logged as a warning, with the target
    /// `tower_gateway::discovery`.
    pub fn discover(source: impl Discover) -> Self {
        Self::new(Target::Discover(Arc::new(source)))
    }

    /// A service in this process, such as an axum router. Its errors are answered with 500, unless they are the crate's
    /// or those of tower's layers: see [`Error::from_boxed`]. Of the settings it has its [`timeout`](Self::timeout) and
    /// [layers](Self::layer); the others are about connections.
    pub fn service<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::new(Target::Service(Next::new(service)))
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            config: ClientConfig::default(),
            settings: ProxySettings::default(),
            choice: Choice::default(),
            check: None,
            resolver: Resolver::default(),
            #[cfg(feature = "tls")]
            tls: crate::tls::TlsSettings::default(),
            layers: Layers::default(),
            guards: Guards::default(),
            mistakes: Vec::new(),
            built: Arc::default(),
        }
    }

    /// HTTP/1.1 only, whatever the endpoint offers. What WebSocket backends behind TLS need if they offer HTTP/2 as well.
    /// Default: HTTP/1.1 in clear, what ALPN says over TLS.
    pub fn http1_only(self) -> Self {
        self.set(|this| this.config.protocol = Protocol::Http1)
    }

    /// HTTP/2 only: by ALPN over TLS, with prior knowledge in clear (RFC 9113, section 3.3). What gRPC backends need. A
    /// backend that does not speak it is a 502. What such a backend says before its answer is not seen: a client that waits for
    /// `100 Continue` (RFC 9110, section 10.1.1) is asked for its body after a second.
    #[cfg(feature = "http2")]
    pub fn http2_only(self) -> Self {
        self.set(|this| this.config.protocol = Protocol::Http2)
    }

    /// How long it may take to have a connection, name resolution, TLS and the peer's HTTP/2 SETTINGS included; then
    /// 504. Default: 5 s.
    pub fn connect_timeout(self, limit: Duration) -> Self {
        self.positive("connect_timeout", limit)
            .set(|this| this.config.connect_timeout = limit)
    }

    /// How long the answer's head may take once the request was sent; then 504. Default: no limit of its own.
    pub fn head_timeout(self, limit: Duration) -> Self {
        self.positive("head_timeout", limit)
            .set(|this| this.settings.head_timeout = Some(limit))
    }

    /// How long nothing may be said in either direction; then 504, or a broken body when the head is out. An answer of
    /// which the server around the gateway takes no more for so long, because its client does not read, is broken off within
    /// a second; a client has to take what that server buffers (hyper: some 400 KB) in this time. Default: 100 s.
    pub fn activity_timeout(self, limit: Duration) -> Self {
        self.positive("activity_timeout", limit)
            .set(|this| this.settings.activity_timeout = Some(limit))
    }

    /// How long a request may take as a whole, its answer's body included; then 504. A route's timeout counts as well.
    /// Default: no limit.
    pub fn timeout(self, limit: Duration) -> Self {
        self.positive("timeout", limit)
            .set(|this| this.settings.timeout = Some(limit))
    }

    /// The most connections to an endpoint from one runtime, at least 1; further requests [wait](Self::waiting). HTTP/2
    /// connections carry several. Upgrades to a TLS endpoint that may choose HTTP/2 have connections of their own, and at
    /// most as many again. Default: 1024.
    pub fn max_connections(mut self, most: usize) -> Self {
        match NonZeroUsize::new(most) {
            Some(most) => self.config.max_connections = most,
            None => self
                .mistakes
                .push("max_connections is 0; it is at least 1".to_owned()),
        }
        self.set(|_| {})
    }

    /// How many requests may wait for a connection to an endpoint at the cap, from one runtime, and for how long; the
    /// others get 503. Default: 1024, 5 s.
    pub fn waiting(self, most: usize, limit: Duration) -> Self {
        self.positive("waiting", limit).set(|this| {
            this.config.max_waiting = most;
            this.config.max_wait = limit;
        })
    }

    /// How long an unused connection is kept. Should be shorter than the backend keeps it. Default: 60 s.
    pub fn idle_timeout(self, limit: Duration) -> Self {
        self.positive("idle_timeout", limit)
            .set(|this| this.config.idle_timeout = limit)
    }

    /// How old a connection may get before it is not used for another request. An HTTP/2 connection that is too old
    /// counts until its last request has ended. Default: no limit.
    pub fn max_age(self, limit: Duration) -> Self {
        self.positive("max_age", limit)
            .set(|this| this.config.max_age = Some(limit))
    }

    /// The most requests at a time on one HTTP/2 connection, at least 1, if the backend allows as many; then one more
    /// connection is opened. Default: 100.
    #[cfg(feature = "http2")]
    pub fn max_streams(mut self, most: usize) -> Self {
        match NonZeroUsize::new(most) {
            Some(most) => self.config.max_streams = most,
            None => self
                .mistakes
                .push("max_streams is 0; it is at least 1".to_owned()),
        }
        self.set(|_| {})
    }

    /// How long an HTTP/2 connection may say nothing, in use or not, before it is sent a PING (RFC 9113, section 6.7),
    /// and how long the peer may take to acknowledge it; then the connection is closed, and its requests get 504.
    /// `None`: no PINGs. Default: 5 minutes, 10 s.
    ///
    /// Ask backends before you make it shorter: many gRPC servers take more than a few PINGs within five minutes for an
    /// attack, and end the connection with `ENHANCE_YOUR_CALM`. Without PINGs, too, a connection gets no more requests
    /// when one was late on it, or was given up after 5 s, and nothing at all was heard meanwhile.
    #[cfg(feature = "http2")]
    pub fn http2_keep_alive(self, every: impl Into<Option<Duration>>, limit: Duration) -> Self {
        let every = every.into();
        self.positive("http2_keep_alive", every.unwrap_or(limit).min(limit))
            .set(|this| {
                this.config.ping_every = every;
                this.config.ping_timeout = limit;
            })
    }

    /// How long a resolved name is good for; it is resolved again earlier when none of its addresses worked. Default: 30 s.
    pub fn resolve_every(self, age: Duration) -> Self {
        self.positive("resolve_every", age)
            .set(|this| this.config.resolve_every = age)
    }

    /// Resolves names with a function of yours, within the connect timeout; an error, or no address, is a 502. Endpoints
    /// with an IP address need none. Default: the operating system.
    pub fn resolver<F, Fut>(self, resolve: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        self.set(|this| this.resolver = Resolver::new(resolve))
    }

    /// The `Host` that the backend sees. Default: [`HostHeader::Rewrite`].
    pub fn host(self, host: HostHeader) -> Self {
        self.set(|this| this.settings.host = host)
    }

    /// The protocols that may be switched to (RFC 9110, section 7.8), in any case, instead of the default. A request for
    /// another one goes on without its `Upgrade`; a 101 that is not the switch that was asked for is a 502. Default:
    /// `websocket`.
    pub fn upgrades<T: Into<String>>(self, protocols: impl IntoIterator<Item = T>) -> Self {
        let protocols = protocols.into_iter().map(Into::into).collect();
        self.set(|this| this.settings.upgrades = protocols)
    }

    /// How long an upgraded connection may be silent in both directions before it is closed; `None`: as long as it likes.
    /// Default: 10 minutes.
    ///
    /// Without a limit, a client that has vanished without a word holds two connections for ever. Most networks and
    /// proxies forget a silent connection within one to ten minutes, so that whoever stays connected for long sends pings.
    pub fn tunnel_idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.positive("tunnel_idle_timeout", limit.unwrap_or(Duration::MAX))
            .set(|this| this.settings.tunnel_idle_timeout = limit)
    }

    /// Wraps the upstream in a layer, before the choice of an endpoint; the first one added is the outermost. The layer is
    /// applied once, for all routes to the upstream and all clones of it. Its errors become answers: see
    /// [`Error::from_boxed`].
    pub fn layer<L, B>(self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Body>>>::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.set(|this| this.layers.push(layer))
    }

    /// Looks for mistakes in the settings now. A gateway does so when it is built; an upstream that is used by itself tells
    /// of them only when it is first asked for its readiness.
    ///
    /// # Errors
    /// Every mistake: a URL that is not an endpoint, none at all, a setting of 0, a certificate that is none.
    pub fn check(&self) -> Result<(), BuildError> {
        self.build().map(drop)
    }

    /// Changes a setting. What was built with the old ones stays with the clones that use it.
    pub(super) fn set(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.built = Arc::default();
        self
    }

    fn positive(mut self, field: &str, limit: Duration) -> Self {
        if limit.is_zero() {
            self.mistakes
                .push(format!("{field} is 0; leave it out for the default"));
        }
        self
    }

    /// Tells how the endpoints are. It stands for this upstream and its clones as they are now: one whose settings are changed
    /// afterwards has endpoints of its own.
    pub fn handle(&self) -> UpstreamHandle {
        UpstreamHandle(self.clone())
    }

    /// Checks the settings, once, and makes the service.
    pub(super) fn ready(&self) -> Result<Ready, BuildError> {
        Ok(self.built()?.ready.clone())
    }

    fn built(&self) -> Result<&Built, BuildError> {
        let built = self.built.get_or_init(|| {
            let built = self.build()?;
            if let Some(live) = &built.live {
                live.attend();
            }
            Ok(built)
        });
        built.as_ref().map_err(Clone::clone)
    }
}

impl<B> Service<Request<B>> for Upstream
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = NextFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(
            self.ready()
                .map(drop)
                .map_err(|error| Error::new(ErrorKind::Internal).with_source(error)),
        )
    }

    fn call(&mut self, request: Request<B>) -> NextFuture {
        let ready = self.ready();
        NextFuture::new(async move {
            let ready =
                ready.map_err(|error| Error::new(ErrorKind::Internal).with_source(error))?;
            ready.call(request.map(Body::new)).await
        })
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Upstream");
        match self.endpoints() {
            Some(endpoints) => debug.field("endpoints", &endpoints),
            None => debug.field("service", &"in process"),
        };
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_has_an_idle_limit_unless_it_is_taken_off() {
        let upstream = || Upstream::http(["http://a"]);
        let minute = Duration::from_secs(60);
        for (upstream, limit) in [
            (upstream(), Some(10 * minute)),
            (upstream().tunnel_idle_timeout(minute), Some(minute)),
            (upstream().tunnel_idle_timeout(None), None),
        ] {
            assert_eq!(upstream.settings.tunnel_idle_timeout, limit);
            assert!(upstream.ready().is_ok());
        }
        let zero = upstream().tunnel_idle_timeout(Duration::ZERO);
        assert!(zero.ready().is_err());
    }
}
