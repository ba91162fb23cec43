//! The choice among the endpoints of an upstream.

mod latency;
mod pick;
mod weights;

use std::{fmt, sync::Arc, time::Duration};

pub(crate) use latency::Latency;
pub(crate) use pick::{Ask, FULL, Field, Picker, Seen};

use crate::sticky::StickyKey;

/// How an upstream chooses among its endpoints. Clones are independent; what is counted belongs to the endpoints.
///
/// Whatever the policy, an endpoint that could not be reached comes after all others until it is (one draw in 16 gives it a
/// chance), one that is unhealthy or [ejected](crate::OutlierEjection) is not there, and another try of a request goes to
/// an endpoint that it has not seen, if there is one. A [weight](crate::Endpoint::weight) of 2 takes twice as many requests as
/// one of 1.
///
/// | policy | in one line | cost of a pick |
/// |---|---|---|
/// | [`power_of_two`](Self::power_of_two) (default) | fewer in flight, of two | constant |
/// | [`peak_ewma`](Self::peak_ewma) | less latency × in flight, of two | constant |
/// | [`least_in_flight`](Self::least_in_flight) | fewest in flight, of all | grows with the endpoints |
/// | [`round_robin`](Self::round_robin) | each in turn | constant |
/// | [`random`](Self::random) | any | constant |
/// | [`hash`](Self::hash) | the same for the same key | grows with the endpoints |
/// | [`custom`](Self::custom) | yours | yours |
#[derive(Clone)]
pub struct Balance(pub(crate) Policy);

#[derive(Clone)]
pub(crate) enum Policy {
    PowerOfTwo,
    PeakEwma { decay: Duration },
    LeastInFlight,
    RoundRobin,
    Random,
    Hash { key: StickyKey, bound: f64 },
    Custom(Arc<Custom>),
}

type Custom = dyn Fn(Candidates<'_>) -> usize + Send + Sync;

impl Balance {
    /// Of two endpoints drawn at random, the one with fewer requests in flight for its weight (Mitzenmacher 2001). The
    /// default: as good as the fewest of all, and without the herd that runs to it.
    pub fn power_of_two() -> Self {
        Self(Policy::PowerOfTwo)
    }

    /// Of two endpoints drawn at random, the one whose latency, times its requests in flight, is less for its weight. The
    /// latency is the time to the answer's head: a slower one counts at once, a faster one by a moving average that forgets
    /// within [`decay`](Self::decay). A failed request counts as one second, or as what was known if that is longer, so that
    /// an endpoint that fails fast does not look like a fast one.
    pub fn peak_ewma() -> Self {
        let decay = Duration::from_secs(10);
        Self(Policy::PeakEwma { decay })
    }

    /// The time in which [`peak_ewma`](Self::peak_ewma) forgets. For other policies it means nothing. Default: 10 s.
    pub fn decay(mut self, time: Duration) -> Self {
        if let Policy::PeakEwma { decay } = &mut self.0 {
            *decay = time;
        }
        self
    }

    /// The endpoint with the fewest requests in flight for its weight; among equals any.
    pub fn least_in_flight() -> Self {
        Self(Policy::LeastInFlight)
    }

    /// Each in turn; those with more weight more often, spread out evenly.
    pub fn round_robin() -> Self {
        Self(Policy::RoundRobin)
    }

    /// Any, by weight.
    pub fn random() -> Self {
        Self(Policy::Random)
    }

    /// The same endpoint for the same key, in every process: weighted rendezvous hashing. When endpoints come and go, only
    /// the keys of these move. No endpoint gets more than its share of the requests in flight times a
    /// [bound](Self::bound): what is above goes to the key's next endpoint (consistent hashing with bounded loads, Mirrokni,
    /// Thorup and Zadimoghaddam 2018). A request without a key goes to the better of two.
    pub fn hash(key: StickyKey) -> Self {
        Self(Policy::Hash { key, bound: 1.25 })
    }

    /// How much more than its share of the requests in flight an endpoint of [`hash`](Self::hash) takes, above 1;
    /// `f64::INFINITY`: any number, so that a key always keeps its endpoint. For other policies it means nothing. Default:
    /// 1.25.
    pub fn bound(mut self, times: f64) -> Self {
        if let Policy::Hash { bound, .. } = &mut self.0 {
            *bound = times;
        }
        self
    }

    /// What a function of yours says: the index of one of the candidates, which are never none. An index that is not there
    /// counts as the last.
    pub fn custom(pick: impl Fn(Candidates<'_>) -> usize + Send + Sync + 'static) -> Self {
        Self(Policy::Custom(Arc::new(pick)))
    }

    /// What is wrong with the settings.
    pub(crate) fn mistake(&self) -> Option<String> {
        match &self.0 {
            Policy::PeakEwma { decay } if decay.is_zero() => {
                Some("balance: the decay is 0; it is a time above 0".to_owned())
            }
            Policy::Hash { bound, .. } if bound.is_nan() || *bound <= 1.0 => Some(format!(
                "balance: the bound is {bound}; it is a number above 1, or infinite"
            )),
            _ => None,
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        matches!(self.0, Policy::PowerOfTwo)
    }

    pub(crate) fn name(&self) -> &'static str {
        match &self.0 {
            Policy::PowerOfTwo => "power of two",
            Policy::PeakEwma { .. } => "peak EWMA",
            Policy::LeastInFlight => "least in flight",
            Policy::RoundRobin => "round robin",
            Policy::Random => "random",
            Policy::Hash { .. } => "hash",
            Policy::Custom(_) => "custom",
        }
    }
}

impl Default for Balance {
    fn default() -> Self {
        Self::power_of_two()
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Balance({})", self.name())
    }
}

/// The endpoints that a request may go to, for [`Balance::custom`].
#[derive(Clone, Copy)]
pub struct Candidates<'a> {
    field: &'a dyn Field,
    random: u64,
}

impl Candidates<'_> {
    /// How many there are, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.field.count()
    }

    /// The endpoint's URL.
    pub fn url(&self, at: usize) -> &str {
        self.field.url(at)
    }

    /// Its requests in flight, to the end of their answers' bodies.
    pub fn in_flight(&self, at: usize) -> usize {
        self.field.seen(at).in_flight
    }

    /// Its weight.
    pub fn weight(&self, at: usize) -> u32 {
        self.field.seen(at).weight
    }

    /// Whether the last attempt to reach it failed.
    pub fn is_unreached(&self, at: usize) -> bool {
        self.field.seen(at).unreached
    }

    /// 64 random bits, the same whenever they are asked for during one pick.
    pub fn random(&self) -> u64 {
        self.random
    }
}

impl fmt::Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries((0..self.len()).map(|at| self.url(at)))
            .finish()
    }
}
