//! The gateway: what people write down, and the service that comes of it.

#[cfg(feature = "auth")]
mod access;
#[cfg(not(feature = "auth"))]
#[path = "no_access.rs"]
mod access;
mod answer;
mod assembly;
mod body_limit;
mod build_error;
mod builder;
mod caching;
mod choice;
mod door;
mod guards;
mod in_process;
mod next;
mod outer;
mod pipeline;
mod route;
pub mod router;
mod routes;
mod shares;
mod target;
mod upstream;

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};

pub use build_error::BuildError;
pub use builder::GatewayBuilder;
pub use next::{Next, NextFuture};
pub use route::Route;
pub use upstream::{Upstream, UpstreamHandle};

use crate::{body::Body, error::BoxError};
use answer::Answer;
use pipeline::Pipeline;

/// One front door for many backends: a service that any hyper or axum server mounts.
///
/// It is always ready and never fails: what goes wrong is an `application/problem+json` answer. Clones share
/// everything. It is a [`tower::Service`] and a [`hyper::service::Service`], for requests with any body of bytes.
///
/// A gRPC client gets a gRPC status instead, with HTTP status 200: `UNAVAILABLE` when no backend could be reached or has
/// room, or one broke off; `DEADLINE_EXCEEDED` for a timeout; `UNIMPLEMENTED` when no route takes the request;
/// `RESOURCE_EXHAUSTED` over a body limit; else `INTERNAL`.
///
/// An axum router takes it by `fallback_service`, `route_service` and `nest_service`. The last one removes the nest's
/// prefix from the path: routes, backends and logs are then about what is left, and no `X-Forwarded-Prefix` tells of the
/// rest. `route_service("/api/{*rest}", gateway)` leaves the path whole. axum matches the path as it was sent; it is
/// made canonical only here, so a path can not climb out of a nest (400), but neither into one. For the client's address
/// see [`peer_addr`](GatewayBuilder::peer_addr).
#[derive(Clone)]
pub struct Gateway(Arc<Pipeline>);

/// The answer of a [`Gateway`], on its way. Dropped before it is done, it ends the request to the backend.
pub struct GatewayFuture(Answer);

impl Gateway {
    /// Begins to assemble a gateway.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    pub(crate) fn new(pipeline: Pipeline) -> Self {
        Self(Arc::new(pipeline))
    }

    /// The order in which a request goes through the gateway, for people to read: a line for the door, one for each route,
    /// one for each upstream. Layers have the names of their types. Its form may change between versions.
    pub fn pipeline(&self) -> &str {
        &self.0.plan
    }

    fn run<B>(&self, request: Request<B>) -> GatewayFuture
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        GatewayFuture(self.0.run(request.map(Body::new)))
    }
}

impl<B> tower::Service<Request<B>> for Gateway
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = GatewayFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> GatewayFuture {
        self.run(request)
    }
}

impl<B> hyper::service::Service<Request<B>> for Gateway
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = GatewayFuture;

    fn call(&self, request: Request<B>) -> GatewayFuture {
        self.run(request)
    }
}

impl Future for GatewayFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gateway").field(&self.0.plan).finish()
    }
}

impl fmt::Debug for GatewayFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayFuture")
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayBuilder")
    }
}
