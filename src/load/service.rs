//! The service, and the future that waits for a permit and then for the answer.

use std::{
    any::Any,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::{Service, timeout::error::Elapsed, util::Oneshot};

use super::shared::{Entrance, Outcome, Permit, Place, Shared};
use crate::{
    body::Body,
    error::{BoxError, Error, ErrorKind, Rejection, seen_in},
    problem::grpc,
};

/// The service that [`ConcurrencyLimitLayer`](super::ConcurrencyLimitLayer) makes. It is always ready: the service inside is
/// asked for its readiness when a request has its permit, so that no readiness is kept by a request that waits or is
/// shed. Clones share the count.
#[derive(Clone)]
pub struct ConcurrencyLimit<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> ConcurrencyLimit<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

pin_project! {
    /// The future of [`ConcurrencyLimit`]. Dropped before it is done, it leaves the queue, or gives its permit back.
    pub struct ConcurrencyLimitFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        stage: Stage<S, B>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<S, B>
    where
        S: Service<Request<B>>,
    {
        Shed { error: Option<Error> },
        Wait {
            place: Place,
            // Most permits come before a timer is of use.
            timer: Option<Pin<Box<Sleep>>>,
            request: Option<(S, Request<B>)>,
        },
        // The order matters: what the answer holds is free before the permit is.
        Call {
            #[pin]
            answer: Oneshot<S, Request<B>>,
            permit: Option<Permit>,
        },
    }
}

impl<S, B, R> Service<Request<B>> for ConcurrencyLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ConcurrencyLimitFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let priority = self.shared.priority(&mut request);
        let stage = match self.shared.enter(priority, &request) {
            // A clone that has never been asked is asked, and the same one is called.
            Entrance::Admitted(permit) => Stage::call(self.inner.clone(), request, permit),
            Entrance::Waiting(place) => Stage::Wait {
                place,
                timer: None,
                request: Some((self.inner.clone(), request)),
            },
            Entrance::Shed(error) => Stage::Shed { error: Some(error) },
        };
        ConcurrencyLimitFuture { stage }
    }
}

impl<S, B> Stage<S, B>
where
    S: Service<Request<B>>,
{
    fn call(service: S, request: Request<B>, permit: Permit) -> Self {
        Self::Call {
            answer: Oneshot::new(service, request),
            permit: Some(permit),
        }
    }
}

impl<S, B, R> Future for ConcurrencyLimitFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            let next = match stage.as_mut().project() {
                StageProjection::Shed { error } => {
                    // Nothing comes of a future that is asked again after its answer.
                    let error = error.take();
                    return error.map_or(Poll::Pending, |error| {
                        Poll::Ready(Ok(error.into_response()))
                    });
                }
                StageProjection::Wait {
                    place,
                    timer,
                    request,
                } => match wait(place, timer, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(permit) => match permit.zip(request.take()) {
                        Some((permit, (service, request))) => Stage::call(service, request, permit),
                        None => Stage::Shed {
                            error: Some(place.refuse()),
                        },
                    },
                },
                StageProjection::Call { answer, permit } => {
                    let answer = ready!(answer.poll(cx));
                    let permit = permit.take();
                    return Poll::Ready(answered(answer, permit));
                }
            };
            stage.set(next);
        }
    }
}

/// The permit, or none when it has been waited for too long.
fn wait(
    place: &mut Place,
    timer: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Permit>> {
    if let Poll::Ready(permit) = place.poll(cx) {
        return Poll::Ready(permit);
    }
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(place.until.into())));
    timer.as_mut().poll(cx).map(|()| None)
}

/// Looks at how the request fared, and leaves its permit with the body.
fn answered<R, E>(
    answer: Result<Response<R>, E>,
    permit: Option<Permit>,
) -> Result<Response<Body>, E>
where
    E: 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let Some(mut permit) = permit else {
        return answer.map(|response| response.map(Body::of_answer));
    };
    permit.settle(|| outcome(&answer));
    let response = answer?;
    let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    Ok(response.map(|body| match Body::of_answer(body) {
        body if is_tunnel => body,
        body => body.watched(permit),
    }))
}

fn outcome<R, E: 'static>(answer: &Result<Response<R>, E>) -> Outcome {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return failure(error),
    };
    if let Some(Rejection(error)) = response.extensions().get() {
        return kind(error.kind());
    }
    let status = match grpc::status_of(response) {
        Some(code) => grpc::stands_for(code),
        None => response.status(),
    };
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Outcome::Overload,
        status if status.as_u16() < 400 => Outcome::Good,
        _ => Outcome::Nothing,
    }
}

fn failure<E: 'static>(error: &E) -> Outcome {
    if let Some(error) = seen_in(error) {
        return kind(error.kind());
    }
    let any: &dyn Any = error;
    match any.downcast_ref::<BoxError>() {
        Some(boxed) if boxed.is::<Elapsed>() => Outcome::Overload,
        _ => Outcome::Nothing,
    }
}

/// What a backend did not take in time is overload. What an inner limit or circuit refuses has not been tried.
fn kind(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::Timeout | ErrorKind::ConnectTimeout | ErrorKind::Deadline => Outcome::Overload,
        _ => Outcome::Nothing,
    }
}

impl<S: fmt::Debug> fmt::Debug for ConcurrencyLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimit")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish()
    }
}

impl<S, B> fmt::Debug for ConcurrencyLimitFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConcurrencyLimitFuture")
    }
}
