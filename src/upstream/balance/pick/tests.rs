use std::{cell::RefCell, collections::HashMap, sync::Arc};

use super::*;
use crate::{random, sticky::StickyKey, upstream::Balance};

/// Endpoints of a test.
#[derive(Clone)]
struct Endpoints(Vec<(String, Seen)>);

impl Field for Endpoints {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn seen(&self, at: usize) -> Seen {
        self.0[at].1
    }

    fn url(&self, at: usize) -> &str {
        &self.0[at].0
    }
}

fn seen(in_flight: usize) -> Seen {
    Seen {
        unreached: false,
        full: false,
        in_flight,
        weight: 1,
        ramp: FULL,
        latency: 0,
    }
}

fn endpoints(all: impl IntoIterator<Item = Seen>) -> Endpoints {
    let name = |at| format!("http://e{at}");
    let named = all
        .into_iter()
        .enumerate()
        .map(|(at, seen)| (name(at), seen));
    Endpoints(named.collect())
}

fn picker(balance: &Balance, field: &Endpoints) -> Picker {
    let named = field.0.iter().map(|(name, seen)| (&**name, seen.weight));
    Picker::new(&balance.0, named)
}

/// How often each is picked out of `count`, with nothing under way but what the field says.
fn shares(balance: &Balance, field: &Endpoints, count: usize) -> Vec<f64> {
    let picker = picker(balance, field);
    let mut counts = vec![0.0; field.count()];
    for turn in 0..count {
        let ask = Ask {
            random: random::next_u64(),
            turn,
            key: None,
            skip: &|_| false,
        };
        counts[picker.pick(field, &ask).unwrap()] += 1.0;
    }
    counts.iter().map(|times| times / count as f64).collect()
}

fn all() -> Vec<Balance> {
    vec![
        Balance::power_of_two(),
        Balance::peak_ewma(),
        Balance::least_in_flight(),
        Balance::round_robin(),
        Balance::random(),
        Balance::hash(StickyKey::client_ip()),
        Balance::custom(|candidates| candidates.random() as usize % candidates.len()),
    ]
}

fn close(shares: &[f64], expected: &[f64]) -> bool {
    shares
        .iter()
        .zip(expected)
        .all(|(is, should)| (is - should).abs() < 0.02)
}

#[test]
fn none_of_none_and_the_only_one_always() {
    for balance in all() {
        assert_eq!(shares(&balance, &endpoints([seen(7)]), 3), [1.0]);
        let none = endpoints([]);
        let ask = Ask {
            random: 0,
            turn: 0,
            key: None,
            skip: &|_| false,
        };
        assert_eq!(picker(&balance, &none).pick(&none, &ask), None);
    }
}

#[test]
fn equals_share_alike() {
    for balance in all() {
        let shares = shares(&balance, &endpoints([seen(0); 4]), 20_000);
        assert!(close(&shares, &[0.25; 4]), "{balance:?}: {shares:?}");
    }
}

#[test]
fn the_load_decides_where_it_is_looked_at() {
    let field = endpoints([3, 2, 1, 0].map(seen));
    let cases = [
        // Each of the 6 pairs as often.
        (Balance::power_of_two(), [0.0, 1.0 / 6.0, 2.0 / 6.0, 0.5]),
        (Balance::least_in_flight(), [0.0, 0.0, 0.0, 1.0]),
        (Balance::round_robin(), [0.25; 4]),
        (Balance::random(), [0.25; 4]),
    ];
    for (balance, expected) in cases {
        let shares = shares(&balance, &field, 20_000);
        assert!(close(&shares, &expected), "{balance:?}: {shares:?}");
    }
}

#[test]
fn the_slow_one_gets_less() {
    let with = |latency, in_flight| Seen {
        latency,
        ..seen(in_flight)
    };
    let share = |a, b| shares(&Balance::peak_ewma(), &endpoints([a, b]), 2000)[0];
    assert_eq!(share(with(100, 0), with(90, 0)), 0.0);
    assert_eq!(share(with(100, 0), with(90, 1)), 1.0, "latency times load");
    assert_eq!(
        share(with(0, 0), with(90, 0)),
        1.0,
        "a new one gets one request"
    );
    assert_eq!(
        share(with(0, 1), with(90, 5)),
        0.0,
        "and no more until it has answered"
    );
}

