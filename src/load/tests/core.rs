//! The permits and the queue, compared with a straightforward model.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Wake, Waker},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::super::{
    limit::{Entry, Limit},
    priority::Priority::{self, Critical, Normal, Sheddable},
    queue::{Key, Turn},
};

#[derive(Default)]
struct Calls(AtomicU32);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn wait(limit: &Limit, priority: Priority, now: Instant) -> Key {
    match limit.enter(priority, None, now) {
        Entry::Waiting(key) => key,
        other => panic!("{other:?}"),
    }
}

fn turn(limit: &Limit, key: &Key) -> Turn {
    limit.poll(key, Waker::noop())
}

/// Those of `keys` that have a permit.
fn admitted(limit: &Limit, keys: &[Key]) -> Vec<usize> {
    let has = |at: &usize| turn(limit, &keys[*at]) == Turn::Admitted;
    (0..keys.len()).filter(has).collect()
}

#[test]
fn order_is_fifo_and_under_overload_lifo() {
    let start = crate::clock::now();
    for (lifo_after, orders) in [
        (Duration::MAX, [0, 1, 2]),
        (ms(100), [0, 2, 1]),
        (Duration::ZERO, [2, 1, 0]),
    ] {
        let limit = Limit::new(1, 9, lifo_after);
        assert!(limit.try_acquire(Normal));
        let mut keys: Vec<_> = (0..3).map(|at| (at, wait(&limit, Normal, start))).collect();
        let mut seen = Vec::new();
        for at in [100, 101, 102] {
            limit.release(|| start + ms(at));
            let next = keys
                .iter()
                .position(|(_, key)| turn(&limit, key) == Turn::Admitted);
            let (id, key) = keys.remove(next.unwrap());
            limit.leave(key, true, || start);
            seen.push(id);
        }
        assert_eq!(seen, orders, "{lifo_after:?}");
        limit.release(|| start);
        assert_eq!((limit.in_flight(), limit.waiting()), (0, 0));
    }
}

#[test]
fn overload_is_over_when_the_queue_was_empty_once() {
    let start = crate::clock::now();
    let limit = Limit::new(1, 9, ms(100));
    assert!(limit.try_acquire(Normal));
    let first = wait(&limit, Normal, start);
    limit.release(|| start + ms(500));
    let later = [0, 0].map(|_| wait(&limit, Normal, start + ms(500)));
    limit.leave(first, false, || start + ms(600));
    assert_eq!(admitted(&limit, &later), [0]);
}

#[test]
fn nobody_overtakes_who_waits() {
    let now = crate::clock::now();
    let limit = Limit::new(1, 9, Duration::MAX);
    assert!(limit.try_acquire(Normal));
    let first = wait(&limit, Normal, now);
    assert!(!limit.try_acquire(Normal) && !limit.try_acquire(Critical));
    // One who is greater may have the one permit more, though someone waits.
    assert!(matches!(limit.enter(Critical, None, now), Entry::Admitted));
    limit.release(|| now);
    assert_eq!(
        turn(&limit, &first),
        Turn::Waiting,
        "two are in flight with it"
    );
    limit.release(|| now);
    assert_eq!(turn(&limit, &first), Turn::Admitted);
    assert_eq!((limit.in_flight(), limit.waiting()), (1, 0));
}

#[test]
fn the_least_are_shed_first() {
    let now = crate::clock::now();
    let limit = Limit::new(8, 4, Duration::MAX);
    let mut count = 0;
    for (priority, most) in [(Sheddable, 6), (Normal, 8), (Critical, 9)] {
        while limit.try_acquire(priority) {
            count += 1;
        }
        assert_eq!(count, most, "{priority:?}");
    }
    let sheddable = [0, 0].map(|_| wait(&limit, Sheddable, now));
    assert!(matches!(limit.enter(Sheddable, None, now), Entry::Shed));
    let normal = [0, 0].map(|_| wait(&limit, Normal, now));
    let calls = Arc::new(Calls::default());
    let waker = Waker::from(calls.clone());
    limit.poll(&sheddable[1], &waker);
    let third = wait(&limit, Normal, now);
    assert_eq!(calls.0.load(Ordering::Relaxed), 1, "the shed one is woken");
    assert_eq!(
        turn(&limit, &sheddable[1]),
        Turn::Shed,
        "the last of the least"
    );
    assert_eq!(turn(&limit, &sheddable[0]), Turn::Waiting);
    let critical = [0, 0, 0, 0].map(|_| wait(&limit, Critical, now));
    assert!(matches!(limit.enter(Critical, None, now), Entry::Shed));
    assert!(matches!(limit.enter(Normal, None, now), Entry::Shed));
    for key in sheddable.iter().chain(&normal).chain([&third]) {
        assert_eq!(turn(&limit, key), Turn::Shed);
    }
    assert_eq!(limit.waiting(), 4);
    limit.release(|| now);
    assert_eq!(admitted(&limit, &critical), [0]);
}

