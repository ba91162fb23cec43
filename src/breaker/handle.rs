//! The circuit from the outside: to look at it, and to act on it.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::{
    circuit::{CircuitState, Counts},
    shared::Shared,
};
use crate::clock;

/// Looks at a circuit and acts on it. It does not keep the circuit alive: when the layer and all that it has made are gone,
/// the state stays what it was, the figures are zero, and nothing can be done any more.
///
/// Clones look at the same circuit; each of them waits for changes by itself.
#[derive(Clone, Debug)]
pub struct CircuitHandle {
    shared: Weak<Shared>,
    seen: watch::Receiver<(CircuitState, u32)>,
}

/// What is known of a circuit at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CircuitFigures {
    /// The calls that the window knows of. Half-open: those that have ended since; open: those when it opened.
    pub calls: u64,
    /// How many of [`calls`](Self::calls) were failures.
    pub failures: u64,
    /// How many of [`calls`](Self::calls) were slow, whether or not they have failed.
    pub slow_calls: u64,
    /// Half-open calls that have not ended.
    pub half_open_calls: u64,
    /// How often it has opened by itself, since it was made.
    pub opened: u64,
    /// How many calls it has refused, since it was made.
    pub refused: u64,
}

impl CircuitFigures {
    /// The share of failures, in percent; `None` if there were no calls.
    pub fn failure_rate(&self) -> Option<f64> {
        self.rate(self.failures)
    }

    /// The share of slow calls, in percent; `None` if there were no calls.
    pub fn slow_call_rate(&self) -> Option<f64> {
        self.rate(self.slow_calls)
    }

    fn rate(&self, part: u64) -> Option<f64> {
        (self.calls > 0).then(|| part as f64 * 100.0 / self.calls as f64)
    }
}

impl CircuitHandle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            seen: shared.watch(),
        }
    }

    /// The present state.
    pub fn state(&self) -> CircuitState {
        match self.shared.upgrade() {
            Some(shared) => shared.circuit.state().0,
            None => self.seen.borrow().0,
        }
    }

    /// What is known at present.
    pub fn figures(&self) -> CircuitFigures {
        let Some(shared) = self.shared.upgrade() else {
            return CircuitFigures::default();
        };
        let figures = shared.circuit.figures(clock::now());
        let Counts {
            calls,
            failures,
            slow,
        } = figures.counts;
        CircuitFigures {
            calls,
            failures,
            slow_calls: slow,
            half_open_calls: figures.probes.into(),
            opened: figures.opened,
            refused: figures.refused,
        }
    }

    /// Refuses every call until [`force_close`](Self::force_close) or [`reset`](Self::reset).
    pub fn force_open(&self) {
        self.force(CircuitState::ForcedOpen);
    }

    /// Lets every call through, and counts none, until [`force_open`](Self::force_open) or [`reset`](Self::reset).
    pub fn force_close(&self) {
        self.force(CircuitState::ForcedClosed);
    }

    /// Begins anew: closed, with an empty window, and with the first open duration. Calls that are on their way are not
    /// counted.
    pub fn reset(&self) {
        self.force(CircuitState::Closed);
    }

    /// Waits for a state that this handle has not seen, and says which one it is; `None` when the circuit is gone.
    ///
    /// It begins with what comes after the handle was made, or cloned. Whoever asks too seldom misses what was in between,
    /// and gets the present state; [`CircuitFigures::opened`] misses nothing. Dropped before it is done, it loses nothing.
    pub async fn changed(&mut self) -> Option<CircuitState> {
        self.seen.changed().await.ok()?;
        Some(self.seen.borrow_and_update().0)
    }

    fn force(&self, state: CircuitState) {
        if let Some(shared) = self.shared.upgrade() {
            shared.circuit.force(state, clock::now());
            shared.tell();
        }
    }
}
