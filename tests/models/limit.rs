//! The permits of a concurrency limit and the queue in front of them.

use std::time::{Duration, Instant};

use loom::{future::block_on, sync::Arc, thread};

use permits::{Entry, Limit};
use priority::Priority::{self, Critical, Normal};
use queue::{Key, Turn};

#[path = "../../src/load/limit.rs"]
#[allow(dead_code, reason = "figures for people")]
mod permits;
#[path = "../../src/load/priority.rs"]
mod priority;
#[path = "../../src/load/queue.rs"]
mod queue;

mod sync {
    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    };

    pub(crate) fn unpoisoned<T>(locked: std::sync::LockResult<T>) -> T {
        locked.unwrap()
    }
}

/// Every order in which no thread is interrupted more than twice: with three threads all of them are too many.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// Nothing here depends on the time.
fn now() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn limit(permits: u32, room: u32) -> Arc<Limit> {
    Arc::new(Limit::new(permits, room, Duration::MAX))
}

fn enter(limit: &Limit, priority: Priority) -> Entry {
    if limit.try_acquire(priority) {
        return Entry::Admitted;
    }
    limit.enter(priority, None, now())
}

/// Waits for the permit, or for the news that there is none.
fn wait(limit: &Limit, key: Key) -> bool {
    let turn = block_on(std::future::poll_fn(|cx| {
        match limit.poll(&key, cx.waker()) {
            Turn::Waiting => std::task::Poll::Pending,
            turn => std::task::Poll::Ready(turn),
        }
    }));
    limit.leave(key, true, now);
    turn == Turn::Admitted
}

fn acquire(limit: &Limit, priority: Priority) -> bool {
    match enter(limit, priority) {
        Entry::Admitted => true,
        Entry::Waiting(key) => wait(limit, key),
        Entry::Shed => false,
    }
}

fn is_back(limit: &Limit) {
    assert_eq!((limit.in_flight(), limit.waiting()), (0, 0));
    assert!(limit.try_acquire(Normal));
}

#[test]
fn who_waits_gets_its_permit_whatever_happens_meanwhile() {
    loom::model(|| {
        let limit = limit(1, 8);
        let run = |limit: Arc<Limit>| {
            move || {
                assert!(acquire(&limit, Normal));
                assert_eq!(limit.in_flight(), 1);
                limit.release(now);
            }
        };
        let other = thread::spawn(run(limit.clone()));
        run(limit.clone())();
        other.join().unwrap();
        is_back(&limit);
    });
}

#[test]
fn three_for_one_permit() {
    check(|| {
        let limit = limit(1, 8);
        let others = [0, 1].map(|_| {
            let limit = limit.clone();
            thread::spawn(move || {
                assert!(acquire(&limit, Normal));
                assert_eq!(limit.in_flight(), 1);
                limit.release(now);
            })
        });
        assert!(acquire(&limit, Normal));
        limit.release(now);
        others.into_iter().for_each(|other| other.join().unwrap());
        is_back(&limit);
    });
}

#[test]
fn without_a_queue_there_are_never_more_than_the_limit() {
    loom::model(|| {
        let limit = limit(1, 0);
        let run = |limit: Arc<Limit>| {
            move || {
                let has = acquire(&limit, Normal);
                if has {
                    assert_eq!(limit.in_flight(), 1);
                    limit.release(now);
                }
                has
            }
        };
        let other = thread::spawn(run(limit.clone()));
        let mine = run(limit.clone())();
        assert!(other.join().unwrap() || mine, "one of them was first");
        is_back(&limit);
    });
}

#[test]
fn a_permit_for_one_who_leaves_is_not_lost() {
    check(|| {
        let limit = limit(1, 8);
        assert!(limit.try_acquire(Normal));
        let Entry::Waiting(first) = enter(&limit, Normal) else {
            panic!("it has to wait");
        };
        let Entry::Waiting(second) = enter(&limit, Normal) else {
            panic!("it has to wait");
        };
        let leaving = {
            let limit = limit.clone();
            thread::spawn(move || limit.leave(first, false, now))
        };
        let waiting = {
            let limit = limit.clone();
            thread::spawn(move || {
                assert!(wait(&limit, second));
                limit.release(now);
            })
        };
        limit.release(now);
        leaving.join().unwrap();
        waiting.join().unwrap();
        is_back(&limit);
    });
}

#[test]
fn a_limit_that_grows_while_one_joins_the_queue_is_seen() {
    loom::model(|| {
        let limit = limit(1, 8);
        assert!(limit.try_acquire(Normal));
        let growing = {
            let limit = limit.clone();
            thread::spawn(move || limit.set(2, now()))
        };
        assert!(acquire(&limit, Normal));
        growing.join().unwrap();
        assert_eq!((limit.in_flight(), limit.waiting()), (2, 0));
        limit.release(now);
        limit.release(now);
        is_back(&limit);
    });
}

#[test]
fn nobody_overtakes_who_waits_for_a_permit_on_its_way() {
    loom::model(|| {
        let limit = limit(1, 8);
        assert!(limit.try_acquire(Normal));
        let Entry::Waiting(first) = enter(&limit, Normal) else {
            panic!("it has to wait");
        };
        let releasing = {
            let limit = limit.clone();
            thread::spawn(move || limit.release(now))
        };
        let Entry::Waiting(second) = enter(&limit, Normal) else {
            panic!("there is one before it");
        };
        releasing.join().unwrap();
        limit.leave(first, false, now);
        limit.leave(second, false, now);
        is_back(&limit);
    });
}

#[test]
fn who_is_displaced_knows_and_the_other_one_gets_in() {
    check(|| {
        let limit = limit(1, 1);
        assert!(limit.try_acquire(Normal) && limit.try_acquire(Critical));
        let Entry::Waiting(key) = enter(&limit, Normal) else {
            panic!("it has to wait");
        };
        let normal = {
            let limit = limit.clone();
            thread::spawn(move || {
                if wait(&limit, key) {
                    limit.release(now);
                }
            })
        };
        let critical = {
            let limit = limit.clone();
            thread::spawn(move || {
                assert!(acquire(&limit, Critical));
                limit.release(now);
            })
        };
        limit.release(now);
        limit.release(now);
        normal.join().unwrap();
        critical.join().unwrap();
        is_back(&limit);
    });
}