#[test]
fn the_greater_goes_first() {
    let now = crate::clock::now();
    let limit = Limit::new(1, 9, Duration::MAX);
    assert!(limit.try_acquire(Normal) && limit.try_acquire(Critical));
    let keys = [Sheddable, Normal, Critical].map(|priority| wait(&limit, priority, now));
    limit.release(|| now);
    assert_eq!(admitted(&limit, &keys), [2]);
    limit.release(|| now);
    assert_eq!(admitted(&limit, &keys), [2]);
    limit.release(|| now);
    assert_eq!(admitted(&limit, &keys), [1, 2]);
    limit.release(|| now);
    assert_eq!(admitted(&limit, &keys), [0, 1, 2]);
}

#[test]
fn a_permit_of_one_who_has_just_left_goes_on() {
    let now = crate::clock::now();
    let limit = Limit::new(1, 9, Duration::MAX);
    assert!(limit.try_acquire(Normal));
    let [first, second, third] = [0, 0, 0].map(|_| wait(&limit, Normal, now));
    limit.leave(second, false, || now);
    assert_eq!(limit.waiting(), 2);
    limit.release(|| now);
    assert_eq!(turn(&limit, &first), Turn::Admitted);
    limit.leave(first, false, || now);
    assert_eq!(turn(&limit, &third), Turn::Admitted);
    limit.leave(third, true, || now);
    assert_eq!((limit.in_flight(), limit.waiting()), (1, 0));
}

#[test]
fn who_would_be_too_late_does_not_wait() {
    let start = crate::clock::now();
    let limit = Limit::new(1, 9, Duration::MAX);
    assert!(limit.try_acquire(Normal));
    let enter = |priority, deadline, at| {
        let entry = limit.enter(priority, Some(start + ms(deadline)), start + ms(at));
        matches!(entry, Entry::Waiting(_))
    };
    assert!(!enter(Normal, 10, 10), "its deadline is now");
    assert!(enter(Normal, 11, 10), "nothing is known yet");
    assert!(enter(Normal, 11, 10));
    assert!(enter(Normal, 11, 10));
    limit.release(|| start + ms(20));
    // One in 10 ms; two are waiting.
    assert!(!enter(Normal, 50, 20), "it would be the third");
    assert!(enter(Normal, 51, 20));
    assert!(!enter(Critical, 30, 20));
    assert!(enter(Critical, 31, 20), "nobody is before it");
    assert!(!enter(Critical, 150, 100), "there was none for 80 ms");
    assert!(enter(Critical, 261, 100));
    let limit = Limit::new(1, 9, Duration::MAX);
    assert!(limit.try_acquire(Normal));
    let _keys = [0, 0, 0].map(|_| wait(&limit, Normal, start));
    limit.release(|| start + ms(10));
    limit.release(|| start + ms(40));
    let wait = (10 * 3 + 30) / 4 * 2;
    let late = start + ms(40 + wait);
    let enter = |deadline| limit.enter(Normal, Some(deadline), start + ms(40));
    assert!(matches!(enter(late), Entry::Shed), "it would be the second");
    assert!(matches!(enter(late + ms(1)), Entry::Waiting(_)));
}

#[test]
fn a_greater_limit_wakes_and_a_smaller_one_takes_nothing_back() {
    let now = crate::clock::now();
    let limit = Limit::new(1, 99, Duration::MAX);
    assert!(limit.try_acquire(Normal));
    let keys: Vec<_> = (0..20).map(|_| wait(&limit, Normal, now)).collect();
    let calls = Arc::new(Calls::default());
    for key in &keys {
        limit.poll(key, &Waker::from(calls.clone()));
    }
    limit.set(11, now);
    assert_eq!(calls.0.load(Ordering::Relaxed), 10);
    assert_eq!(admitted(&limit, &keys), (0..10).collect::<Vec<_>>());
    limit.set(0, now);
    assert_eq!((limit.limit(), limit.in_flight()), (1, 11));
    for in_flight in (1..11).rev() {
        limit.release(|| now);
        assert_eq!(limit.in_flight(), in_flight);
    }
    limit.release(|| now);
    assert_eq!(
        admitted(&limit, &keys).len(),
        11,
        "now there is room for one"
    );
}

