//! The service, and its future.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Service, util::Oneshot};

use super::{AuthorizeLayer, Denied};

/// The service that [`AuthorizeLayer`] makes. It is always ready: the service inside is asked for its readiness when a request may
/// pass.
#[derive(Clone, Debug)]
pub struct Authorize<S> {
    inner: S,
    layer: AuthorizeLayer,
}

impl<S> Authorize<S> {
    pub(super) fn new(inner: S, layer: AuthorizeLayer) -> Self {
        Self { inner, layer }
    }
}

pin_project! {
    /// The future of [`Authorize`].
    pub struct AuthorizeFuture<S, B>
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
        Call {
            #[pin]
            answer: Oneshot<S, Request<B>>,
        },
        Refused { denied: Option<Denied> },
    }
}

impl<S, B, R> Service<Request<B>> for Authorize<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AuthorizeFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let stage = match self.layer.check(&head) {
            Ok(()) => Stage::Call {
                // A clone that has never been asked is asked, and the same one is called.
                answer: Oneshot::new(self.inner.clone(), Request::from_parts(head, body)),
            },
            Err(denied) => Stage::Refused {
                denied: Some(denied),
            },
        };
        AuthorizeFuture { stage }
    }
}

impl<S, B, R> Future for AuthorizeFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            StageProjection::Call { answer } => answer.poll(cx),
            // Nothing comes of a future that is asked again after its answer.
            StageProjection::Refused { denied } => denied.take().map_or(Poll::Pending, |denied| {
                Poll::Ready(Ok(denied.into_response()))
            }),
        }
    }
}

impl<S, B> fmt::Debug for AuthorizeFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizeFuture")
    }
}
