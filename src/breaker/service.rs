//! The service, and the future that ends a call.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Service, util::Oneshot};

use super::{call::Call, circuit::Admission, shared::Shared};
use crate::{
    body::Body,
    clock,
    context::RequestContext,
    error::{BoxError, Error, ErrorKind},
    service::Reply,
};

/// The service that [`CircuitBreakerLayer`](super::CircuitBreakerLayer) makes. It is always ready: the service inside is
/// asked for its readiness only when a call is let through, so that an open circuit neither waits for it nor keeps a permit
/// that nobody uses. Clones share the circuit.
#[derive(Clone)]
pub struct CircuitBreaker<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> CircuitBreaker<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

pin_project! {
    /// The future of [`CircuitBreaker`]. Dropped before it is done, the call is not counted, unless its time is up; a half-open
    /// one is given to somebody else. One that panics has failed.
    pub struct CircuitBreakerFuture<S, B>
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
        // The order matters: what is inside ends before the next half-open call is let through.
        Inner { #[pin] answer: Oneshot<S, Request<B>>, call: Option<Call> },
        Fallback { reply: Reply },
        Refused { error: Option<Error> },
    }
}

impl<S, B, R> Service<Request<B>> for CircuitBreaker<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CircuitBreakerFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let now = clock::now();
        let admission = self.shared.circuit.admit(now);
        self.shared.tell();
        let way = match (admission, &self.shared.config.fallback) {
            (Admission::Admitted(ticket), _) => {
                let context = request.extensions().get::<RequestContext>();
                let patience = context.and_then(RequestContext::patience);
                let call = Some(Call::new(self.shared.clone(), ticket, now, patience));
                // A clone that has never been asked is asked, and the same one is called.
                let answer = Oneshot::new(self.inner.clone(), request);
                Way::Inner { answer, call }
            }
            (Admission::Refused(_), Some(fallback)) => Way::Fallback {
                reply: fallback.send(request.map(Body::new)),
            },
            (Admission::Refused(retry_after), None) => {
                let error = Error::new(ErrorKind::CircuitOpen);
                let error = match retry_after {
                    Some(delay) => error.with_retry_after(delay),
                    None => error,
                };
                Way::Refused { error: Some(error) }
            }
        };
        CircuitBreakerFuture { way }
    }
}

impl<S, B, R> Future for CircuitBreakerFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().way.project() {
            WayProjection::Inner { answer, call } => {
                let mut polling = Polling(call.take());
                let polled = answer.poll(cx);
                let ended = polling.0.take();
                match (polled, ended) {
                    (Poll::Ready(result), Some(ended)) => Poll::Ready(ended.head(result)),
                    (Poll::Ready(result), None) => {
                        Poll::Ready(result.map(|response| response.map(Body::of_answer)))
                    }
                    (Poll::Pending, ended) => {
                        *call = ended;
                        Poll::Pending
                    }
                }
            }
            WayProjection::Fallback { reply } => {
                let answer = ready!(reply.as_mut().poll(cx));
                Poll::Ready(Ok(answer.unwrap_or_else(Error::into_response)))
            }
            WayProjection::Refused { error } => {
                let error = error.take();
                let error = error.unwrap_or_else(|| ErrorKind::CircuitOpen.into());
                Poll::Ready(Ok(error.into_response()))
            }
        }
    }
}

/// A call while the service inside is polled: only a panic drops it there.
struct Polling(Option<Call>);

impl Drop for Polling {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call.panicked();
        }
    }
}

impl<S> fmt::Debug for CircuitBreaker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CircuitBreaker").field(&self.shared).finish()
    }
}

impl<S, B> fmt::Debug for CircuitBreakerFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CircuitBreakerFuture")
    }
}
