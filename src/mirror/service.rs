//! The service.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, Request, request};
use tower::Service;

use super::{copy::copied, layer::MirrorLayer};
use crate::{body::Body, context::RequestContext, error::BoxError, random};

/// The service that [`MirrorLayer`] makes. It is ready when the inner one is; the answers are those of the inner one.
#[derive(Clone, Debug)]
pub struct Mirror<S> {
    inner: S,
    layer: MirrorLayer,
}

impl<S> Mirror<S> {
    pub(super) fn new(inner: S, layer: MirrorLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, B> Service<Request<B>> for Mirror<S>
where
    S: Service<Request<Body>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let request = request.map(Body::new);
        let context = request.extensions().get::<RequestContext>();
        let switches = context.is_some_and(|context| context.upgrade().is_some())
            || request.headers().contains_key(http::header::UPGRADE);
        if switches || !is_chosen(self.layer.share, random::next_u64()) {
            return self.inner.call(request);
        }
        let Some(place) = self.layer.enter() else {
            return self.inner.call(request);
        };
        let (parts, body) = request.into_parts();
        let body = copied(&self.layer, copy(&parts), body, place);
        self.inner.call(Request::from_parts(parts, body))
    }
}

/// Whether this request is one of the share.
fn is_chosen(share: f64, random: u64) -> bool {
    ((random >> 11) as f64) < share * (1_u64 << 53) as f64
}

/// The head of a copy.
fn copy(parts: &request::Parts) -> request::Parts {
    let mut copy = parts.clone();
    // Not what ties the request to its client: its connection, its log.
    copy.extensions = Extensions::new();
    if let Some(context) = parts.extensions.get::<RequestContext>() {
        copy.extensions.insert(context.detached());
    }
    copy
}
