//! When a circuit opens, for how long, and what closes it again.

use std::{fmt, ops::RangeInclusive, time::Duration};

use super::window::Counts;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLI: Duration = Duration::from_millis(1);

/// The default of [`Settings::minimum_calls`].
const MINIMUM_CALLS: u32 = 20;
/// The sum of a count window has 16 bits for each number.
const MOST_CALLS: u32 = 10_000;
/// Rates are compared as whole numbers of millionths.
const MILLION: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WindowSize {
    Calls(u32),
    Time(Duration),
}

/// All that can be set. What is wrong is told by [`check`](Self::check), and replaced by its default.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) window: WindowSize,
    pub(crate) minimum_calls: Option<u32>,
    /// In percent, as the next one.
    pub(crate) failure_rate: Option<f64>,
    pub(crate) slow_call_rate: Option<f64>,
    pub(crate) slow_call_duration: Duration,
    pub(crate) consecutive_failures: Option<u32>,
    pub(crate) open_duration: Duration,
    /// By what the open duration is multiplied, and the most that it becomes.
    pub(crate) open_growth: Option<(f64, Duration)>,
    pub(crate) half_open_calls: u32,
    pub(crate) half_open_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: WindowSize::Calls(100),
            minimum_calls: None,
            failure_rate: Some(50.0),
            slow_call_rate: Some(100.0),
            slow_call_duration: 60 * SECOND,
            consecutive_failures: None,
            open_duration: 60 * SECOND,
            open_growth: None,
            half_open_calls: 10,
            half_open_wait: 60 * SECOND,
        }
    }
}

impl Settings {
    /// The settings with a default for each wrong one, and what is wrong with it.
    pub(crate) fn check(&self) -> (Self, Vec<String>) {
        let (mut sound, default) = (self.clone(), Self::default());
        let mut mistakes = Mistakes(Vec::new());
        let is_sound = match self.window {
            WindowSize::Calls(calls) => mistakes.within("count_window", calls, 1..=MOST_CALLS),
            WindowSize::Time(length) => mistakes.lasting("time_window", length, 10 * MILLI),
        };
        if !is_sound {
            sound.window = default.window;
        }
        let most = match sound.window {
            WindowSize::Calls(calls) => calls,
            WindowSize::Time(_) => u32::MAX,
        };
        if let Some(minimum) = self.minimum_calls
            && !mistakes.within("minimum_calls", minimum, 1..=most)
        {
            sound.minimum_calls = None;
        }
        if !mistakes.percentage("failure_rate", self.failure_rate) {
            sound.failure_rate = default.failure_rate;
        }
        if !mistakes.percentage("slow_call_rate", self.slow_call_rate) {
            sound.slow_call_rate = default.slow_call_rate;
        }
        if !mistakes.lasting("slow_call_duration", self.slow_call_duration, MILLI) {
            sound.slow_call_duration = default.slow_call_duration;
        }
        if let Some(failures) = self.consecutive_failures
            && !mistakes.within("consecutive_failures", failures, 1..=u32::MAX)
        {
            sound.consecutive_failures = None;
        }
        let rules = (
            sound.failure_rate,
            sound.slow_call_rate,
            sound.consecutive_failures,
        );
        if rules == (None, None, None) {
            mistakes
                .add("it can never open; set failure_rate, slow_call_rate or consecutive_failures");
            sound.failure_rate = default.failure_rate;
        }
        if !mistakes.lasting("open_duration", self.open_duration, MILLI) {
            sound.open_duration = default.open_duration;
        }
        if let Some((factor, longest)) = self.open_growth {
            let is_factor = (1.0..=100.0).contains(&factor);
            if !is_factor {
                mistakes.add(format_args!(
                    "the factor of open_growth is {factor}; allowed are 1 to 100"
                ));
            }
            let shortest = sound.open_duration;
            if !mistakes.lasting("the limit of open_growth", longest, shortest) || !is_factor {
                sound.open_growth = None;
            }
        }
        if !mistakes.within("half_open_calls", self.half_open_calls, 1..=MOST_CALLS) {
            sound.half_open_calls = default.half_open_calls;
        }
        if !mistakes.lasting("half_open_wait", self.half_open_wait, MILLI) {
            sound.half_open_wait = default.half_open_wait;
        }
        (sound, mistakes.0)
    }
}

