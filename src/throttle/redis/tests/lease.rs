//! Leases: what is held, for how long, and what is remembered.

use std::time::Duration;

use proptest::prelude::*;

use crate::throttle::{
    decision::Decision,
    redis::lease::{From, Leases, Spent, Terms, Word},
};

const TIME: u64 = 1_000_000_000;
const TERMS: Terms = Terms {
    batch: 16,
    time: TIME,
};

fn leases() -> Leases {
    Leases::new(TERMS, 64)
}

fn allowed(remaining: u64) -> Decision {
    Decision::allowed(remaining, Duration::ZERO)
}

/// One that asks Redis, where all that it wants is there.
fn take(leases: &Leases, tag: u64, now: u64) -> Option<u64> {
    let more = leases.begin(tag, now);
    leases.end(tag, more, &allowed(1_000), now);
    more
}

fn spent(word: Word) -> Spent {
    match word {
        Word::Spent(spent) => spent,
        word => panic!("{word:?}"),
    }
}

fn is_spent(word: Word) -> bool {
    matches!(word, Word::Spent(_))
}

#[test]
fn a_lease_grows_with_use_and_no_further_than_a_batch() {
    let leases = leases();
    let mut taken = Vec::new();
    for now in 0..100 {
        if !is_spent(leases.spend(7, 1, now)) {
            taken.push(take(&leases, 7, now));
        }
    }
    let mut expected = vec![None, Some(1), Some(2), Some(4), Some(8)];
    expected.resize(10, Some(16));
    assert_eq!(taken, expected);
}

#[test]
fn what_is_unspent_is_lost_and_the_next_is_as_large_as_was_needed() {
    let leases = leases();
    let spend = |count, now| {
        (0..count)
            .filter(|_| is_spent(leases.spend(7, 1, now)))
            .count()
    };
    for more in [None, Some(1), Some(2), Some(4), Some(8), Some(16)] {
        assert_eq!(take(&leases, 7, 0), more);
        if more != Some(16) {
            spend(16, 0);
        }
    }
    assert_eq!(spend(5, TIME - 1), 5);
    assert_eq!(spend(1, TIME), 0, "it is over");
    assert_eq!(take(&leases, 7, TIME), Some(5));
    assert_eq!(spend(100, TIME), 5);
    // Nobody has come for so long: it is a stranger again.
    assert_eq!(take(&leases, 7, 4 * TIME), None);
    assert_eq!(take(&leases, 7, 4 * TIME), Some(1));
}

#[test]
fn one_takes_more_at_a_time_and_who_goes_away_leaves_it_to_others() {
    let leases = leases();
    assert_eq!(leases.begin(7, 0), None);
    assert_eq!((leases.begin(7, 0), leases.begin(7, 0)), (Some(1), None));
    leases.end(7, None, &allowed(9), 0);
    assert_eq!(leases.begin(7, 0), None, "that was another one");
    leases.abandon(7);
    assert_eq!(leases.begin(7, 0), Some(2));
    leases.end(7, Some(2), &allowed(9), 0);
    assert_eq!(leases.begin(7, 0), Some(2), "beside the two that are there");
}

#[test]
fn what_was_spent_here_can_be_given_back() {
    let leases = leases();
    take(&leases, 7, 0);
    take(&leases, 7, 0);
    let Spent { decision, from, .. } = spent(leases.spend(7, 1, 1));
    assert_eq!(decision.remaining(), 999, "one of a thousand was taken");
    assert!(!is_spent(leases.spend(7, 1, 1)));
    leases.restore(7, from, 1);
    assert!(is_spent(leases.spend(7, 1, 1)));
    assert!(!is_spent(leases.spend(7, 0, 1)), "a debt is not known here");
}

#[test]
fn what_comes_back_while_more_is_taken_makes_no_more_than_a_batch() {
    let leases = leases();
    for _ in 0..8 {
        take(&leases, 7, 0);
    }
    let from = spent(leases.spend(7, 16, 0)).from;
    assert_eq!(leases.begin(7, 0), Some(16));
    leases.restore(7, from, 1);
    leases.end(7, Some(16), &allowed(9), 0);
    assert!(!is_spent(leases.spend(7, 17, 0)));
    assert!(is_spent(leases.spend(7, 16, 0)));
}

