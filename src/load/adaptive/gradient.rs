//! The limit by the gradient of latency: how far it is from that of a backend where nothing waits.

use std::time::{Duration, Instant};

pub(crate) struct Gradient {
    pub(crate) tolerance: f64,
    pub(crate) smoothing: f64,
    pub(crate) backoff: f64,
    pub(crate) probe_interval: Duration,
    /// The median time when nothing waits, in seconds.
    pub(crate) baseline: Option<f64>,
    pub(crate) phase: Phase,
    /// When the baseline is measured anew.
    pub(crate) probe_at: Option<Instant>,
    pub(crate) fall: Option<Fall>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Phase {
    #[default]
    Steady,
    /// The limit has been lowered, and those that were admitted before go through.
    Settle(Probe),
    Measure(Probe),
}

/// A baseline is being measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Probe {
    /// The limit to go back to.
    resume: f64,
    /// The time at the limit before. Where half as many take as long, nothing waits.
    latency: f64,
}

/// Since when the limit has been falling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fall {
    /// From where.
    begin: f64,
    slowest: f64,
}

/// Times that differ by less are the same: what a median of a few dozen answers is good for.
const SAME: f64 = 0.15;
/// A window that is faster than the baseline by this is the baseline. Not by less: of many windows one is fast by chance.
const FASTER: f64 = 0.8;

/// What there is to decide by.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) limit: f64,
    pub(super) min: f64,
    pub(super) now: Instant,
    pub(super) is_idle: bool,
    pub(super) is_overloaded: bool,
}

impl Gradient {
    /// The limit after a window with this median time.
    pub(super) fn update(&mut self, latency: Option<f64>, view: View) -> f64 {
        let Some(latency) = latency else {
            // Nothing but drops.
            return self.give_up_probe(view.limit) * self.backoff;
        };
        match (self.phase, self.baseline) {
            (Phase::Settle(probe), _) => {
                self.phase = Phase::Measure(probe);
                view.limit
            }
            (Phase::Measure(probe), _) => self.measured(probe, latency, view),
            (Phase::Steady, None) => self.probe(latency, view),
            (Phase::Steady, _) if self.probe_at.is_some_and(|at| at <= view.now) => {
                self.probe(latency, view)
            }
            (Phase::Steady, Some(known)) if latency < known * FASTER => {
                // There may be some waiting in this one too. So it is measured, soon but not again and again.
                let soon = view.now.checked_add(self.probe_interval / 10);
                self.probe_at = self.probe_at.min(soon);
                self.step(latency, latency, view)
            }
            (Phase::Steady, Some(known)) => self.step(known, latency, view),
        }
    }

    fn step(&mut self, baseline: f64, latency: f64, view: View) -> f64 {
        self.baseline = Some(baseline);
        let limit = view.limit;
        if view.is_idle {
            self.fall = None;
            return limit;
        }
        let gradient = (self.tolerance * baseline / latency).clamp(0.5, 2.0);
        let mut aim = limit * gradient + limit.sqrt();
        if view.is_overloaded {
            aim = aim.min(limit * self.backoff);
        }
        let next = limit + self.smoothing * (aim - limit);
        if next >= limit {
            self.fall = None;
        } else if self.is_in_vain(limit, latency) {
            return self.probe(latency, view);
        }
        next
    }

    /// Whether the limit has been halved and answers did not get faster to match: they are slow for another reason. Where
    /// they wait for each other their time falls as the limit does, and where they do not it stays; this is halfway.
    fn is_in_vain(&mut self, limit: f64, latency: f64) -> bool {
        let (begin, slowest) = (limit, latency);
        let fall = self.fall.get_or_insert(Fall { begin, slowest });
        fall.slowest = fall.slowest.max(latency);
        let left = limit / fall.begin;
        left <= 0.5 && latency / fall.slowest >= left.sqrt()
    }

    /// Begins to measure the baseline; where hardly anything is in flight, it is there to be seen.
    fn probe(&mut self, latency: f64, view: View) -> f64 {
        self.fall = None;
        let resume = view.limit;
        if view.is_idle {
            return self.found(latency, resume, view.now);
        }
        self.lower(Probe { resume, latency }, view)
    }

    fn measured(&mut self, probe: Probe, latency: f64, view: View) -> f64 {
        if (latency - probe.latency).abs() <= probe.latency * SAME {
            return self.found(latency, probe.resume, view.now);
        }
        // Either the backend has changed, or even this many are too many for it.
        self.lower(Probe { latency, ..probe }, view)
    }

    fn lower(&mut self, probe: Probe, view: View) -> f64 {
        if view.limit <= view.min {
            return self.found(probe.latency, probe.resume, view.now);
        }
        self.phase = Phase::Settle(probe);
        (view.limit / 2.0).max(view.min)
    }

    fn found(&mut self, baseline: f64, limit: f64, now: Instant) -> f64 {
        self.baseline = Some(baseline);
        self.phase = Phase::Steady;
        self.probe_at = now.checked_add(self.probe_interval);
        limit
    }

    fn give_up_probe(&mut self, limit: f64) -> f64 {
        match std::mem::take(&mut self.phase) {
            Phase::Steady => limit,
            Phase::Settle(probe) | Phase::Measure(probe) => probe.resume,
        }
    }
}
