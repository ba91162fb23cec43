//! The last so many outcomes.

use super::{
    sync::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    window::{Counts, Outcome, Place},
};

/// A ring of outcomes, and their sum.
///
/// Whoever replaces an outcome adds the difference to the sum, so the sum is that of the ring whenever nobody is at work
/// on it: exact for one thread, and at most as far off as there are threads recording at this very moment.
///
/// While the ring is full of good calls, one more changes nothing. It is not written then, and cores that only have good
/// news share the memory for reading.
pub(super) struct CountWindow {
    slots: Box<[AtomicU32]>,
    /// The number of the next outcome; modulo the size it is where it goes.
    next: AtomicU64,
    sum: AtomicU64,
}

impl CountWindow {
    pub(super) fn new(calls: u32, generation: u32) -> Self {
        let empty = Slot::EMPTY.of(generation);
        Self {
            slots: (0..calls).map(|_| AtomicU32::new(empty)).collect(),
            next: AtomicU64::new(0),
            sum: AtomicU64::new(Sum::default().of(generation)),
        }
    }

    pub(super) fn record(&self, generation: u32, outcome: Outcome) -> Place {
        if outcome.is_good() {
            let sum = Sum::from_bits(self.sum.load(Acquire));
            if sum.is_all_good(self.slots.len()) {
                return Place::NONE;
            }
        }
        let number = self.next.fetch_add(1, Relaxed);
        self.replace(generation, number, |_| Some(Slot::new(outcome)));
        Place(number)
    }

    /// Whether the success at this place has not been replaced.
    pub(super) fn amend(&self, generation: u32, place: Place) -> bool {
        let age = self.next.load(Relaxed).checked_sub(place.0);
        let is_there = age.is_some_and(|age| age <= self.slots.len() as u64);
        is_there && self.replace(generation, place.0, Slot::failed)
    }

    pub(super) fn counts(&self, generation: u32) -> Counts {
        let bits = self.sum.load(Acquire);
        if !is_of(bits >> 48, generation) {
            return Counts::default();
        }
        let sum = Sum::from_bits(bits);
        let count = |value: i16| u64::try_from(value).unwrap_or(0);
        Counts {
            calls: count(sum.calls),
            failures: count(sum.failures),
            slow: count(sum.slow),
        }
    }

    pub(super) fn clear(&self, generation: u32) {
        for slot in &self.slots {
            slot.swap(Slot::EMPTY.of(generation), AcqRel);
        }
        self.sum.swap(Sum::default().of(generation), AcqRel);
    }

    fn replace(&self, generation: u32, number: u64, by: impl Fn(Slot) -> Option<Slot>) -> bool {
        let at = (number % self.slots.len() as u64) as usize;
        let Some(slot) = self.slots.get(at) else {
            return false;
        };
        let mut bits = slot.load(Acquire);
        loop {
            if bits >> 3 != generation & SLOT_GENERATION {
                return false;
            }
            let old = Slot(bits & 0b111);
            let Some(new) = by(old) else { return false };
            match slot.compare_exchange(bits, new.of(generation), AcqRel, Acquire) {
                Ok(_) => {
                    self.add(generation, new.sum().minus(old.sum()));
                    return true;
                }
                Err(now) => bits = now,
            }
        }
    }

    fn add(&self, generation: u32, change: Sum) {
        if change == Sum::default() {
            return;
        }
        let mut bits = self.sum.load(Acquire);
        while is_of(bits >> 48, generation) {
            let sum = Sum::from_bits(bits).plus(change).of(generation);
            match self.sum.compare_exchange(bits, sum, AcqRel, Acquire) {
                Ok(_) => return,
                Err(now) => bits = now,
            }
        }
    }
}

/// What is left of a generation beside an outcome.
const SLOT_GENERATION: u32 = u32::MAX >> 3;

fn is_of(bits: u64, generation: u32) -> bool {
    bits == u64::from(generation as u16)
}

/// Whether there is an outcome, whether it was a failure, and whether it was slow: a bit each.
#[derive(Clone, Copy)]
struct Slot(u32);

impl Slot {
    const EMPTY: Self = Self(0);

    fn new(outcome: Outcome) -> Self {
        Self(0b100 | u32::from(outcome.failed) << 1 | u32::from(outcome.slow))
    }

    /// A success as a failure.
    fn failed(self) -> Option<Self> {
        (self.0 & 0b110 == 0b100).then_some(Self(self.0 | 0b010))
    }

    fn sum(self) -> Sum {
        let bit = |at: u32| i16::from(self.0 >> at & 1 == 1);
        Sum {
            calls: bit(2),
            failures: bit(1),
            slow: bit(0),
        }
    }

    fn of(self, generation: u32) -> u32 {
        generation << 3 | self.0
    }
}

/// The sum of some slots. It may be negative for a moment: an outcome is replaced before it was added.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    calls: i16,
    failures: i16,
    slow: i16,
}

impl Sum {
    fn is_all_good(self, calls: usize) -> bool {
        usize::try_from(self.calls).is_ok_and(|sum| sum == calls)
            && self.failures == 0
            && self.slow == 0
    }

    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.wrapping_add(other.calls),
            failures: self.failures.wrapping_add(other.failures),
            slow: self.slow.wrapping_add(other.slow),
        }
    }

    fn minus(self, other: Self) -> Self {
        self.plus(Self {
            calls: -other.calls,
            failures: -other.failures,
            slow: -other.slow,
        })
    }

    fn of(self, generation: u32) -> u64 {
        let field = |value: i16, at: u32| u64::from(value as u16) << at;
        field(generation as i16, 48)
            | field(self.calls, 32)
            | field(self.failures, 16)
            | field(self.slow, 0)
    }

    fn from_bits(bits: u64) -> Self {
        let field = |at: u32| (bits >> at) as i16;
        Self {
            calls: field(32),
            failures: field(16),
            slow: field(0),
        }
    }
}
