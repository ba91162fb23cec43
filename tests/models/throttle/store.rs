//! The models.

use std::time::Duration;

use loom::{sync::Arc, thread};

use super::limiter::Limiter;
use crate::throttle::{gcra::Gcra, policy::Limit};

/// Three places for all keys, each with one for a nanosecond, and three at once.
fn limiter() -> Arc<Limiter> {
    let gcra = Gcra::new(1, Duration::from_nanos(1), 3).unwrap();
    Arc::new(Limiter::new(0, Limit::Rate(gcra), 3))
}

/// Every order in which no thread is interrupted more than so many times.
fn check(interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.check(model);
}

fn spend(limiter: &Limiter, key: u64, cost: u64, now: u64) -> bool {
    limiter.spend(key, cost, now).is_allowed()
}

/// What is left of a key.
fn left(limiter: &Limiter, key: u64, now: u64) -> u64 {
    limiter.peek(key, 0, now).remaining()
}

/// The other places are taken for long.
fn fill(limiter: &Limiter, now: u64) {
    for key in [1 << 20, 2 << 20] {
        limiter.charge(key, 50, now);
    }
}

#[test]
fn a_known_key_is_never_given_more_than_there_is_nor_less() {
    check(3, || {
        let limiter = limiter();
        assert!(spend(&limiter, 1, 1, 100));
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || [spend(&limiter, 1, 1, 100), spend(&limiter, 1, 1, 100)])
        };
        let mine = [spend(&limiter, 1, 1, 100), spend(&limiter, 1, 1, 100)];
        let theirs = other.join().unwrap();
        let allowed = mine.iter().chain(&theirs).filter(|is_allowed| **is_allowed);
        assert_eq!(allowed.count(), 2);
        assert_eq!(left(&limiter, 1, 100), 0);
    });
}

#[test]
fn a_new_key_of_two_threads_has_one_place() {
    check(3, || {
        let limiter = limiter();
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || spend(&limiter, 1, 2, 100))
        };
        let mine = spend(&limiter, 1, 2, 100);
        assert!(mine ^ other.join().unwrap());
        assert_eq!(left(&limiter, 1, 100), 1);
        assert_eq!(limiter.lock(0).figures(), (1, 0, 0));
    });
}

/// The first key has one left. A thread that is late spends it while another one, for whom all has come back to it, takes its place.
#[test]
fn who_loses_a_place_is_not_taken_for_who_gets_it() {
    for late in [102, 103] {
        for cost in [0, 1, 3] {
            check(3, move || {
                let limiter = limiter();
                assert!(spend(&limiter, 1, 3, 100));
                fill(&limiter, 100);
                let other = {
                    let limiter = limiter.clone();
                    thread::spawn(move || assert!(spend(&limiter, 7, 1, 103)))
                };
                // At 102 there are two, and all after the key was forgotten.
                let is_allowed = spend(&limiter, 1, cost, late);
                assert!(is_allowed || cost == 3);
                other.join().unwrap();
                assert_eq!(left(&limiter, 7, 103), 2, "its own, and nothing else");
                if is_allowed && cost == 3 {
                    assert_eq!(
                        left(&limiter, 1, late),
                        0,
                        "what it has spent is not forgotten"
                    );
                }
            });
        }
    }
}

/// The place goes from the first key to another one, and back: what the other one has spent is not held against the first.
#[test]
fn a_refusal_is_of_the_keys_own_state() {
    check(4, || {
        let limiter = limiter();
        assert!(spend(&limiter, 1, 1, 100));
        fill(&limiter, 100);
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || {
                assert!(spend(&limiter, 7, 3, 101));
                assert!(spend(&limiter, 1, 1, 104));
            })
        };
        let said = limiter.spend(1, 3, 103);
        assert!(said.is_allowed() || said.remaining() == 1, "{said:?}");
        other.join().unwrap();
    });
}

/// Held as one of several, and given back as it was: who comes meanwhile waits, and has what was there.
#[test]
fn what_is_held_and_given_back_was_never_gone() {
    for (is_spent, both) in [(false, 3), (true, 2)] {
        check(3, move || {
            let limiter = limiter();
            assert!(spend(&limiter, 1, 1, 100));
            let other = {
                let limiter = limiter.clone();
                thread::spawn(move || {
                    let spot = limiter.spot(1);
                    let mut locked = limiter.lock(limiter.stripe(spot));
                    let mut held = locked.hold(spot, 100);
                    let is_allowed = held.spend(&limiter, 2).is_allowed();
                    if !is_spent {
                        held.undo();
                    }
                    locked.release(held);
                    is_allowed && is_spent
                })
            };
            let mine = [spend(&limiter, 1, 1, 100), spend(&limiter, 1, 1, 100)];
            let theirs = other.join().unwrap();
            let spent = 1 + mine.map(u64::from).iter().sum::<u64>() + 2 * u64::from(theirs);
            assert_eq!(left(&limiter, 1, 100), 3 - spent);
            assert!(is_spent || mine == [true, true], "it is there all the time");
            assert!(spent >= both);
        });
    }
}

/// One thread's charge and another's spending are both counted.
#[test]
fn a_charge_is_not_lost() {
    check(3, || {
        let limiter = limiter();
        assert!(spend(&limiter, 1, 1, 100));
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.charge(1, 1, 100))
        };
        assert!(spend(&limiter, 1, 1, 100));
        other.join().unwrap();
        assert_eq!(left(&limiter, 1, 100), 0);
    });
}
