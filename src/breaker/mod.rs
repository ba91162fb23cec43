//! Circuit breaking: a backend that fails is left alone for a while, and whoever asks for it gets an answer at once.
//!
//! ```text
//!              too many failures or slow calls                 open duration over, and a call comes
//! ┌────────┐ ──────────────────────────────────▶ ┌────────┐ ─────────────────────▶ ┌───────────┐
//! │ closed │                                     │  open  │                        │ half-open │
//! └────────┘                                     └────────┘ ◀───────────────────── └───────────┘
//!     ▲                                                      they fail, or hang          │
//!     └──────────────────────────────────────────────────────────────────────────────────┘
//!                               the few calls that are let through do well
//! ```
//!
//! [`CircuitBreakerLayer`] works around any service that answers HTTP, and has the settings.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use http::{Request, Response, StatusCode};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_gateway::{Body, breaker::{CircuitBreakerLayer, CircuitState}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Infallible> {
//! let backend = service_fn(|_: Request<Body>| async {
//!     let mut response = Response::new(Body::empty());
//!     *response.status_mut() = StatusCode::BAD_GATEWAY;
//!     Ok::<_, Infallible>(response)
//! });
//! let breaker = CircuitBreakerLayer::new()
//!     .consecutive_failures(5)
//!     .open_duration(Duration::from_secs(10))
//!     .open_growth(2.0, Duration::from_secs(300));
//! let circuit = breaker.handle();
//! let mut service = ServiceBuilder::new().layer(breaker).service(backend);
//!
//! for _ in 0..5 {
//!     let response = service.ready().await?.call(Request::new(Body::empty())).await?;
//!     assert_eq!(response.status(), 502);
//! }
//! assert_eq!(circuit.state(), CircuitState::Open);
//! let response = service.ready().await?.call(Request::new(Body::empty())).await?;
//! assert_eq!(response.status(), 503); // at once, and the backend is not asked
//! assert_eq!(response.headers()["retry-after"], "10");
//! # Ok(()) }
//! ```
//!
//! # What counts
//!
//! * Each call counts once, when the head of its answer comes or it fails: as [`Classify`] says. So an endless answer holds
//!   nothing up, and is slow only if its head is.
//! * **A body that breaks after a good head is a failure**, in place of the success. The call is not counted twice,
//!   unless its success is forgotten by then. It is the backend's failure unless the error is of
//!   [`Origin::Client`](crate::Origin::Client); a body that its reader drops is as good as its head.
//! * **A client that leaves** before the head counts as neither; a half-open call of its is given to somebody else.
//! * **A call that is given up** before the head because its [deadline](crate::RequestContext::deadline) or the
//!   [time of its try](crate::RetryLayer::try_timeout) is over is a failure.
//! * **A call that panics** is a failure, and so is a body that does.
//! * The circuit is judged when a failure or a slow call is entered: it never opens on good news.
//! * What comes of a call counts only as long as the state is the one that it was let through in.
//!
//! # While it is open
//!
//! A call is answered with 503 and `application/problem+json` ([`ErrorKind::CircuitOpen`](crate::ErrorKind::CircuitOpen),
//! which also stands in the [`Rejection`](crate::Rejection)), with `Retry-After` for the time until it is half-open, or one
//! second when it is; or by the [fallback](CircuitBreakerLayer::fallback). The request goes nowhere. Nothing runs in the
//! background: the first call after the open duration finds the circuit half-open.
//!
//! # What clones share
//!
//! The circuit belongs to the layer: its clones, the services that it makes, their clones, and the handles
//! share one. axum applies a layer many times and a server clones a service for each connection; the circuit stays the same.
//!
//! # Timeouts
//!
//! A call without a timeout inside the layer that never ends is never counted. Half-open, this shows as
//! [`half_open_wait`](CircuitBreakerLayer::half_open_wait); closed, put a timeout inside.

mod call;
mod circuit;
mod classify;
mod handle;
mod layer;
mod service;
mod shared;
mod sync;
#[cfg(test)]
mod tests;

pub use circuit::CircuitState;
pub use classify::{CallResult, Classify, Verdict};
pub use handle::{CircuitFigures, CircuitHandle};
pub use layer::CircuitBreakerLayer;
pub use service::{CircuitBreaker, CircuitBreakerFuture};
