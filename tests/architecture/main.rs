//! The house rules, checked: floors, clock reads, pure cores, file sizes, where cases come from, foreign types in public
//! signatures, and that every attack has its test.
//!
//! Each check also runs on a few lines that break it, so that it is seen to fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod attacks;
mod clocks;
mod data;
mod floors;
mod mentions;
mod names;
mod signatures;
mod signatures_samples;
mod sizes;
mod source;
