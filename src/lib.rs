//! An embeddable API gateway made of tower layers: the one front door for many backends.
//!
//! A [`Gateway`] routes each request to the right backend by what it is (path, host, method, headers, query) and passes
//! it on over HTTP/1.1 or HTTP/2, WebSocket and gRPC included. It is a service that any hyper or axum server mounts.
//!
//! ```text
//! client ─▶ door ────────────▶ your layers ─▶ match ─▶ route ──────────────▶ upstream ─────▶ backend
//!           observe, check,                            body limit, timeout,   your layers,
//!           canonical path,                            authenticate,          balance, pool,
//!           own headers,                               authorise, throttle,   forward
//!           throttle                                   your layers, rewrite,
//!                                                      split
//! ```
//!
//! ```no_run
//! use tower_gateway::{Gateway, Route, Upstream};
//!
//! # fn main() -> Result<(), tower_gateway::BuildError> {
//! let gateway = Gateway::builder()
//!     .upstream("orders", Upstream::http(["http://10.0.0.1:8080", "http://10.0.0.2:8080"]))
//!     .upstream("users", Upstream::http(["http://users:8080"]))
//!     .route(Route::new("/orders/{*rest}").to("orders"))
//!     .route(Route::get("/users/{id}").to("users").rewrite_path("/v2/{id}"))
//!     .build()?;
//! # let _ = gateway; Ok(()) }
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | settings and defaults | [`GatewayBuilder`], [`Route`], [`Upstream`] |
//! | patterns, predicates, which route wins | [`routing`] |
//! | templates | [`routing::Rewrite`] |
//! | routing as a tower layer | [`router`] |
//! | endpoints: balancing, health, discovery | [`Balance`], [`HealthCheck`], [`OutlierEjection`], [`Discover`], [`Affinity`] |
//! | who asks, whether they may, what backends are told | `auth`: `JwtLayer`, `AuthorizeLayer`, `IdentityHeadersLayer`; [`Identity`], [`Claims`] |
//! | a share for each client, of one gateway or of several | [`throttle`] |
//! | circuits, retries, deadlines, load, mirroring | [`breaker`], [`retry`], [`deadline`], [`load`], [`mirror`] |
//! | status codes | [`ErrorKind`] |
//! | request ids, trace context, the access log | [`observe`] |
//! | layers of your own | [`Next`], [`RequestContext`], [`Problem`] |
//!
//! A recipe for each thing stands in the guide, `docs/GUIDE.md`; how to find out who asks in `docs/authentication.md`, with what attackers try
//! in `docs/security.md`; how to give each client its share in `docs/throttling.md`; and how to stay up while backends do not in `docs/resilience.md`.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `auth` | yes | authentication and authorisation: signed tokens, their keys and claims, API keys and more |
//! | `basic-auth` | no | HTTP Basic against argon2 hashes |
//! | `http2` | yes | HTTP/2 to backends |
//! | `tls` | yes | TLS to backends |
//! | `tracing` | yes | a span and an access-log event for each request |
//! | `webpki-roots` | no | the web's roots, compiled in |
//! | `dns` | no | endpoints from DNS by their time to live, SRV records included |
//! | `redis` | no | what several gateways know together, in Redis or Valkey: tokens that are taken back, limits |
//! | `cors` `compression` `decompression` `catch-panic` `sensitive-headers` | no | these layers of tower-http |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test fails by panicking"
    )
)]

mod authority;
mod background;
mod body;
mod claims;
mod client;
mod clock;
mod context;
mod cookie;
mod date;
mod error;
mod field;
mod identity;
mod json;
mod networks;
mod path;
mod problem;
mod random;
mod rendezvous;
mod service;
mod sticky;
mod template;
mod timer;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "auth")]
pub mod auth;
pub mod breaker;
pub mod cache;
pub mod deadline;
mod gateway;
pub mod load;
pub mod mirror;
pub mod observe;
#[cfg(feature = "redis")]
pub mod redis;
pub mod retry;
pub mod routing;
pub mod throttle;
mod upstream;

pub use body::Body;
pub use breaker::CircuitBreakerLayer;
pub use claims::{ClaimError, Claims};
pub use context::{Params, RequestContext};
pub use deadline::DeadlineLayer;
pub use error::{BoxError, Error, ErrorKind, Origin, Rejection};
pub use gateway::{
    BuildError, Gateway, GatewayBuilder, GatewayFuture, Next, NextFuture, Route, Upstream,
    UpstreamHandle,
    router::{self, RouterLayer},
};
pub use identity::Identity;
pub use json::{JsonError, Value as JsonValue};
pub use load::ConcurrencyLimitLayer;
pub use observe::ObserveLayer;
pub use path::PathPolicy;
pub use problem::Problem;
pub use retry::RetryLayer;
pub use routing::{HeaderMatch, QueryMatch};
pub use sticky::StickyKey;
pub use throttle::ThrottleLayer;
pub use upstream::{
    Action as ForwardAction, Affinity, Balance, Candidates, Discover, Discovered, Endpoint,
    EndpointStatus, ForwardHeaders, HealthCheck, HostHeader, OutlierEjection,
};

#[cfg(feature = "dns")]
pub use upstream::Dns;

#[cfg(all(doctest, feature = "auth"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/GUIDE.md")]
struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../docs/resilience.md")]
struct Resilience;

#[cfg(all(doctest, feature = "auth"))]
#[doc = include_str!("../docs/authentication.md")]
struct Authentication;

#[cfg(all(doctest, feature = "auth", feature = "redis"))]
#[doc = include_str!("../docs/throttling.md")]
struct Throttling;
