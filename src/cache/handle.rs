//! A look at a cache, and what can be done to it.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{purge::Purge, shared::Shared};
use crate::error::BoxError;

/// Shows how a [`CacheLayer`](super::CacheLayer) fares, and removes what it has stored. Clones are handles to the same one.
#[derive(Clone)]
pub struct CacheHandle(Arc<Shared>);

/// What came of requests since the beginning, and what there is now. Each figure is read by itself: while requests come and go, two of them need not be of the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheFigures {
    /// Requests that were answered from the store, without a word to the backend.
    pub hits: u64,
    /// How many of these were stale: validated meanwhile, wanted so by the client, or used because the backend failed.
    pub stale: u64,
    /// Requests for which the store had nothing.
    pub misses: u64,
    /// Stored answers that the backend was asked about.
    pub validations: u64,
    /// Requests that were answered by what another one has fetched.
    pub collapsed: u64,
    /// Requests that the cache has left alone.
    pub bypassed: u64,
    /// Answers that were stored.
    pub stored: u64,
    /// How often the store failed, which counts as a miss.
    pub store_failures: u64,
    /// Requests to the backend that others may wait for, at the moment.
    pub in_flight: u64,
    /// Keys in the store, if it says so.
    pub keys: u64,
    /// About how many bytes they take, if it says so.
    pub bytes: u64,
}

impl CacheHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The figures.
    pub fn figures(&self) -> CacheFigures {
        let counts = &self.0.counts;
        let (keys, bytes) = self.0.settings.store.figures().unwrap_or_default();
        CacheFigures {
            hits: counts.hits.load(Relaxed),
            stale: counts.stale.load(Relaxed),
            misses: counts.misses.load(Relaxed),
            validations: counts.validations.load(Relaxed),
            collapsed: counts.collapsed.load(Relaxed),
            bypassed: counts.bypassed.load(Relaxed),
            stored: counts.stored.load(Relaxed),
            store_failures: counts.store_failures.load(Relaxed),
            in_flight: self.0.flights.len() as u64,
            keys,
            bytes,
        }
    }

    /// Removes what is meant, or [marks it as stale](Purge::softly); how many answers that were. What is on its way from the backend at the moment, and might be meant, is not
    /// stored.
    ///
    /// # Errors
    /// The store fails.
    pub async fn purge(&self, what: Purge) -> Result<u64, BoxError> {
        self.0.purge(&what).await
    }
}

impl fmt::Debug for CacheHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheHandle")
            .field("figures", &self.figures())
            .finish()
    }
}
