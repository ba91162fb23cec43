//! Backends that do what they are told, and futures that are polled by hand.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tower::{Layer, Service};

use crate::{
    body::Body,
    load::{ConcurrencyLimit, ConcurrencyLimitHandle, ConcurrencyLimitLayer},
};

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Keeps each call until the test answers it.
#[derive(Clone, Default)]
pub(super) struct Backend(Arc<Mutex<Vec<Call>>>);

pub(super) struct Call {
    pub(super) request: Request<Body>,
    pub(super) answer: oneshot::Sender<Response<Body>>,
}

impl Backend {
    /// What is being asked, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        let calls = self.0.lock().unwrap();
        let open = calls.iter().filter(|call| !call.answer.is_closed());
        open.map(|call| call.request.uri().path().to_owned())
            .collect()
    }

    /// Takes the oldest call.
    pub(super) fn take(&self) -> Call {
        self.0.lock().unwrap().remove(0)
    }

    /// Answers the oldest call.
    pub(super) fn answer(&self, body: impl Into<Body>) {
        let response = Response::new(body.into());
        let _ = self.take().answer.send(response);
    }
}

impl Service<Request<Body>> for Backend {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (answer, answered) = oneshot::channel();
        self.0.lock().unwrap().push(Call { request, answer });
        Box::pin(async { Ok(answered.await.unwrap()) })
    }
}

/// A backend behind a limit.
pub(super) fn limited(
    layer: ConcurrencyLimitLayer,
) -> (Backend, ConcurrencyLimit<Backend>, ConcurrencyLimitHandle) {
    let backend = Backend::default();
    let handle = layer.handle();
    (backend.clone(), layer.layer(backend), handle)
}

pub(super) fn get(path: &'static str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// Polls once, and says what came of it.
pub(super) fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Calls, and polls once.
pub(super) fn start<S>(service: &mut S, request: Request<Body>) -> Pin<Box<S::Future>>
where
    S: Service<Request<Body>, Error = Infallible>,
{
    let mut future = Box::pin(service.call(request));
    assert!(poll(&mut future).is_none(), "no answer yet");
    future
}

#[track_caller]
pub(super) fn is_shed(response: Option<Result<Response<Body>, Infallible>>) {
    let response = response.expect("an answer").unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

pub(super) async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Ready for as many as it is told. Readiness is for one call of the same clone: others have none, and one that is dropped
/// gives it back.
pub(super) struct Fickle {
    free: Arc<AtomicU32>,
    ready: bool,
}

impl Fickle {
    pub(super) fn new(free: u32) -> (Self, Arc<AtomicU32>) {
        let free = Arc::new(AtomicU32::new(free));
        let ready = false;
        (
            Self {
                free: free.clone(),
                ready,
            },
            free,
        )
    }
}

impl Clone for Fickle {
    fn clone(&self) -> Self {
        Self {
            free: self.free.clone(),
            ready: false,
        }
    }
}

impl Drop for Fickle {
    fn drop(&mut self) {
        if self.ready {
            self.free.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Service<Request<Body>> for Fickle {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let take = |free: u32| free.checked_sub(1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.ready = self.ready || self.free.fetch_update(set, fetch, take).is_ok();
        match self.ready {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(self.ready, "called without having been asked");
        self.ready = false;
        self.free.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Response::new(Body::from("ready"))))
    }
}
