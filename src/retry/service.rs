//! The service, and the future in which a request's tries follow each other.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    counts::InFlight,
    draft::Draft,
    layer::Shared,
    tries::{Event, Tries},
};
use crate::{
    body::Body,
    clock,
    error::{BoxError, Error, ErrorKind},
};

/// The service that [`RetryLayer`](super::RetryLayer) makes. The first try uses the inner service that was asked for its
/// readiness; each later one asks a clone, which waits for it. Clones share what the layer's services share.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Retry<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, ResB> Service<Request<B>> for Retry<S>
where
    S: Service<Request<Body>, Response = Response<ResB>> + Clone,
    S::Error: 'static,
    ResB: From<Bytes>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = RetryFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> RetryFuture<S> {
        let now = clock::now();
        self.shared.budget.count(now);
        let in_flight = InFlight::new(self.shared.clone());
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let mut request = request.map(Body::new);
        let draft = Draft::of(&mut request, &self.shared, now);
        let first = ready.call(request);
        RetryFuture {
            first: Some(first),
            tries: draft.map(|draft| Box::new(Tries::new(ready, draft))),
            in_flight: Some(in_flight),
        }
    }
}

pin_project! {
    /// The future of [`Retry`]. Dropped before it is done, it ends the try that is under way, and there is no other.
    pub struct RetryFuture<S>
    where
        S: Service<Request<Body>>,
    {
        #[pin]
        first: Option<S::Future>,
        // None: whatever becomes of the request, it is not sent again.
        tries: Option<Box<Tries<S>>>,
        in_flight: Option<InFlight>,
    }
}

impl<S, ResB> Future for RetryFuture<S>
where
    S: Service<Request<Body>, Response = Response<ResB>> + Clone,
    S::Error: 'static,
    ResB: From<Bytes>,
{
    type Output = Result<Response<ResB>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let last = match this.tries {
            None => match this.first.as_mut().as_pin_mut() {
                Some(first) => ready!(first.poll(cx)),
                None => return Poll::Pending,
            },
            Some(tries) => loop {
                // What has ended is dropped before anything else is done about it.
                if let Some(first) = this.first.as_mut().as_pin_mut()
                    && let Poll::Ready(ended) = first.poll(cx)
                {
                    this.first.set(None);
                    if let Some(last) = tries.first_ended(ended) {
                        break last;
                    }
                }
                if let Poll::Ready(ended) = tries.poll_second(cx)
                    && let Some(last) = tries.second_ended(ended, this.first.is_some())
                {
                    break last;
                }
                let late = |kind| Ok(Error::new(kind).into_response());
                let last = match ready!(tries.poll_event(cx, this.first.is_some())) {
                    Event::FirstIsLate => {
                        this.first.set(None);
                        tries.first_ended(late(ErrorKind::Timeout))
                    }
                    Event::SecondIsLate => {
                        tries.second_ended(late(ErrorKind::Timeout), this.first.is_some())
                    }
                    Event::Hedge => {
                        tries.hedge();
                        None
                    }
                    Event::Retry if tries.retry() => None,
                    Event::Retry => Some(late(ErrorKind::Deadline)),
                };
                if let Some(last) = last {
                    break last;
                }
            },
        };
        // A loser is cancelled, and nothing is recorded any more.
        this.first.set(None);
        *this.tries = None;
        *this.in_flight = None;
        Poll::Ready(last)
    }
}
