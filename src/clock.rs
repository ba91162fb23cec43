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

/// The time of day, which people and other machines set: for dates, and for when credentials begin and end. It may jump either way, and
/// moves with a runtime's time that a test has paused.
pub(crate) fn wall() -> SystemTime {
    let (told, real) = (now(), Instant::now());
    let wall = SystemTime::now();
    let ahead = told.checked_duration_since(real);
    ahead
        .and_then(|ahead| wall.checked_add(ahead))
        .unwrap_or(wall)
}

/// The same in milliseconds since 1970.
pub(crate) fn wall_millis() -> u64 {
    let since = wall().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The same in seconds since 1970.
pub(crate) fn wall_seconds() -> u64 {
    let since = wall().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
