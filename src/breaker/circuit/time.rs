//! The outcomes of the last while.

use std::time::Duration;

use super::{
    moment::nanos,
    sync::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, SeqCst},
        fence,
    },
    window::{Counts, Outcome, Place},
};

/// Into how many parts the time is divided: the window moves on by one of them at a time.
pub(crate) const BUCKETS: u64 = 10;

/// A ring of buckets, each of which counts the outcomes of its part of the time. It takes the same memory whatever the
/// traffic.
pub(super) struct TimeWindow {
    /// The length of a bucket, in nanoseconds.
    length: u64,
    /// The number of the bucket that outcomes go to.
    newest: AtomicU64,
    buckets: Box<[Bucket; BUCKETS as usize]>,
}

#[derive(Default)]
struct Bucket {
    calls: Cell,
    failures: Cell,
    slow: Cell,
}

impl TimeWindow {
    pub(super) fn new(length: Duration, generation: u32, at: u64) -> Self {
        let length = (nanos(length) / BUCKETS).max(1);
        let window = Self {
            length,
            newest: AtomicU64::new(at / length),
            buckets: Default::default(),
        };
        window.clear(generation);
        window
    }

    pub(super) fn record(&self, generation: u32, outcome: Outcome, at: u64) -> Place {
        let number = self.number(at);
        let bucket = self.bucket(number);
        let stamp = Stamp::new(generation, number);
        // In this order: who reads the other way round never sees more failures than calls.
        bucket.calls.add(stamp);
        if outcome.failed {
            bucket.failures.add(stamp);
        }
        if outcome.slow {
            bucket.slow.add(stamp);
        }
        Place(number)
    }

    /// Whether the bucket of the success is still in the window.
    pub(super) fn amend(&self, generation: u32, place: Place, at: u64) -> bool {
        let age = self.number(at).checked_sub(place.0);
        let bucket = self.bucket(place.0);
        let stamp = Stamp::new(generation, place.0);
        let is_there = age.is_some_and(|age| age < BUCKETS)
            && bucket.calls.count(stamp) > bucket.failures.count(stamp);
        if is_there {
            bucket.failures.add(stamp);
        }
        is_there
    }

    pub(super) fn counts(&self, generation: u32, at: u64) -> Counts {
        // Two who have added to different cells and now read each other's must not both miss the other.
        fence(SeqCst);
        let newest = self.number(at);
        let mut counts = Counts::default();
        for age in 0..BUCKETS.min(newest) {
            let bucket = self.bucket(newest - age);
            let stamp = Stamp::new(generation, newest - age);
            counts.slow += bucket.slow.count(stamp);
            counts.failures += bucket.failures.count(stamp);
            counts.calls += bucket.calls.count(stamp);
        }
        counts
    }

    pub(super) fn clear(&self, generation: u32) {
        for cell in self.cells() {
            cell.0.swap(Stamp::new(generation, 0).word(0), AcqRel);
        }
    }

    /// The number of the bucket for this time. A thread that read the clock before another one, or a clock that went back
    /// a little, uses the newest. A clock that went back by more than the window begins a new one, for the old one would
    /// not move on until the clock has caught up.
    fn number(&self, at: u64) -> u64 {
        let number = at / self.length;
        let mut newest = self.newest.load(Acquire);
        loop {
            let is_back = newest.saturating_sub(number) > BUCKETS;
            if number <= newest && !is_back {
                return newest;
            }
            match self
                .newest
                .compare_exchange(newest, number, AcqRel, Acquire)
            {
                Ok(_) => break,
                Err(now) => newest = now,
            }
        }
        if number < newest {
            self.cells().for_each(Cell::empty);
        }
        number
    }

    fn bucket(&self, number: u64) -> &Bucket {
        &self.buckets[(number % BUCKETS) as usize]
    }

    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.buckets
            .iter()
            .flat_map(|bucket| [&bucket.calls, &bucket.failures, &bucket.slow])
    }
}

/// For which generation and bucket a cell counts: 8 and 28 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u64);

impl Stamp {
    fn new(generation: u32, number: u64) -> Self {
        Self(u64::from(generation as u8) << 28 | number & COUNT)
    }

    fn is_of_generation(self, other: Self) -> bool {
        self.0 >> 28 == other.0 >> 28
    }

    /// Whether the bucket has already been given to a later time.
    fn is_later_than(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0) & COUNT;
        (1..=2 * BUCKETS).contains(&ahead)
    }

    fn word(self, count: u64) -> u64 {
        self.0 << 28 | count
    }
}

/// The lower 28 bits of a cell: its count, which stops there.
const COUNT: u64 = (1 << 28) - 1;

/// A count and the [`Stamp`] that it is for. A count for a bucket that is over ends when the place is next used.
#[derive(Default)]
struct Cell(AtomicU64);

impl Cell {
    fn add(&self, stamp: Stamp) {
        let mut word = self.0.load(Acquire);
        loop {
            let found = Stamp(word >> 28);
            if !found.is_of_generation(stamp) {
                return;
            }
            let mut count = word & COUNT;
            if found != stamp {
                if count > 0 && found.is_later_than(stamp) {
                    return;
                }
                count = 0;
            }
            let next = stamp.word((count + 1).min(COUNT));
            match self.0.compare_exchange(word, next, AcqRel, Acquire) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    fn count(&self, stamp: Stamp) -> u64 {
        let word = self.0.load(Acquire);
        if Stamp(word >> 28) == stamp {
            word & COUNT
        } else {
            0
        }
    }

    /// What is added meanwhile may stay.
    fn empty(&self) {
        let word = self.0.load(Acquire);
        let _ = self
            .0
            .compare_exchange(word, word & !COUNT, AcqRel, Acquire);
    }
}
