//! Gathers samples in windows, and moves the limit at the end of each.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    Adaptive, Aimd, Gradient, Kind, LONGEST_WINDOW,
    gradient::View,
    samples::{Samples, Window},
};

/// So many answers and drops have to be in a window.
const ENOUGH: u32 = 20;

/// Follows one backend. Who brings a sample touches counters only; who brings the one that closes a window takes a lock
/// that nobody waits for.
pub(crate) struct Control {
    samples: Samples,
    /// What takes longer than this is a drop.
    slow: Option<Duration>,
    began: Instant,
    /// When the window that is open may be closed, in nanoseconds since it all began.
    due: AtomicU64,
    state: Mutex<State>,
}

/// What a request that is through says about the backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sample {
    /// A good answer, after this time.
    Answer(Duration),
    /// A sign of overload.
    Drop,
}

struct State {
    algorithm: Algorithm,
    limit: f64,
    min: f64,
    max: f64,
    window: Duration,
    latency: Option<f64>,
}

enum Algorithm {
    Gradient(Gradient),
    Aimd(Aimd),
}

impl Control {
    /// With settings that have been checked.
    pub(crate) fn new(settings: &Adaptive, now: Instant) -> Self {
        let backoff = settings.backoff;
        let (algorithm, slow) = match settings.kind {
            Kind::Gradient {
                tolerance,
                smoothing,
                probe_interval,
            } => {
                let gradient = Gradient {
                    tolerance,
                    smoothing,
                    backoff,
                    probe_interval,
                    baseline: None,
                    phase: Default::default(),
                    probe_at: None,
                    fall: None,
                };
                (Algorithm::Gradient(gradient), None)
            }
            Kind::Aimd { slow } => (Algorithm::Aimd(Aimd { backoff }), Some(slow)),
        };
        Self {
            samples: Samples::new(),
            slow,
            began: now,
            due: AtomicU64::new(nanos(settings.window)),
            state: Mutex::new(State {
                algorithm,
                limit: settings.first().into(),
                min: settings.min.into(),
                max: settings.max.into(),
                window: settings.window,
                latency: None,
            }),
        }
    }

    /// Takes a sample, and gives the limit if it has moved. `in_flight` counts the request itself.
    pub(crate) fn record(&self, sample: Sample, in_flight: u32, now: Instant) -> Option<u32> {
        match sample {
            Sample::Answer(latency) if self.slow.is_none_or(|slow| latency <= slow) => {
                self.samples.answer(latency, in_flight);
            }
            Sample::Answer(_) | Sample::Drop => self.samples.dropped(in_flight),
        }
        if !self.is_due(now) {
            return None;
        }
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody is closing this window.
            Err(TryLockError::WouldBlock) => return None,
        };
        if !self.is_due(now) {
            return None;
        }
        let window = self.samples.take();
        let before = state.limit();
        let length = state.update(&window, now);
        let due = now.saturating_duration_since(self.began) + length;
        self.due.store(nanos(due), Relaxed);
        Some(state.limit()).filter(|limit| *limit != before)
    }

    /// Moves the upper bound, and gives the limit.
    pub(crate) fn set_max(&self, max: u32) -> u32 {
        let mut state = self.lock();
        state.max = f64::from(max.max(1));
        state.limit = state.bounded(state.limit);
        state.limit()
    }

    /// The median time of the last window, and the gradient's baseline.
    pub(crate) fn latencies(&self) -> (Option<Duration>, Option<Duration>) {
        let state = self.lock();
        let baseline = match &state.algorithm {
            Algorithm::Gradient(gradient) => gradient.baseline,
            Algorithm::Aimd(_) => None,
        };
        let duration = |seconds| Duration::try_from_secs_f64(seconds).ok();
        (
            state.latency.and_then(duration),
            baseline.and_then(duration),
        )
    }

    fn is_due(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.began);
        nanos(passed) >= self.due.load(Relaxed) && self.samples.count() >= ENOUGH
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Moves the limit, and says how long the next window is.
    fn update(&mut self, window: &Window, now: Instant) -> Duration {
        let next = match &mut self.algorithm {
            Algorithm::Gradient(gradient) => {
                let view = View {
                    limit: self.limit,
                    min: self.min.min(self.max),
                    now,
                    is_idle: window.is_idle(self.limit),
                    is_overloaded: window.is_overloaded(),
                };
                gradient.update(window.latency, view)
            }
            Algorithm::Aimd(aimd) => aimd.update(window, self.limit),
        };
        self.limit = self.bounded(next);
        self.latency = window.latency.or(self.latency);
        let twice = self.latency.unwrap_or(0.0) * 2.0;
        let twice = Duration::try_from_secs_f64(twice).unwrap_or(LONGEST_WINDOW);
        twice.clamp(self.window, LONGEST_WINDOW)
    }

    fn bounded(&self, limit: f64) -> f64 {
        // The upper bound may have been set below the lower one since.
        limit.max(self.min).min(self.max)
    }

    fn limit(&self) -> u32 {
        self.limit as u32
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
