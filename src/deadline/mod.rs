//! Deadlines: the moment by which an answer has to be whole, kept, honoured and passed on.
//!
//! [`DeadlineLayer`] works by itself around any HTTP service. The deadline stands in the
//! [`RequestContext`](crate::RequestContext::deadline), so that all that is done for a request shares one: retries, hedges,
//! the forwarding. A layer inside can move it forward, none can move it back.
//!
//! When the deadline passes before the head of the answer is there, the answer is 504 with an
//! [`ErrorKind::Deadline`](crate::ErrorKind::Deadline); when it passes in the body, that breaks with the same error, and what the
//! service inside keeps for it (permits, counts, a connection) is free, even when a client does not read and nobody asks for
//! more. A request that has no time left when it comes is answered so at once. A layer that only
//! [propagates](DeadlineLayer::propagate) has no timer.
//!
//! A remaining time is written in whole units, rounded down, so that no stage gives a request more than the one before it.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use http::{HeaderName, Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_gateway::{Body, deadline::{DeadlineHeader, DeadlineLayer}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Infallible> {
//! let backend = service_fn(|request: Request<Body>| async move {
//!     let left = request.headers()["x-time-left"].to_str().unwrap_or_default().to_owned();
//!     Ok::<_, Infallible>(Response::new(Body::from(left)))
//! });
//! let time_left = HeaderName::from_static("x-time-left");
//! let deadline = DeadlineLayer::new()
//!     .timeout(Duration::from_secs(2))
//!     .honour(DeadlineHeader::grpc())
//!     .propagate(DeadlineHeader::millis(time_left));
//! let service = ServiceBuilder::new().layer(deadline).service(backend);
//!
//! let response = service.oneshot(Request::new(Body::empty())).await?;
//! assert_eq!(response.status(), 200); // "2000", or a little less
//! # Ok(())
//! # }
//! ```

mod layer;
mod service;
mod wire;

pub use layer::DeadlineLayer;
pub use service::{Deadline, DeadlineFuture};
pub use wire::DeadlineHeader;
