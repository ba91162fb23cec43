//! Any service that answers HTTP, with its types erased: what a layer wraps, a fallback, the taker of copies.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use tower::{Service, ServiceExt};

use crate::{
    body::Body,
    error::{BoxError, Error},
};

/// A service behind a pointer. Clones share it; a request is given to a clone of it, which is first asked whether it is ready.
#[derive(Clone)]
pub(crate) struct AnyService(Arc<dyn Erased>);

/// What comes of a request.
pub(crate) type Reply = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

trait Erased: Send + Sync {
    fn call(&self, request: Request<Body>) -> Reply;

    fn failure(&self) -> Option<String>;
}

impl AnyService {
    pub(crate) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(Adapter(service)))
    }

    /// What is always ready and needs no adapting, so that a request costs no box of its own.
    pub(crate) fn from_fn<F>(handle: F) -> Self
    where
        F: Fn(Request<Body>) -> Reply + Send + Sync + 'static,
    {
        Self(Arc::new(Handler(handle)))
    }

    pub(crate) fn send(&self, request: Request<Body>) -> Reply {
        self.0.call(request)
    }

    /// Why it will never be ready, if it says so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.failure()
    }
}

impl fmt::Debug for AnyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyService")
    }
}

struct Adapter<S>(S);

impl<S, B> Erased for Adapter<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn call(&self, request: Request<Body>) -> Reply {
        // A clone that has never been asked is asked, and the same one is called.
        let reply = self.0.clone().oneshot(request);
        Box::pin(async move {
            let response = reply
                .await
                .map_err(|error| Error::from_boxed(error.into()))?;
            Ok(response.map(Body::of_answer))
        })
    }

    fn failure(&self) -> Option<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Err(error)) = self.0.clone().poll_ready(&mut cx) else {
            return None;
        };
        let error = error.into();
        let causes = std::iter::successors(error.source(), |error| error.source());
        let deepest = causes.last().map(ToString::to_string);
        Some(deepest.unwrap_or_else(|| error.to_string()))
    }
}

struct Handler<F>(F);

impl<F> Erased for Handler<F>
where
    F: Fn(Request<Body>) -> Reply + Send + Sync,
{
    fn call(&self, request: Request<Body>) -> Reply {
        (self.0)(request)
    }

    fn failure(&self) -> Option<String> {
        None
    }
}
