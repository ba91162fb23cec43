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
fn a_flood_pushes_nobody_out_and_passes_no_more_than_one_client_for_each_shard() {
    for policy in [
        Policy::rate(5, Duration::from_secs(3_600)),
        Policy::sliding_window(5, Duration::from_secs(3_600)),
    ] {
        let store = full(&policy, 5_000);
        let now = start(&store) + Duration::from_secs(60);
        let full = store.figures();
        assert_eq!(
            (full.keys, full.evictions),
            (KEYS as usize - 32, 0),
            "64 shards of 312"
        );
        let passed = (0..200_000_u64)
            .filter(|key| check(&store, &policy, key.to_be_bytes(), now).is_allowed());
        assert!(passed.count() <= 64 * 5);
        let known = (0..5_000_u32)
            .filter(|key| check(&store, &policy, key.to_be_bytes(), now).is_allowed());
        assert_eq!(known.count(), 0, "they have spent it");
        let after = store.figures();
        assert_eq!((after.keys, after.evictions), (full.keys, 0));
        assert!(after.overflows >= full.overflows + 200_000 - 64);
    }
}

#[test]
fn places_are_free_again_when_all_has_come_back() {
    let policy = Policy::per_second(1);
    let store = full(&policy, 0);
    let later = start(&store) + Duration::from_secs(2);
    // Each looks at some places, so the first few of each shard may still find none.
    let passed = (0..KEYS / 2)
        .filter(|key| check(&store, &policy, (key + 9 * KEYS).to_be_bytes(), later).is_allowed());
    assert_eq!(passed.count(), KEYS as usize / 2);
    let figures = store.figures();
    assert!(figures.evictions > 0 && figures.keys <= KEYS as usize);
}

#[test]
fn keys_that_come_and_go_take_no_more_than_they_need() {
    let policy = Policy::per_second(1);
    let store = LocalStore::new();
    let start = start(&store);
    for key in 0..300_000_u32 {
        // Ten thousand are alive at a time.
        let now = start + Duration::from_micros(100) * key;
        assert!(check(&store, &policy, key.to_be_bytes(), now).is_allowed());
    }
    let figures = store.figures();
    assert_eq!(figures.overflows, 0);
    assert!((10_000..20_000).contains(&figures.keys), "{figures:?}");
}

#[test]
fn the_smallest_store_has_one_place() {
    let policy = Policy::rate(1, Duration::from_secs(60));
    let store = LocalStore::new().max_keys(0);
    let now = start(&store);
    assert!(check(&store, &policy, "a", now).is_allowed());
    assert!(
        check(&store, &policy, "b", now).is_allowed(),
        "from the bucket of all others"
    );
    for key in ["a", "b", "c"] {
        assert!(!check(&store, &policy, key, now).is_allowed());
    }
    assert_eq!((store.figures().keys, store.figures().overflows), (1, 3));
}
