//! A policy as Redis is told of it, and where it has what a key has spent.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::rate::Rate;
use crate::throttle::{
    algorithm::Algorithm,
    decision::Decision,
    policy::{Limit, Policy},
    window::Window,
};

/// What decides for a policy.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shared {
    Rate(Rate),
    Window {
        window: Window,
        limit: u64,
        /// Microseconds.
        segment: u64,
    },
}

/// What a key has spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The arrival, in parts of a microsecond.
    Rate(u128),
    Window([u64; 2]),
}

/// A segment, and as many counts as a window has.
const MOST_NUMBERS: usize = 17;

impl Shared {
    /// Or what is wrong, beside what is wrong for every limiter.
    pub(super) fn new(policy: &Policy) -> Result<Self, String> {
        let named = |mistake: &str| format!("throttle policy {:?}: {mistake}", policy.name());
        let (limit, period, burst) = policy.settings();
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        match (policy.limit().map_err(|wrong| wrong.join("; "))?, burst) {
            (Limit::Window(window), _) => {
                // Whole microseconds, and a little more than the window rather than less.
                let segments = u64::from(window.counts().0 - 1);
                let segment = nanos.div_ceil(1_000).div_ceil(segments);
                let whole = Duration::from_micros(segment * segments);
                Ok(Self::Window {
                    window: Window::new(limit, whole).map_err(|wrong| named(&wrong.join("; ")))?,
                    limit,
                    segment,
                })
            }
            (Limit::Rate(_), burst) => {
                let burst = burst.unwrap_or(limit);
                let rate = Rate::new(limit, nanos, burst).map_err(|wrong| named(&wrong))?;
                Ok(Self::Rate(rate))
            }
        }
    }

    /// What is said to it of a cost: more than this is the same.
    pub(super) fn most_cost(&self) -> u64 {
        match self {
            Self::Rate(rate) => rate.burst.saturating_add(1),
            Self::Window { limit, .. } => limit + 1,
        }
    }

    pub(super) fn most_charge(&self) -> u64 {
        match self {
            Self::Rate(rate) => rate.most_charge(),
            Self::Window { window, .. } => window.counts().1,
        }
    }

    pub(super) fn check(&self, state: State, cost: u64, micros: u64) -> (Decision, State) {
        match (self, state) {
            (Self::Rate(rate), State::Rate(arrival)) => {
                let (decision, next) = rate.check(arrival, cost, micros);
                (decision, State::Rate(next))
            }
            (Self::Window { window, .. }, State::Window(counts)) => {
                let (decision, next) = window.check(counts, cost, micros.saturating_mul(1_000));
                (decision, State::Window(next))
            }
            // One is read by the other: see below.
            (_, state) => (Decision::never(0, 1, 0), state),
        }
    }

    /// What was in Redis, as the script has told it: only what it writes itself. None: it was something else.
    pub(super) fn read(&self, raw: Option<&str>) -> Option<State> {
        let number = |text: &str| text.parse::<u64>().ok();
        match self {
            Self::Rate(rate) => {
                let Some(raw) = raw else {
                    return Some(State::Rate(0));
                };
                let (arrival, _) = raw.split_once('@').unwrap_or((raw, ""));
                let (micros, part) = arrival.split_once('/').unwrap_or((arrival, "0"));
                Some(State::Rate(rate.at(number(micros)?, number(part)?)))
            }
            Self::Window { window, .. } => {
                let Some(raw) = raw else {
                    return Some(State::Window([0; 2]));
                };
                let numbers: Option<SmallVec<[u64; MOST_NUMBERS]>> =
                    raw.split(' ').map(number).collect();
                let numbers = numbers?;
                let (newest, counts) = numbers.split_first()?;
                Some(State::Window(window.state(*newest, counts.iter().copied())))
            }
        }
    }

    /// Where something was spent, for giving it back.
    pub(super) fn place(&self, after: State, micros: u64) -> String {
        match (self, after) {
            (Self::Rate(rate), State::Rate(arrival)) => match rate.split(arrival) {
                (micros, 0) => micros.to_string(),
                (micros, part) => format!("{micros}/{part}"),
            },
            (Self::Window { segment, .. }, _) => (micros / segment).to_string(),
            _ => String::new(),
        }
    }
}

/// What a policy is called in Redis. Those that differ in name or settings have different ones, whichever process writes them: what is
/// behind the name has no colon in it.
pub(super) fn named(policy: &Policy) -> String {
    let (limit, period, burst) = policy.settings();
    let (name, period) = (policy.name(), plain(period));
    match burst {
        Some(burst) => format!("{name}:{limit}/{period}/{burst}"),
        None => format!("{name}:{limit}/{period}"),
    }
}

/// A client's key as it is kept: short, and telling nothing of a secret. 128 bits, so nobody finds two keys that are kept as one.
pub(super) fn digest(key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(key)[..16])
}

/// In the largest unit of which there is a whole number.
fn plain(time: Duration) -> String {
    let nanos = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let unit = units
        .into_iter()
        .find(|(unit, _)| nanos.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "ns"));
    format!("{}{name}", nanos / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_settings() {
        let day = Duration::from_secs(86_400);
        for (policy, expected) in [
            (Policy::per_second(10).burst(20), "default:10/1s/20"),
            (
                Policy::rate(1, Duration::from_millis(1_500)).named("a:b"),
                "a:b:1/1500ms/1",
            ),
            (
                Policy::rate(7, Duration::from_nanos(1_001)),
                "default:7/1001ns/7",
            ),
            (
                Policy::sliding_window(10_000, day).named("daily"),
                "daily:10000/86400s",
            ),
        ] {
            assert_eq!(named(&policy), expected);
        }
    }

    #[test]
    fn keys_are_short_and_those_of_other_gateways() {
        // printf ada | sha256sum, the first half.
        assert_eq!(digest(b"ada"), "_e5DDUC9V97qwYbNl5ADPQ");
        assert_eq!(digest(&[7; 10_000]).len(), 22);
    }

    #[test]
    fn what_can_not_be_counted_is_a_mistake() {
        let year = Duration::from_secs(31_557_600);
        for (policy, fits) in [
            (Policy::per_second(1_000_000_000).burst(1_000), true),
            (Policy::per_second(999_999_937).burst(1_000), true),
            (Policy::per_second(999_999_937), true),
            (Policy::per_second(999_999_937).burst(10_000_000_000), false),
            (Policy::per_second(1_000_000_000).burst(1 << 50), true),
            (Policy::per_second(1_000_000_000).burst(1 << 60), false),
            (Policy::rate(1, 100 * year), true),
            (Policy::rate(1_000_000, 100 * year), true),
            (
                Policy::rate(999_999_999_999_999_989, 100 * year).burst(1),
                false,
            ),
            (Policy::sliding_window((1 << 44) - 2, 99 * year), true),
            (Policy::per_second(0), false),
        ] {
            let wrong = Shared::new(&policy).err();
            assert_eq!(wrong.is_none(), fits, "{policy:?}: {wrong:?}");
            let named = |wrong: &str| wrong.contains("throttle policy \"default\"");
            assert!(wrong.is_none_or(|wrong| named(&wrong)));
        }
    }
}
