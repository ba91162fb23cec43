//! The table, beside a map that forgets nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::throttle::{
    algorithm::Algorithm,
    decision::Decision,
    store::shard::{Before, Shard},
};

/// One for each of ten moments.
struct Simple;

impl Algorithm for Simple {
    type State = u64;

    fn check(&self, state: u64, cost: u64, now: u64) -> (Decision, u64) {
        let next = state.max(now) + cost;
        if next <= now + 10 {
            (Decision::allow(now + 10 - next, 1, next - now), next)
        } else {
            (Decision::refuse(0, 1, 0, next - now - 10), state)
        }
    }

    fn charge(&self, state: u64, cost: u64, now: u64) -> u64 {
        state.max(now) + cost
    }

    fn is_idle(&self, state: u64, now: u64) -> bool {
        state <= now
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Spend(u64),
    Undone(u64),
    Peek(u64),
    Charge(u64),
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64, u64)>> {
    let step = prop_oneof![
        4 => (0_u64..5).prop_map(Step::Spend),
        1 => (0_u64..5).prop_map(Step::Undone),
        1 => (0_u64..12).prop_map(Step::Peek),
        1 => (0_u64..12).prop_map(Step::Charge),
    ];
    // Tags that are close to each other have the same home, and some are at the end of the table.
    let tag = prop_oneof![
        1_u64..20,
        u64::MAX - 20..=u64::MAX,
        any::<u64>().prop_map(|tag| tag.max(1) & !0xff_ffff | 1)
    ];
    prop::collection::vec((step, tag, 0_u64..3), 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_key_has_its_state_and_there_are_never_too_many(steps in steps(), most in 1_usize..40) {
        let mut shard = Shard::new(most);
        // Of whoever is not idle, and what those share who find no place.
        let (mut known, mut overflow) = (BTreeMap::new(), 0);
        let mut now = 0;
        for (step, tag, passed) in steps {
            now += passed;
            known.retain(|_, state| *state > now);
            let (keys, overflowed) = (shard.keys(), shard.overflowed());
            let a = &Simple;
            let state = known.get(&tag).copied();
            let held = state.unwrap_or(0);
            match step {
                Step::Spend(cost) | Step::Undone(cost) => {
                    let (decision, before) = shard.spend(a, tag, cost, now);
                    let is_overflow = shard.overflowed() > overflowed;
                    prop_assert!(!is_overflow || state.is_none() && known.len() == most, "room for all that are not idle");
                    let model = if is_overflow { overflow } else { held };
                    let (expected, next) = a.check(model, cost, now);
                    prop_assert_eq!(decision, expected);
                    let is_undone = matches!(step, Step::Undone(_));
                    if is_undone {
                        shard.restore(tag, before);
                    }
                    if is_undone || !decision.is_allowed() {
                    } else if is_overflow {
                        overflow = next;
                    } else {
                        known.insert(tag, next);
                    }
                }
                Step::Peek(cost) => {
                    let decision = shard.peek(a, tag, cost, now);
                    let own = a.check(held, cost, now).0;
                    let shared = a.check(overflow, cost, now).0;
                    let is_full = state.is_none() && known.len() == most;
                    prop_assert!(decision == own && !is_full || decision == shared && is_full);
                }
                Step::Charge(cost) => {
                    shard.charge(a, tag, cost, now);
                    if shard.overflowed() > overflowed {
                        prop_assert!(state.is_none() && known.len() == most);
                        overflow = a.charge(overflow, cost, now);
                    } else {
                        known.insert(tag, a.charge(held, cost, now));
                    }
                }
            }
            known.retain(|_, state| *state > now);
            prop_assert!(shard.keys() <= most && shard.keys() >= known.len());
            prop_assert!(shard.keys() <= keys + 1);
            for (tag, state) in &known {
                prop_assert_eq!(shard.peek(a, *tag, 0, now), a.check(*state, 0, now).0);
            }
        }
        // When all is idle, all places can be had.
        let later = now + 1_000;
        for tag in 1..=most as u64 {
            prop_assert!(shard.spend(a(), tag << 40 | 1, 1, later).0.is_allowed());
        }
        let overflowed = shard.overflowed();
        let (_, before) = shard.spend(a(), 77, 1, later);
        prop_assert!(matches!(before, Before::Overflow(_)) && shard.overflowed() == overflowed + 1);
    }
}

fn a() -> &'static Simple {
    &Simple
}
