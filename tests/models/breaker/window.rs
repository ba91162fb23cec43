//! The closed circuit: no outcome is lost, and it opens once.

use std::{sync::Arc, time::Duration};

use loom::thread;

use super::{
    BAD, GOOD, Instant, Settings, WindowSize, check,
    circuit::{Circuit, CircuitState},
    small, ticket,
};

const WINDOWS: [WindowSize; 2] = [
    WindowSize::Calls(2),
    WindowSize::Time(Duration::from_secs(100)),
];

#[test]
fn the_last_of_several_failures_opens_it_and_only_one_does() {
    let now = Instant::now();
    for window in WINDOWS {
        check(2, move || {
            let circuit = Arc::new(Circuit::new(&small(window), now));
            let fail = |circuit: Arc<Circuit>| {
                let ticket = ticket(&circuit, now).unwrap();
                move || circuit.record(ticket, BAD, now)
            };
            let (first, second) = (fail(circuit.clone()), fail(circuit.clone()));
            let other = thread::spawn(first);
            second();
            other.join().unwrap();
            assert_eq!(circuit.state().0, CircuitState::Open);
            assert_eq!(circuit.figures(now).opened, 1);
        });
    }
}

#[test]
fn failures_in_different_buckets_are_seen_together() {
    let now = Instant::now();
    check(2, move || {
        let circuit = Arc::new(Circuit::new(&small(WINDOWS[1]), now));
        let fail = |circuit: Arc<Circuit>, at: Instant| {
            let ticket = ticket(&circuit, now).unwrap();
            move || circuit.record(ticket, BAD, at)
        };
        let first = fail(circuit.clone(), now);
        let second = fail(circuit.clone(), now + Duration::from_secs(10));
        let other = thread::spawn(first);
        second();
        other.join().unwrap();
        assert_eq!(circuit.state().0, CircuitState::Open);
        assert_eq!(circuit.figures(now).opened, 1);
    });
}

#[test]
fn a_row_of_failures_is_counted_through() {
    let now = Instant::now();
    check(2, move || {
        let settings = Settings {
            failure_rate: None,
            consecutive_failures: Some(2),
            ..small(WINDOWS[0])
        };
        let circuit = Arc::new(Circuit::new(&settings, now));
        let (first, second) = (
            ticket(&circuit, now).unwrap(),
            ticket(&circuit, now).unwrap(),
        );
        let other = {
            let circuit = circuit.clone();
            thread::spawn(move || circuit.record(first, BAD, now))
        };
        circuit.record(second, BAD, now);
        other.join().unwrap();
        assert_eq!(circuit.state().0, CircuitState::Open);
        assert_eq!(circuit.figures(now).opened, 1);
    });
}

/// The sum is that of the ring, also when three outcomes meet in a ring of two.
#[test]
fn the_sum_is_that_of_the_ring() {
    let now = Instant::now();
    for size in [1, 2] {
        check(2, move || {
            let settings = Settings {
                minimum_calls: Some(size),
                failure_rate: None,
                consecutive_failures: Some(9),
                ..small(WindowSize::Calls(size))
            };
            let circuit = Arc::new(Circuit::new(&settings, now));
            let ticket = ticket(&circuit, now).unwrap();
            let other = {
                let circuit = circuit.clone();
                thread::spawn(move || circuit.record(ticket, BAD, now))
            };
            circuit.record(ticket, GOOD, now);
            circuit.record(ticket, BAD, now);
            other.join().unwrap();
            assert_eq!(circuit.figures(now).counts.calls, u64::from(size));
            // Good news alone empties it of failures again.
            for _ in 0..size {
                circuit.record(ticket, GOOD, now);
            }
            assert_eq!(circuit.figures(now).counts.failures, 0);
        });
    }
}

#[test]
fn a_success_that_is_none_is_counted_once() {
    let now = Instant::now();
    for window in WINDOWS {
        check(2, move || {
            let settings = Settings {
                failure_rate: None,
                consecutive_failures: Some(9),
                ..small(window)
            };
            let circuit = Arc::new(Circuit::new(&settings, now));
            let ticket = ticket(&circuit, now).unwrap();
            let place = circuit.record(ticket, GOOD, now);
            let other = {
                let circuit = circuit.clone();
                thread::spawn(move || circuit.amend(ticket, place, now))
            };
            circuit.record(ticket, GOOD, now);
            other.join().unwrap();
            let counts = circuit.figures(now).counts;
            assert_eq!((counts.calls, counts.failures), (2, 1));
        });
    }
}
