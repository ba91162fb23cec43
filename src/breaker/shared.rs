//! What a layer, its services and the calls in them share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{
    circuit::{Circuit, CircuitState, Settings},
    classify::{CallResult, Classify},
};
use crate::{clock, service::AnyService};

/// What was set.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) circuit: Settings,
    pub(super) classify: Arc<dyn Classify>,
    pub(super) fallback: Option<AnyService>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            circuit: Settings::default(),
            classify: Arc::new(|result: &CallResult<'_>| result.verdict()),
            fallback: None,
        }
    }
}

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) circuit: Circuit,
    /// Longer than this, a call is slow.
    pub(super) slow: Duration,
    changes: watch::Sender<(CircuitState, u32)>,
    /// The generation that was told last.
    told: AtomicU32,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        let circuit = Circuit::new(&config.circuit, clock::now());
        let state = circuit.state();
        let (sound, _) = config.circuit.check();
        Self {
            slow: sound.slow_call_duration,
            config,
            circuit,
            changes: watch::Sender::new(state),
            told: AtomicU32::new(state.1),
        }
    }

    /// Tells of a new state, if there is one. To be called after whatever may have made one.
    #[inline]
    pub(super) fn tell(&self) {
        if self.circuit.state().1 != self.told.load(Relaxed) {
            self.tell_change();
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<(CircuitState, u32)> {
        self.changes.subscribe()
    }

    #[cold]
    fn tell_change(&self) {
        self.changes.send_if_modified(|told| {
            // Read in here, where there is one at a time: nobody tells of an older state after a newer one.
            let present = self.circuit.state();
            let is_new = present.1 != told.1;
            *told = present;
            self.told.store(present.1, Relaxed);
            is_new
        });
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuit")
            .field("state", &self.circuit.state().0)
            .field("settings", &self.config.circuit)
            .field("fallback", &self.config.fallback.is_some())
            .finish_non_exhaustive()
    }
}
