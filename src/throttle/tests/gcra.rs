//! Beside the algorithm on rational numbers.

use std::time::Duration;

use proptest::prelude::*;

use crate::throttle::{
    algorithm::{Algorithm, CENTURY},
    decision::Decision,
    gcra::{Gcra, LAST},
};

/// The same in the plainest way: times are counted in nanoseconds ÷ limit, which are whole for everything.
#[derive(Clone, Copy)]
struct Exact {
    limit: u128,
    period: u128,
    burst: u128,
    arrival: u128,
}

impl Exact {
    fn allows(&self, cost: u64, now: u64) -> bool {
        let now = u128::from(now) * self.limit;
        self.arrival.max(now) + u128::from(cost) * self.period <= now + self.burst * self.period
    }

    fn spend(&mut self, cost: u64, now: u64) {
        let held = self.arrival.max(u128::from(now) * self.limit);
        self.arrival = held + u128::from(cost) * self.period;
    }
}

fn both(limit: u64, period: u64, burst: u64) -> Option<(Gcra, Exact)> {
    let gcra = Gcra::new(limit, Duration::from_nanos(period), burst).ok()?;
    let exact = Exact {
        limit: limit.into(),
        period: period.into(),
        burst: burst.into(),
        arrival: 0,
    };
    Some((gcra, exact))
}

/// One step of both: they differ by the rounding of the time at most, and not at all where a unit takes whole nanoseconds.
fn step(gcra: &Gcra, exact: &mut Exact, state: &mut u64, cost: u64, now: u64) -> Decision {
    let (decision, next) = gcra.check(*state, cost, now);
    let (early, late) = match exact.period % exact.limit {
        0 => (0, 0),
        _ => (1, 2),
    };
    if decision.is_allowed() {
        assert!(exact.allows(cost, now + early), "{cost} at {now} is early");
        exact.spend(cost, now);
    } else {
        assert!(
            now < late || !exact.allows(cost, now - late),
            "{cost} at {now} is late"
        );
        assert_eq!(next, *state);
    }
    *state = next;
    decision
}

/// Rates, periods and bursts from one end to the other.
fn settings() -> impl Strategy<Value = (u64, u64, u64)> {
    let limit = prop_oneof![
        1_u64..20,
        1_u64..2_000_000_000,
        Just(1_000_000_000),
        Just(999_999_937),
        any::<u64>(),
    ];
    let period = prop_oneof![
        Just(1_000_000_000_u64),
        1..10_u64,
        1..=CENTURY,
        Just(86_400_000_000_000),
        Just(CENTURY),
    ];
    let burst = prop_oneof![1_u64..20, 1..u64::MAX, Just(u64::MAX)];
    (limit, period, burst)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_is_the_algorithm_on_real_numbers(
        (limit, period, burst) in settings(),
        start in prop_oneof![Just(0), 0..CENTURY / 4],
        steps in prop::collection::vec((0_u64..40, 0_u64..8, any::<u64>()), 1..60),
    ) {
        let Some((gcra, mut exact)) = both(limit, period, burst) else { return Ok(()) };
        let interval = period / limit;
        let (mut now, mut state) = (start, 0);
        let mut passed: Vec<(u64, u128)> = Vec::new();
        for (tenths, share, noise) in steps {
            // About a tenth of the time that one unit takes, and some nanoseconds.
            now = now.saturating_add(interval / 10 * (tenths % 25)).saturating_add(noise % 3);
            // No process has been up for so long.
            if now > CENTURY {
                break;
            }
            let cost = match share {
                0..5 => 1,
                5 => 0,
                6 => burst,
                _ => noise % burst.saturating_add(2).max(1),
            };
            let decision = step(&gcra, &mut exact, &mut state, cost, now);
            if decision.is_allowed() {
                passed.push((now, cost.into()));
            }
            if let Some(retry) = decision.retry_after() && !decision.is_allowed() {
                let retry = retry.as_nanos() as u64;
                let at = |after: u64| gcra.check(state, cost, now + after).0.is_allowed();
                prop_assert!(now + retry > LAST || at(retry), "{cost} is refused after {retry}");
                let early = if period % limit == 0 { 1 } else { 4 };
                prop_assert!(retry < early || !at(retry - early), "{cost} is not refused before {retry}");
            }
            prop_assert_eq!(decision.retry_after().is_none(), cost > burst);
            let left = decision.remaining();
            prop_assert!(left <= burst);
            prop_assert!(gcra.check(state, left, now).0.is_allowed());
            prop_assert!(left == burst || !gcra.check(state, left + 1, now).0.is_allowed());
            let reset = decision.reset_after().as_nanos() as u64;
            let is_told = |after: u64| now + after + 2 <= LAST;
            prop_assert!(!is_told(reset) || gcra.check(state, burst, now + reset + 2).0.is_allowed());
            prop_assert_eq!(gcra.is_idle(state, now), reset == 0);
        }
        // In any span: at most burst + rate × time.
        let (limit, period) = (u128::from(limit), u128::from(period));
        for (first, (from, _)) in passed.iter().enumerate() {
            let mut spent = 0;
            for (until, cost) in &passed[first..] {
                spent += cost;
                let span = u128::from(until - from + 1);
                prop_assert!((spent - u128::from(burst).min(spent)) * period <= span * limit);
            }
        }
    }

    #[test]
    fn no_state_and_no_time_is_too_much(
        (limit, period, burst) in settings(), state: u64, cost: u64, now: u64,
    ) {
        let Some((gcra, _)) = both(limit, period, burst) else { return Ok(()) };
        for now in [now, u64::MAX, 0] {
            for state in [state, u64::MAX] {
                let (decision, next) = gcra.check(state, cost, now);
                prop_assert!(decision.is_allowed() || next == state);
                let charged = gcra.charge(state, cost, now);
                prop_assert!(charged >= state);
                gcra.is_idle(charged, now);
            }
        }
    }
}