#[test]
fn weights_are_shares() {
    let weigh = |weight, in_flight| Seen {
        weight,
        ..seen(in_flight)
    };
    let field = endpoints([weigh(1, 0), weigh(3, 0), weigh(0, 0)]);
    for balance in [Balance::round_robin(), Balance::random()] {
        let shares = shares(&balance, &field, 20_000);
        assert!(
            close(&shares, &[0.25, 0.75, 0.0]),
            "{balance:?}: {shares:?}"
        );
    }
    // Those that look at the load even it out: with as much for its weight, each of the two is as good.
    for balance in [
        Balance::power_of_two(),
        Balance::least_in_flight(),
        Balance::peak_ewma(),
    ] {
        for (in_flight, best) in [([0, 0], 1), ([0, 2], 0), ([0, 3], 0), ([1, 3], 1)] {
            let [a, b] = in_flight;
            let field = endpoints([weigh(1, a), weigh(3, b)]);
            let shares = shares(&balance, &field, 200);
            // (0 + 1) / 1 and (2 + 1) / 3 are the same.
            let expected = if in_flight == [0, 2] {
                shares[best]
            } else {
                1.0
            };
            assert_eq!(
                shares[best], expected,
                "{balance:?} {in_flight:?}: {shares:?}"
            );
        }
    }
}

#[test]
fn what_could_not_be_reached_comes_last_and_has_a_chance() {
    let unreached = |in_flight| Seen {
        unreached: true,
        ..seen(in_flight)
    };
    for balance in all() {
        let shares_of = |field: [Seen; 3]| shares(&balance, &endpoints(field), 8000);
        let few = shares_of([unreached(0), seen(9), seen(9)]);
        assert!(few[0] > 0.01 && few[0] < 0.07, "{balance:?}: {few:?}");
        let none = shares_of([unreached(1), seen(9), seen(9)]);
        assert_eq!(none[0], 0.0, "{balance:?}: somebody is finding out");
        let all = shares_of([unreached(0), unreached(0), unreached(0)]);
        assert!(all.iter().all(|share| *share > 0.2), "{balance:?}: {all:?}");
    }
}

#[test]
fn what_was_tried_is_not_tried_again_while_there_is_another() {
    for balance in all() {
        let field = endpoints([seen(0), seen(5), seen(9)]);
        let picker = picker(&balance, &field);
        for turn in 0..100 {
            let pick = |tried: &[usize]| {
                let ask = Ask {
                    random: random::next_u64(),
                    turn,
                    key: Some(rendezvous::hash(b"k")),
                    skip: &|at| tried.contains(&at),
                };
                picker.pick(&field, &ask).unwrap()
            };
            assert!([1, 2].contains(&pick(&[0])), "{balance:?}");
            assert_eq!(pick(&[0, 2]), 1, "{balance:?}");
            assert!(pick(&[0, 1, 2]) < 3, "{balance:?}: all were tried");
        }
    }
}

#[test]
fn a_new_one_grows_into_its_share() {
    let new = Seen {
        ramp: FULL / 4,
        ..seen(0)
    };
    for balance in [Balance::round_robin(), Balance::random()] {
        let shares = shares(&balance, &endpoints([new, seen(0)]), 20_000);
        // A quarter of its half; the other takes the rest.
        assert!(close(&shares, &[0.125, 0.875]), "{balance:?}: {shares:?}");
    }
    // Also one that has several turns in a row.
    let heavy = Seen { weight: 5, ..new };
    let shares_of = shares(
        &Balance::round_robin(),
        &endpoints([heavy, seen(0)]),
        20_000,
    );
    let own = 5.0 / 6.0 / 4.0;
    assert!(close(&shares_of, &[own, 1.0 - own]), "{shares_of:?}");
    for balance in [Balance::power_of_two(), Balance::least_in_flight()] {
        let share = |busy| shares(&balance, &endpoints([new, seen(busy)]), 200)[0];
        assert_eq!(
            (share(2), share(4)),
            (0.0, 1.0),
            "{balance:?}: as if it had 4 times the load"
        );
    }
}

#[test]
fn weights_beyond_all_bounds_are_weights() {
    let weigh = |weight, in_flight| Seen {
        weight,
        ..seen(in_flight)
    };
    for balance in [Balance::power_of_two(), Balance::least_in_flight()] {
        let share = |a, b| shares(&balance, &endpoints([a, b]), 200)[0];
        let most = u32::MAX;
        let even = share(weigh(most, 100), weigh(most, 0));
        assert_eq!(even, 0.0, "{balance:?}: the load decides");
        assert_eq!(share(weigh(most, 0), weigh(1, 0)), 1.0, "{balance:?}");
    }
}

