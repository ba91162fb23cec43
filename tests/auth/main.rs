//! Who is let in, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod gateway;
#[path = "../proxy/support.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod support;