/// What may happen to a limit.
#[derive(Clone, Debug)]
enum Step {
    Come(Priority),
    /// One in flight ends.
    End,
    /// A waiter leaves, whatever has become of it.
    Leave(prop::sample::Index),
    /// A waiter looks, and takes what it has.
    Look(prop::sample::Index),
    Set(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::sample::select(&Priority::ALL).prop_map(Step::Come),
        2 => Just(Step::End),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        3 => any::<prop::sample::Index>().prop_map(Step::Look),
        1 => (1_u32..6).prop_map(Step::Set),
    ]
}

/// The same by plain lists: who waits, in the order in which they came.
struct Model {
    limit: u32,
    in_flight: u32,
    waiting: Vec<(usize, Priority)>,
    admitted: Vec<usize>,
}

impl Model {
    fn hand_on(&mut self, lifo: bool) {
        while let Some(top) = self.waiting.iter().map(|(_, priority)| *priority).max()
            && self.in_flight < top.share_of_limit(self.limit)
        {
            let mut ids = self.waiting.iter().filter(|(_, other)| *other == top);
            let next = if lifo { ids.next_back() } else { ids.next() };
            let (id, _) = *next.unwrap();
            self.waiting.retain(|(other, _)| *other != id);
            self.admitted.push(id);
            self.in_flight += 1;
        }
    }

    fn come(&mut self, id: usize, priority: Priority, room: u32, lifo: bool) {
        let below = |other: &(usize, Priority)| other.1 < priority;
        let free = self.in_flight < priority.share_of_limit(self.limit);
        if free && self.waiting.iter().all(below) {
            self.in_flight += 1;
            self.admitted.push(id);
            return;
        }
        if self.waiting.len() as u32 >= priority.share_of_queue(room) {
            let Some(least) = self.waiting.iter().map(|waiter| waiter.1).min() else {
                return;
            };
            if least >= priority {
                return;
            }
            let at = self.waiting.iter().rposition(|waiter| waiter.1 == least);
            self.waiting.remove(at.unwrap());
        }
        self.waiting.push((id, priority));
        self.hand_on(lifo);
    }
}

proptest! {
    #[test]
    fn it_does_what_plain_lists_do(
        room in 0_u32..6,
        lifo in any::<bool>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let start = crate::clock::now();
        let limit = Limit::new(2, room, if lifo { Duration::ZERO } else { Duration::MAX });
        let mut model = Model { limit: 2, in_flight: 0, waiting: Vec::new(), admitted: Vec::new() };
        let mut keys: Vec<(usize, Key)> = Vec::new();
        let mut held = 0;
        for (id, step) in steps.into_iter().enumerate() {
            let now = start + ms(id as u64 + 1);
            match step {
                Step::Come(priority) => {
                    model.come(id, priority, room, lifo);
                    if limit.try_acquire(priority) {
                        held += 1;
                    } else {
                        match limit.enter(priority, None, now) {
                            Entry::Admitted => held += 1,
                            Entry::Waiting(key) => keys.push((id, key)),
                            Entry::Shed => prop_assert!(model.waiting.iter().all(|(other, _)| *other != id)),
                        }
                    }
                }
                Step::End if held > 0 => {
                    held -= 1;
                    limit.release(|| now);
                    model.in_flight -= 1;
                    model.hand_on(lifo);
                }
                Step::Leave(index) if !keys.is_empty() => {
                    let (id, key) = keys.remove(index.index(keys.len()));
                    limit.leave(key, false, || now);
                    if model.admitted.contains(&id) {
                        model.in_flight -= 1;
                        model.hand_on(lifo);
                    }
                    model.waiting.retain(|(other, _)| *other != id);
                }
                Step::Look(index) if !keys.is_empty() => {
                    let at = index.index(keys.len());
                    if turn(&limit, &keys[at].1) == Turn::Admitted {
                        let (_, key) = keys.remove(at);
                        limit.leave(key, true, || now);
                        held += 1;
                    }
                }
                Step::Set(most) => {
                    model.limit = most;
                    model.hand_on(lifo);
                    limit.set(most, now);
                }
                Step::End | Step::Leave(_) | Step::Look(_) => {}
            }
            prop_assert_eq!(limit.in_flight(), model.in_flight);
            prop_assert_eq!(limit.waiting() as usize, model.waiting.len());
            for (id, key) in &keys {
                let expected = if model.waiting.iter().any(|(other, _)| other == id) {
                    Turn::Waiting
                } else if model.admitted.contains(id) {
                    Turn::Admitted
                } else {
                    Turn::Shed
                };
                prop_assert_eq!(turn(&limit, key), expected, "{}", id);
            }
        }
        for (_, key) in keys {
            limit.leave(key, false, || start);
        }
        (0..held).for_each(|_| limit.release(|| start));
        prop_assert_eq!((limit.in_flight(), limit.waiting()), (0, 0));
    }
}
