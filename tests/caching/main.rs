//! The cache as its users see it: over real sockets, on the routes of a gateway, and alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod building;
mod collapsing;
mod hits;
#[cfg(feature = "auth")]
mod identity;
mod purging;
mod stale;
#[path = "../proxy/support.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod support;
mod world;
