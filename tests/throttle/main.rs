//! Throttling as its users see it: over real sockets, at the door of a gateway, on its routes, and alone in a server of one's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod alone;
mod building;
mod charges;
mod costs;
mod door;
mod ended;
mod failing;
mod lists;
#[cfg(feature = "tracing")]
#[path = "../proxy/logging/capture.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod logging;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "auth")]
mod routes;
mod seen;
#[path = "../proxy/support.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod support;
#[cfg(feature = "tracing")]
mod telling;
mod tricks;
mod waiting;
mod world;
