//! Authentication as its users see it: tokens and keys, and who is let in over real sockets.
#![cfg(feature = "auth")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod api_key;
mod attacks;
#[cfg(feature = "basic-auth")]
mod basic;
mod bypass;
mod echo;
mod forward;
mod gateway;
mod introspection;
mod jwt;
mod provider;
#[cfg(feature = "redis")]
mod redis;
#[path = "../proxy/support.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod support;
mod jose {
    mod attacks;
    mod claims;
    mod differential;
    mod examples;
    mod keys;
    mod sets;
    pub mod support;
    mod unchanged;
    mod wycheproof;
}
