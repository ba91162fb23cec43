//! When keys are loaded, and whether they may still be used.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// After a failure it takes this long to try again, then twice as long each time, up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How many unknown `kid`s are remembered, and for how long at most: whoever guesses the next one keeps it from being found for so long.
const UNKNOWN: (usize, Duration) = (64, Duration::from_secs(5 * 60));

#[derive(Clone, Debug)]
pub(super) struct Timing {
    /// How long keys are fresh when their source does not say.
    pub(super) cache_duration: Duration,
    /// And what it may say.
    pub(super) bounds: RangeInclusive<Duration>,
    /// How long keys are used after they were loaded, whatever happens.
    pub(super) outage_tolerance: Duration,
    /// Between two loads that unknown `kid`s cause.
    pub(super) cooldown: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            cache_duration: Duration::from_secs(10 * 60),
            bounds: Duration::from_secs(60)..=DAY,
            outage_tolerance: DAY,
            cooldown: Duration::from_secs(30),
        }
    }
}

impl Timing {
    pub(super) fn mistakes(&self) -> Vec<String> {
        let (min, max) = (self.bounds.start(), self.bounds.end());
        let mut mistakes = Vec::new();
        for (name, time) in [
            ("cache_duration", &self.cache_duration),
            ("cache_duration_within", min),
            ("cooldown", &self.cooldown),
        ] {
            if time.is_zero() {
                mistakes.push(format!("{name} is 0; it is above 0"));
            }
        }
        if min > max {
            mistakes.push(format!(
                "cache_duration_within is from {min:?} to {max:?}; the first is at most the second"
            ));
        } else if &self.outage_tolerance < max {
            mistakes.push(format!(
                "outage_tolerance is {:?}; it is at least the longest cache_duration_within, {max:?}",
                self.outage_tolerance
            ));
        }
        mistakes
    }
}

/// What whoever wants other keys has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Wait for the load that is under way, or about to begin.
    Wait,
    /// Make do with the keys there are.
    Enough,
    /// Give up: the source has failed, and is not asked again so soon.
    Failed,
}

/// The state of one source. One load at a time: it is wanted, it [begins](Self::begin), and it [ends](Self::loaded) or
/// [fails](Self::failed); if it does neither it is still wanted.
#[derive(Debug)]
pub(super) struct Schedule {
    timing: Timing,
    is_wanted: bool,
    /// The `kid` that it is wanted for.
    wanted_for: Option<Box<str>>,
    /// When it is wanted next, without being asked for.
    due: Option<Instant>,
    begun: u64,
    /// Which load the keys are from.
    succeeded: u64,
    usable_until: Option<Instant>,
    failures: u32,
    missed: Option<Instant>,
    unknown: Vec<Unknown>,
}

#[derive(Debug)]
struct Unknown {
    kid: Box<str>,
    until: Instant,
    times: u32,
}

impl Schedule {
    /// Nothing was loaded yet, and that is wanted.
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            is_wanted: true,
            wanted_for: None,
            due: None,
            begun: 0,
            succeeded: 0,
            usable_until: None,
            failures: 0,
            missed: None,
            unknown: Vec::new(),
        }
    }

    /// When to begin the next load. `None`: now.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.due.filter(|due| !self.is_wanted && *due > now)
    }

    /// Until when the keys there are may be used.
    pub(super) fn usable_until(&self) -> Option<Instant> {
        self.usable_until
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// What to hold on to from the first [`ask`](Self::ask) to the last.
    pub(super) fn ticket(&self) -> u64 {
        self.begun
    }

    /// Asks for keys, or for one that is not known, and again whenever a load has ended.
    pub(super) fn ask(&mut self, unknown_kid: Option<&str>, ticket: u64, now: Instant) -> Ask {
        let is_usable = self.usable_until.is_some_and(|until| now < until);
        // What began later than the question has its answer, whatever that is.
        if is_usable && self.succeeded > ticket {
            return Ask::Enough;
        }
        if is_usable && unknown_kid.is_none() {
            return Ask::Enough;
        }
        if self.due(now).is_none() {
            self.is_wanted = true;
            return Ask::Wait;
        }
        if self.failures > 0 || !is_usable {
            return Ask::Failed;
        }
        let Some(kid) = unknown_kid.filter(|kid| self.may_miss(kid, now)) else {
            return Ask::Enough;
        };
        self.is_wanted = true;
        self.wanted_for = Some(kid.into());
        self.missed = Some(now);
        Ask::Wait
    }

    fn may_miss(&self, kid: &str, now: Instant) -> bool {
        let is_cool = self
            .missed
            .is_none_or(|missed| now.saturating_duration_since(missed) >= self.timing.cooldown);
        let mut unknown = self.unknown.iter();
        is_cool && !unknown.any(|unknown| &*unknown.kid == kid && now < unknown.until)
    }

    pub(super) fn begin(&mut self) {
        self.is_wanted = true;
        self.begun += 1;
    }

    /// The load that began last has brought keys.
    pub(super) fn loaded(
        &mut self,
        fresh_for: Option<Duration>,
        is_known: impl Fn(&str) -> bool,
        now: Instant,
        random: u64,
    ) {
        let lifetime = fresh_for.unwrap_or(self.timing.cache_duration);
        let lifetime = lifetime.clamp(*self.timing.bounds.start(), *self.timing.bounds.end());
        // While a load takes its time and fails, there is still some left; and not all processes of a fleet ask at once.
        let part = 0.8 - 0.1 * unit(random);
        self.due = Some(later(now, lifetime.mul_f64(part)));
        self.usable_until = Some(later(now, self.timing.outage_tolerance));
        self.is_wanted = false;
        self.failures = 0;
        self.succeeded = self.begun;
        let missed = self.wanted_for.take();
        self.unknown.retain(|unknown| !is_known(&unknown.kid));
        if let Some(kid) = missed.filter(|kid| !is_known(kid)) {
            self.note(kid, now);
        }
    }

    /// The load that began last has failed.
    pub(super) fn failed(&mut self, now: Instant, random: u64) {
        let (first, most) = BACK_OFF;
        let whole = first.saturating_mul(1 << self.failures.min(16)).min(most);
        self.due = Some(later(now, whole.mul_f64(1.0 - 0.25 * unit(random))));
        self.is_wanted = false;
        self.failures = self.failures.saturating_add(1);
        self.wanted_for = None;
    }

    /// Remembers a `kid` that the source does not have, for longer each time.
    fn note(&mut self, kid: Box<str>, now: Instant) {
        let (most, longest) = UNKNOWN;
        let known = self.unknown.iter().position(|unknown| unknown.kid == kid);
        let times = known.map_or(1, |at| self.unknown.swap_remove(at).times.saturating_add(1));
        if self.unknown.len() >= most {
            let soonest = (0..most).min_by_key(|at| self.unknown[*at].until);
            soonest.map(|at| self.unknown.swap_remove(at));
        }
        let time = self.timing.cooldown.saturating_mul(1 << times.min(16));
        let until = later(now, time.min(longest.max(self.timing.cooldown)));
        self.unknown.push(Unknown { kid, until, times });
    }
}

/// From 0 to 1.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// What is too far away to be told is a century away.
fn later(now: Instant, time: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
    now.checked_add(time.min(CENTURY)).unwrap_or(now)
}

#[cfg(test)]
mod tests;
