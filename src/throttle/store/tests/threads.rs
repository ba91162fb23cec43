//! Several threads on the same keys.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::start;
use crate::throttle::{Ask, LocalStore, Policy};

const THREADS: u64 = 4;

/// Runs this on several threads that begin together.
fn together(work: impl Fn(u64) + Sync) {
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

#[test]
fn one_key_of_many_threads_has_exactly_its_burst_and_its_rate() {
    let store = LocalStore::new();
    let policy = Policy::rate(1_000_003, Duration::from_secs(1)).burst(500);
    let (clock, allowed) = (AtomicU64::new(0), AtomicU64::new(0));
    let ask = Ask {
        policy: &policy,
        key: b"one",
        cost: 1,
    };
    together(|_| {
        for _ in 0..50_000 {
            // Time that passes once for all of them, and that each has read when it comes to its turn.
            let now = clock.fetch_add(97, Ordering::Relaxed);
            let now = start(&store) + Duration::from_nanos(now);
            if store.check(&ask, now).is_allowed() {
                allowed.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let passed = clock.load(Ordering::Relaxed) as f64 * 1_000_003e-9;
    let (allowed, most) = (allowed.load(Ordering::Relaxed), 500 + passed as u64);
    // At the end there may be something left for the next one, but not more than a burst's worth of late readings.
    assert!(
        allowed <= most && allowed + 2 >= most,
        "{allowed} of {most}"
    );
}

#[test]
fn several_limits_at_once_are_exact_and_do_not_wait_for_each_other_in_a_circle() {
    let store = LocalStore::new();
    let now = start(&store);
    let hour = Duration::from_secs(3_600);
    let policies = [
        Policy::rate(10_000, hour).named("a"),
        Policy::sliding_window(10_000, hour).named("b"),
        Policy::rate(7_000, hour).named("c"),
    ];
    let allowed = AtomicU64::new(0);
    together(|thread| {
        for turn in 0..5_000_u64 {
            let mut asks: Vec<_> = policies
                .iter()
                .map(|policy| Ask {
                    policy,
                    key: b"shared",
                    cost: 1,
                })
                .collect();
            let own = turn.to_be_bytes();
            asks.push(Ask {
                policy: &policies[0],
                key: &own,
                cost: 1,
            });
            asks.rotate_left((thread + turn) as usize % 4);
            if store.check_all(&asks, now).is_allowed() {
                allowed.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(allowed.load(Ordering::Relaxed), 7_000, "the tightest");
    for (policy, left) in policies.iter().zip([3_000, 3_000, 0]) {
        let ask = Ask {
            policy,
            key: b"shared",
            cost: 0,
        };
        assert_eq!(
            store.peek(&ask, now).remaining(),
            left,
            "a refusal has spent nothing"
        );
    }
}

#[test]
fn one_limit_alone_and_among_several_is_refused_to_nobody_as_long_as_there_is_some() {
    let store = LocalStore::new();
    let now = start(&store);
    let hour = Duration::from_secs(3_600);
    let wide = Policy::rate(20_000, hour).named("wide");
    let tight = Policy::rate(3_000, hour).named("tight");
    let asks = [&wide, &tight].map(|policy| Ask {
        policy,
        key: b"shared",
        cost: 1,
    });
    let [alone, together_allowed] = [AtomicU64::new(0), AtomicU64::new(0)];
    let is_spent = AtomicU64::new(0);
    together(|thread| {
        if thread % 2 == 0 {
            // Whoever is refused gives up.
            while store.check(&asks[0], now).is_allowed() {
                alone.fetch_add(1, Ordering::Relaxed);
            }
            is_spent.fetch_add(1, Ordering::Relaxed);
        } else {
            while is_spent.load(Ordering::Relaxed) == 0 {
                let is_allowed = store.check_all(&asks, now).is_allowed();
                together_allowed.fetch_add(is_allowed.into(), Ordering::Relaxed);
            }
        }
    });
    let several = together_allowed.into_inner();
    assert_eq!(alone.into_inner() + several, 20_000);
    assert_eq!(
        store.peek(&Ask { cost: 0, ..asks[1] }, now).remaining(),
        3_000 - several
    );
}

#[test]
fn threads_that_bring_their_policies_at_once_share_them() {
    for _ in 0..50 {
        let store = LocalStore::new().max_keys(100);
        let now = start(&store);
        let allowed = AtomicU64::new(0);
        together(|thread| {
            for turn in 0..8 {
                let policy = Policy::per_hour(1 + (thread + turn) % 8);
                let ask = Ask {
                    policy: &policy,
                    key: b"k",
                    cost: 1,
                };
                while store.check(&ask, now).is_allowed() {
                    allowed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        assert_eq!(allowed.load(Ordering::Relaxed), 36);
    }
}
