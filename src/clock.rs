//! The one place that reads a clock.
//!
//! Cores take the time as an argument; shells get it here. The monotonic clock is tokio's, so that a test which pauses
//! the runtime's time moves every timer of the crate with it.

use std::time::{Instant, SystemTime};

/// The monotonic time: for durations, deadlines and timers.
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What the calendar says, in seconds since 1970: for dates alone. It may jump either way, and does not stop with a runtime's
/// time.
pub(crate) fn system_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
