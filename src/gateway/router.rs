//! Routing as a layer of its own: what a route takes goes to its upstream, the rest to the service inside.
//!
//! The upstreams and routes are those of a [`Gateway`](crate::Gateway), and so is what is done with them: params,
//! timeouts, route layers, rewriting, splits. What a gateway does besides is not done here: nothing is refused but a path
//! that can be read in two ways, nothing is logged, and backends are not told who the client is.
//!
//! ```
//! use http::{HeaderValue, Method, Request, Response, header::HOST};
//! use http_body_util::BodyExt;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_gateway::{Body, BoxError, RequestContext, Route, RouterLayer, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let users = service_fn(|request: Request<Body>| async move {
//!     let context = request.extensions().get::<RequestContext>();
//!     let id = context.and_then(|context| context.param("id")).unwrap_or("?");
//!     Ok::<_, BoxError>(Response::new(Body::from(format!("user {id} at {}", request.uri()))))
//! });
//! let site = service_fn(|_: Request<Body>| async {
//!     Ok::<_, BoxError>(Response::new(Body::from("the site")))
//! });
//!
//! let router = RouterLayer::builder()
//!     .upstream("users", Upstream::service(users)) // or Upstream::http(["http://users:8080"])
//!     .route(Route::get("/api/users/{id}").to("users").strip_prefix("/api"))
//!     .build()?; // lists every mistake at once
//! let service = ServiceBuilder::new().layer(router).service(site);
//!
//! for (path, expected) in [("/api//users/%37", "user 7 at /users/7"), ("/about", "the site")] {
//!     let response = service.clone().oneshot(Request::get(path).body(Body::empty())?).await?;
//!     assert_eq!(response.into_body().collect().await?.to_bytes(), expected);
//! }
//! # Ok(()) }
//! ```

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{CONTENT_LENGTH, HOST},
};
use pin_project_lite::pin_project;
use tower::{Layer, Service, util::Oneshot};

use super::{
    BuildError, NextFuture, Route, Upstream,
    assembly::Assembly,
    door::{CheckedBody, canonical},
    routes::{Missed, Routes},
    target::Ended,
};
use crate::{
    authority::HostPort,
    body::Body,
    context::RequestContext,
    error::{BoxError, Error},
    path::PathPolicy,
    problem::grpc,
    upstream::{ForwardHeaders, OwnedHeaders, admit, strip_request},
};

/// Sends what its routes take to their upstreams, and everything else to the service inside; see the
/// [module](crate::router). Clones share everything.
///
/// * The path is brought into its canonical form, for the service inside too, and one that has none is answered with
///   400. A request that came through a [`Gateway`](crate::Gateway) has been there already. A target without a path
///   (`OPTIONS *`, `CONNECT`) is left alone.
/// * A route that takes a request leaves its name and params in the [`RequestContext`] among the extensions; there is one
///   afterwards if there was none.
/// * Before a request goes to an upstream it loses its hop-by-hop fields (RFC 9110, section 7.6.1) and, unless it came
///   through a gateway, `Forwarded` and `X-Forwarded-*`, which anybody may have written. The fields in which its routes say
///   who sends a request are removed in any case, from its trailers too.
/// * An upstream that fails is an `application/problem+json` answer, or a gRPC status for a gRPC client, with a
///   [`Rejection`](crate::Rejection) in its extensions. The only errors are those of the service inside.
#[derive(Clone)]
pub struct RouterLayer(Arc<Table>);

/// Takes upstreams and routes, and makes a [`RouterLayer`] of them.
#[derive(Default)]
pub struct RouterLayerBuilder {
    assembly: Assembly,
    path: PathPolicy,
    refuses_methods: bool,
}

/// The service that [`RouterLayer`] makes. It is always ready: the service inside is asked for its readiness only when a
/// request goes there, so that it can neither hold up the routes nor keep a permit that nobody uses.
#[derive(Clone)]
pub struct Router<S> {
    table: Arc<Table>,
    inner: S,
}

pin_project! {
    /// The future of [`Router`].
    pub struct RouterFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        way: Way<S, B>,
    }
}

pin_project! {
    #[project = WayProjection]
    enum Way<S, B>
    where
        S: Service<Request<B>>,
    {
        Route { answer: NextFuture, is_head: bool, is_grpc: bool },
        Inner { #[pin] answer: Oneshot<S, Request<B>> },
    }
}

struct Table {
    routes: Routes,
    path: PathPolicy,
    owned: OwnedHeaders,
    refuses_methods: bool,
}

impl RouterLayer {
    /// Begins to assemble a layer.
    pub fn builder() -> RouterLayerBuilder {
        RouterLayerBuilder::default()
    }
}

impl RouterLayerBuilder {
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

    /// What is allowed in a path; what is not is answered with 400. Default: [`PathPolicy::new`].
    pub fn path_policy(mut self, path: PathPolicy) -> Self {
        self.path = path;
        self
    }

    /// The most bytes of a request's body on routes that do not say otherwise; then 413. Nothing is buffered: a body of
    /// unknown length is cut off where it passes the limit. Default: no limit.
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.assembly.body_limit = Some(bytes);
        self
    }

    /// Answers 405 with `Allow` (RFC 9110, section 15.5.6) when the routes know the path, but not with this method.
    /// Default: off, the request goes to the service inside, which may well serve the other methods.
    pub fn method_not_allowed(mut self, on: bool) -> Self {
        self.refuses_methods = on;
        self
    }

    /// The layer.
    ///
    /// # Errors
    /// Every mistake: an unknown upstream, a bad path, host or template, a parameter that does not exist, two routes
    /// that can not be told apart, a setting of zero.
    pub fn build(self) -> Result<RouterLayer, BuildError> {
        let mut mistakes = Vec::new();
        let routes = self
            .assembly
            .routes(ForwardHeaders::default(), &mut mistakes);
        match routes {
            Some(routes) if mistakes.is_empty() => Ok(RouterLayer(Arc::new(Table {
                routes,
                path: self.path,
                owned: OwnedHeaders::new().own(self.assembly.owned()),
                refuses_methods: self.refuses_methods,
            }))),
            _ => Err(BuildError::new(mistakes)),
        }
    }
}

