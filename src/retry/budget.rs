//! How many requests may be sent again: a share of the requests of the last while, and never more.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The window is a ring of so many slices of time.
const SLICES: usize = 10;
/// A slice is one word: the low half of its number above, what was counted in it below.
const COUNT_BITS: u32 = 32;
const MILLION: u64 = 1_000_000;

/// Counts requests, and grants more of them for as long as those that were granted in a sliding window are at most a share
/// of the requests that were counted in it, or a minimum.
///
/// The window is cut into ten slices, so it is the last nine to ten tenths of its length. Each request is counted in one
/// slice, and so is each grant, under a lock: however many threads ask, the bound holds at each grant. It follows that over any
/// time the grants are at most the share of the requests, plus the minimum for each length of a window.
#[derive(Debug)]
pub(super) struct Budget {
    start: Instant,
    slice: u64,
    share: u64,
    minimum: u64,
    requests: [AtomicU64; SLICES],
    granted: Mutex<Granted>,
}

/// The slices of what was granted: no lock that a request without a failure takes.
#[derive(Debug, Default)]
struct Granted {
    slices: [(u64, u64); SLICES],
    latest: u64,
}

impl Budget {
    /// `share` is that of the requests, from 0 to 1.
    pub(super) fn new(share: f64, minimum: u32, window: Duration, start: Instant) -> Self {
        let slice = window.as_micros() / SLICES as u128;
        Self {
            start,
            slice: u64::try_from(slice).unwrap_or(u64::MAX).max(1),
            share: (share * MILLION as f64) as u64,
            minimum: minimum.into(),
            requests: [const { AtomicU64::new(0) }; SLICES],
            granted: Mutex::default(),
        }
    }

    /// Counts a request.
    pub(super) fn count(&self, now: Instant) {
        let number = self.number(now);
        let slice = &self.requests[number as usize % SLICES];
        let mut seen = slice.load(Relaxed);
        // A thread that is late finds the slice in newer hands, and counts its request there.
        while is_older((seen >> COUNT_BITS) as u32, number as u32) {
            let first = number << COUNT_BITS | 1;
            match slice.compare_exchange_weak(seen, first, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
        slice.fetch_add(1, Relaxed);
    }

    /// Whether one more request may be sent; if so, it is counted.
    pub(super) fn spend(&self, now: Instant) -> bool {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.latest = granted.latest.max(self.number(now));
        let latest = granted.latest;
        let requests: u64 = self
            .requests
            .iter()
            .map(|slice| slice.load(Relaxed))
            .filter(|slice| is_within((slice >> COUNT_BITS) as u32, latest as u32))
            .map(|slice| u64::from(slice as u32))
            .sum();
        let spent: u64 = granted
            .slices
            .iter()
            .filter(|(number, _)| latest - number < SLICES as u64)
            .map(|(_, count)| count)
            .sum();
        // At most ten times 32 bits, times a million: no overflow.
        let share = requests * self.share / MILLION;
        if spent >= share.max(self.minimum) {
            return false;
        }
        let slice = &mut granted.slices[latest as usize % SLICES];
        if slice.0 != latest {
            *slice = (latest, 0);
        }
        slice.1 += 1;
        true
    }

    fn number(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start).as_micros();
        // From 1 on, so that a slice that was never used is an old one; the ring's length, so that 0 is out of the window.
        u64::try_from(since).unwrap_or(u64::MAX) / self.slice + SLICES as u64
    }
}

/// Whether the slice with this number is to be used anew. Numbers go round, but not within years; a thread is late by far less
/// than the half of that.
fn is_older(slice: u32, number: u32) -> bool {
    number != slice && number.wrapping_sub(slice) <= u32::MAX / 2
}

/// Whether a slice is the latest one or among those before it that are in the window.
fn is_within(slice: u32, latest: u32) -> bool {
    latest.wrapping_sub(slice) < SLICES as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn start() -> Instant {
        crate::clock::now()
    }

    #[test]
    fn a_share_of_the_requests_and_at_least_the_minimum() {
        for (share, minimum, requests, granted) in [
            (0.2, 3, 0, 3),
            (0.2, 3, 15, 3),
            (0.2, 3, 19, 3),
            (0.2, 3, 20, 4),
            (0.2, 3, 1_000, 200),
            (0.2, 0, 4, 0),
            (0.2, 0, 5, 1),
            (0.29, 0, 100, 29),
            (1.0, 0, 7, 7),
        ] {
            let start = start();
            let budget = Budget::new(share, minimum, WINDOW, start);
            (0..requests).for_each(|_| budget.count(start));
            let got = (0..2_000).filter(|_| budget.spend(start)).count();
            assert_eq!(got, granted, "{share} {minimum} {requests}");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let start = start();
        let at = |millis| start + Duration::from_millis(millis);
        let budget = Budget::new(0.2, 1, WINDOW, start);
        (0..100).for_each(|_| budget.count(at(500)));
        let spend = |millis| (0..100).filter(|_| budget.spend(at(millis))).count();
        assert_eq!(spend(9_999), 20);
        assert_eq!(
            spend(10_000),
            0,
            "the requests are gone, the grants are not"
        );
        (0..50).for_each(|_| budget.count(at(18_999)));
        assert_eq!(spend(18_999), 0);
        assert_eq!(spend(19_000), 10);
        // A clock that goes back gets nothing more.
        assert_eq!(spend(0), 0);
        assert_eq!(spend(1_000_000_000), 1);
    }

    #[test]
    fn slices_that_are_used_again_begin_at_nothing() {
        let start = start();
        let budget = Budget::new(0.5, 0, WINDOW, start);
        for round in 0..100 {
            let now = start + WINDOW * round;
            budget.count(now);
            budget.count(now);
            assert!(budget.spend(now));
            assert!(!budget.spend(now), "{round}");
        }
    }

    #[test]
    fn the_bound_holds_when_many_ask_at_once() {
        let start = start();
        let budget = Budget::new(0.2, 3, WINDOW, start);
        let granted: u64 = std::thread::scope(|scope| {
            let ask = || {
                let mut granted = 0;
                for _ in 0..10_000 {
                    budget.count(start);
                    granted += u64::from(budget.spend(start)) + u64::from(budget.spend(start));
                }
                granted
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(granted, 8_000);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u64),
        Count(u64),
        Spend,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u64..4_000).prop_map(Step::Wait),
            (0_u64..40).prop_map(Step::Count),
            Just(Step::Spend),
            Just(Step::Spend),
        ]
    }

    proptest! {
        #[test]
        fn it_grants_what_a_list_of_moments_would(steps in prop::collection::vec(step(), 0..300)) {
            let start = start();
            let budget = Budget::new(0.2, 2, WINDOW, start);
            let (mut requests, mut grants, mut millis) = (Vec::new(), Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Wait(more) => millis += more,
                    Step::Count(count) => for _ in 0..count {
                        budget.count(start + Duration::from_millis(millis));
                        requests.push(millis / 1_000);
                    },
                    Step::Spend => {
                        let slice = millis / 1_000;
                        let recent = |all: &[u64]| all.iter().filter(|at| slice - **at < 10).count();
                        let expected = recent(&grants) < (recent(&requests) / 5).max(2);
                        let granted = budget.spend(start + Duration::from_millis(millis));
                        prop_assert_eq!(granted, expected);
                        if granted {
                            grants.push(slice);
                        }
                    }
                }
            }
        }
    }
}
