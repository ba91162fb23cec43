//! What nobody asked for is not allocated: a log that nobody reads, and a body that is announced and not there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod announced;
mod counting;
#[cfg(feature = "tracing")]
mod silent;
#[allow(dead_code, reason = "it is written for another test")]
#[path = "../proxy/support.rs"]
mod support;
