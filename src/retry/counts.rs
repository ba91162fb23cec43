//! What a layer counts, and the handle to look at it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::layer::Shared;

/// Looks at a [`RetryLayer`](super::RetryLayer) from outside. Clones look at the same.
#[derive(Clone, Debug)]
pub struct RetryHandle(Arc<Shared>);

/// What a [`RetryLayer`](super::RetryLayer) has counted so far, and what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryCounts {
    /// Requests through the layer.
    pub requests: u64,
    /// Tries that were begun because an earlier one had failed.
    pub retries: u64,
    /// Tries that were begun because an earlier one took its time.
    pub hedges: u64,
    /// Hedges whose answer was the first good one.
    pub hedges_won: u64,
    /// Retries and hedges for which there was no budget.
    pub over_budget: u64,
    /// Failures that were final only because the request's body could not be sent again.
    pub not_replayable: u64,
    /// Requests that have no answer yet. A gauge.
    pub in_flight: u64,
    /// Retries and hedges that have no answer yet. A gauge.
    pub extra_in_flight: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    answered: AtomicU64,
    retries: AtomicU64,
    hedges: AtomicU64,
    extra_ended: AtomicU64,
    pub(super) hedges_won: AtomicU64,
    pub(super) over_budget: AtomicU64,
    pub(super) not_replayable: AtomicU64,
}

/// A request that is under way. Dropped, it is no longer.
pub(super) struct InFlight(Arc<Shared>);

/// A retry or a hedge that is under way. Dropped, it is no longer.
pub(super) struct Extra(Arc<Shared>);

impl RetryHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The counts of this moment.
    pub fn counts(&self) -> RetryCounts {
        let counts = &self.0.counts;
        // The ends first, so that a gauge is never below zero.
        let answered = counts.answered.load(Relaxed);
        let extra_ended = counts.extra_ended.load(Relaxed);
        let requests = counts.requests.load(Relaxed);
        let (retries, hedges) = (counts.retries.load(Relaxed), counts.hedges.load(Relaxed));
        RetryCounts {
            requests,
            retries,
            hedges,
            hedges_won: counts.hedges_won.load(Relaxed),
            over_budget: counts.over_budget.load(Relaxed),
            not_replayable: counts.not_replayable.load(Relaxed),
            in_flight: requests.saturating_sub(answered),
            extra_in_flight: (retries + hedges).saturating_sub(extra_ended),
        }
    }
}

impl InFlight {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.counts.requests.fetch_add(1, Relaxed);
        Self(shared)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.counts.answered.fetch_add(1, Relaxed);
    }
}

impl Extra {
    pub(super) fn new(shared: Arc<Shared>, is_hedge: bool) -> Self {
        let counts = &shared.counts;
        let count = if is_hedge {
            &counts.hedges
        } else {
            &counts.retries
        };
        count.fetch_add(1, Relaxed);
        Self(shared)
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        self.0.counts.extra_ended.fetch_add(1, Relaxed);
    }
}
