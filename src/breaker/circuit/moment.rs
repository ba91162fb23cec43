//! Time as a number.

use std::time::{Duration, Instant};

use super::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// When the circuit was made: far from zero, so that a time before it is a time as well.
pub(super) const ORIGIN: u64 = 1 << 62;

/// The nanoseconds of a time.
pub(super) fn at(now: Instant, origin: Instant) -> u64 {
    match now.checked_duration_since(origin) {
        Some(since) => ORIGIN.saturating_add(nanos(since)),
        None => ORIGIN.saturating_sub(nanos(origin.saturating_duration_since(now))),
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(duration.subsec_nanos().into())
}

/// When a state is over that lasts for a time, and how long it lasts.
pub(super) struct End {
    until: AtomicU64,
    span: AtomicU64,
}

impl End {
    pub(super) fn new() -> Self {
        Self {
            until: AtomicU64::new(0),
            span: AtomicU64::new(0),
        }
    }

    pub(super) fn set(&self, at: u64, span: u64) {
        // In this order: who sees the new end sees the new length too.
        self.span.swap(span, AcqRel);
        self.until.swap(at.saturating_add(span), AcqRel);
    }

    /// How many nanoseconds are left: never more than all of them, or a clock that went back would make it last longer.
    pub(super) fn left(&self, at: u64) -> u64 {
        let until = self.until.load(Acquire);
        let span = self.span.load(Acquire);
        let left = until.saturating_sub(at);
        if left > span {
            let from_now = at.saturating_add(span);
            let _ = self
                .until
                .compare_exchange(until, from_now, AcqRel, Relaxed);
        }
        left.min(span)
    }
}
