//! The circuit under a model checker: loom runs each of these through every order that its threads can take, on the very
//! source that the library is made of, with loom's atomics and lock in place of std's.
mod half_open;
mod window;

mod sync {
    pub use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering, fence},
    };
}

#[allow(dead_code, reason = "not all of it is modelled")]
#[path = "../../src/breaker/circuit/mod.rs"]
mod circuit;

use std::time::{Duration, Instant};

use circuit::{Admission, Circuit, Outcome, Settings, Ticket, WindowSize};

const GOOD: Outcome = Outcome {
    failed: false,
    slow: false,
};
const BAD: Outcome = Outcome {
    failed: true,
    slow: false,
};

/// Tries every order in which no thread is interrupted more than so many times: few enough to take seconds.
fn check(interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.check(model);
}

/// Small enough for every order to be tried in seconds.
fn small(window: WindowSize) -> Settings {
    Settings {
        window,
        minimum_calls: Some(2),
        slow_call_rate: None,
        open_duration: Duration::from_secs(1),
        half_open_calls: 1,
        ..Settings::default()
    }
}

fn ticket(circuit: &Circuit, now: Instant) -> Option<Ticket> {
    match circuit.admit(now) {
        Admission::Admitted(ticket) => Some(ticket),
        Admission::Refused(_) => None,
    }
}

/// Opens it with two failures in a row.
fn open(circuit: &Circuit, now: Instant) {
    for _ in 0..2 {
        let ticket = ticket(circuit, now).unwrap();
        circuit.record(ticket, BAD, now);
    }
}
