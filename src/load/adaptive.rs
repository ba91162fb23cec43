//! A limit that follows what the backend can take, from how long its answers take.

mod aimd;
mod control;
mod gradient;
mod samples;

use std::time::Duration;

pub(super) use aimd::Aimd;
pub(crate) use control::{Control, Sample};
pub(super) use gradient::Gradient;

/// How a concurrency limit follows what the backend can take. Clones are independent.
///
/// The time from a permit to the response head of each successful answer (status below 400) is gathered in windows, and
/// at the end of each the limit is moved. A **drop** is a sign of overload whatever the time: a status 503 or 504, a
/// timeout of this crate or of `tower::timeout`, a request that was given up after its
/// [deadline](crate::RequestContext::deadline). Other errors and answers, and clients that leave, say nothing. The limit
/// does not grow in a window in which at most half of it was in use: how much more would fit is not known then.
///
/// * [`gradient`](Self::gradient) finds the limit by itself. The median time of a window is compared with the backend's
///   time when nothing waits there, its baseline: the limit is multiplied by *tolerance × baseline / median* (from 0.5 to
///   2), and √limit is added, the queue that the backend may have. Where a window has more than one drop in 20 answers,
///   the limit shrinks to at most [`backoff`](Self::backoff) of itself. The idea is that of Netflix's
///   `concurrency-limits` (Gradient2) and of Envoy's adaptive concurrency filter.
/// * [`aimd`](Self::aimd) asks for one number, how long an answer may take: the limit grows by one in each window, and
///   shrinks to `backoff` of itself after a window with more than one slow answer or drop in 20 (additive increase,
///   multiplicative decrease).
///
/// The baseline of the gradient is measured anew every [`probe_interval`](Self::probe_interval), because a backend may
/// have become slower, or may have been overloaded when it was first measured: the limit is halved for two windows
/// (those that were in flight go through in the first, the second is measured), again and again as long as that makes
/// answers faster, and then goes back to where it was. It is also measured when a limit that latency had halved did not
/// make answers faster to match, and a tenth of the interval after a window that was a fifth faster than it. Nothing is
/// lowered for it while at most half of the limit is in use.
///
/// A window lasts twice the median time, at least [`window`](Self::window) and at most 10 seconds, and until it has 20
/// answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Adaptive {
    kind: Kind,
    min: u32,
    max: u32,
    initial: Option<u32>,
    window: Duration,
    backoff: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Gradient {
        tolerance: f64,
        smoothing: f64,
        probe_interval: Duration,
    },
    Aimd {
        slow: Duration,
    },
}

/// What a wrong setting is replaced by.
const MIN: u32 = 3;
const MAX: u32 = 1000;
const INITIAL: u32 = 20;
const WINDOW: Duration = Duration::from_millis(100);
const LONGEST_WINDOW: Duration = Duration::from_secs(10);
const BACKOFF: f64 = 0.9;
const TOLERANCE: f64 = 1.5;
const SMOOTHING: f64 = 0.5;
const PROBE_INTERVAL: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

impl Adaptive {
    /// By the gradient of latency. The default.
    pub fn gradient() -> Self {
        Self::new(Kind::Gradient {
            tolerance: TOLERANCE,
            smoothing: SMOOTHING,
            probe_interval: PROBE_INTERVAL,
        })
    }

