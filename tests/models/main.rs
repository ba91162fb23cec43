//! What is decided without a lock, in every order in which threads may come.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod breaker;
mod limit;
mod throttle;
