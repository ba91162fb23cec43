//! Outlier ejection: an endpoint that fails more than it should is left alone for a while.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// When an endpoint is ejected from the choice, going by the requests that it gets anyway, and for how long.
///
/// A failure is an answer of 500 and above but 501 and 505, no answer, one that comes too late, or one whose body breaks; not what a
/// client did wrong, or that it left. An ejected endpoint comes back by itself; what it has under way is not touched.
///
/// Too late is an endpoint only when it was the one that was waited for: not while a client sends its request's body or does not
/// read the answer, nor while a request waits for a connection. The upstream's head and activity timeouts count whenever
/// that is so. A deadline, which a caller may have set, and a time for the whole count if the endpoint was waited for
/// during the last second, or during half of the upstream's own timeout or that of a try when these are shorter. So a route's
/// deadline below a second ejects nobody: give the upstream a head timeout as well.
///
/// | setting | default |
/// |---|---|
/// | [`consecutive_failures`](Self::consecutive_failures) | 5 |
/// | [`failure_percentage`](Self::failure_percentage) | 50 % of at least 10 requests within 10 s |
/// | [`base_ejection`](Self::base_ejection) | 30 s, times the ejections so far |
/// | [`max_ejection`](Self::max_ejection) | 300 s |
/// | [`max_ejected`](Self::max_ejected) | 10 % of the endpoints, at least one |
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierEjection {
    consecutive: Option<u32>,
    percentage: Option<f64>,
    minimum: u32,
    interval: Duration,
    base: Duration,
    most: Duration,
    share: f64,
}

impl OutlierEjection {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            consecutive: Some(5),
            percentage: Some(50.0),
            minimum: 10,
            interval: Duration::from_secs(10),
            base: Duration::from_secs(30),
            most: Duration::from_secs(300),
            share: 0.1,
        }
    }

    /// How many failures without a success between them eject an endpoint, at least 1; `None`: any number goes. Default: 5.
    pub fn consecutive_failures(mut self, count: impl Into<Option<u32>>) -> Self {
        self.consecutive = count.into();
        self
    }

    /// How many of 100 requests have to fail, above 0 and up to 100, out of at least so many within the interval; `None`: any
    /// number goes. The interval slides in two steps. Default: 50, 10 requests, 10 s.
    pub fn failure_percentage(
        mut self,
        percentage: impl Into<Option<f64>>,
        minimum: u32,
        interval: Duration,
    ) -> Self {
        self.percentage = percentage.into();
        self.minimum = minimum;
        self.interval = interval;
        self
    }

    /// For how long an endpoint is ejected the first time; the second time in a row it is twice as long, and so on. For each
    /// such time that it stays without a reason to be ejected, one ejection is forgotten. Default: 30 s.
    pub fn base_ejection(mut self, time: Duration) -> Self {
        self.base = time;
        self
    }

    /// The longest ejection, at least the base. Default: 300 s.
    pub fn max_ejection(mut self, time: Duration) -> Self {
        self.most = time;
        self
    }

    /// The share of the endpoints with a weight that may be ejected at a time, above 0 and up to 1; one may always be, unless
    /// it is the only one. Default: 0.1.
    pub fn max_ejected(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut wrong = |is_wrong: bool, field: &str, allowed: &str| {
            if is_wrong {
                mistakes.push(format!("outlier ejection: {field} {allowed}"));
            }
        };
        let is_percentage = |value: f64| value > 0.0 && value <= 100.0;
        wrong(
            self.consecutive == Some(0),
            "consecutive_failures",
            "is 0; it is at least 1, or None",
        );
        wrong(
            self.percentage.is_some_and(|value| !is_percentage(value)),
            "failure_percentage",
            "is above 0 and at most 100, or None",
        );
        wrong(
            self.minimum == 0,
            "the minimum of requests",
            "is 0; it is at least 1",
        );
        wrong(
            self.interval < Duration::from_millis(2),
            "the interval",
            "is too short; it is at least 2 ms",
        );
        wrong(
            self.base.is_zero(),
            "base_ejection",
            "is 0; it is a time above 0",
        );
        wrong(
            self.most < self.base,
            "max_ejection",
            "is shorter than base_ejection",
        );
        wrong(
            !(self.share > 0.0 && self.share <= 1.0),
            "max_ejected",
            "is above 0 and at most 1",
        );
        mistakes
    }

    /// How many of so many may be ejected at a time.
    pub(crate) fn most_of(&self, endpoints: usize) -> usize {
        if endpoints < 2 {
            return 0;
        }
        ((endpoints as f64 * self.share) as usize).max(1)
    }
}

