//! Half-open calls: never one too many, none lost, none counted late.

use std::{sync::Arc, time::Duration};

use loom::thread;

use super::{
    BAD, GOOD, Instant, Settings, WindowSize, check,
    circuit::{Circuit, CircuitState},
    open, small, ticket,
};

const CALLS: WindowSize = WindowSize::Calls(2);

/// A circuit whose open duration is over, and the time.
fn waiting(settings: &Settings, now: Instant) -> (Arc<Circuit>, Instant) {
    let circuit = Arc::new(Circuit::new(settings, now));
    open(&circuit, now);
    assert_eq!(circuit.state().0, CircuitState::Open);
    (circuit, now + Duration::from_secs(1))
}

#[test]
fn no_more_are_admitted_than_are_permitted() {
    let now = Instant::now();
    for permitted in [1, 2] {
        check(2, move || {
            let settings = Settings {
                half_open_calls: permitted,
                ..small(CALLS)
            };
            let (circuit, later) = waiting(&settings, now);
            let admit = |circuit: Arc<Circuit>| move || ticket(&circuit, later).is_some();
            let others = [
                thread::spawn(admit(circuit.clone())),
                thread::spawn(admit(circuit.clone())),
            ];
            let mut admitted = u32::from(admit(circuit.clone())());
            for other in others {
                admitted += u32::from(other.join().unwrap());
            }
            assert_eq!(admitted, permitted);
            assert_eq!(circuit.figures(later).probes, permitted);
        });
    }
}

#[test]
fn what_is_given_back_is_there_for_another() {
    let now = Instant::now();
    check(2, move || {
        let (circuit, later) = waiting(&small(CALLS), now);
        let first = ticket(&circuit, later).unwrap();
        let other = {
            let circuit = circuit.clone();
            thread::spawn(move || ticket(&circuit, later))
        };
        circuit.give_back(first);
        let taken = other.join().unwrap();
        assert_eq!(circuit.figures(later).probes, u32::from(taken.is_some()));
        // Whether or not the other one came too early: there is one again once all are back.
        if let Some(taken) = taken {
            circuit.give_back(taken);
        }
        let last = ticket(&circuit, later).unwrap();
        circuit.record(last, GOOD, later);
        assert_eq!(circuit.state().0, CircuitState::Closed);
    });
}

#[test]
fn two_results_are_judged_together_and_once() {
    let now = Instant::now();
    for (outcomes, state) in [
        ([GOOD, GOOD], CircuitState::Closed),
        ([BAD, BAD], CircuitState::Open),
        // Whichever comes first: half of them have failed.
        ([GOOD, BAD], CircuitState::Open),
    ] {
        check(2, move || {
            let settings = Settings {
                half_open_calls: 2,
                ..small(CALLS)
            };
            let (circuit, later) = waiting(&settings, now);
            let first = ticket(&circuit, later).unwrap();
            let second = ticket(&circuit, later).unwrap();
            let other = {
                let circuit = circuit.clone();
                thread::spawn(move || circuit.record(first, outcomes[0], later))
            };
            circuit.record(second, outcomes[1], later);
            other.join().unwrap();
            assert_eq!(circuit.state().0, state);
            let opened = if state == CircuitState::Open { 2 } else { 1 };
            assert_eq!(circuit.figures(later).opened, opened);
        });
    }
}

#[test]
fn a_late_result_does_not_count_for_the_next_state() {
    let now = Instant::now();
    // In a ring of one both meet in one place. Clearing a time window takes many steps.
    let one = WindowSize::Calls(1);
    let time = WindowSize::Time(Duration::from_secs(100));
    for (window, interruptions) in [(one, 3), (CALLS, 3), (time, 1)] {
        check(interruptions, move || {
            let settings = Settings {
                minimum_calls: None,
                failure_rate: None,
                consecutive_failures: Some(9),
                ..small(window)
            };
            let circuit = Arc::new(Circuit::new(&settings, now));
            let late = ticket(&circuit, now).unwrap();
            let other = {
                let circuit = circuit.clone();
                // It may be held up anywhere in here, while the circuit begins anew.
                thread::spawn(move || circuit.record(late, BAD, now))
            };
            circuit.force(CircuitState::Closed, now);
            let present = ticket(&circuit, now).unwrap();
            circuit.record(present, GOOD, now);
            other.join().unwrap();
            let counts = circuit.figures(now).counts;
            assert_eq!((counts.calls, counts.failures), (1, 0));
            circuit.record(present, BAD, now);
            assert_eq!(circuit.figures(now).counts.failures, 1);
        });
    }
}

#[test]
fn a_late_half_open_call_neither_counts_nor_is_given_back_to_the_next_state() {
    let now = Instant::now();
    check(2, move || {
        let (circuit, later) = waiting(&small(CALLS), now);
        let late = ticket(&circuit, later).unwrap();
        let other = {
            let circuit = circuit.clone();
            thread::spawn(move || circuit.give_back(late))
        };
        // Opens, and is half-open again with one call on its way.
        circuit.force(CircuitState::Closed, later);
        open(&circuit, later);
        let much_later = later + Duration::from_secs(1);
        let present = ticket(&circuit, much_later);
        assert!(present.is_some());
        other.join().unwrap();
        assert_eq!(circuit.figures(much_later).probes, 1);
        assert!(ticket(&circuit, much_later).is_none());
    });
}
