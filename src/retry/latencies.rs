//! How long answers take: a percentile of what was seen of late.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Each doubling is cut into so many buckets of the same width, so that a bucket is at most an eighth of its value wide.
const PER_OCTAVE: usize = 8;
/// From 8 µs to 2^27 µs, which is 134 s; what is shorter or longer is counted at the ends.
const BUCKETS: usize = PER_OCTAVE * 25;
/// So many answers are needed before there is a percentile.
pub(super) const ENOUGH: u64 = 100;
/// The percentile is worked out again after so many answers.
const EVERY: u64 = 32;
/// With so many answers in it, all counts are halved: newer answers weigh more.
const FULL: u64 = 1024;

/// A histogram with logarithmic buckets that forgets: after a change of pace, half of its weight is on the new one within
/// some 600 answers. 840 bytes, and nobody waits for
/// anybody.
#[derive(Debug)]
pub(super) struct Latencies {
    quantile: f64,
    buckets: [AtomicU32; BUCKETS],
    recorded: AtomicU64,
    /// In microseconds; 0 while it is not known.
    value: AtomicU64,
    /// Of whoever works it out; nobody waits for it.
    working: Mutex<()>,
}

impl Latencies {
    /// A `quantile` is above 0 and below 1.
    pub(super) fn new(quantile: f64) -> Self {
        Self {
            quantile,
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
            recorded: AtomicU64::new(0),
            value: AtomicU64::new(0),
            working: Mutex::new(()),
        }
    }

    /// Takes note of an answer that took so long.
    pub(super) fn record(&self, took: Duration) {
        self.buckets[bucket(took)].fetch_add(1, Relaxed);
        let recorded = self.recorded.fetch_add(1, Relaxed) + 1;
        if recorded >= ENOUGH && (recorded == ENOUGH || recorded.is_multiple_of(EVERY)) {
            self.work_out();
        }
    }

    /// The percentile, rounded up by at most an eighth; `None` while there are too few answers.
    pub(super) fn value(&self) -> Option<Duration> {
        match self.value.load(Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    fn work_out(&self) {
        // Two at once could halve a count twice, and take more from it than there is.
        let Ok(_alone) = self.working.try_lock() else {
            return;
        };
        let counts = self
            .buckets
            .each_ref()
            .map(|count| u64::from(count.load(Relaxed)));
        let total: u64 = counts.iter().sum();
        let rank = ((total as f64 * self.quantile).ceil() as u64).max(1);
        let mut below = 0;
        let found = counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        if let Some(found) = found {
            self.value.store(end(found), Relaxed);
        }
        if total >= FULL {
            for (bucket, count) in self.buckets.iter().zip(counts) {
                bucket.fetch_sub((count - count / 2) as u32, Relaxed);
            }
        }
    }
}

/// The bucket of a duration.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros())
        .unwrap_or(u64::MAX)
        .max(PER_OCTAVE as u64);
    let octave = micros.ilog2() as usize - PER_OCTAVE.ilog2() as usize;
    let within = (micros >> octave) as usize - PER_OCTAVE;
    (octave * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// The microseconds in which a bucket ends: the first that are not in it.
fn end(bucket: usize) -> u64 {
    let (octave, within) = (bucket / PER_OCTAVE, bucket % PER_OCTAVE);
    ((PER_OCTAVE + within + 1) as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other() {
        let mut last = 0;
        for micros in 0..100_000 {
            let at = bucket(Duration::from_micros(micros));
            assert!(at == last || at == last + 1, "{micros}");
            assert!(micros < end(at), "{micros}");
            last = at;
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn too_few_say_nothing() {
        let latencies = Latencies::new(0.95);
        for _ in 1..ENOUGH {
            latencies.record(Duration::from_millis(1));
            assert_eq!(latencies.value(), None);
        }
        latencies.record(Duration::from_millis(1));
        assert!(latencies.value().is_some());
    }

    #[test]
    fn a_change_of_pace_is_followed() {
        let latencies = Latencies::new(0.95);
        let record = |count, millis| {
            (0..count).for_each(|_| latencies.record(Duration::from_millis(millis)));
            latencies.value().unwrap().as_millis() as u64
        };
        assert!((10..=12).contains(&record(100_000, 10)));
        assert!((100..=113).contains(&record(100, 100)), "slower: at once");
        record(100_000, 100);
        let mut needed = 0;
        while record(1, 10) > 12 {
            needed += 1;
        }
        // 95 of a hundred have to be fast: the slow ones are halved some four times.
        assert!((1_000..4_000).contains(&needed), "{needed}");
    }

    proptest! {
        #[test]
        fn it_is_the_exact_one_or_a_little_more(
            micros in prop::collection::vec(8_u64..60_000_000, 100..1_000),
            quantile in 0.01_f64..0.999,
        ) {
            let latencies = Latencies::new(quantile);
            for took in &micros {
                latencies.record(Duration::from_micros(*took));
            }
            latencies.work_out();
            let mut sorted = micros;
            sorted.sort_unstable();
            let exact = sorted[((sorted.len() as f64 * quantile).ceil() as usize).max(1) - 1];
            let estimate = latencies.value().unwrap().as_micros() as u64;
            prop_assert!(estimate > exact && estimate <= exact + exact / 8 + 1, "{estimate} for {exact}");
        }
    }
}
