//! What nobody asked for is not allocated: a log that nobody reads, a body that is announced and not there, a protection that
//! has nothing to do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod announced;
mod counting;
mod guards;
#[cfg(feature = "tracing")]
mod silent;
#[allow(dead_code, reason = "it is written for another test")]
#[path = "../proxy/support.rs"]
mod support;
#[cfg(feature = "auth")]
mod tokens;
