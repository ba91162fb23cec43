//! What a window gathers: a histogram of times, counted by many at once without a lock.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// Times from 2^10 ns, a microsecond, to 2^37 ns, two minutes; each doubling in 16 steps, so a step is 6 % at most.
const LEAST: u32 = 10;
const DOUBLINGS: usize = 27;
const STEPS: usize = 16;

/// The times and drops of a window that is open.
pub(super) struct Samples {
    steps: Box<[AtomicU32]>,
    answers: AtomicU32,
    drops: AtomicU32,
    peak: AtomicU32,
}

/// A window that is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The median time of the answers in seconds, if there was any.
    pub(super) latency: Option<f64>,
    pub(super) answers: u32,
    pub(super) drops: u32,
    /// The most that were in flight.
    pub(super) peak: u32,
}

impl Samples {
    pub(super) fn new() -> Self {
        let steps = (0..DOUBLINGS * STEPS).map(|_| AtomicU32::new(0));
        Self {
            steps: steps.collect(),
            answers: AtomicU32::new(0),
            drops: AtomicU32::new(0),
            peak: AtomicU32::new(0),
        }
    }

    pub(super) fn answer(&self, latency: Duration, in_flight: u32) {
        if let Some(step) = self.steps.get(step_of(latency)) {
            step.fetch_add(1, Relaxed);
        }
        self.answers.fetch_add(1, Relaxed);
        self.reach(in_flight);
    }

    pub(super) fn dropped(&self, in_flight: u32) {
        self.drops.fetch_add(1, Relaxed);
        self.reach(in_flight);
    }

    /// Answers and drops.
    pub(super) fn count(&self) -> u32 {
        let answers = self.answers.load(Relaxed);
        answers.saturating_add(self.drops.load(Relaxed))
    }

    /// Closes the window and opens the next one. What comes in meanwhile is in one of the two.
    pub(super) fn take(&self) -> Window {
        let counts = self.steps.iter().map(|step| match step.load(Relaxed) {
            0 => 0,
            _ => step.swap(0, Relaxed),
        });
        let counts: Vec<u32> = counts.collect();
        Window {
            latency: median(&counts),
            answers: self.answers.swap(0, Relaxed),
            drops: self.drops.swap(0, Relaxed),
            peak: self.peak.swap(0, Relaxed),
        }
    }

    fn reach(&self, in_flight: u32) {
        // Most of the time it is a read, which costs the other cores nothing.
        if self.peak.load(Relaxed) < in_flight {
            self.peak.fetch_max(in_flight, Relaxed);
        }
    }
}

impl Window {
    /// More than one in 20 was a drop.
    pub(super) fn is_overloaded(&self) -> bool {
        u64::from(self.drops) * 20 > u64::from(self.answers) + u64::from(self.drops)
    }

    /// At most half of the limit was in use.
    pub(super) fn is_idle(&self, limit: f64) -> bool {
        f64::from(self.peak) * 2.0 <= limit
    }
}

fn step_of(latency: Duration) -> usize {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    let nanos = nanos.max(1 << LEAST);
    let doubling = nanos.ilog2();
    // The four bits behind the leading one.
    let step = (nanos >> (doubling - 4)) as usize % STEPS;
    ((doubling - LEAST) as usize * STEPS + step).min(DOUBLINGS * STEPS - 1)
}

/// Where a step begins, in seconds.
fn start_of(step: usize) -> f64 {
    let (doubling, step) = (step / STEPS, step % STEPS);
    let nanos = (1_u64 << (LEAST as usize + doubling)) as f64;
    nanos * (1.0 + step as f64 / STEPS as f64) / 1e9
}

/// The median, as if the times of a step were spread over it.
fn median(counts: &[u32]) -> Option<f64> {
    let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let mut rest = all as f64 / 2.0;
    for (step, count) in counts.iter().enumerate() {
        let count = f64::from(*count);
        if count > 0.0 && rest <= count {
            let (start, end) = (start_of(step), start_of(step + 1));
            return Some(start + (end - start) * rest / count);
        }
        rest -= count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_in_the_step_that_begins_before_it() {
        for nanos in [
            0,
            1,
            1023,
            1024,
            1087,
            1088,
            2047,
            2048,
            1_000_000,
            999_999_999,
        ] {
            let step = step_of(Duration::from_nanos(nanos));
            let nanos = (nanos as f64).max(1024.0) / 1e9;
            assert!(start_of(step) <= nanos, "{nanos}");
            assert!(nanos < start_of(step + 1), "{nanos}");
        }
        assert_eq!(step_of(Duration::MAX), DOUBLINGS * STEPS - 1);
    }

    #[test]
    fn a_window_is_taken_once() {
        let samples = Samples::new();
        assert_eq!(samples.take().latency, None);
        samples.answer(Duration::from_millis(1), 3);
        samples.answer(Duration::from_millis(1), 9);
        samples.dropped(5);
        assert_eq!(samples.count(), 3);
        let window = samples.take();
        assert_eq!((window.answers, window.drops, window.peak), (2, 1, 9));
        assert!(window.is_overloaded() && !window.is_idle(17.0) && window.is_idle(18.0));
        let next = samples.take();
        assert_eq!((next.answers, next.drops, next.peak), (0, 0, 0));
        assert_eq!(next.latency, None);
    }

    proptest! {
        #[test]
        fn the_median_is_near_the_true_one(
            mut micros in prop::collection::vec(1_u64..10_000_000, 1..200)
        ) {
            let samples = Samples::new();
            for micros in &micros {
                samples.answer(Duration::from_micros(*micros), 1);
            }
            micros.sort_unstable();
            let middle = micros.len() / 2;
            let (low, high) = (micros[middle.saturating_sub(1)], micros[middle]);
            let found = samples.take().latency.unwrap() * 1e6;
            prop_assert!(found >= low as f64 * 0.93, "{found} {low}");
            prop_assert!(found <= high as f64 * 1.07 + 1.0, "{found} {high}");
        }
    }
}
