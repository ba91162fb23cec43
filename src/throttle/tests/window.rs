//! Beside a list of all that was spent.

use std::time::Duration;

use proptest::prelude::*;

use crate::throttle::{
    algorithm::{Algorithm, CENTURY},
    window::Window,
};

const SECOND: u64 = 1_000_000_000;

fn window(limit: u64, nanos: u64) -> Window {
    Window::new(limit, Duration::from_nanos(nanos)).unwrap()
}

/// The segments that a window of this limit has, as the documentation has it.
fn segments(limit: u64) -> u64 {
    match limit {
        0..=30 => 15,
        _ => 88 / u64::from((limit + 1).ilog2() + 1) - 1,
    }
}

#[test]
fn the_segments_are_those_of_the_documentation() {
    for (limit, count) in [
        (1, 15),
        (30, 15),
        (2_046, 7),
        (10_000, 5),
        (16_382, 5),
        (4_194_302, 3),
        ((1 << 29) - 1, 1),
        ((1 << 44) - 2, 1),
    ] {
        assert_eq!(segments(limit), count);
        let window = window(limit, 60 * SECOND * count);
        let (decision, state) = window.check([0; 2], limit, 0);
        assert!(decision.is_allowed());
        // It is spent at the very beginning of a segment, and comes back a whole one after the window.
        let over = 60 * SECOND * (count + 1);
        assert_eq!(decision.reset_after(), Duration::from_nanos(over));
        assert!(!window.check(state, 1, over - 1).0.is_allowed());
        assert!(window.check(state, limit, over).0.is_allowed());
    }
}

#[test]
fn a_debt_is_one_within_its_segment_whatever_the_limit() {
    for limit in [1, 2, 3, 7, 10, 15, 31, 1_023, 16_383, (1 << 44) - 2] {
        let window = window(limit, 60 * SECOND);
        let spent = (0..3).fold([0; 2], |state, _| window.charge(state, limit / 3, 0));
        let spent = window.charge(spent, limit - limit / 3 * 3, 0);
        assert!(window.check(spent, 0, 0).0.is_allowed(), "{limit}: no debt");
        let debt = window.charge(spent, 1, 0);
        assert!(!window.check(debt, 0, 0).0.is_allowed(), "{limit}: a debt");
        let more = window.charge(debt, u64::MAX, 0);
        assert!(!window.check(more, 0, 0).0.is_allowed(), "{limit}: more");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_window_has_more_and_none_has_less_than_it_must(
        limit in prop_oneof![1_u64..40, 1_u64..20_000, 1_u64 << 28..(1 << 44) - 1],
        nanos in prop_oneof![SECOND..10 * SECOND, SECOND..=CENTURY, Just(86_400 * SECOND)],
        start in prop_oneof![Just(0), 0..CENTURY / 4],
        steps in prop::collection::vec((0_u64..100, 0_u64..6, any::<u64>()), 1..80),
    ) {
        let window = window(limit, nanos);
        let segment = nanos.div_ceil(segments(limit));
        let (mut now, mut state) = (start, [0; 2]);
        let mut log: Vec<(u64, u64)> = Vec::new();
        // What was spent after this time, and not after that one.
        let spent = |log: &[(u64, u64)], from: u64| -> u64 {
            log.iter().filter(|(at, _)| *at >= from).map(|(_, cost)| cost).sum()
        };
        for (share, kind, noise) in steps {
            now += match share {
                0..50 => 0,
                50..90 => nanos / 400 * (share - 50),
                _ => nanos / 40 * (share - 80),
            } + noise % 2;
            // No process has been up for so long.
            if now > CENTURY {
                break;
            }
            let cost = match kind {
                0..4 => limit / 10 + 1,
                4 => noise % 3,
                _ => noise % (limit + 2),
            };
            let held = state;
            let (decision, next) = window.check(state, cost, now);
            let since = (now + 1).saturating_sub(nanos);
            let kept = now.saturating_sub(nanos + segment);
            if decision.is_allowed() {
                prop_assert!(spent(&log, since) + cost <= limit, "more than the limit in a window");
                log.push((now, cost));
            } else {
                prop_assert!(spent(&log, kept) + cost > limit, "less than it must");
                prop_assert_eq!(next, held);
            }
            // Segments, the plain way.
            let oldest = (now / segment).saturating_sub(segments(limit)) * segment;
            let left = limit - spent(&log, oldest);
            prop_assert_eq!(decision.remaining(), left);
            state = next;
            prop_assert!(window.check(state, left, now).0.is_allowed());
            prop_assert!(!window.check(state, left + 1, now).0.is_allowed());
            match decision.retry_after() {
                None => prop_assert!(cost > limit),
                Some(retry) if decision.is_allowed() => prop_assert!(retry.is_zero()),
                Some(retry) => {
                    let then = now + retry.as_nanos() as u64;
                    prop_assert!(window.check(state, cost, then).0.is_allowed());
                    prop_assert!(!window.check(state, cost, then - 1).0.is_allowed());
                }
            }
            let reset = decision.reset_after().as_nanos() as u64;
            prop_assert!(window.is_idle(state, now + reset));
            prop_assert!(reset == 0 || !window.is_idle(state, now + reset - 1));
        }
    }

    #[test]
    fn no_state_and_no_time_is_too_much(
        limit in 1_u64..(1 << 44) - 1, nanos in SECOND..=CENTURY, state: [u64; 2], cost: u64, now: u64,
    ) {
        let window = window(limit, nanos);
        for now in [now, u64::MAX, 0] {
            let charged = window.charge([0; 2], cost, now);
            let (decision, same) = window.check(charged, cost, now);
            prop_assert!(decision.is_allowed() || same == charged);
            window.check(window.charge(charged, cost, now), 1, now);
            window.is_idle(charged, now);
            // As nothing of ours has made it.
            window.is_idle(state, now);
        }
    }
}

#[test]
fn a_charge_may_go_beyond_the_limit_and_no_further_than_can_be_counted() {
    let window = window(100, 60 * SECOND);
    let state = window.charge([0; 2], u64::MAX, 0);
    let state = window.charge(state, u64::MAX, 0);
    let (decision, _) = window.check(state, 0, SECOND);
    assert_eq!((decision.is_allowed(), decision.remaining()), (false, 0));
    let over = decision.retry_after().unwrap().as_nanos() as u64 + SECOND;
    assert!(window.check(state, 100, over).0.is_allowed());
}

#[test]
fn a_clock_that_goes_back_gives_nothing() {
    let window = window(100, 60 * SECOND);
    let (_, state) = window.check([0; 2], 100, 600 * SECOND);
    let (decision, same) = window.check(state, 1, 599 * SECOND - 1);
    assert_eq!((decision.is_allowed(), decision.remaining()), (false, 0));
    assert_eq!(same, state);
}
