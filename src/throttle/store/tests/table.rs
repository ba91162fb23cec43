//! The places, beside a map that forgets nothing.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use crate::throttle::{
    algorithm::Algorithm,
    gcra::Gcra,
    policy::Limit,
    store::{limiter::Limiter, table::Table},
    window::Window,
};

/// One for each of ten nanoseconds, ten at once.
fn gcra() -> Gcra {
    Gcra::new(1, Duration::from_nanos(1), 10).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Spend(u64),
    Peek(u64),
    Charge(u64),
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64, u64)>> {
    let step = prop_oneof![
        4 => (0_u64..5).prop_map(Step::Spend),
        1 => (0_u64..12).prop_map(Step::Peek),
        1 => (0_u64..12).prop_map(Step::Charge),
    ];
    // Hashes that are close to each other are looked for in the same places.
    let hash = prop_oneof![
        1_u64..20,
        u64::MAX - 20..=u64::MAX,
        any::<u64>().prop_map(|hash| hash & !0xff_ffff | 1)
    ];
    prop::collection::vec((step, hash, 0_u64..3), 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_key_has_its_state_and_there_are_never_too_many(steps in steps(), most in 3_usize..40) {
        let limiter = Limiter::new(0, Limit::Rate(gcra()), most);
        let (a, places) = (gcra(), 3 + (most - 3) / 4 * 4);
        // Of whoever is not idle, and what those share who find no place.
        let (mut known, mut overflow) = (BTreeMap::<u64, u64>::new(), 0);
        let mut now = 0;
        let figures = || limiter.lock(0).figures();
        for (step, hash, passed) in steps {
            now += passed;
            known.retain(|_, state| *state > now);
            let (keys, evicted, overflowed) = figures();
            let held = known.get(&hash).copied();
            let state = held.unwrap_or(0);
            match step {
                Step::Spend(cost) => {
                    let decision = limiter.spend(hash, cost, now);
                    let is_overflow = figures().2 > overflowed;
                    let is_full = held.is_none() && known.len() == places;
                    prop_assert_eq!(is_overflow, is_full, "room for all that are not idle");
                    let model = if is_overflow { overflow } else { state };
                    let (expected, next) = a.check(model, cost, now);
                    prop_assert_eq!(decision, expected);
                    if !decision.is_allowed() {
                    } else if is_overflow {
                        overflow = overflow.max(next);
                    } else {
                        known.insert(hash, next);
                    }
                }
                Step::Peek(cost) => {
                    let decision = limiter.peek(hash, cost, now);
                    let own = a.check(state, cost, now).0;
                    let shared = a.check(overflow, cost, now).0;
                    prop_assert!(decision == own || held.is_none() && decision == shared);
                    prop_assert_eq!(figures(), (keys, evicted, overflowed));
                }
                Step::Charge(cost) => {
                    limiter.charge(hash, cost, now);
                    if figures().2 > overflowed {
                        prop_assert!(held.is_none());
                        if cost > 0 {
                            overflow = a.charge(overflow, cost, now);
                        }
                    } else {
                        known.insert(hash, a.charge(state, cost, now));
                    }
                }
            }
            known.retain(|_, state| *state > now);
            let (after, gone, _) = figures();
            prop_assert!(after <= places && after >= known.len());
            prop_assert!(after as u64 + gone <= keys as u64 + evicted + 1, "one key takes one place");
            for (hash, state) in &known {
                prop_assert_eq!(limiter.peek(*hash, 0, now), a.check(*state, 0, now).0);
            }
        }
        // When all is idle, everybody new finds a place.
        let (later, overflowed) = (now + 1_000, figures().2);
        for hash in 0..most as u64 * 10 {
            prop_assert!(limiter.spend(hash << 40 | 1, 1, later + 20 * hash).is_allowed());
        }
        prop_assert_eq!(figures().2, overflowed);
    }
}

#[test]
fn a_charge_beyond_all_numbers_is_owed_for_a_burst_and_blocks_nobody() {
    let limiter = Limiter::new(0, Limit::Rate(gcra()), 100);
    let whole = limiter.spend(9, 10, 5).reset_after().as_nanos() as u64;
    for _ in 0..2 {
        limiter.charge(7, u64::MAX, 5);
        for _ in 0..2 {
            assert!(!limiter.spend(7, 1, 6).is_allowed());
            assert!(!limiter.spend(7, 0, 4 + whole).is_allowed());
            assert!(!limiter.peek(7, 0, 4 + whole).is_allowed());
            assert!(limiter.peek(7, 0, 5 + whole).is_allowed());
        }
    }
    assert!(limiter.spend(8, 1, 6).is_allowed());
    assert_eq!(limiter.lock(0).figures(), (3, 0, 0));
    // What would be taken for the mark of a state that is worked on, if it were not held below.
    limiter.charge(6, u64::MAX, u64::MAX);
    assert!(limiter.spend(8, 1, u64::MAX).is_allowed());
}

/// A thread that read the clock and came late must not find what it has spent forgotten.
#[test]
fn what_was_forgotten_is_not_given_twice_to_who_is_late() {
    let limiter = Limiter::new(0, Limit::Rate(gcra()), 3);
    for hash in [1, 2, 3] {
        assert!(limiter.spend(hash, 10, 100).is_allowed());
    }
    // All has come back to the first, whose place is taken.
    assert!(limiter.spend(4, 10, 110).is_allowed());
    assert_eq!(limiter.lock(0).figures(), (3, 1, 0));
    // At 105 it had half of its burst; at 110 there is all of it, once.
    assert!(limiter.spend(1, 10, 105).is_allowed());
    assert!(!limiter.spend(1, 1, 110).is_allowed());
}

#[test]
fn nobody_loses_a_place_but_who_has_all() {
    let window = Window::new(10, Duration::from_secs(10)).unwrap();
    for limit in [
        Limit::Rate(Gcra::new(1, Duration::from_secs(1), 10).unwrap()),
        Limit::Window(window),
    ] {
        let second = 1_000_000_000;
        let limiter = Limiter::new(0, limit, 59);
        let allowed = |from: u64, now: u64| {
            let keys = from..from + 200;
            keys.filter(|key| limiter.spend(key << 40, 1, now * second).is_allowed())
                .count()
        };
        assert_eq!(
            allowed(1, 100),
            59 + 10,
            "places, and the bucket of all others"
        );
        assert_eq!(allowed(1, 100), 59);
        assert_eq!(limiter.lock(0).figures().1, 0);
        assert_eq!(allowed(1_000, 200), 59 + 10);
        assert_eq!(limiter.lock(0).figures().1, 59);
    }
}

#[test]
fn there_are_no_more_slots_than_were_asked_for_and_few_less() {
    for slots in (3..3_000).chain([20_000, 100_000, 1_500_000]) {
        let table = Table::<1>::new(slots);
        let has = table.slots_of_page() * table.pages();
        assert!(has <= slots, "{has} of {slots}");
        assert!(has + 4 * table.pages() > slots, "{has} of {slots}");
    }
}
