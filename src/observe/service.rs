//! The service, and the future that keeps a request under observation until its response head.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::{layer::ObserveLayer, observation::Observation};
use crate::body::Body;

/// The service that [`ObserveLayer`] makes. It is ready when the inner one is; clones share what the inner one's share.
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    layer: ObserveLayer,
}

impl<S> Observe<S> {
    pub(super) fn new(inner: S, layer: ObserveLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, B> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let observation = self.layer.begin(&mut request);
        let future = observation.in_scope(|| self.inner.call(request));
        ObserveFuture::new(future, observation)
    }
}

pin_project! {
    /// The future of [`Observe`]. Dropped before it is done, it logs that the client left.
    pub struct ObserveFuture<F> {
        // The order matters: what the future notes when it is dropped is still in time for the log.
        #[pin]
        future: F,
        observation: Option<Observation>,
    }
}

impl<F> ObserveFuture<F> {
    pub(crate) fn new(future: F, observation: Observation) -> Self {
        Self {
            future,
            observation: Some(observation),
        }
    }
}

impl<F, E> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // Taken out for the poll: if that panics, the unwinding drops it, and the log can tell that from a client that
        // left.
        let Some(observation) = this.observation.take() else {
            return this.future.poll(cx);
        };
        match observation.in_scope(|| this.future.poll(cx)) {
            Poll::Pending => {
                *this.observation = Some(observation);
                Poll::Pending
            }
            Poll::Ready(Ok(response)) => Poll::Ready(Ok(observation.finish(response))),
            Poll::Ready(Err(error)) => {
                observation.fail();
                Poll::Ready(Err(error))
            }
        }
    }
}
