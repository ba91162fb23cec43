//! The generic cell rate algorithm (ITU-T I.371, appendix I), on integers.
//!
//! The state of a key is one number: its theoretical arrival time, at which all of its burst is there again.
//!
//! # Exactness
//!
//! Between two requests of cost one pass period ÷ limit nanoseconds, which is seldom a whole number. So each limit has a unit of time of its own, a **tick**: a
//! whole number of ticks passes for a unit of cost, and a tick is a nanosecond or a little less. What is added is exact, and what is rounded is the time of day alone, each
//! time anew. So nothing adds up: after any number of steps a decision is at most two nanoseconds from where the algorithm on real numbers has it, and where a
//! unit takes whole nanoseconds it is the same. In any span no more is spent than burst + rate × (span + 1 ns).
//!
//! # Debts
//!
//! A charge may leave less than nothing, but never more than one burst less: the next request passes when that burst has come back, however
//! much was charged.

use std::time::Duration;

use super::{
    algorithm::{Algorithm, CENTURY, CENTURY_SAID},
    decision::Decision,
};

/// At most `limit` for each `period`, and `burst` at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gcra {
    /// Ticks for a unit of cost, and for all of the burst.
    interval: u64,
    span: u64,
    burst: u64,
    /// Ticks by which a charge may go below nothing.
    most_debt: u64,
    /// Ticks that pass in a nanosecond, times 2^63: from one to below two.
    ticks_of_nano: u64,
    /// Nanoseconds that pass in a tick, times 2^63, rounded up.
    nanos_of_tick: u64,
    /// Ticks by which the time may have been rounded.
    rounding: u64,
}

/// The latest time, 146 years after the epoch. With two ticks in each nanosecond and twice a century on top it is below 2^64.
pub(super) const LAST: u64 = 1 << 62;

impl Gcra {
    /// Or what is wrong: which setting, and what is allowed.
    pub(super) fn new(limit: u64, period: Duration, burst: u64) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        if limit == 0 {
            mistakes.push("limit 0 is not at least 1".to_owned());
        }
        let nanos = period.as_nanos();
        if nanos == 0 || nanos > u128::from(CENTURY) {
            mistakes.push(format!(
                "period {period:?} is not more than 0 and {CENTURY_SAID}"
            ));
        } else if u128::from(limit) > nanos {
            mistakes.push(format!(
                "limit {limit} for {period:?} is not at most one in a nanosecond"
            ));
        }
        if burst == 0 {
            mistakes.push("burst 0 is not at least 1".to_owned());
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let limit = u128::from(limit);
        if u128::from(burst) * nanos > u128::from(CENTURY) * limit {
            return Err(vec![format!(
                "burst {burst} does not come back in {CENTURY_SAID}"
            )]);
        }
        let interval = nanos.div_ceil(limit);
        let (ticks, nanos) = (interval * limit, nanos);
        Ok(Self {
            interval: narrow(interval),
            span: narrow(interval * u128::from(burst)),
            most_debt: narrow(interval * u128::from(burst)),
            burst,
            ticks_of_nano: narrow((ticks << 63) / nanos),
            nanos_of_tick: narrow((nanos << 63).div_ceil(ticks)),
            rounding: if ticks == nanos { 0 } else { 2 },
        })
    }

    /// A charge may make a debt of so much, in place of a burst.
    pub(super) fn owing(self, most: u64) -> Self {
        Self {
            most_debt: self.interval.saturating_mul(most),
            ..self
        }
    }

    /// All in ticks.
    #[inline(never)]
    fn refuse(&self, held: u64, cost: u64, now: u64) -> Decision {
        let (unit, most) = (self.interval, now + self.span);
        let (left, reset) = (most.saturating_sub(held), self.nanos(held - now));
        if cost > self.burst {
            return Decision::never(left, unit, reset);
        }
        let next = held.saturating_add(cost * unit);
        let retry = self.nanos((next - most).saturating_add(self.rounding));
        Decision::refuse(left, unit, reset, retry)
    }

    #[inline]
    fn ticks(&self, now: u64) -> u64 {
        let now = now.min(LAST);
        // Most limits take whole nanoseconds for a unit, and then a tick is one.
        if self.rounding == 0 {
            return now;
        }
        self.ticks_of(now)
    }

    /// Rounded up.
    #[inline]
    fn nanos(&self, ticks: u64) -> u64 {
        if self.rounding == 0 {
            return ticks;
        }
        self.nanos_of(ticks)
    }

    // Called, so that who does not need it does not wait for it.
    #[inline(never)]
    fn ticks_of(&self, now: u64) -> u64 {
        let product = u128::from(now) * u128::from(self.ticks_of_nano);
        narrow(product >> 63)
    }

    #[inline(never)]
    fn nanos_of(&self, ticks: u64) -> u64 {
        let product = u128::from(ticks) * u128::from(self.nanos_of_tick);
        narrow((product >> 63) + u128::from(product & (u128::MAX >> 65) != 0))
    }
}

impl Algorithm for Gcra {
    type State = u64;

    #[inline]
    fn check(&self, arrival: u64, cost: u64, now: u64) -> (Decision, u64) {
        let (unit, now) = (self.interval, self.ticks(now));
        let most = now + self.span;
        let held = arrival.max(now);
        // Within the burst nothing overflows; after a charge the arrival may be anything.
        if cost <= self.burst && held <= most - cost * unit {
            let next = held + cost * unit;
            let reset = self.nanos(next - now);
            return (Decision::allow(most - next, unit, reset), next);
        }
        (self.refuse(held, cost, now), arrival)
    }

    #[inline]
    fn charge(&self, arrival: u64, cost: u64, now: u64) -> u64 {
        let now = self.ticks(now);
        let held = arrival.max(now);
        let most = now.saturating_add(self.span.saturating_add(self.most_debt));
        let next = held.saturating_add(cost.saturating_mul(self.interval));
        next.min(most).max(held)
    }

    #[inline]
    fn is_idle(&self, arrival: u64, now: u64) -> bool {
        arrival <= self.ticks(now)
    }
}

/// What was worked out in 128 bits and fits into 64.
#[inline]
fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