impl<S> Layer<S> for RouterLayer {
    type Service = Router<S>;

    fn layer(&self, inner: S) -> Router<S> {
        let table = self.0.clone();
        Router { table, inner }
    }
}

impl<S, B, R> Service<Request<B>> for Router<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = RouterFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let is_head = request.method() == Method::HEAD;
        let is_grpc = grpc::is_grpc(&request);
        let answer = match self.table.route(&mut request) {
            // A clone that has never been asked is asked, and the same one is called.
            Ok(None) => {
                let answer = Oneshot::new(self.inner.clone(), request);
                let way = Way::Inner { answer };
                return RouterFuture { way };
            }
            Ok(Some(route)) => route.call(clean(request.map(Body::new), &self.table.owned)),
            Err(error) => NextFuture::ready(Err(error)),
        };
        let way = Way::Route {
            answer,
            is_head,
            is_grpc,
        };
        RouterFuture { way }
    }
}

impl Table {
    /// The route that takes a request, if one does.
    fn route<B>(&self, request: &mut Request<B>) -> Result<Option<&Ended>, Error> {
        if !request.uri().path().starts_with('/') {
            return Ok(None);
        }
        let context = request.extensions().get::<RequestContext>();
        if !context.is_some_and(|context| context.is_admitted) {
            if let Some(uri) = canonical(request.uri(), self.path)? {
                *request.uri_mut() = uri;
            }
            let authority = authority(request);
            let extensions = request.extensions_mut();
            let context = extensions.get_or_insert_default::<RequestContext>();
            context.authority = context.authority.take().or(authority);
        }
        match self.routes.find(request) {
            Ok(route) => Ok(Some(route)),
            Err(missed @ Missed::Method(_)) if self.refuses_methods => Err(missed.into()),
            Err(_) => Ok(None),
        }
    }
}

/// The host that a request is for. One that is malformed or named several times is none.
fn authority<B>(request: &Request<B>) -> Option<HeaderValue> {
    if let Some(authority) = request.uri().authority() {
        let host = HostPort::parse(authority.as_str())?;
        return HeaderValue::from_str(host.as_str()).ok();
    }
    let mut lines = request.headers().get_all(HOST).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?;
    line.to_str().ok().and_then(HostPort::parse)?;
    Some(line.clone())
}

/// The request without what nobody has taken off yet.
fn clean(request: Request<Body>, owned: &OwnedHeaders) -> Request<Body> {
    let (mut parts, mut body) = request.into_parts();
    // In HTTP/1 what has a length has no trailers.
    if parts.version >= Version::HTTP_2 || !parts.headers.contains_key(CONTENT_LENGTH) {
        body = CheckedBody::wrap(body, owned, None);
    }
    match parts.extensions.get_mut::<RequestContext>() {
        // A gateway in front does not know which fields are set here.
        Some(context) if context.is_admitted => {
            strip_request(&mut parts.headers, owned, true);
        }
        Some(context) => admit(&mut parts.headers, parts.version, owned, context),
        None => {}
    }
    Request::from_parts(parts, body)
}

impl<S, B, R> Future for RouterFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().way.project() {
            WayProjection::Route {
                answer,
                is_head,
                is_grpc,
            } => {
                let answer = ready!(Pin::new(answer).poll(cx));
                let mut response = answer.unwrap_or_else(Error::into_response);
                if *is_grpc {
                    grpc::translate(&mut response);
                }
                if *is_head {
                    // hyper's HTTP/2 server would send a body that an in-process service or a rejection has.
                    *response.body_mut() = Body::empty();
                }
                Poll::Ready(Ok(response))
            }
            WayProjection::Inner { answer } => {
                Poll::Ready(ready!(answer.poll(cx)).map(|response| response.map(Body::of_answer)))
            }
        }
    }
}

impl fmt::Debug for RouterLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouterLayer")
            .field(&self.0.routes.0)
            .finish()
    }
}

impl fmt::Debug for RouterLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouterLayerBuilder")
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Router").field(&self.table.routes.0).finish()
    }
}

impl<S, B> fmt::Debug for RouterFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouterFuture")
    }
}