impl Default for OutlierEjection {
    fn default() -> Self {
        Self::new()
    }
}

/// How an endpoint did lately. Written by all who send requests.
#[derive(Debug)]
pub(crate) struct Tally {
    base: Instant,
    consecutive: AtomicU32,
    halves: [AtomicU64; 2],
}

/// One half of the interval, all of it in one word: who turns it empties it with the same write.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    /// Which half it is, counted from the base, and wrapped.
    number: u64,
    all: u64,
    failed: u64,
}

/// Of a word, what counts; the rest, 24 bits, is the number.
const COUNT: u32 = 20;

impl Half {
    fn of(word: u64) -> Self {
        let most = (1 << COUNT) - 1;
        Self {
            number: word >> (2 * COUNT),
            all: word >> COUNT & most,
            failed: word & most,
        }
    }

    fn word(self) -> u64 {
        self.number << (2 * COUNT) | self.all << COUNT | self.failed
    }

    fn and(self, failed: bool) -> Self {
        // Over a million: the share is what counts.
        let shift = u32::from(self.all + 1 >= 1 << COUNT);
        Self {
            number: self.number,
            all: (self.all >> shift) + 1,
            failed: (self.failed >> shift) + u64::from(failed),
        }
    }
}

impl Tally {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            base: now,
            consecutive: AtomicU32::new(0),
            halves: Default::default(),
        }
    }

    /// Enters the outcome of a request. Says whether the endpoint is to be ejected.
    pub(crate) fn enter(&self, failed: bool, settings: &OutlierEjection, now: Instant) -> bool {
        let number = self.number(settings, now);
        if settings.percentage.is_some() {
            let half = &self.halves[(number % 2) as usize];
            let _ = half.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                let known = Half::of(word);
                let current = match known.number == number {
                    true => known,
                    false => Half {
                        number,
                        ..Half::default()
                    },
                };
                Some(current.and(failed).word())
            });
        }
        if !failed {
            // Written only when it says otherwise, for all cores read it.
            if self.consecutive.load(Ordering::Relaxed) > 0 {
                self.consecutive.store(0, Ordering::Relaxed);
            }
            return false;
        }
        let run = self
            .consecutive
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |run| {
                Some(run.saturating_add(1))
            })
            .unwrap_or(0)
            .saturating_add(1);
        settings.consecutive.is_some_and(|most| run >= most)
            || settings.percentage.is_some_and(|most| {
                let (all, failed) = self.counts(number);
                all >= u64::from(settings.minimum) && failed as f64 * 100.0 >= most * all as f64
            })
    }

    fn counts(&self, number: u64) -> (u64, u64) {
        self.halves
            .iter()
            .map(|half| Half::of(half.load(Ordering::Relaxed)))
            .filter(|half| number.abs_diff(half.number) < 2)
            .fold((0, 0), |(all, failed), half| {
                (all + half.all, failed + half.failed)
            })
    }

    /// A fresh start.
    pub(crate) fn clear(&self) {
        self.consecutive.store(0, Ordering::Relaxed);
        for half in &self.halves {
            half.store(0, Ordering::Relaxed);
        }
    }

    fn number(&self, settings: &OutlierEjection, now: Instant) -> u64 {
        let half = (settings.interval.as_nanos() / 2).max(1);
        let since = now.saturating_duration_since(self.base).as_nanos();
        // As many as fit, and two more, so that 0 is never near.
        let fits = (1 << (u64::BITS - 2 * COUNT)) - 2;
        u64::try_from(since / half % fits).unwrap_or(0) + 2
    }
}

/// Whether an endpoint is ejected, and how often it was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ejection {
    /// In a row, as far as they are not forgotten.
    times: u32,
    total: u64,
    until: Option<Instant>,
}

