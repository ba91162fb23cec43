//! Authentication as its users see it.

#![cfg(feature = "auth")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod api_key;
#[cfg(feature = "basic-auth")]
mod basic;
mod echo;
mod jose {
    mod attacks;
    mod claims;
    mod differential;
    mod examples;
    mod keys;
    mod sets;
    mod support;
    mod unchanged;
    mod wycheproof;
}