#[test]
fn what_one_can_not_take_is_shared_by_the_others() {
    let [gone, full] = [true, false].map(|unreached| Seen {
        unreached,
        full: !unreached,
        // Nobody finds out meanwhile.
        ..seen(1)
    });
    for balance in [Balance::round_robin(), Balance::random()] {
        for out in [gone, full] {
            let field = endpoints([seen(1), out, seen(1), seen(1)]);
            let shares = shares(&balance, &field, 20_000);
            let third = 1.0 / 3.0;
            assert!(
                close(&shares, &[third, 0.0, third, third]),
                "{balance:?}: {shares:?}"
            );
        }
    }
}

#[test]
fn a_full_one_comes_after_those_that_were_tried() {
    for balance in all() {
        let full = Seen {
            full: true,
            weight: 100,
            ..seen(2)
        };
        let field = endpoints([seen(1), full]);
        let picker = picker(&balance, &field);
        for turn in 0..20 {
            let ask = Ask {
                random: random::next_u64(),
                turn,
                key: Some(rendezvous::hash(b"k")),
                skip: &|at| at == 0,
            };
            assert_eq!(picker.pick(&field, &ask), Some(0), "{balance:?}");
        }
    }
}

fn by_key(balance: &Balance, field: &Endpoints, key: &str) -> usize {
    let ask = Ask {
        random: random::next_u64() | 1 << 60,
        turn: 0,
        key: Some(rendezvous::hash(key.as_bytes())),
        skip: &|_| false,
    };
    picker(balance, field).pick(field, &ask).unwrap()
}

#[test]
fn a_key_keeps_its_endpoint_and_few_keys_move() {
    let balance = Balance::hash(StickyKey::client_ip());
    let five = endpoints([seen(0); 5]);
    let mut four = five.clone();
    four.0.remove(2);
    let mut counts = [0; 5];
    for key in 0..2000 {
        let key = format!("user-{key}");
        let home = by_key(&balance, &five, &key);
        counts[home] += 1;
        assert_eq!(by_key(&balance, &five, &key), home);
        let name = four.url(by_key(&balance, &four, &key));
        if home != 2 {
            assert_eq!(
                name,
                five.url(home),
                "only the keys of the one that went move"
            );
        }
    }
    assert!(
        counts.iter().all(|count| (300..500).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn a_hot_key_spills_over() {
    let mut field = endpoints([seen(0); 4]);
    let unbounded = Balance::hash(StickyKey::client_ip()).bound(f64::INFINITY);
    let home = by_key(&unbounded, &field, "hot");
    let bounded = Balance::hash(StickyKey::client_ip()).bound(1.5);
    let mut counts = HashMap::new();
    for _ in 0..40 {
        let at = by_key(&bounded, &field, "hot");
        field.0[at].1.in_flight += 1;
        *counts.entry(at).or_insert(0) += 1;
        let most = field
            .0
            .iter()
            .map(|(_, seen)| seen.in_flight)
            .max()
            .unwrap();
        let total: usize = field.0.iter().map(|(_, seen)| seen.in_flight).sum();
        assert!(
            most as f64 <= (total as f64 * 1.5 / 4.0).ceil(),
            "{most} of {total}"
        );
    }
    assert_eq!(counts[&home], 15, "as much as it may have: {counts:?}");
    assert_eq!(by_key(&unbounded, &field, "hot"), home);
}

#[test]
fn a_function_sees_what_there_is() {
    let told: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let record = told.clone();
    let balance = Balance::custom(move |candidates| {
        let mut told = record.lock().unwrap();
        *told = (0..candidates.len())
            .map(|at| {
                let (url, weight) = (candidates.url(at), candidates.weight(at));
                format!("{url} {weight} {}", candidates.in_flight(at))
            })
            .collect();
        usize::MAX
    });
    let last = RefCell::new(Vec::new());
    let shares = shares(&balance, &endpoints([seen(1), seen(2)]), 1);
    last.borrow_mut().extend(shares);
    assert_eq!(*last.borrow(), [0.0, 1.0], "what is not there is the last");
    assert_eq!(*told.lock().unwrap(), ["http://e0 1 1", "http://e1 1 2"]);
}
