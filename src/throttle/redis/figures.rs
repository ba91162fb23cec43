//! What a limiter has had to do with Redis.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::redis::RedisError;

/// What a [`RedisLimiter`](super::RedisLimiter) has done since it was made, its clones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisFigures {
    /// Calls of Redis, charges and what was given back included.
    pub asked: u64,
    /// Calls that failed, those that were late included.
    pub failed: u64,
    /// Calls that had no answer within the [`timeout`](super::RedisLimiter::timeout).
    pub late: u64,
    /// Requests that were answered from leases, and without asking Redis.
    pub leased: u64,
    /// How often a lease was taken.
    pub refills: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) asked: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
    pub(super) leased: AtomicU64,
    pub(super) refills: AtomicU64,
}

impl Counters {
    pub(super) fn failed(&self, error: &RedisError) {
        add(&self.failed, 1);
        if matches!(error, RedisError::TimedOut(_)) {
            add(&self.late, 1);
        }
    }

    pub(super) fn figures(&self) -> RedisFigures {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        // In this order, so that none is more than what it is a part of.
        let (late, failed) = (read(&self.late), read(&self.failed));
        RedisFigures {
            asked: read(&self.asked),
            failed,
            late,
            leased: read(&self.leased),
            refills: read(&self.refills),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}
