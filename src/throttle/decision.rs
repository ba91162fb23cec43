//! What comes of a question to a limit.

use std::time::Duration;

/// What a limit says to one request: a plain value.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// What is left, in parts of which a unit of cost has so many: most requests do not ask for it, and need no division.
    left: u64,
    unit: u64,
    /// In nanoseconds from now.
    reset: u64,
    /// Zero: it is allowed. No `bool` beside it, because a value with a hole in it is copied in pieces.
    retry: u64,
}

/// In the place of a time: it will never be allowed.
const NEVER: u64 = u64::MAX;

impl Decision {
    /// It is allowed: what is left then, and the time until all is there again.
    pub fn allowed(remaining: u64, reset_after: Duration) -> Self {
        Self::allow(remaining, 1, nanos(reset_after))
    }

    /// It is refused: what is left, the time until all is there again, and the time until the same request would be allowed; `None` if it never is.
    pub fn refused(remaining: u64, reset_after: Duration, retry_after: Option<Duration>) -> Self {
        let retry = retry_after.map_or(NEVER, |time| nanos(time).min(NEVER - 1));
        Self::refuse(remaining, 1, nanos(reset_after), retry)
    }

    /// `left` in parts of a `unit`, `reset` in nanoseconds from now.
    #[inline]
    pub(super) fn allow(left: u64, unit: u64, reset: u64) -> Self {
        Self {
            left,
            unit,
            reset,
            retry: 0,
        }
    }

    /// The same, and allowed in `retry` nanoseconds.
    #[inline]
    pub(super) fn refuse(left: u64, unit: u64, reset: u64, retry: u64) -> Self {
        Self {
            retry: retry.max(1),
            ..Self::allow(left, unit, reset)
        }
    }

    /// The cost is more than the limit ever has.
    #[inline]
    pub(super) fn never(left: u64, unit: u64, reset: u64) -> Self {
        Self::refuse(left, unit, reset, NEVER)
    }

    /// Whether the request may go on. When several limits were asked at once, this is what this one says; the request goes on
    /// if all of them allow it.
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.retry == 0
    }

    /// How much is left for more requests at this moment, in units of cost; what this request costs is taken off if it was
    /// spent.
    #[inline]
    pub fn remaining(&self) -> u64 {
        self.left / self.unit.max(1)
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

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl PartialEq for Decision {
    fn eq(&self, other: &Self) -> bool {
        let said = |it: &Self| (it.remaining(), it.reset, it.retry);
        said(self) == said(other)
    }
}

impl Eq for Decision {}
