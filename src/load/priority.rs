//! How much a request matters when not all of them can be served.

/// How much a request matters when not all of them can be served. Ordered: the greater is shed later.
///
/// A [`ConcurrencyLimitLayer`](super::ConcurrencyLimitLayer) asks its
/// [closure](super::ConcurrencyLimitLayer::priority) for it, or finds it in the request's extensions, where a layer or a
/// route may have put it.
///
/// | | may be in flight | may wait | is shed from a full queue |
/// |---|---|---|---|
/// | `Sheddable` | up to 3/4 of the limit | up to half of the queue | for anything greater |
/// | `Normal` | up to the limit | up to the whole queue | for a critical one |
/// | `Critical` | 1/8 more than the limit, at least one | up to the whole queue | never |
///
/// In the queue the greater goes first. So health checks that are critical are answered while everything else is shed;
/// where none are, the limit is never exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Shed first: prefetching, batch jobs, crawlers.
    Sheddable,
    /// What most requests are.
    #[default]
    Normal,
    /// Shed last: health checks, payments, whatever has to go through.
    Critical,
}

impl Priority {
    pub(crate) const ALL: [Self; 3] = [Self::Sheddable, Self::Normal, Self::Critical];

    /// How many requests may be in flight for one of this priority to join them.
    pub(crate) fn share_of_limit(self, limit: u32) -> u32 {
        match self {
            Self::Sheddable => (limit - limit / 4).max(1),
            Self::Normal => limit,
            Self::Critical => limit.saturating_add((limit / 8).max(1)),
        }
    }

    /// How many requests may wait for one of this priority to join them.
    pub(crate) fn share_of_queue(self, room: u32) -> u32 {
        match self {
            Self::Sheddable => room - room / 2,
            Self::Normal | Self::Critical => room,
        }
    }
}
