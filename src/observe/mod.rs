//! Observing: an id for each request, W3C trace context, and with the feature `tracing` a span and one line of log.
//!
//! [`ObserveLayer`] works by itself around any service whose answers carry a [`Body`](crate::Body); a gateway has one
//! at its door.
//!
//! # What is passed on
//!
//! * **Request id**: 128 random bits in hexadecimal, in the header `x-request-id` of the request that goes to the
//!   backend and of the response. What a client sent under this name is removed, with its `_` aliases; only an id from
//!   a trusted proxy is kept, if it has at most 128 bytes, all of them letters, digits or one of `-_.~+/=:@|`.
//! * **Trace context** (W3C Trace Context, level 1): a valid `traceparent` is continued with a parent id of the
//!   gateway's own and the caller's sampled flag, and its `tracestate` is passed on if it is valid, has at most 32
//!   members and at most 4096 bytes. Anything else starts a new trace, which counts as sampled, and drops the
//!   `tracestate`.
//!
//! # What is logged
//!
//! With the feature `tracing`, each request has
//!
//! * a span `request` of the target `tower_gateway::request`, level `INFO`, around every poll of the inner service:
//!   `method`, `path`, `route`, `request_id`, `trace_id`;
//! * one event of the target `tower_gateway::access`, when the response body has ended or was given up: `method`,
//!   `path`, `route`, `upstream`, `endpoint`, `status`, `bytes` (of the response body), `head_ms` (until the response
//!   head), `total_ms`, `tries`, `outcome`, `rejection` (the [kind](crate::ErrorKind) of the error), `origin` (whose
//!   fault it is), `error` (its text and what caused it), `request_id`, `trace_id`. What is not known is left out.
//!
//! | `outcome` | meaning | level |
//! |---|---|---|
//! | `ok` | an answer of a backend, whatever its status, reached its end | `INFO` |
//! | `rejected` | the gateway answered by itself: the client's fault, or its own | `WARN` from status 500 up, else `INFO` |
//! | `upstream_error` | the gateway answered by itself, for a backend failed | `WARN` |
//! | `client_gone` | the client left: during the body, or before the head (status 499) | as if it had stayed |
//! | `broken` | the response body failed or panicked after the head was sent | `WARN` |
//! | `failed` | the inner service returned an error or panicked; there is no `status` | `WARN` |
//!
//! Headers are never logged. The query is left out by default; with `log_query` it is there, its secrets masked. Nothing
//! that a client sends can begin a line of its own; path, query and error are each cut at 1024 bytes.
//!
//! When no subscriber wants the span or the event, a request costs no clock read, no allocation for the log and no
//! wrapped body. A filter such as `tower_gateway=off` does that.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{Body, observe::ObserveLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Infallible> {
//! let backend = service_fn(|request: Request<Body>| async move {
//!     assert_eq!(request.headers()["x-request-id"].len(), 32);
//!     assert_eq!(request.headers()["traceparent"].len(), 55);
//!     Ok::<_, Infallible>(Response::new(Body::from("hello")))
//! });
//! let service = ObserveLayer::new().layer(backend);
//! let response = service.oneshot(Request::new(Body::empty())).await?;
//! assert_eq!(response.headers()["x-request-id"].len(), 32);
//! # Ok(())
//! # }
//! ```

mod hex;
mod layer;
#[cfg_attr(not(feature = "tracing"), path = "silent.rs")]
mod log;
mod observation;
mod request_id;
mod service;
mod trace_context;

pub use layer::ObserveLayer;
pub(crate) use observation::Observation;
pub use service::{Observe, ObserveFuture};
