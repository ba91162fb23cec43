//! Several limits at once.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use super::{check, start};
use crate::throttle::{Ask, LocalStore, Policy};

#[test]
fn what_one_refuses_is_spent_nowhere() {
    let store = LocalStore::new();
    let now = start(&store);
    let tight = Policy::per_second(2).named("tight");
    let wide = Policy::sliding_window(1_000, Duration::from_secs(3_600)).named("wide");
    let asks = [
        Ask {
            policy: &wide,
            key: b"user",
            cost: 10,
        },
        Ask {
            policy: &tight,
            key: b"address",
            cost: 1,
        },
    ];
    for left in [1, 0] {
        let said = store.check_all(&asks, now);
        assert!(said.is_allowed());
        assert_eq!(said.as_slice()[0].remaining(), 980 + 10 * left);
        assert_eq!(said.as_slice()[1].remaining(), left);
    }
    for asks in [asks, [asks[1], asks[0]]] {
        let said = store.check_all(&asks, now);
        assert!(!said.is_allowed());
        for (ask, decision) in asks.iter().zip(said.as_slice()) {
            let is_wide = ask.policy.name() == "wide";
            assert_eq!(decision.is_allowed(), is_wide);
            assert_eq!(decision.remaining(), if is_wide { 980 } else { 0 });
        }
        assert_eq!(store.figures().keys, 2);
    }
    // A key that was not known is not known afterwards either.
    let other = [
        Ask {
            key: b"new",
            ..asks[0]
        },
        asks[1],
    ];
    assert!(!store.check_all(&other, now).is_allowed());
    assert_eq!(store.figures().keys, 2);
    assert!(store.check_all(&[], now).is_allowed());
}

#[test]
fn what_is_asked_twice_has_to_be_there_twice() {
    let store = LocalStore::new();
    let now = start(&store);
    let policy = Policy::per_second(5);
    let ask = Ask {
        policy: &policy,
        key: b"a",
        cost: 3,
    };
    assert!(!store.check_all(&[ask, ask], now).is_allowed());
    assert_eq!(store.figures().keys, 0);
    assert!(
        store
            .check_all(&[ask, Ask { cost: 2, ..ask }], now)
            .is_allowed()
    );
    assert!(!store.check(&Ask { cost: 1, ..ask }, now).is_allowed());
}

/// Whatever is in the pages, and whichever slots the two have: what is spent beside somebody who only looks is found again.
#[test]
fn who_goes_past_a_place_that_is_given_back_is_found() {
    let policy = Policy::rate(9, Duration::from_secs(86_400 * 365));
    let ask = |key: &'static [u8], cost| Ask {
        policy: &policy,
        key,
        cost,
    };
    for places in [3, 7, 11, 19] {
        for others in (0..places - 1).flat_map(|others| [others; 60]) {
            // Each store has another hash.
            let store = LocalStore::new().max_keys(places);
            let now = start(&store);
            for other in 0..others as u8 {
                check(&store, &policy, [other], now);
            }
            let both = [ask(b"looks", 0), ask(b"spends", 4)];
            assert!(store.check_all(&both, now).is_allowed());
            assert_eq!(store.figures().overflows, 0, "there is room for all");
            let left = store.peek(&ask(b"spends", 0), now).remaining();
            assert_eq!(left, 5, "{others} others in {places} places");
            assert_eq!(store.peek(&ask(b"looks", 0), now).remaining(), 9);
        }
    }
}

/// A store with three places, in which these have spent something.
fn small<'a>(policy: &'a Policy, known: [&'a [u8]; 3]) -> (LocalStore, [Ask<'a>; 3]) {
    let store = LocalStore::new().max_keys(3);
    let asks = known.map(|key| Ask {
        policy,
        key,
        cost: 2,
    });
    assert!(store.check_all(&asks, start(&store)).is_allowed());
    assert_eq!(store.figures().keys, 3);
    (store, asks)
}

#[test]
fn nobody_loses_a_place_to_who_comes_together_with_them() {
    let policy = Policy::per_second(3);
    // Which one it would be is chance.
    for _ in 0..20 {
        let (store, [a, b, _]) = small(&policy, [b"a", b"b", b"c"]);
        let later = start(&store) + Duration::from_secs(2);
        let asks = [Ask { key: b"new", ..a }, a, b];
        assert!(store.check_all(&asks, later).is_allowed());
        for ask in asks {
            assert!(!store.check(&ask, later).is_allowed());
        }
        let figures = store.figures();
        let told = (figures.keys, figures.evictions, figures.overflows);
        assert_eq!(told, (3, 1, 0), "the third one's place");
    }
}

#[test]
fn those_who_find_no_place_share_what_there_is_in_one_call_too() {
    let policy = Policy::per_second(3);
    let (store, [a, ..]) = small(&policy, [b"a", b"b", b"c"]);
    let now = start(&store);
    let asks = [b"d", b"e"].map(|key| Ask { key, ..a });
    assert!(!store.check_all(&asks, now).is_allowed());
    let look = Ask { cost: 0, ..asks[0] };
    assert_eq!(store.peek(&look, now).remaining(), 3, "nothing is spent");
    let [first, second] = asks;
    assert!(
        store
            .check_all(&[first, Ask { cost: 1, ..second }], now)
            .is_allowed()
    );
    assert_eq!(store.peek(&look, now).remaining(), 0);
    assert_eq!(store.figures().overflows, 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Buckets that never refill, so that what is left is a subtraction.
    #[test]
    fn all_or_nothing(calls in prop::collection::vec(prop::collection::vec((0_usize..5, 0_u8..3, 0_u64..4), 0..12), 1..60)) {
        let day = Duration::from_secs(86_400);
        let policies: Vec<_> = (0..5_u64)
            .map(|at| match at % 2 {
                0 => Policy::rate(4 + at, day * 365),
                _ => Policy::sliding_window(4 + at, day),
            })
            .collect();
        let store = LocalStore::new();
        let now = start(&store);
        let mut left: HashMap<(usize, u8), u64> = HashMap::new();
        for call in calls {
            let asks: Vec<_> = call
                .iter()
                .map(|(policy, key, cost)| Ask { policy: &policies[*policy], key: std::slice::from_ref(key), cost: *cost })
                .collect();
            let mut then = left.clone();
            let is_allowed = call.iter().all(|(policy, key, cost)| {
                let left = then.entry((*policy, *key)).or_insert(policies[*policy].quota());
                let rest = left.checked_sub(*cost);
                *left = rest.unwrap_or(*left);
                rest.is_some()
            });
            let said = store.check_all(&asks, now);
            prop_assert_eq!(said.is_allowed(), is_allowed);
            prop_assert_eq!(said.as_slice().len(), asks.len());
            if is_allowed {
                left = then;
            }
            for (policy, key, _) in call {
                let held = left.get(&(policy, key)).copied().unwrap_or(policies[policy].quota());
                let ask = Ask { policy: &policies[policy], key: &[key], cost: 0 };
                prop_assert_eq!(store.peek(&ask, now).remaining(), held);
            }
        }
    }
}
