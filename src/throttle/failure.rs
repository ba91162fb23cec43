//! What is done when the limiter can not tell.

use super::{
    limiter::{Ask, Decisions, RateLimiter},
    policy::Policy,
    store::LocalStore,
};
use crate::clock;

/// What becomes of requests while a limiter that is shared with other gateways fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// Each gateway decides by itself, from memory of its own, and allows its part of each limit: rate and burst divided by how many
    /// gateways there are, at least 1. So all of them together allow the whole limit when their number is right, and more when there are more of
    /// them, or more than the limit has units. What was spent before is not known there: each time that the limiter begins to fail, up to a whole burst more is let
    /// through, and while only some calls fail, what those spend is beside what the limiter counts, or is counted twice, where a call was late and done all the same.
    /// The memory is that of the limiter ([`RateLimiter::fallback`]), which all layers share
    /// that have it; else the layer's, which its clones share. A request that costs more than such a part is let through when all of it is there, and makes a debt of the rest.
    /// `RateLimit` says what is left of the part meanwhile, and `RateLimit-Policy` the whole limit.
    Local {
        /// How many share the limits, from 1 to 1,000. Default: 2.
        gateways: u32,
    },
    /// All of them pass.
    Open,
    /// They are answered with 503.
    Closed,
}

const MOST_GATEWAYS: u32 = 1_000;

impl Default for OnFailure {
    fn default() -> Self {
        Self::Local { gateways: 2 }
    }
}

impl OnFailure {
    pub(super) fn mistakes(self) -> Option<String> {
        let Self::Local { gateways } = self else {
            return None;
        };
        let is_wrong = gateways == 0 || gateways > MOST_GATEWAYS;
        is_wrong.then(|| {
            format!("throttle on_failure: {gateways} gateways are not from 1 to {MOST_GATEWAYS}")
        })
    }
}

/// Decides while the limiter can not.
pub(super) enum Substitute {
    Local {
        store: LocalStore,
        /// The policies in their order, each for one gateway of several.
        shares: Vec<Policy>,
    },
    Open,
    Closed,
}

impl Substitute {
    pub(super) fn new(
        on_failure: OnFailure,
        policies: &[Policy],
        fallback: Option<LocalStore>,
    ) -> Self {
        match on_failure {
            OnFailure::Open => Self::Open,
            OnFailure::Closed => Self::Closed,
            OnFailure::Local { gateways } => Self::Local {
                store: fallback.unwrap_or_default(),
                shares: policies
                    .iter()
                    .map(|policy| policy.share_of(gateways))
                    .collect(),
            },
        }
    }

    /// What these asks come to, each of the policy at this place; `None`: it can not be told.
    pub(super) fn acquire(&self, asks: &[(usize, Ask<'_>)]) -> Option<Decisions> {
        match self {
            Self::Open => Some(Decisions::default()),
            Self::Closed => None,
            Self::Local { store, shares } => {
                let mine = asks.iter().map(|(place, ask)| {
                    let policy = &shares[*place];
                    // What costs more than a share has would never be allowed; what costs more than the whole limit has never is.
                    let most = match ask.cost > ask.policy.quota() {
                        true => u64::MAX,
                        false => policy.quota(),
                    };
                    let cost = ask.cost.min(most);
                    Ask {
                        policy,
                        cost,
                        ..*ask
                    }
                });
                let mine: Vec<_> = mine.collect();
                let decisions = store.acquire_now(&mine)?;
                if decisions.is_allowed() {
                    for (mine, (_, ask)) in mine.iter().zip(asks) {
                        // The rest of it is a debt, or a share would be worth more than a part.
                        let cost = ask.cost - mine.cost;
                        if cost > 0 {
                            store.charge(&Ask { cost, ..*mine }, clock::now());
                        }
                    }
                }
                Some(decisions)
            }
        }
    }

    /// What is allowed in place of the policy at this place, if anything else is.
    pub(super) fn share(&self, place: usize) -> Option<&Policy> {
        match self {
            Self::Local { shares, .. } => shares.get(place),
            Self::Open | Self::Closed => None,
        }
    }

    /// Of the policy at this place.
    pub(super) fn charge(&self, place: usize, ask: Ask<'_>) {
        if let Self::Local { store, shares } = self {
            let policy = &shares[place];
            store.charge(&Ask { policy, ..ask }, clock::now());
        }
    }
}