struct Mistakes(Vec<String>);

impl Mistakes {
    fn add(&mut self, mistake: impl fmt::Display) {
        self.0.push(mistake.to_string());
    }

    fn within(&mut self, field: &str, value: u32, allowed: RangeInclusive<u32>) -> bool {
        let is_sound = allowed.contains(&value);
        if !is_sound {
            match (*allowed.start(), *allowed.end()) {
                (least, u32::MAX) => self.add(format_args!(
                    "{field} is {value}; allowed are {least} and more"
                )),
                (least, most) => {
                    self.add(format_args!(
                        "{field} is {value}; allowed are {least} to {most}"
                    ));
                }
            }
        }
        is_sound
    }

    fn lasting(&mut self, field: &str, value: Duration, least: Duration) -> bool {
        let is_sound = (least..=DAY).contains(&value);
        if !is_sound {
            self.add(format_args!(
                "{field} is {value:?}; allowed are {least:?} to one day"
            ));
        }
        is_sound
    }

    fn percentage(&mut self, field: &str, value: Option<f64>) -> bool {
        // Less than a ten-thousandth of a percent would be rounded to nothing.
        let is_sound = value.is_none_or(|rate| (0.0001..=100.0).contains(&rate));
        if let (false, Some(rate)) = (is_sound, value) {
            self.add(format_args!(
                "{field} is {rate}; allowed are percentages from 0.0001 to 100"
            ));
        }
        is_sound
    }
}

/// Sound settings in the form that they are used in.
pub(super) struct Rules {
    pub(super) minimum: u64,
    pub(super) consecutive: Option<u32>,
    pub(super) half_open_calls: u32,
    failure_rate: Option<u64>,
    slow_rate: Option<u64>,
    open_duration: Duration,
    open_growth: Option<(f64, Duration)>,
}

impl Rules {
    pub(super) fn new(sound: &Settings) -> Self {
        let millionths = |percent: f64| (percent * MILLION as f64 / 100.0).round() as u64;
        let minimum = match (sound.minimum_calls, sound.window) {
            (Some(minimum), _) => minimum,
            (None, WindowSize::Calls(calls)) => MINIMUM_CALLS.min(calls),
            (None, WindowSize::Time(_)) => MINIMUM_CALLS,
        };
        Self {
            minimum: minimum.into(),
            consecutive: sound.consecutive_failures,
            half_open_calls: sound.half_open_calls,
            failure_rate: sound.failure_rate.map(millionths),
            slow_rate: sound.slow_call_rate.map(millionths),
            open_duration: sound.open_duration,
            open_growth: sound.open_growth,
        }
    }

    /// Whether these counts open a closed circuit.
    pub(super) fn open_at(&self, counts: Counts) -> bool {
        counts.calls >= self.minimum && self.is_reached(counts)
    }

    /// Whether one of the rates is at its limit.
    pub(super) fn is_reached(&self, counts: Counts) -> bool {
        let is_reached = |rate: Option<u64>, bad: u64| {
            rate.is_some_and(|rate| {
                bad.saturating_mul(MILLION) >= rate.saturating_mul(counts.calls)
            })
        };
        counts.calls > 0
            && (is_reached(self.failure_rate, counts.failures)
                || is_reached(self.slow_rate, counts.slow))
    }

    /// How long it stays open, after so long the last time.
    pub(super) fn open_for(&self, last: Option<Duration>) -> Duration {
        match (last, self.open_growth) {
            (Some(last), Some((factor, longest))) => {
                Duration::try_from_secs_f64(last.as_secs_f64() * factor)
                    .map_or(longest, |grown| grown.min(longest))
            }
            _ => self.open_duration,
        }
    }
}
