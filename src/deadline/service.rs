//! The service, and the future that ends with the deadline; the body does by itself.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::DeadlineLayer;
use crate::{
    body::Body,
    error::{BoxError, Error, ErrorKind},
    timer::Timer,
};

/// The service that [`DeadlineLayer`] makes. It is ready when the inner one is; clones share what the inner one's share.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S> Deadline<S> {
    pub(super) fn new(inner: S, layer: DeadlineLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, B, ResB> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    ResB: http_body::Body<Data = Bytes> + Send + 'static,
    ResB::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> DeadlineFuture<S::Future> {
        let terms = self.layer.begin(&mut request);
        DeadlineFuture {
            // What has no time left is not begun.
            answer: (!terms.is_over).then(|| self.inner.call(request)),
            watch: terms.own.map(|deadline| Watch {
                deadline,
                timer: Timer::new(),
            }),
        }
    }
}

pin_project! {
    /// The future of [`Deadline`]. Dropped before it is done, it drops that of the inner service.
    pub struct DeadlineFuture<F> {
        // None: there is no time.
        #[pin]
        answer: Option<F>,
        watch: Option<Watch>,
    }
}

impl<F, ResB, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<ResB>, E>>,
    ResB: http_body::Body<Data = Bytes> + Send + 'static,
    ResB::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(answer) = this.answer.as_mut().as_pin_mut() {
            if let Poll::Ready(answer) = answer.poll(cx) {
                let watch = this.watch.take();
                return Poll::Ready(
                    answer.map(|answer| answer.map(|body| held(Body::of_answer(body), watch))),
                );
            }
            match this.watch {
                Some(watch) => ready!(watch.poll(cx)),
                None => return Poll::Pending,
            }
            this.answer.set(None);
        }
        Poll::Ready(Ok(Error::new(ErrorKind::Deadline).into_response()))
    }
}

/// The moment, and the one timer for it that a request and its answer have.
struct Watch {
    deadline: Instant,
    timer: Timer,
}

impl Watch {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(cx, self.deadline)
    }
}

fn held(body: Body, watch: Option<Watch>) -> Body {
    match watch {
        Some(watch) => body.until(watch.deadline, watch.timer),
        None => body,
    }
}

#[cfg(test)]
mod tests;
