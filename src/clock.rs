//! The one place that reads a clock.
//!
//! Cores take the time as an argument; shells get it here. The monotonic clock is tokio's, so that a test which pauses
//! the runtime's time moves every timer of the crate with it.

use std::time::Instant;
#[cfg(feature = "auth")]
use std::time::SystemTime;

/// The monotonic time: for durations, deadlines and timers.
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time of day, which people and other machines set: for when credentials begin and end.
#[cfg(feature = "auth")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
