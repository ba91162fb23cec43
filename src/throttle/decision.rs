//! What comes of a question to a limit.

use std::time::Duration;

/// What a limit says to one request: a plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    allowed: bool,
    remaining: u64,
    reset: u64,
    retry: u64,
}

/// In the place of a time: it will never be allowed.
const NEVER: u64 = u64::MAX;

impl Decision {
    /// `reset` is in nanoseconds from now.
    #[inline]
    pub(super) fn allow(remaining: u64, reset: u64) -> Self {
        Self {
            allowed: true,
            remaining,
            reset,
            retry: 0,
        }
    }

    /// `retry` and `reset` are in nanoseconds from now.
    #[inline]
    pub(super) fn refuse(remaining: u64, reset: u64, retry: u64) -> Self {
        Self {
            allowed: false,
            remaining,
            reset,
            retry,
        }
    }

    /// The cost is more than the limit ever has.
    #[inline]
    pub(super) fn never(remaining: u64, reset: u64) -> Self {
        Self::refuse(remaining, reset, NEVER)
    }

    /// Whether the request may go on. When several limits were asked at once, this is what this one says; the request goes on
    /// if all of them allow it.
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// How much is left for more requests at this moment, in units of cost; what this request costs is taken off if it was
    /// spent.
    #[inline]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The time until all of the limit is there again, if nothing more is spent. Zero: it is there now.
    #[inline]
    pub fn reset_after(&self) -> Duration {
        Duration::from_nanos(self.reset)
    }

    /// The time until the same request would be allowed, if nothing else is spent: zero if it is allowed, `None` if it costs
    /// more than the limit ever has.
    #[inline]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.retry != NEVER).then(|| Duration::from_nanos(self.retry))
    }
}