impl Ejection {
    /// Ejects it, once more if it was ejected before.
    pub(crate) fn begin(&mut self, settings: &OutlierEjection, now: Instant) {
        if let Some(until) = self.until {
            let good = now.saturating_duration_since(until).as_nanos();
            let forgotten = good / settings.base.as_nanos().max(1);
            self.times = self
                .times
                .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX));
        }
        self.times = self.times.saturating_add(1);
        self.total += 1;
        let time = settings.base.saturating_mul(self.times).min(settings.most);
        // A time without end.
        let far = now + Duration::from_secs(86_400 * 365);
        self.until = Some(now.checked_add(time).unwrap_or(far));
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// When it comes back, if it is ejected now.
    pub(crate) fn end(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn failures_in_a_row() {
        let start = crate::clock::now();
        let settings = OutlierEjection::new()
            .consecutive_failures(3)
            .failure_percentage(None, 1, millis(1000));
        let tally = Tally::new(start);
        let outcomes = [true, true, false, true, true, true, true, false, true];
        let ejects = outcomes.map(|failed| tally.enter(failed, &settings, start));
        let expected = [false, false, false, false, false, true, true, false, false];
        assert_eq!(ejects, expected);
        assert!(!tally.enter(true, &settings, start));
        tally.clear();
        assert!(!tally.enter(true, &settings, start), "a fresh start");
    }

    #[test]
    fn a_million_requests_keep_their_share() {
        let mut half = Half::default();
        for at in 0..3_000_000_u64 {
            half = half.and(at % 4 == 0);
            half = Half::of(half.word());
        }
        let share = half.failed as f64 / half.all as f64;
        assert!(
            (share - 0.25).abs() < 0.001 && half.all > 1 << 19,
            "{half:?}"
        );
    }

    #[test]
    fn ejections_grow_and_are_forgotten() {
        let settings = OutlierEjection::new();
        let start = crate::clock::now();
        let seconds = Duration::from_secs;
        let mut ejection = Ejection::default();
        assert_eq!(ejection.end(start), None);
        let mut now = start;
        for expected in [30, 60, 90] {
            ejection.begin(&settings, now);
            assert_eq!(ejection.end(now), Some(now + seconds(expected)));
            now += seconds(expected);
            assert_eq!(ejection.end(now), None, "it is back");
        }
        now += seconds(65);
        ejection.begin(&settings, now);
        assert_eq!(
            ejection.end(now),
            Some(now + seconds(60)),
            "two are forgotten"
        );
        for _ in 0..20 {
            ejection.begin(&settings, now);
        }
        assert_eq!(
            ejection.end(now),
            Some(now + seconds(300)),
            "no longer than that"
        );
    }

    #[test]
    fn at_most_a_share() {
        let most = |share, count| OutlierEjection::new().max_ejected(share).most_of(count);
        let cases = [
            (0.1, [0, 1, 1, 1, 2]),
            (0.5, [0, 1, 1, 5, 10]),
            (1.0, [0, 2, 3, 10, 20]),
        ];
        for (share, expected) in cases {
            assert_eq!([1, 2, 3, 10, 20].map(|count| most(share, count)), expected);
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        assert_eq!(OutlierEjection::new().mistakes(), [""; 0]);
        let second = millis(1000);
        let cases = [
            (
                OutlierEjection::new().consecutive_failures(0),
                "consecutive_failures",
            ),
            (
                OutlierEjection::new().failure_percentage(0.0, 1, second),
                "failure_percentage",
            ),
            (
                OutlierEjection::new().failure_percentage(f64::NAN, 1, second),
                "failure_percentage",
            ),
            (
                OutlierEjection::new().failure_percentage(100.1, 1, second),
                "failure_percentage",
            ),
            (
                OutlierEjection::new().failure_percentage(50.0, 0, second),
                "minimum",
            ),
            (
                OutlierEjection::new().failure_percentage(50.0, 1, Duration::ZERO),
                "interval",
            ),
            (
                OutlierEjection::new().base_ejection(Duration::ZERO),
                "base_ejection",
            ),
            (OutlierEjection::new().max_ejection(second), "max_ejection"),
            (OutlierEjection::new().max_ejected(0.0), "max_ejected"),
            (
                OutlierEjection::new().max_ejected(f64::INFINITY),
                "max_ejected",
            ),
        ];
        for (settings, field) in cases {
            let mistakes = settings.mistakes();
            assert!(
                mistakes.len() == 1 && mistakes[0].contains(field),
                "{mistakes:?}"
            );
        }
    }

    proptest! {
        /// Beside a list of all outcomes.
        #[test]
        fn the_percentage_is_that_of_the_window(
            outcomes in prop::collection::vec((0_u64..400, any::<bool>()), 1..200),
            percentage in 1..=100_u32,
            minimum in 1..20_u32,
        ) {
            let settings = OutlierEjection::new()
                .consecutive_failures(None)
                .failure_percentage(f64::from(percentage), minimum, millis(1000));
            let start = crate::clock::now();
            let tally = Tally::new(start);
            let (mut at, mut seen) = (0, Vec::new());
            for (later, failed) in outcomes {
                at += later;
                seen.push((at / 500, failed));
                let window = seen.iter().filter(|(half, _)| *half + 1 >= at / 500);
                let (mut all, mut bad) = (0, 0);
                for (_, failed) in window {
                    all += 1;
                    bad += u32::from(*failed);
                }
                let expected = failed && all >= minimum && bad * 100 >= percentage * all;
                prop_assert_eq!(tally.enter(failed, &settings, start + millis(at)), expected);
            }
        }
    }
}
