//! The core does what the reference does, whatever happens.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::reference::Reference;
use crate::breaker::circuit::{Admission, Circuit, CircuitState, Outcome, Settings, WindowSize};

/// What happens to a circuit.
#[derive(Clone, Debug)]
enum Event {
    Begin,
    /// One of the calls on their way ends.
    End(usize, bool, bool),
    Leave(usize),
    /// The body of one that has ended well breaks.
    Break(usize),
    /// The clock goes on, or back, by milliseconds.
    Pass(i64),
    Force(CircuitState),
}

fn event() -> impl Strategy<Value = Event> {
    let any = any::<usize>;
    let odds = |percent: u32| prop::bool::weighted(f64::from(percent) / 100.0);
    prop_oneof![
        40 => Just(Event::Begin),
        40 => (any(), odds(40), odds(20)).prop_map(|(at, bad, slow)| Event::End(at, bad, slow)),
        4 => any().prop_map(Event::Leave),
        6 => any().prop_map(Event::Break),
        10 => (0_i64..400).prop_map(Event::Pass),
        4 => (400_i64..4_000).prop_map(Event::Pass),
        1 => (-40_000_i64..40_000).prop_map(Event::Pass),
        1 => prop_oneof![Just(100_000_000_000_i64), Just(-100_000_000_000)].prop_map(Event::Pass),
        1 => prop_oneof![
            Just(CircuitState::Closed),
            Just(CircuitState::ForcedClosed),
            Just(CircuitState::ForcedOpen),
        ]
        .prop_map(Event::Force),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let window = prop_oneof![
        (1_u32..30).prop_map(WindowSize::Calls),
        (1_u64..200).prop_map(|tenths| WindowSize::Time(Duration::from_millis(tenths * 10))),
    ];
    let rate = || prop::option::of((1_u32..=20).prop_map(|twentieths| f64::from(twentieths) * 5.0));
    let millis = |most: u64| (1..most).prop_map(Duration::from_millis);
    let growth = prop::option::of((2_u32..8).prop_map(|halves| f64::from(halves) / 2.0));
    (
        (window, prop::option::of(1_u32..40)),
        (rate(), rate(), prop::option::of(1_u32..6)),
        (millis(2_000), growth, millis(3_000)),
        1_u32..8,
    )
        .prop_map(
            |((window, minimum), (failures, slow, row), (open, growth, wait), calls)| {
                let settings = Settings {
                    window,
                    minimum_calls: minimum,
                    failure_rate: failures,
                    slow_call_rate: slow,
                    consecutive_failures: row,
                    open_duration: open,
                    open_growth: growth.map(|factor| (factor, open * 4)),
                    half_open_calls: calls,
                    half_open_wait: wait,
                    ..Settings::default()
                };
                settings.check().0
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn it_does_what_the_reference_does(
        settings in settings(),
        events in prop::collection::vec(event(), 1..400),
    ) {
        run(settings, events)?;
    }
}

fn run(settings: Settings, events: Vec<Event>) -> Result<(), TestCaseError> {
    let origin = crate::clock::now();
    let at = |millis: i64| -> Instant {
        let by = Duration::from_millis(millis.unsigned_abs());
        if millis < 0 {
            origin.checked_sub(by).unwrap()
        } else {
            origin + by
        }
    };
    let circuit = Circuit::new(&settings, origin);
    let mut reference = Reference::new(settings);
    let mut now = 0_i64;
    let mut on_their_way = Vec::new();
    let mut ended = Vec::new();
    for event in events {
        let nanos = now * 1_000_000;
        match event {
            Event::Begin => match (circuit.admit(at(now)), reference.admit(nanos)) {
                (Admission::Admitted(ours), Ok(theirs)) => on_their_way.push((ours, theirs)),
                (Admission::Refused(ours), Err(theirs)) => prop_assert_eq!(ours, theirs),
                (ours, theirs) => prop_assert!(false, "{ours:?}, not {}", theirs.is_ok()),
            },
            Event::End(which, failed, slow) if !on_their_way.is_empty() => {
                let (ours, theirs) = on_their_way.swap_remove(which % on_their_way.len());
                let outcome = Outcome { failed, slow };
                let place = circuit.record(ours, outcome, at(now));
                let number = reference.record(theirs, outcome, nanos);
                if !failed {
                    ended.push((ours, place, theirs, number));
                }
            }
            Event::Leave(which) if !on_their_way.is_empty() => {
                let (ours, theirs) = on_their_way.swap_remove(which % on_their_way.len());
                circuit.give_back(ours);
                reference.give_back(theirs);
            }
            // One of the last few: the others are forgotten.
            Event::Break(which) if !ended.is_empty() => {
                let last = ended.len() - 1;
                let (ours, place, theirs, number) =
                    ended.swap_remove(last - which % ended.len().min(4));
                circuit.amend(ours, place, at(now));
                reference.amend(theirs, number, nanos);
            }
            Event::Pass(millis) => {
                // As far as a clock can go back.
                now = (now + millis).max(-3_000);
            }
            Event::Force(state) => {
                circuit.force(state, at(now));
                reference.force(state, nanos);
            }
            _ => {}
        }
        let figures = circuit.figures(at(now));
        prop_assert_eq!(figures.state, reference.state);
        prop_assert_eq!(figures.counts, reference.counts(now * 1_000_000));
        prop_assert_eq!(figures.probes, reference.probes());
        prop_assert_eq!(figures.opened, reference.opened);
        prop_assert_eq!(figures.refused, reference.refused);
    }
    Ok(())
}
