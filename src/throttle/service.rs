//! The service that lets a request through, or answers it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower::{Service, util::Oneshot};

use super::shared::{Begin, Shared, Spent, Verdict};

/// The service that [`ThrottleLayer`](super::ThrottleLayer) makes. It is always ready: the service inside is asked for its readiness when a
/// request is let through, so that none is kept by one that is not.
#[derive(Clone)]
pub struct Throttle<S> {
    inner: S,
    shared: Arc<Shared>,
}

pin_project! {
    /// The future of [`Throttle`]. Dropped, it ends the request; what that has spent stays spent, and it is [charged](super::Rule::charge) as one without an answer.
    pub struct ThrottleFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        stage: Stage<S, B>,
        shared: Arc<Shared>,
    }
}

type Decide = Pin<Box<dyn Future<Output = (Parts, Verdict)> + Send>>;

pin_project! {
    #[project = StageProjection]
    enum Stage<S, B>
    where
        S: Service<Request<B>>,
    {
        Decide {
            decide: Decide,
            // What a request that is let through goes on with.
            rest: Option<(S, B)>,
        },
        Call {
            #[pin]
            answer: Oneshot<S, Request<B>>,
            spent: Option<Spent>,
        },
        Refuse {
            refusal: Option<Box<super::refusal::Refusal>>,
        },
    }
}

impl<S> Throttle<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for Throttle<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: 'static,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ThrottleFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let (inner, shared) = (self.inner.clone(), self.shared.clone());
        let stage = match shared.begin(&head) {
            Begin::Done(verdict) => Stage::after(verdict, inner, head, body),
            Begin::Wait(asked, from) => Stage::Decide {
                decide: Box::pin(shared.clone().decide(head, asked, from)),
                rest: Some((inner, body)),
            },
        };
        ThrottleFuture { stage, shared }
    }
}

impl<S, B> Stage<S, B>
where
    S: Service<Request<B>>,
{
    fn after(verdict: Verdict, inner: S, head: Parts, body: B) -> Self {
        match verdict {
            Verdict::Pass(spent) => Self::Call {
                answer: Oneshot::new(inner, Request::from_parts(head, body)),
                spent,
            },
            Verdict::Refuse(refusal) => Self::Refuse {
                refusal: Some(refusal),
            },
        }
    }
}

impl<S, B, R> Future for ThrottleFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: 'static,
    R: From<Bytes>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut stage = this.stage;
        loop {
            let next = match stage.as_mut().project() {
                StageProjection::Call { answer, spent } => {
                    let answer = ready!(answer.poll(cx));
                    return Poll::Ready(match spent.take() {
                        Some(spent) => this.shared.answered(spent, answer),
                        None => answer,
                    });
                }
                StageProjection::Refuse { refusal } => {
                    // Nothing comes of a future that is asked again after its answer.
                    return match refusal.take() {
                        Some(refusal) => Poll::Ready(Ok(refusal.into_response())),
                        None => Poll::Pending,
                    };
                }
                StageProjection::Decide { decide, rest } => {
                    let (head, verdict) = ready!(decide.as_mut().poll(cx));
                    match rest.take() {
                        Some((inner, body)) => Stage::after(verdict, inner, head, body),
                        None => Stage::Refuse { refusal: None },
                    }
                }
            };
            stage.set(next);
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Throttle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, B> fmt::Debug for ThrottleFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThrottleFuture")
    }
}