/// Until it holds a batch that was taken at once.
fn full(leases: &Leases, now: u64) {
    while take(leases, 7, now) != Some(16) {
        for _ in 0..16 {
            leases.spend(7, 1, now);
        }
    }
}

#[test]
fn the_next_is_taken_once_when_half_is_spent() {
    let leases = leases();
    full(&leases, 0);
    let low = [(); 10].map(|()| spent(leases.spend(7, 1, 0)).is_low);
    assert_eq!(
        low,
        [
            false, false, false, false, false, false, false, true, true, true
        ]
    );
    assert_eq!(leases.begin_ahead(7, 0), Some(10));
    assert_eq!(leases.begin_ahead(7, 0), None);
    assert_eq!(leases.begin(7, 0), Some(0), "all of it is on its way");
    leases.abandon(7);
    assert!(!spent(leases.spend(7, 1, 0)).is_low, "it is under way");
    // What was left is over before what came.
    leases.end_ahead(7, Some((10, &allowed(1_000))), TIME / 2);
    assert_eq!(leases.spend(7, 16, TIME / 2), Word::Unknown);
    assert!(is_spent(leases.spend(7, 1, TIME / 2)));
    assert_eq!(leases.spend(7, 11, TIME), Word::Unknown);
    let last = spent(leases.spend(7, 10, TIME + TIME / 2 - 1));
    assert!(last.is_low);
    // Nothing came of it: who needs it asks.
    // As much as was needed of the one that is over.
    assert_eq!(leases.begin_ahead(7, TIME + TIME / 2 - 1), Some(12));
    leases.end_ahead(7, None, TIME + TIME / 2 - 1);
    leases.restore(7, last.from, TIME);
    assert!(!spent(leases.spend(7, 9, TIME + TIME / 2 - 1)).is_low);
    assert_eq!(leases.begin_ahead(7, TIME + TIME / 2 - 1), None);
    assert!(leases.begin(7, TIME + TIME / 2 - 1).is_some());
}

#[test]
fn what_comes_back_is_over_when_it_would_have_been() {
    let leases = leases();
    full(&leases, 0);
    let old = spent(leases.spend(7, 12, 0));
    let more = leases.begin_ahead(7, 0).unwrap();
    leases.end_ahead(7, Some((more, &allowed(1_000))), TIME / 2);
    assert!(is_spent(leases.spend(7, 16, TIME / 2)));
    leases.restore(7, old.from, TIME / 2);
    assert_eq!(leases.spend(7, 13, TIME / 2), Word::Unknown);
    assert_eq!(leases.spend(7, 1, TIME), Word::Unknown, "it is over");
    // Of one that was over, nothing comes back.
    let begun = 10 * TIME;
    take(&leases, 7, begun);
    take(&leases, 7, begun);
    leases.restore(7, old.from, begun);
    assert!(is_spent(leases.spend(7, 1, begun)) && !is_spent(leases.spend(7, 1, begun)));
}

#[test]
fn a_lease_is_as_large_as_it_is_said_to_be() {
    assert_eq!(Leases::SIZE, 128);
}

