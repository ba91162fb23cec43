//! A backend that does as it is told, and how to ask it.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tower::{Service, ServiceExt};

use crate::{body::Body, breaker::CircuitBreakerLayer};

/// Answers with the status that `x-status` names, once `x-wait` (milliseconds) is over; or panics on the way.
///
/// Each value of it has to be asked for its readiness before it is called, as of services that keep a permit for the call
/// to come: a clone is not ready because the original was.
#[derive(Default)]
pub(super) struct Backend {
    pub(super) calls: Arc<AtomicUsize>,
    /// Calls that are on their way.
    pub(super) running: Arc<AtomicUsize>,
    is_ready: bool,
}

impl Clone for Backend {
    fn clone(&self) -> Self {
        Self {
            calls: self.calls.clone(),
            running: self.running.clone(),
            is_ready: false,
        }
    }
}

impl Service<Request<Body>> for Backend {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(self.is_ready, "called without being asked for readiness");
        self.is_ready = false;
        self.calls.fetch_add(1, SeqCst);
        let number = |name: &str| -> Option<u64> {
            request.headers().get(name)?.to_str().ok()?.parse().ok()
        };
        let status = number("x-status").unwrap_or(200) as u16;
        let wait = Duration::from_millis(number("x-wait").unwrap_or(0));
        let running = Running::new(&self.running);
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            assert_ne!(status, 999, "the backend panics");
            drop(running);
            Ok(Response::builder()
                .status(status)
                .body(Body::empty())
                .unwrap())
        })
    }
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A request that the backend answers with this status, after so many milliseconds.
pub(super) fn request(status: u16, wait: u64) -> Request<Body> {
    Request::builder()
        .header("x-status", status)
        .header("x-wait", wait)
        .body(Body::empty())
        .unwrap()
}

pub(super) async fn ask<S>(service: &S, status: u16) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let answer = service.clone().oneshot(request(status, 0));
    answer.await.unwrap()
}

/// Opens at 50 % of ten calls for a second; two half-open calls.
pub(super) fn small() -> CircuitBreakerLayer {
    CircuitBreakerLayer::new()
        .count_window(10)
        .open_duration(Duration::from_secs(1))
        .half_open_calls(2)
}
