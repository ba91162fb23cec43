//! Load: how many requests may be in flight at once, who waits when there are more, and who is shed.
//!
//! [`ConcurrencyLimitLayer`] works by itself around any HTTP service (a bulkhead). A request has a permit from its call to
//! the end of its answer's **body**; with an upgrade (101) to the end of the head, for what is tunnelled afterwards is no
//! answer.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use http::{Request, Response, request::Parts};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_gateway::{Body, load::{ConcurrencyLimitLayer, Priority}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Infallible> {
//! let limit = ConcurrencyLimitLayer::max(2)
//!     .queue(1, Duration::from_millis(50))
//!     .priority(|request: &Parts| match request.uri.path() {
//!         "/healthz" => Priority::Critical,
//!         _ => Priority::Normal,
//!     });
//! let handle = limit.handle();
//! let backend = service_fn(|_: Request<()>| async {
//!     Ok::<_, Infallible>(Response::new(Body::from("hello")))
//! });
//! let service = ServiceBuilder::new().layer(limit).service(backend);
//! let get = |path: &'static str| {
//!     let mut request = Request::new(());
//!     *request.uri_mut() = http::Uri::from_static(path);
//!     service.clone().oneshot(request)
//! };
//!
//! let answers = (get("/a").await?, get("/b").await?); // not read yet, so both have their permits
//! assert_eq!((handle.limit(), handle.in_flight()), (2, 2));
//! assert_eq!(get("/healthz").await?.status(), 200); // shed last: it may have one more
//! let shed = get("/c").await?; // waits for 50 ms
//! assert_eq!(shed.status(), 503);
//! assert_eq!(shed.headers()["retry-after"], "1");
//! drop(answers);
//! assert_eq!(get("/c").await?.status(), 200);
//! assert_eq!((handle.in_flight(), handle.shed(Priority::Normal)), (0, 1));
//! # Ok(()) }
//! ```
//!
//! # Who waits
//!
//! Without a [queue](ConcurrencyLimitLayer::queue) a request that finds no permit is shed at once. In a queue the greater
//! [`Priority`] goes first. Among equals it is first in, first out, and nobody who comes later gets a permit earlier; but
//! when the queue has not been empty for [100 ms](ConcurrencyLimitLayer::lifo_after), last in, first out: under overload
//! a queue in order would give every permit to a request that has waited almost too long. The rest of them run
//! out of their time, and when the queue has been empty once, its order is the first one again.
//!
//! Who leaves the queue is out at once. A request with a [deadline](crate::RequestContext::deadline) does not wait beyond
//! it, and not at all when its turn, at the rate at which permits are given, would come too late.
//!
//! # What a shed request gets
//!
//! 503 with `Retry-After` and `application/problem+json`, and a [`Rejection`](crate::Rejection) with
//! [`ErrorKind::Saturated`](crate::ErrorKind::Saturated) in its extensions. Also when its deadline passed while it waited:
//! not 504, for no backend was too slow, nothing was sent, and another try is safe.

mod adaptive;
mod handle;
mod layer;
mod limit;
mod priority;
mod queue;
mod service;
mod shared;
mod sync;
#[cfg(test)]
mod tests;

pub use adaptive::Adaptive;
pub use handle::ConcurrencyLimitHandle;
pub use layer::ConcurrencyLimitLayer;
pub use priority::Priority;
pub use service::{ConcurrencyLimit, ConcurrencyLimitFuture};