/// Nothing is lost and nothing is won in millions of steps, by a client who always comes as early as it may.
#[test]
fn nothing_drifts() {
    let second = 1_000_000_000;
    for (limit, period, burst, cost) in [
        (3, second, 3, 1),
        (7, second, 100, 3),
        (999_999_937, second, 10, 1),
        (10_007, 86_400 * second, 10_007, 1),
        (1_000, second, 1, 1),
        (999_999_999_999_999_989, CENTURY, 5, 1),
    ] {
        let (gcra, mut exact) = both(limit, period, burst).unwrap();
        let (mut now, mut state, mut passed) = (0, 0, 0_u128);
        while passed < 400_000 {
            let decision = step(&gcra, &mut exact, &mut state, cost, now);
            passed += u128::from(decision.is_allowed());
            now += decision.retry_after().unwrap().as_nanos() as u64;
        }
        // The last one passed at the time at which it is due.
        let units = passed * u128::from(cost) - u128::from(burst);
        let due = (units * exact.period).div_ceil(exact.limit);
        assert!(
            u128::from(now).abs_diff(due) <= 4,
            "{now} and {due}: {limit}"
        );
    }
}

#[test]
fn the_same_moment_has_a_whole_burst() {
    for (limit, period, burst) in [
        (3, 1_000_000_000, 5),
        (1_000_000_000, 1_000_000_000, 1_000),
        (1, CENTURY, 1),
        (999_999_937, 1_000_000_000, 7),
    ] {
        let (gcra, _) = both(limit, period, burst).unwrap();
        for now in [0, 1, 12_345_678_901, CENTURY] {
            let mut state = 0;
            for left in (0..burst).rev() {
                let (decision, next) = gcra.check(state, 1, now);
                assert!(decision.is_allowed());
                assert_eq!(decision.remaining(), left);
                state = next;
            }
            assert!(!gcra.check(state, 1, now).0.is_allowed());
        }
    }
}

#[test]
fn a_charge_is_paid_back_before_anything_else_passes() {
    let (gcra, _) = both(10, 1_000_000_000, 10).unwrap();
    let ms = 1_000_000;
    let state = gcra.charge(0, 15, 0);
    let (decision, same) = gcra.check(state, 1, 0);
    assert_eq!((decision.is_allowed(), decision.remaining()), (false, 0));
    assert_eq!(same, state);
    assert_eq!(decision.retry_after(), Some(Duration::from_millis(600)));
    assert_eq!(decision.reset_after(), Duration::from_millis(1_500));
    assert!(!gcra.check(state, 0, 0).0.is_allowed(), "it is in debt");
    assert!(gcra.check(state, 0, 500 * ms).0.is_allowed());
    assert!(!gcra.check(state, 1, 600 * ms - 1).0.is_allowed());
    assert!(gcra.check(state, 1, 600 * ms).0.is_allowed());
}

proptest! {
    #[test]
    fn nobody_owes_more_than_a_burst(
        (limit, period, burst) in settings(),
        charges in prop::collection::vec((prop_oneof![0..20_u64, any::<u64>()], 0..CENTURY / 100), 1..20),
    ) {
        let Some((gcra, _)) = both(limit, period, burst) else { return Ok(()) };
        let whole = gcra.check(0, burst, 0).0.reset_after().as_nanos() as u64;
        let (mut state, mut now) = (0, 0);
        for (cost, passed) in charges {
            now += passed;
            state = gcra.charge(state, cost, now);
            prop_assert!(gcra.check(state, 0, now + whole + 2).0.is_allowed());
        }
        let deep = gcra.charge(state, u64::MAX, now);
        prop_assert!(whole < 4 || !gcra.check(deep, 0, now + whole - 4).0.is_allowed(), "it is a whole burst");
    }
}

#[test]
fn who_owes_more_was_allowed_to() {
    let (gcra, _) = both(10, 1_000_000_000, 10).unwrap();
    let debt = |gcra: Gcra, cost| {
        let decision = gcra.check(gcra.charge(0, cost, 0), 0, 0).0;
        decision.retry_after().unwrap().as_millis()
    };
    assert_eq!((debt(gcra, 25), debt(gcra, u64::MAX)), (1_000, 1_000));
    let owing = gcra.owing(30);
    assert_eq!((debt(owing, 25), debt(owing, u64::MAX)), (1_500, 3_000));
    // A debt that is there is not made less by a clock that goes back.
    let state = gcra.charge(0, 30, 5_000_000_000);
    assert_eq!(gcra.charge(state, 1, 1), state);
}

#[test]
fn a_clock_that_goes_back_gives_nothing() {
    let (gcra, _) = both(10, 1_000_000_000, 10).unwrap();
    let (_, state) = gcra.check(0, 10, 1_000_000_000);
    let (decision, _) = gcra.check(state, 1, 999_999_000);
    assert!(!decision.is_allowed());
    assert_eq!(decision.remaining(), 0);
    assert_eq!(
        decision.retry_after(),
        Some(Duration::from_nanos(100_001_000))
    );
}
