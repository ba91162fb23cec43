//! The generic cell rate algorithm as Redis does it: on microseconds and parts of them.
//!
//! Lua counts in doubles, which are exact up to 2^53: enough for the microseconds since 1970, and not for nanoseconds. What a unit of cost takes is
//! whole microseconds and a fraction, whose denominator comes from the limit; an arrival is as well. So nothing is rounded but the time of
//! day, which Redis tells in microseconds: decisions are those of the algorithm on real numbers at that time.

use crate::throttle::decision::Decision;

/// At most so many for each period, and `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// What a unit of cost takes: microseconds,
    pub(super) whole: u64,
    /// and parts of one,
    pub(super) part: u64,
    /// of which it has so many.
    pub(super) parts: u64,
    pub(super) burst: u64,
}

/// The first whole number that a double may be unable to tell from the next.
pub(super) const EXACT: u64 = 1 << 53;

impl Rate {
    /// From settings that a policy has found right; or what is wrong with them here.
    pub(super) fn new(limit: u64, nanos: u64, burst: u64) -> Result<Self, String> {
        let all = u128::from(limit) * 1_000;
        let common = gcd(all, nanos.into()).max(1);
        let (nanos, parts) = (u128::from(nanos) / common, all / common);
        let (whole, part) = (nanos / parts, nanos % parts);
        // One above the burst is asked for, too: more can be said as that.
        let most = match part {
            0 => u128::from(u64::MAX),
            _ => (u128::from(EXACT).saturating_sub(parts) / part).saturating_sub(1),
        };
        if parts > (EXACT / 2).into() || u128::from(burst) > most {
            return Err(format!(
                "burst {burst} at this rate is beyond what Redis can count: at most {most}, or a limit of which each unit takes whole microseconds"
            ));
        }
        let narrow = |value| u64::try_from(value).unwrap_or(u64::MAX);
        Ok(Self {
            whole: narrow(whole),
            part: narrow(part),
            parts: narrow(parts),
            burst,
        })
    }

    /// What comes of an arrival, in parts of a microsecond, and the next one.
    pub(super) fn check(&self, arrival: u128, cost: u64, micros: u64) -> (Decision, u128) {
        let (interval, now) = (self.interval(), self.at(micros, 0));
        let most = now + u128::from(self.burst) * interval;
        let held = arrival.max(now);
        let next = held.saturating_add(interval.saturating_mul(cost.into()));
        let left = |then: u128| {
            let left = most.saturating_sub(then) / interval.max(1);
            u64::try_from(left).unwrap_or(u64::MAX)
        };
        if next <= most {
            let decision = Decision::allow(left(next), 1, self.nanos(next - now));
            return (decision, next);
        }
        let (left, reset) = (left(held), self.nanos(held - now));
        let decision = if cost > self.burst {
            Decision::never(left, 1, reset)
        } else {
            Decision::refuse(left, 1, reset, self.nanos(next - most))
        };
        (decision, arrival)
    }

    pub(super) fn at(&self, micros: u64, part: u64) -> u128 {
        u128::from(micros) * u128::from(self.parts) + u128::from(part)
    }

    /// The microseconds and parts of an arrival.
    pub(super) fn split(&self, arrival: u128) -> (u64, u64) {
        let parts = u128::from(self.parts.max(1));
        let narrow = |value| u64::try_from(value).unwrap_or(u64::MAX);
        (narrow(arrival / parts), narrow(arrival % parts))
    }

    /// What a burst takes.
    pub(super) fn most(&self) -> (u64, u64) {
        self.split(self.interval() * u128::from(self.burst))
    }

    /// A charge of more than this counts as this: it is paid back in 71 years, or is more than can be counted.
    pub(super) fn most_charge(&self) -> u64 {
        let by_whole = (EXACT / 4).checked_div(self.whole);
        let by_part = (EXACT - self.parts).checked_div(self.part);
        let most = by_whole
            .unwrap_or(u64::MAX)
            .min(by_part.unwrap_or(u64::MAX));
        most.clamp(1, EXACT - 1)
    }

    fn interval(&self) -> u128 {
        self.at(self.whole, self.part)
    }

    /// Until the first microsecond that is not before.
    fn nanos(&self, time: u128) -> u64 {
        let micros = time.div_ceil(u128::from(self.parts.max(1)));
        u64::try_from(micros.saturating_mul(1_000)).unwrap_or(u64::MAX)
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