    /// By additive increase and multiplicative decrease: an answer whose head takes longer than `slow` counts as a drop.
    /// More than zero, at most an hour.
    pub fn aimd(slow: Duration) -> Self {
        Self::new(Kind::Aimd { slow })
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            min: MIN,
            max: MAX,
            initial: None,
            window: WINDOW,
            backoff: BACKOFF,
        }
    }

    /// The least that the limit falls to. Default: 3, as in Envoy. At least 1.
    pub fn min(mut self, min: u32) -> Self {
        self.min = min;
        self
    }

    /// The most that the limit grows to. Default: 1000, as in Envoy. At least [`min`](Self::min).
    pub fn max(mut self, max: u32) -> Self {
        self.max = max;
        self
    }

    /// The limit to begin with. Default: 20, or what of `min` and `max` is nearest.
    pub fn initial(mut self, initial: u32) -> Self {
        self.initial = Some(initial);
        self
    }

    /// The least time that is measured before the limit is moved. Default: 100 ms, as in Envoy's examples. More than zero,
    /// at most 10 seconds.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// What is left of the limit after a window with too many drops, as a part of it. Default: 0.9. Between 0 and 1.
    pub fn backoff(mut self, backoff: f64) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many times the baseline an answer may take before the limit shrinks; of the gradient alone. Default: 1.5, as in
    /// Gradient2: a backend that serves its requests in order then has half as many waiting as it works on, and √limit
    /// besides. From 1 to 100.
    pub fn tolerance(mut self, times: f64) -> Self {
        if let Kind::Gradient { tolerance, .. } = &mut self.kind {
            *tolerance = times;
        }
        self
    }

    /// How far the limit goes in one window towards where it should be, as a part of the way; of the gradient alone.
    /// Default: 0.5. More than 0, at most 1.
    pub fn smoothing(mut self, part: f64) -> Self {
        if let Kind::Gradient { smoothing, .. } = &mut self.kind {
            *smoothing = part;
        }
        self
    }

    /// How often the baseline is measured anew; of the gradient alone. Default: 60 s, as in Envoy. At least 10 windows, at
    /// most a day.
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        if let Kind::Gradient { probe_interval, .. } = &mut self.kind {
            *probe_interval = interval;
        }
        self
    }

    /// The settings that can be used, and what is wrong with those that were given.
    pub(super) fn checked(&self) -> (Self, Vec<String>) {
        let mut used = self.clone();
        let mut mistakes = Vec::new();
        let mut wrong = |what: String| mistakes.push(what);
        if self.min == 0 || self.min > self.max {
            let (min, max) = (self.min, self.max);
            wrong(format!(
                "adaptive min {min} is not from 1 to the max of {max}"
            ));
            (used.min, used.max) = (MIN, MAX);
        }
        if let Some(initial) = self.initial
            && !(used.min..=used.max).contains(&initial)
        {
            let (min, max) = (used.min, used.max);
            wrong(format!(
                "adaptive initial {initial} is not from min {min} to max {max}"
            ));
            used.initial = None;
        }
        if self.window.is_zero() || self.window > LONGEST_WINDOW {
            wrong(format!(
                "adaptive window {:?} is not more than 0 and at most 10 s",
                self.window
            ));
            used.window = WINDOW;
        }
        if !(self.backoff > 0.0 && self.backoff < 1.0) {
            wrong(format!(
                "adaptive backoff {} is not between 0 and 1",
                self.backoff
            ));
            used.backoff = BACKOFF;
        }
        match &mut used.kind {
            Kind::Gradient {
                tolerance,
                smoothing,
                probe_interval,
            } => {
                if !(1.0..=100.0).contains(tolerance) {
                    wrong(format!(
                        "adaptive tolerance {tolerance} is not from 1 to 100"
                    ));
                    *tolerance = TOLERANCE;
                }
                if !(*smoothing > 0.0 && *smoothing <= 1.0) {
                    wrong(format!(
                        "adaptive smoothing {smoothing} is not more than 0 and at most 1"
                    ));
                    *smoothing = SMOOTHING;
                }
                if *probe_interval < used.window * 10 || *probe_interval > HOUR * 24 {
                    wrong(format!(
                        "adaptive probe_interval {probe_interval:?} is not from 10 windows to a day"
                    ));
                    *probe_interval = PROBE_INTERVAL.max(used.window * 10);
                }
            }
            Kind::Aimd { slow } => {
                if slow.is_zero() || *slow > HOUR {
                    wrong(format!(
                        "adaptive aimd {slow:?} is not more than 0 and at most an hour"
                    ));
                    *slow = SLOW;
                }
            }
        }
        (used, mistakes)
    }

    /// The limit to begin with.
    pub(super) fn first(&self) -> u32 {
        self.initial.unwrap_or(INITIAL).clamp(self.min, self.max)
    }
}

impl Default for Adaptive {
    fn default() -> Self {
        Self::gradient()
    }
}
