//! What nobody asked for is not allocated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod counting;
#[cfg(feature = "tracing")]
mod silent;
