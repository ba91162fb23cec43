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
    /// gateways there are, at least 1. What was spent before is not known there, so at most a whole limit more is let through. The memory is the
    /// layer's: layers that share a limiter do not share it, but clones of a layer do. A request that costs more than such a part takes all of it.
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
    pub(super) fn new(on_failure: OnFailure, policies: &[Policy]) -> Self {
        match on_failure {
            OnFailure::Open => Self::Open,
            OnFailure::Closed => Self::Closed,
            OnFailure::Local { gateways } => Self::Local {
                store: LocalStore::new(),
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
                    let cost = match ask.cost <= ask.policy.quota() {
                        // What costs more than a share has takes all of it.
                        true => ask.cost.min(policy.quota()),
                        // It is never allowed.
                        false => ask.cost,
                    };
                    Ask {
                        policy,
                        cost,
                        ..*ask
                    }
                });
                store.acquire_now(&mine.collect::<Vec<_>>())
            }
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
