//! A flood of keys that nobody has seen.

use std::time::Duration;

use super::{check, start};
use crate::throttle::{Ask, LocalStore, Policy};

const KEYS: u32 = 20_000;

/// A store in which this many known clients have spent all they have, and others fill the rest.
fn full(policy: &Policy, known: u32) -> LocalStore {
    let store = LocalStore::new().max_keys(KEYS as usize);
    let now = start(&store);
    for key in 0..known {
        let ask = Ask {
            policy,
            key: &key.to_be_bytes(),
            cost: policy.quota(),
        };
        assert!(store.check(&ask, now).is_allowed());
    }
    for key in known..3 * KEYS {
        check(&store, policy, key.to_be_bytes(), now);
    }
    store
}

#[test]
fn a_flood_pushes_nobody_out_and_passes_no_more_than_one_client_for_each_bucket() {
    for policy in [
        Policy::rate(5, Duration::from_secs(3_600)),
        Policy::sliding_window(5, Duration::from_secs(3_600)),
    ] {
        let store = full(&policy, 5_000);
        let now = start(&store) + Duration::from_secs(60);
        let full = store.figures();
        // 20 pages of 1,000 slots, in stripes of one.
        assert_eq!((full.keys, full.evictions), (20 * (3 + 249 * 4), 0));
        let passed = (0..60_000_u64)
            .filter(|key| check(&store, &policy, key.to_be_bytes(), now).is_allowed());
        assert!(passed.count() <= 20 * 5);
        let known = (0..5_000_u32)
            .filter(|key| check(&store, &policy, key.to_be_bytes(), now).is_allowed());
        assert_eq!(known.count(), 0, "they have spent it");
        let after = store.figures();
        assert_eq!((after.keys, after.evictions), (full.keys, 0));
        assert!(after.overflows >= full.overflows + 60_000 - 64);
    }
}

#[test]
fn places_are_free_again_when_all_has_come_back() {
    let policy = Policy::per_second(1);
    let store = full(&policy, 0);
    let before = store.figures();
    let later = start(&store) + Duration::from_secs(2);
    let passed = (0..KEYS / 2)
        .filter(|key| check(&store, &policy, (key + 9 * KEYS).to_be_bytes(), later).is_allowed());
    assert_eq!(passed.count(), KEYS as usize / 2);
    let figures = store.figures();
    assert_eq!(figures.keys, before.keys);
    assert!(
        figures.evictions > u64::from(KEYS) * 49 / 100,
        "{figures:?}"
    );
    assert!(figures.overflows < before.overflows + 100, "{figures:?}");
}

#[test]
fn keys_that_come_and_go_take_the_places_of_those_who_have_gone() {
    let policy = Policy::per_second(1);
    let store = LocalStore::new().max_keys(20_000);
    let start = start(&store);
    for key in 0..300_000_u32 {
        // Ten thousand are alive at a time.
        let now = start + Duration::from_micros(100) * key;
        assert!(check(&store, &policy, key.to_be_bytes(), now).is_allowed());
    }
    let figures = store.figures();
    assert_eq!(figures.overflows, 0);
    assert!((10_000..20_000).contains(&figures.keys), "{figures:?}");
    assert_eq!(figures.keys as u64 + figures.evictions, 300_000);
}

#[test]
fn most_places_can_be_had() {
    let policy = Policy::rate(1, Duration::from_secs(3_600));
    let store = LocalStore::new();
    let now = start(&store);
    for (key, lost) in [(900_000, 30), (1_050_000, 300), (1_200_000, 3_000)] {
        for key in store.figures().keys as u32..key {
            check(&store, &policy, key.to_be_bytes(), now);
        }
        let figures = store.figures();
        assert!(figures.overflows <= lost, "{figures:?}");
    }
}

#[test]
fn the_smallest_store_has_three_places() {
    let policy = Policy::rate(1, Duration::from_secs(60));
    let store = LocalStore::new().max_keys(0);
    let now = start(&store);
    for key in ["a", "b", "c", "from the bucket of all others"] {
        assert!(check(&store, &policy, key, now).is_allowed());
    }
    for key in ["a", "b", "c", "d", "e"] {
        assert!(!check(&store, &policy, key, now).is_allowed());
    }
    assert_eq!((store.figures().keys, store.figures().overflows), (3, 3));
}