#[test]
fn a_refusal_is_remembered_until_it_would_be_allowed() {
    let leases = leases();
    let ms = 1_000_000;
    let refused = |retry| Decision::refused(2, Duration::from_secs(9), retry);
    let retry = |word| match word {
        Word::Refused(decision) => decision.retry_after(),
        word => panic!("{word:?}"),
    };
    let long = 100 * TIME;
    leases.refuse(7, 3, &refused(Some(Duration::from_millis(400))), long, 0);
    let left = retry(leases.spend(7, 3, 100 * ms));
    assert_eq!(left, Some(Duration::from_millis(300)));
    assert_eq!(leases.spend(7, 2, 100 * ms), Word::Unknown, "less may do");
    assert_eq!(leases.spend(7, 3, 400 * ms), Word::Unknown);
    // No longer than a lease, and then it is asked for again.
    leases.refuse(7, 3, &refused(Some(Duration::from_secs(60))), long, 0);
    let left = retry(leases.spend(7, 3, TIME - 1));
    assert_eq!(left, Some(Duration::from_nanos(60 * TIME - TIME + 1)));
    assert_eq!(leases.spend(7, 3, TIME), Word::Unknown);
    leases.refuse(7, 3, &refused(None), long, 0);
    assert_eq!(retry(leases.spend(7, 4, 0)), None);
    // Not each request of a fast limit asks, unless that would lose something.
    let soon = || refused(Some(Duration::from_micros(100)));
    leases.refuse(7, 1, &soon(), long, 0);
    assert!(matches!(leases.spend(7, 1, 10 * ms - 1), Word::Refused(_)));
    assert_eq!(leases.spend(7, 1, 10 * ms), Word::Unknown);
    leases.refuse(7, 1, &soon(), ms, 0);
    assert_eq!(leases.spend(7, 1, ms / 2), Word::Unknown);
    // What was allowed since is known.
    leases.refuse(7, 1, &soon(), long, 0);
    leases.end(7, None, &allowed(9), 0);
    assert_eq!(leases.spend(7, 1, 0), Word::Unknown);
}

#[test]
fn strangers_take_the_places_of_those_that_hold_nothing() {
    let leases = Leases::new(TERMS, 4);
    take(&leases, 1, 0);
    take(&leases, 1, 0);
    for stranger in 2..10_000 {
        take(&leases, stranger, 0);
    }
    assert!(is_spent(leases.spend(1, 1, 0)));
    // Those that do are pushed out by others that do: there is no more room.
    for stranger in 2..6 {
        take(&leases, stranger, 0);
        take(&leases, stranger, 0);
    }
    let held = (1..6).filter(|tag| is_spent(leases.spend(*tag, 1, 0)));
    assert!(held.count() <= 4);
}

proptest! {
    #[test]
    fn nothing_is_spent_that_was_not_taken_and_no_more_than_a_batch_is_held(
        steps in prop::collection::vec((0_u8..8, 0_usize..3, 0_u64..5, 0_u64..TIME / 3), 1..200),
    ) {
        let leases = Leases::new(Terms { batch: 5, ..TERMS }, 1);
        let (mut now, mut growing, mut ahead) = (0, [None; 3], [None; 3]);
        let (mut taken, mut spent, mut here) = ([0; 3], [0; 3], Vec::new());
        for (action, index, cost, later) in steps {
            let tag = index as u64 + 1;
            match action {
                0 => now += later,
                1 => if growing[index].is_none() {
                    growing[index] = leases.begin(tag, now);
                },
                2 => if let Some(more) = growing[index].take() {
                    let got = more.min(cost * 3);
                    leases.end(tag, Some(got), &allowed(cost + got), now);
                    taken[index] += got;
                },
                3 => if let Some(last) = here.pop() {
                    let (index, cost, from): (usize, u64, From) = last;
                    leases.restore(index as u64 + 1, from, now);
                    spent[index] -= cost;
                },
                6 => if ahead[index].is_none() {
                    ahead[index] = leases.begin_ahead(tag, now);
                },
                7 => if let Some(more) = ahead[index].take() {
                    let got = more.min(cost * 3);
                    leases.end_ahead(tag, Some((got, &allowed(cost + got))), now);
                    taken[index] += got;
                },
                _ => if let Word::Spent(it) = leases.spend(tag, cost, now) {
                    spent[index] += cost;
                    here = if action == 4 { vec![(index, cost, it.from)] } else { Vec::new() };
                },
            }
            for tag in 0..3 {
                prop_assert!(spent[tag] <= taken[tag]);
            }
        }
        for tag in 0..3 {
            let held = (0..100).filter(|_| is_spent(leases.spend(tag + 1, 1, now))).count();
            prop_assert!(held <= 5);
        }
    }
}
