mod full;
mod several;
mod table;
mod threads;

use std::time::{Duration, Instant};

use super::{Ask, LocalStore};
use crate::throttle::{Decision, Policy};

/// The store's epoch, and a little.
fn start(store: &LocalStore) -> Instant {
    store.epoch
}

fn check(store: &LocalStore, policy: &Policy, key: impl AsRef<[u8]>, now: Instant) -> Decision {
    let key = key.as_ref();
    store.check(
        &Ask {
            policy,
            key,
            cost: 1,
        },
        now,
    )
}

#[test]
fn keys_and_policies_do_not_share() {
    let store = LocalStore::new();
    let now = start(&store);
    let rate = Policy::per_second(2);
    let other = Policy::per_second(2).named("other");
    let window = Policy::sliding_window(2, Duration::from_secs(60));
    for policy in [&rate, &other, &window, &rate.clone().burst(3)] {
        for key in ["a", "b", ""] {
            let quota = policy.quota();
            let passed = (0..10).filter(|_| check(&store, policy, key, now).is_allowed());
            assert_eq!(passed.count() as u64, quota, "{policy:?} {key}");
        }
    }
    let equal = Policy::rate(2, Duration::from_secs(1));
    assert!(!check(&store, &equal, "a", now).is_allowed());
    assert_eq!(store.figures().keys, 12);
}

#[test]
fn time_brings_it_back() {
    let store = LocalStore::new();
    let policy = Policy::per_second(10).burst(1);
    let at = |ms| start(&store) + Duration::from_millis(ms);
    assert!(check(&store, &policy, "a", at(500)).is_allowed());
    let refused = check(&store, &policy, "a", at(540));
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(60)));
    assert!(!check(&store, &policy, "a", at(599)).is_allowed());
    assert!(check(&store, &policy, "a", at(600)).is_allowed());
    let before_the_epoch = start(&store).checked_sub(Duration::from_secs(1)).unwrap();
    assert!(!check(&store, &policy, "a", before_the_epoch).is_allowed());
}

#[test]
fn a_look_spends_nothing_and_a_charge_always_does() {
    let store = LocalStore::new();
    let now = start(&store);
    let policy = Policy::per_second(10);
    let ask = |cost| Ask {
        policy: &policy,
        key: b"a",
        cost,
    };
    for _ in 0..20 {
        assert!(store.peek(&ask(10), now).is_allowed());
        assert!(!store.peek(&ask(11), now).is_allowed());
    }
    assert_eq!(store.figures().keys, 0);
    store.charge(&ask(0), now);
    assert_eq!(store.figures().keys, 0);
    store.charge(&ask(15), now);
    assert_eq!(store.figures().keys, 1);
    let refused = store.peek(&ask(1), now);
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(600)));
    store.charge(&ask(5), now);
    assert!(
        !store
            .check(&ask(0), now + Duration::from_millis(999))
            .is_allowed()
    );
    assert!(
        store
            .check(&ask(0), now + Duration::from_secs(1))
            .is_allowed()
    );
}

#[test]
fn what_can_not_be_allowed_is_refused_and_takes_no_place() {
    let store = LocalStore::new();
    let now = start(&store);
    let wrong = Policy::per_second(0);
    let refused = check(&store, &wrong, "a", now);
    assert_eq!((refused.is_allowed(), refused.retry_after()), (false, None));
    let policy = Policy::per_second(5);
    let asks = [&policy, &wrong].map(|policy| Ask {
        policy,
        key: b"a",
        cost: 1,
    });
    assert!(!store.check_all(&asks, now).is_allowed());
    let ask = Ask {
        policy: &policy,
        key: b"b",
        cost: 6,
    };
    assert_eq!(store.check(&ask, now).retry_after(), None);
    assert_eq!(store.check(&Ask { cost: 0, ..ask }, now).remaining(), 5);
    assert_eq!(store.figures().keys, 0);

    let many: Vec<_> = (1..=70).map(Policy::per_second).collect();
    let allowed = many
        .iter()
        .filter(|policy| check(&store, policy, "a", now).is_allowed());
    assert_eq!(allowed.count(), 64);
    assert!(check(&store, &many[62], "b", now).is_allowed());
}
