//! What keeps a gateway standing while its backends fall, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod adapting;
mod backend;
mod blame;
#[cfg(feature = "tracing")]
#[path = "../proxy/logging/capture.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod capture;
mod discovery;
mod ejection;
mod elsewhere;
mod faults;
mod guards;
mod late;
mod leaving;
mod opening;
mod probes;
mod settings;
mod sticking;
#[path = "../proxy/support.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod support;
mod unread;
mod uploads;
mod whose_time;
