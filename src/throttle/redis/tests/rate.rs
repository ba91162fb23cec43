//! Beside the algorithm of the local store.

use std::time::Duration;

use proptest::prelude::*;

use crate::throttle::{algorithm::Algorithm, gcra::Gcra, redis::rate::Rate};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_000_000_000;

fn settings() -> impl Strategy<Value = (u64, u64, u64)> {
    let limit = prop_oneof![
        1_u64..20,
        1_u64..2_000_000,
        Just(1_000_000_000),
        Just(999_999_937)
    ];
    let period = prop_oneof![
        Just(SECOND),
        Just(86_400 * SECOND),
        1..SECOND,
        SECOND..=366 * 86_400 * SECOND,
    ];
    let burst = prop_oneof![1_u64..20, 1_u64..1_000_000];
    (limit, period, burst)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_decides_as_gcra_does_but_for_two_nanoseconds(
        (limit, period, burst) in settings(),
        steps in prop::collection::vec((0_u64..30, 0_u64..8, any::<u64>()), 1..60),
    ) {
        let Ok(gcra) = Gcra::new(limit, Duration::from_nanos(period), burst) else { return Ok(()) };
        let Ok(rate) = Rate::new(limit, period, burst) else { return Ok(()) };
        let (mut micros, mut arrival, mut ticks) = (START, 0, 0);
        for (tenths, share, noise) in steps {
            micros += period / limit / 10_000 * (tenths % 25) + noise % 3;
            let cost = match share {
                0..5 => 1,
                5 => 0,
                6 => burst,
                _ => noise % (burst + 2),
            };
            let (decision, next) = rate.check(arrival, cost, micros);
            let (other, then) = gcra.check(ticks, cost, micros * 1_000);
            if period % limit == 0 && (period / limit) % 1_000 == 0 {
                prop_assert_eq!(decision, other);
            } else if decision.is_allowed() != other.is_allowed() {
                // By how much it is missed or made.
                let parts = u128::from(rate.parts);
                let gap = |by: u128| {
                    let after = rate.check(arrival, cost, micros + 1).0.is_allowed();
                    prop_assert!(by <= 2 && (after || decision.is_allowed()));
                    Ok(())
                };
                let held = arrival.max(u128::from(micros) * parts);
                let interval = u128::from(rate.whole) * parts + u128::from(rate.part);
                let most = u128::from(micros) * parts + u128::from(burst) * interval;
                let missed = (held + u128::from(cost) * interval).abs_diff(most);
                gap(missed * 1_000 / parts)?;
                // From here on they have different histories.
                break;
            }
            if let Some(retry) = decision.retry_after() && !decision.is_allowed() {
                let retry = retry.as_nanos() as u64 / 1_000;
                prop_assert!(rate.check(arrival, cost, micros + retry).0.is_allowed());
                prop_assert!(!rate.check(arrival, cost, micros + retry - 1).0.is_allowed());
            }
            let left = decision.remaining();
            prop_assert!(rate.check(next, left, micros).0.is_allowed());
            prop_assert!(left == burst || !rate.check(next, left + 1, micros).0.is_allowed());
            let reset = decision.reset_after().as_nanos() as u64 / 1_000;
            prop_assert_eq!(rate.check(next, 0, micros + reset).0.remaining(), burst);
            (arrival, ticks) = (next, then);
        }
    }
}

#[test]
fn fractions_are_as_small_as_they_can_be() {
    for (limit, period, burst, expected) in [
        (10, SECOND, 20, (100_000, 0, 1)),
        (3, SECOND, 5, (333_333, 1, 3)),
        (1_000_000_000, SECOND, 7, (0, 1, 1_000)),
        (4, 1_001, 1, (0, 1_001, 4_000)),
    ] {
        let rate = Rate::new(limit, period, burst).unwrap();
        assert_eq!((rate.whole, rate.part, rate.parts), expected);
    }
}
