//! The seam where types are erased: what a layer on a gateway, a route or an upstream wraps.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer, Service};

use crate::{
    body::Body,
    error::{BoxError, Error},
    service::{AnyService, Reply},
};

/// The rest of the way: the service that a layer of yours wraps. Always ready; clones share it.
///
/// So readiness does not pass from one layer to the next. Layers that work by it, as load shedding around a concurrency
/// limit, are given together: a `tower::ServiceBuilder` is a layer too.
#[derive(Clone)]
pub struct Next(AnyService);

/// The future of [`Next`]. Dropped before it is done, it ends the request to the backend.
pub struct NextFuture(Reply);

impl Next {
    pub(crate) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(AnyService::new(service))
    }

    /// What is always ready and needs no adapting, so that a request costs no box of its own.
    pub(crate) fn from_fn<F>(handle: F) -> Self
    where
        F: Fn(Request<Body>) -> NextFuture + Send + Sync + 'static,
    {
        Self(AnyService::from_fn(move |request| handle(request).0))
    }

    pub(crate) fn send(&self, request: Request<Body>) -> NextFuture {
        NextFuture(self.0.send(request))
    }
}

impl<B> Service<Request<B>> for Next
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = NextFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> NextFuture {
        self.send(request.map(Body::new))
    }
}

impl NextFuture {
    pub(crate) fn new(
        reply: impl Future<Output = Result<Response<Body>, Error>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(reply))
    }

    pub(crate) fn ready(reply: Result<Response<Body>, Error>) -> Self {
        Self::new(std::future::ready(reply))
    }
}

impl Future for NextFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

impl fmt::Debug for NextFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextFuture")
    }
}

/// Layers in the order in which they were added: the first is the outermost.
#[derive(Clone, Default)]
pub(crate) struct Layers(Vec<Named>);

#[derive(Clone)]
struct Named {
    name: &'static str,
    apply: Arc<dyn Fn(Next) -> Next + Send + Sync>,
}

impl Layers {
    pub(crate) fn push<L, B>(&mut self, layer: L)
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Body>>>::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.0.push(Named {
            name: short_name(std::any::type_name::<L>()),
            apply: Arc::new(move |next| Next::new(layer.layer(next))),
        });
    }

    /// One that was asked for.
    pub(crate) fn add<L, B>(&mut self, layer: &Option<L>)
    where
        L: Layer<Next> + Clone + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Body>>>::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if let Some(layer) = layer {
            self.push(layer.clone());
        }
    }

    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend_from_slice(&others.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The layers' types, for people to read.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|layer| layer.name)
    }

    pub(crate) fn around(&self, inner: Next) -> Next {
        self.0
            .iter()
            .rev()
            .fold(inner, |inner, layer| (layer.apply)(inner))
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// `TimeoutLayer` of `tower::timeout::TimeoutLayer`, without the path and the parameters.
fn short_name(name: &'static str) -> &'static str {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}
