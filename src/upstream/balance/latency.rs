//! How long an endpoint takes to answer: a moving average that a peak raises at once.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The unit of the average.
const UNIT: u64 = 100; // nanoseconds

/// What a failed request counts as.
const FAILED: Duration = Duration::from_secs(1);

/// An average that is written by many and read by all: its value and its time share one word, so that they fit each other.
#[derive(Debug)]
pub(crate) struct Latency {
    /// The value in the upper half, in units; below it the milliseconds since `base`, which wrap after 49 days.
    word: AtomicU64,
    base: Instant,
}

impl Latency {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            word: AtomicU64::new(0),
            base: now,
        }
    }

    /// Enters how long an answer took, or that there was none.
    pub(crate) fn enter(&self, took: Option<Duration>, decay: Duration, now: Instant) {
        let units = |time: Duration| {
            let units = u64::try_from(time.as_nanos() / u128::from(UNIT)).unwrap_or(u64::MAX);
            units.clamp(1, u64::from(u32::MAX))
        };
        let millis = self.millis(now);
        let _ = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                let (value, since) = (word >> 32, word & 0xffff_ffff);
                // To fail makes nobody faster.
                let took = took.map_or_else(|| units(FAILED).max(value), units);
                let value = if took >= value {
                    took
                } else {
                    let kept = kept(since, millis, decay);
                    (value as f64 * kept + took as f64 * (1.0 - kept)) as u64
                };
                Some(value << 32 | millis)
            });
    }

    /// What to expect now, in units: the average, less what has been forgotten since. 0: nothing is known.
    pub(crate) fn expected(&self, decay: Duration, now: Instant) -> u64 {
        let word = self.word.load(Ordering::Relaxed);
        let (value, since) = (word >> 32, word & 0xffff_ffff);
        (value as f64 * kept(since, self.millis(now), decay)) as u64
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.base);
        (since.as_millis() & 0xffff_ffff) as u64
    }
}

/// How much of an average is left.
fn kept(since: u64, now: u64, decay: Duration) -> f64 {
    let age = (now.wrapping_sub(since)) & 0xffff_ffff;
    // Somebody else was a little later.
    let age = if age > 0x7fff_ffff { 0 } else { age };
    (-(age as f64 / 1000.0) / decay.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Duration = Duration::from_secs(10);

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten() {
        let base = crate::clock::now();
        let latency = Latency::new(base);
        assert_eq!(latency.expected(DECAY, base), 0, "unknown");
        let millis = |count| Some(Duration::from_millis(count));
        latency.enter(millis(10), DECAY, base);
        assert_eq!(latency.expected(DECAY, base), 100_000);
        latency.enter(millis(100), DECAY, base);
        assert_eq!(latency.expected(DECAY, base), 1_000_000, "at once");
        latency.enter(millis(10), DECAY, base);
        assert_eq!(latency.expected(DECAY, base), 1_000_000, "not so fast");
        let later = base + DECAY;
        let expected = latency.expected(DECAY, later);
        assert!((360_000..380_000).contains(&expected), "1/e: {expected}");
        latency.enter(millis(10), DECAY, later);
        let expected = latency.expected(DECAY, later);
        assert!((425_000..440_000).contains(&expected), "{expected}");
        latency.enter(None, DECAY, later);
        assert_eq!(latency.expected(DECAY, later), 10_000_000, "failed");
        latency.enter(millis(5000), DECAY, later);
        latency.enter(None, DECAY, later + DECAY);
        let expected = latency.expected(DECAY, later + DECAY);
        assert_eq!(expected, 50_000_000, "to fail is no progress");
    }

    #[test]
    fn a_clock_that_jumps_does_no_harm() {
        let base = crate::clock::now();
        let latency = Latency::new(base + Duration::from_secs(60));
        latency.enter(Some(Duration::from_millis(1)), DECAY, base);
        assert_eq!(latency.expected(DECAY, base), 10_000);
        let far = base + Duration::from_secs(40 * 24 * 3600);
        assert!(latency.expected(DECAY, far) <= 10_000);
        latency.enter(Some(Duration::MAX), DECAY, far);
        latency.enter(Some(Duration::ZERO), DECAY, base);
        assert!(latency.expected(DECAY, far) > 0);
    }
}
