//! A quota in a sliding window: never more than the limit in any span as long as the window.
//!
//! A rate with a burst of the whole limit lets twice the limit pass in one window: the burst, and what comes back meanwhile. A quota does not. To be exact, it would
//! have to remember each request; what it remembers in 16 bytes is how much was spent in each of the last segments of the window. What was spent counts
//! until its segment is wholly out of the window: it comes back not before the window is over, and at most one segment later.
//!
//! ```text
//! bit 127        88                                                          0
//!  │ segment's number │ oldest count │  …  │ count of the one before │ of this one │
//! ```
//!
//! A count takes the bits that one more than the limit needs, so that a debt can be told from a limit that is used up. So there are the more segments the smaller the limit is: 15 to a window up to 30, 7 up to 2,046, 5 up to 16,382, 3 up to 4 million.
//! There is no calendar: segments begin at the store's epoch, not at midnight.

use std::time::Duration;

use super::{
    algorithm::{Algorithm, CENTURY, CENTURY_SAID},
    decision::Decision,
};

/// At most `limit` in any `window`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    limit: u64,
    /// Nanoseconds of a segment.
    segment: u64,
    /// Segments that are counted: those of a window, and one that reaches into it.
    counts: u32,
    /// Bits of a count.
    bits: u32,
}

const COUNT_BITS: u32 = 88;
/// More would take longer to add up than they are worth.
const MOST_COUNTS: u32 = 16;
/// Two counts have to fit, each of more than the limit.
const MOST: u64 = (1 << (COUNT_BITS / 2)) - 2;
const SHORTEST: Duration = Duration::from_secs(1);

impl Window {
    /// Or what is wrong: which setting, and what is allowed.
    pub(super) fn new(limit: u64, window: Duration) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        if limit == 0 || limit > MOST {
            mistakes.push(format!("limit {limit} is not from 1 to {MOST}"));
        }
        if window < SHORTEST || window.as_nanos() > u128::from(CENTURY) {
            mistakes.push(format!(
                "window {window:?} is not at least 1 s and {CENTURY_SAID}"
            ));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(CENTURY);
        let bits = u64::BITS - (limit + 1).leading_zeros();
        let counts = (COUNT_BITS / bits).min(MOST_COUNTS);
        Ok(Self {
            limit,
            segment: nanos.div_ceil(u64::from(counts - 1)),
            counts,
            bits,
        })
    }

    /// How many counts there are, and the most that one says.
    #[cfg(feature = "redis")]
    pub(super) fn counts(&self) -> (u32, u64) {
        (self.counts, mask(self.bits) as u64)
    }

    /// The state in which the segment of this number and those before it, newest first, have these counts.
    #[cfg(feature = "redis")]
    pub(super) fn state(&self, segment: u64, counts: impl Iterator<Item = u64>) -> [u64; 2] {
        let counts = counts.take(self.counts as usize).zip(0..);
        let spent = Spent {
            segment: segment & mask(u128::BITS - COUNT_BITS) as u64,
            counts: counts.fold(0, |counts, (count, age)| {
                counts | (u128::from(count) & mask(self.bits)) << (self.bits * age)
            }),
        };
        spent.state()
    }

    /// The state as it is now.
    #[inline]
    fn at(&self, state: [u64; 2], now: u64) -> Spent {
        let state = u128::from(state[0]) << 64 | u128::from(state[1]);
        let (then, counts) = ((state >> COUNT_BITS) as u64, state & mask(COUNT_BITS));
        let current = now / self.segment;
        // Threads look at the clock before they wait for each other: it may go back a little.
        let Some(passed) = current.checked_sub(then) else {
            return Spent {
                segment: then,
                counts,
            };
        };
        let counts = if passed < u64::from(self.counts) {
            counts << (self.bits * passed as u32) & mask(self.bits * self.counts)
        } else {
            0
        };
        Spent {
            segment: current,
            counts,
        }
    }

    /// What was spent `age` segments ago.
    #[inline]
    fn count(&self, spent: Spent, age: u32) -> u64 {
        (spent.counts >> (self.bits * age) & mask(self.bits)) as u64
    }

    #[inline]
    fn total(&self, spent: Spent) -> u64 {
        let mut rest = spent.counts;
        let mut total = 0;
        while rest != 0 {
            total += (rest & mask(self.bits)) as u64;
            rest >>= self.bits;
        }
        total
    }

    /// The time until what was spent `age` segments ago is out of the window.
    fn leaves(&self, spent: Spent, age: u32, now: u64) -> u64 {
        let segment = spent.segment + u64::from(self.counts - age);
        segment.saturating_mul(self.segment).saturating_sub(now)
    }

    /// The time until everything is out of the window.
    fn reset(&self, spent: Spent, now: u64) -> u64 {
        let newest = (0..self.counts).find(|age| self.count(spent, *age) > 0);
        newest.map_or(0, |age| self.leaves(spent, age, now))
    }

    /// The time until `excess` of it is out of the window.
    fn retry(&self, spent: Spent, excess: u64, now: u64) -> u64 {
        let mut gone = 0;
        for age in (0..self.counts).rev() {
            gone += self.count(spent, age);
            if gone >= excess {
                return self.leaves(spent, age, now);
            }
        }
        self.leaves(spent, 0, now)
    }
}

/// What was spent in the segment of this number, and in those before it.
#[derive(Clone, Copy)]
struct Spent {
    segment: u64,
    counts: u128,
}

impl Spent {
    #[inline]
    fn state(self) -> [u64; 2] {
        let state = u128::from(self.segment) << COUNT_BITS | self.counts;
        [(state >> 64) as u64, state as u64]
    }
}

impl Algorithm for Window {
    type State = [u64; 2];

    #[inline]
    fn check(&self, state: [u64; 2], cost: u64, now: u64) -> (Decision, [u64; 2]) {
        let mut spent = self.at(state, now);
        let total = self.total(spent);
        let remaining = self.limit.saturating_sub(total);
        if cost <= remaining && total <= self.limit {
            spent.counts += u128::from(cost);
            let reset = self.reset(spent, now);
            return (Decision::allow(remaining - cost, 1, reset), spent.state());
        }
        let reset = self.reset(spent, now);
        let decision = if cost > self.limit {
            Decision::never(remaining, 1, reset)
        } else {
            let excess = total - (self.limit - cost);
            Decision::refuse(remaining, 1, reset, self.retry(spent, excess, now))
        };
        (decision, state)
    }

    #[inline]
    fn charge(&self, state: [u64; 2], cost: u64, now: u64) -> [u64; 2] {
        let mut spent = self.at(state, now);
        let most = mask(self.bits) as u64 - self.count(spent, 0);
        spent.counts += u128::from(cost.min(most));
        spent.state()
    }

    #[inline]
    fn is_idle(&self, state: [u64; 2], now: u64) -> bool {
        self.at(state, now).counts == 0
    }
}

#[inline]
fn mask(bits: u32) -> u128 {
    (1 << bits) - 1
}
