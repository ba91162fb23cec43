//! Retries and hedging: a request is sent again when that is safe, and worth it.
//!
//! [`RetryLayer`] works by itself around any HTTP service that can be cloned. What it sends again:
//!
//! | how a try ended | sent again |
//! |---|---|
//! | an error, or an answer that stands for one, that says [nothing was sent](crate::Error::is_retryable) | any method |
//! | a status of [`statuses`](RetryLayer::statuses) (502, 503, 504), or an error that becomes one | the [idempotent methods](RetryLayer::methods) |
//! | 429 with `Retry-After` | the same |
//! | a gRPC answer that says `UNAVAILABLE` (14) in its head, which counts as 503 | the same; gRPC is `POST`, so that it has to be [asked for](RetryLayer::methods) |
//! | [refused](crate::ErrorKind::CircuitOpen) by one upstream of a [split](crate::Route::split), and another one was not asked | any method, at once, beside the budget |
//! | the client's fault; an [open circuit](crate::ErrorKind::CircuitOpen), which would answer the same; [shed load](crate::ErrorKind::Saturated), and a [limit](crate::ErrorKind::CapacityReduced) that all share | never |
//! | anything else | never: it is the answer |
//!
//! All this holds within limits: three tries, the [budget](RetryLayer::budget) of a fifth of all requests, the
//! [deadline](crate::RequestContext::deadline), past which no try is begun and no pause waited, and a body that is at most
//! 64 KiB long, or that nobody has read of yet. An upgrade, a `CONNECT`, and a request that waits for `100 Continue` are
//! sent once. When no more tries are left, or allowed, the client has the last answer as it is. Once a head is given to the
//! client, nothing is sent again.
//!
//! `Retry-After` is waited for, when it is a number of seconds, or a date, that is not [too far off](RetryLayer::max_retry_after). An
//! answer that says it in a way that can not be read is the last one: there is somebody who wants to be left alone
//! for longer than it is worth to hold a client up.
//!
//! An [`Upstream`](crate::Upstream) inside sends each try to an endpoint that the earlier ones have not been to, if there is
//! one: `Upstream::http(["http://10.0.0.1:8080", "http://10.0.0.2:8080"]).layer(RetryLayer::new())`.
//!
//! # The arithmetic of the budget
//!
//! When a backend is down, each of 1000 requests could be sent three times: a backend that comes back would meet three
//! times the load that it broke under. With the budget it is sent 1000 requests and 200 more, or 3 more in ten seconds when
//! there are few. Hedges are paid for out of the same budget.
//!
//! # Memory
//!
//! Until the head of its answer is there, a request holds a copy of its own head, and as many bytes of its body as it has
//! sent: at most [`replay_limit`](RetryLayer::replay_limit), and none when the body says that it is larger.
//!
//! ```
//! use std::{convert::Infallible, sync::atomic::{AtomicU32, Ordering}, time::Duration};
//!
//! use http::{Request, Response, StatusCode};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_gateway::{Body, retry::RetryLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Infallible> {
//! let tries = AtomicU32::new(0);
//! let backend = service_fn(|_: Request<Body>| {
//!     let mut response = Response::new(Body::from("hello"));
//!     if tries.fetch_add(1, Ordering::Relaxed) == 0 {
//!         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//!     }
//!     std::future::ready(Ok::<_, Infallible>(response))
//! });
//! let retry = RetryLayer::new().try_timeout(Duration::from_secs(1));
//! let handle = retry.handle();
//! let service = ServiceBuilder::new().layer(retry).service(backend);
//!
//! let response = service.oneshot(Request::new(Body::empty())).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(handle.counts().retries, 1);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod budget;
mod counts;
mod draft;
mod latencies;
mod layer;
mod policy;
mod replay;
mod service;
mod tries;

pub use counts::{RetryCounts, RetryHandle};
pub use layer::RetryLayer;
pub use service::{Retry, RetryFuture};

#[cfg(test)]
mod tests;
