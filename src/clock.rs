//! The one place that reads a clock.
//!
//! Cores take the time as an argument; shells get it here. The monotonic clock is tokio's, so that a test which pauses
//! the runtime's time moves every timer of the crate with it.

use std::time::{Duration, Instant, SystemTime};

/// The monotonic time: for durations, deadlines and timers.
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock as the time since 1970-01-01T00:00:00Z: for what is shown to people or other machines.
#[cfg_attr(not(feature = "tracing"), allow(dead_code))] // only what is written down needs it
pub(crate) fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
