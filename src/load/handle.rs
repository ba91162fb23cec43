//! A look at a limit, and a hand on it.

use std::{fmt, sync::Arc, time::Duration};

use super::{priority::Priority, shared::Shared};

/// Shows how a [`ConcurrencyLimitLayer`](super::ConcurrencyLimitLayer) fares, and moves its limit. Clones are handles to the
/// same one. Each figure is read by itself: while requests come and go, two of them need not be of the same moment.
#[derive(Clone)]
pub struct ConcurrencyLimitHandle(Arc<Shared>);

impl ConcurrencyLimitHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// How many requests may be in flight now; what [`max`](super::ConcurrencyLimitLayer::max) says, or an adaptive limit has
    /// found.
    pub fn limit(&self) -> u32 {
        self.0.limit.limit()
    }

    /// Requests that have a permit. More than the limit when that has shrunk, or by [`Priority::Critical`] ones.
    pub fn in_flight(&self) -> u32 {
        self.0.limit.in_flight()
    }

    /// Requests in the queue.
    pub fn waiting(&self) -> u32 {
        self.0.limit.waiting()
    }

    /// Requests that got a permit, since the beginning.
    pub fn admitted(&self) -> u64 {
        self.0.admitted()
    }

    /// Requests of this priority that were answered with 503, since the beginning: at once, from a full queue, or after
    /// they had waited in vain. Those whose client left are not among them.
    pub fn shed(&self, priority: Priority) -> u64 {
        self.0.shed(priority)
    }

    /// The median time to the response head in the last window of an adaptive limit; `None` before the first one, and
    /// with a fixed limit. With [`aimd`](super::Adaptive::aimd), of the answers that were not too slow.
    pub fn latency(&self) -> Option<Duration> {
        self.0.latencies().0
    }

    /// The backend's time when nothing waits there, as an adaptive limit by the gradient has measured it; otherwise
    /// `None`.
    pub fn baseline(&self) -> Option<Duration> {
        self.0.latencies().1
    }

    /// Moves a fixed limit, or the upper bound of an adaptive one. 0 counts as 1. Requests that wait and fit in now go at
    /// once; those in flight keep their permits when there are more of them than the new limit.
    pub fn set_max(&self, max: u32) {
        self.0.set_max(max);
    }
}

impl fmt::Debug for ConcurrencyLimitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
