//! What holds a place under the cap, and gives it up when it is dropped.

use std::sync::Arc;

use super::{Grant, Pool};
use crate::error::Error;

/// Leave to have one connection, counted against the cap until it is dropped.
pub(crate) struct Slot(Option<Arc<Pool>>);

impl Slot {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self(Some(pool))
    }

    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.0.as_ref()
    }

    /// The connection is counted by the pool from here on.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            let mut state = pool.lock();
            state.open -= 1;
            pool.hand_on(&mut state);
        }
    }
}

/// Leave to open a connection, counted as one that is on its way until it is dropped.
pub(crate) struct Opening(Option<Arc<Pool>>);

impl Opening {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self(Some(pool))
    }

    /// Lets go without a look at the pool, which is locked and counts by itself.
    pub(super) fn forget(mut self) {
        self.0 = None;
    }

    /// No connection came of it. If there is none at all, those who wait would wait in vain.
    pub(super) fn failed(mut self, error: Error) -> Error {
        let Some(pool) = self.0.take() else {
            return error;
        };
        let mut state = pool.lock();
        state.opening -= 1;
        state.open -= 1;
        if state.open > 0 {
            pool.hand_on(&mut state);
            return error;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waiter in waiting {
            let _ = waiter.sender.send(Grant::Failed(error.clone()));
        }
        error
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            let mut state = pool.lock();
            state.opening -= 1;
            state.open -= 1;
            pool.hand_on(&mut state);
        }
    }
}
