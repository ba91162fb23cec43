//! The policies, without the endpoints: what is known of each goes in, an index comes out.

use super::{
    Candidates, Policy,
    weights::{Weights, turns},
};
use crate::rendezvous;

/// The full measure of a ramp.
pub(crate) const FULL: u32 = 1024;

/// What is known of an endpoint at the moment of a pick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) unreached: bool,
    /// It has as many requests as it may have.
    pub(crate) full: bool,
    pub(crate) in_flight: usize,
    pub(crate) weight: u32,
    /// How much of its weight a new endpoint has yet, out of [`FULL`].
    pub(crate) ramp: u32,
    /// What it takes to answer, in any unit; 0: unknown.
    pub(crate) latency: u64,
}

impl Seen {
    /// What the endpoint would have to carry for its weight; less is better.
    fn load(&self) -> u64 {
        let weight = u64::from(self.weight) * u64::from(self.ramp);
        // Not to be sent anything, unless there is no other.
        let Some(weight) = std::num::NonZeroU64::new(weight) else {
            return u64::MAX;
        };
        // Enough of it, that something is left of one request for the largest weight: 2^32 times 2^10.
        let load = (self.in_flight as u128 + 1) << 48;
        u64::try_from(load / u128::from(weight.get())).unwrap_or(u64::MAX)
    }

    /// The same, times its latency. Nobody knows yet how slow a new one is: it gets one request to find out.
    fn cost(&self) -> u128 {
        let latency = match self.latency {
            0 if self.in_flight > 0 => u64::from(u32::MAX),
            known => known.max(1),
        };
        u128::from(self.load()) * u128::from(latency)
    }
}

/// The endpoints to choose from.
pub(crate) trait Field {
    fn count(&self) -> usize;
    fn seen(&self, at: usize) -> Seen;
    fn url(&self, at: usize) -> &str;
}

/// What is asked of one pick.
pub(crate) struct Ask<'a> {
    pub(crate) random: u64,
    /// How many were picked before.
    pub(crate) turn: usize,
    /// The request's key, hashed.
    pub(crate) key: Option<u64>,
    /// Those that are not to be picked, if there is another one.
    pub(crate) skip: &'a dyn Fn(usize) -> bool,
}

/// A policy, prepared for the weights of some endpoints.
pub(crate) struct Picker {
    policy: Policy,
    weights: Weights,
    turns: Box<[u32]>,
    /// The names of the endpoints, hashed.
    names: Box<[u64]>,
}

impl Picker {
    pub(crate) fn new<'a>(
        policy: &Policy,
        endpoints: impl Iterator<Item = (&'a str, u32)> + Clone,
    ) -> Self {
        let weights: Vec<u32> = endpoints.clone().map(|(_, weight)| weight).collect();
        Self {
            weights: Weights::new(&weights),
            turns: match policy {
                Policy::RoundRobin => turns(&weights),
                _ => Box::default(),
            },
            names: match policy {
                Policy::Hash { .. } => endpoints
                    .map(|(name, _)| rendezvous::hash(name.as_bytes()))
                    .collect(),
                _ => Box::default(),
            },
            policy: policy.clone(),
        }
    }

    /// One of the endpoints that the picker was made for.
    pub(crate) fn pick(&self, field: &impl Field, ask: &Ask<'_>) -> Option<usize> {
        let count = field.count();
        if count < 2 {
            return (count == 1).then_some(0);
        }
        let picked = self.by_policy(field, ask);
        let seen = field.seen(picked);
        let is_good =
            !seen.full && !(ask.skip)(picked) && (!seen.unreached || has_chance(ask, seen));
        if is_good {
            return Some(picked);
        }
        Some(least(field, ask))
    }

    fn by_policy(&self, field: &impl Field, ask: &Ask<'_>) -> usize {
        let count = field.count();
        let seen = |at: usize| field.seen(at);
        match &self.policy {
            Policy::PowerOfTwo => self.of_two(field, ask, by_load),
            Policy::PeakEwma { .. } => self.of_two(field, ask, Seen::cost),
            Policy::LeastInFlight => least(field, ask),
            Policy::RoundRobin => {
                let at = match self.turns.len() {
                    0 => ask.turn % count,
                    length => self.turns[ask.turn % length] as usize,
                };
                if is_up_to_it(seen(at), ask.random) {
                    at
                } else {
                    // Not the next turn, which may be its own, too.
                    self.weights.draw_other(high(ask.random), at)
                }
            }
            Policy::Random => {
                let at = self.weights.draw(low(ask.random));
                if is_up_to_it(seen(at), ask.random.rotate_left(20)) {
                    at
                } else {
                    self.weights.draw_other(high(ask.random), at)
                }
            }
            Policy::Hash { bound, .. } => match ask.key {
                Some(key) => self.by_key(field, key, *bound, ask),
                None => self.of_two(field, ask, by_load),
            },
            Policy::Custom(pick) => {
                let candidates = Candidates {
                    field,
                    random: ask.random,
                };
                pick(candidates).min(count - 1)
            }
        }
    }

    fn of_two(&self, field: &impl Field, ask: &Ask<'_>, cost: impl Fn(&Seen) -> u128) -> usize {
        let first = self.weights.draw(low(ask.random));
        let second = self.weights.draw_other(high(ask.random), first);
        if against(field, second, ask, &cost) < against(field, first, ask, &cost) {
            second
        } else {
            first
        }
    }

    /// The key's first endpoint that has room.
    fn by_key(&self, field: &impl Field, key: u64, bound: f64, ask: &Ask<'_>) -> usize {
        let count = field.count();
        let seen = |at: usize| field.seen(at);
        let (mut in_flight, mut weight) = (0_u64, 0_u64);
        if bound.is_finite() {
            for at in 0..count {
                let seen = seen(at);
                in_flight += seen.in_flight as u64;
                weight += u64::from(seen.weight) * u64::from(seen.ramp);
            }
        }
        let is_full = |seen: Seen| {
            if bound.is_infinite() {
                return false;
            }
            let share = f64::from(seen.weight) * f64::from(seen.ramp) / weight.max(1) as f64;
            seen.in_flight as f64 >= ((in_flight + 1) as f64 * share * bound).ceil()
        };
        let mut best = (0, None);
        for at in 0..count {
            let seen = seen(at);
            let score = rendezvous::score(key, self.names[at], seen.weight);
            let fit = (
                !seen.full,
                !(ask.skip)(at),
                !seen.unreached || has_chance(ask, seen),
                !is_full(seen),
            );
            let value = (fit, score);
            if best.1.is_none_or(|known| value > known) {
                best = (at, Some(value));
            }
        }
        best.0
    }
}

/// The one with the least load; among equals any, so that no neighbour gets all that another one can not take.
fn least(field: &impl Field, ask: &Ask<'_>) -> usize {
    let lot = |at: usize| {
        let mixed = (ask.random ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    (0..field.count())
        .min_by_key(|at| (against(field, *at, ask, by_load), lot(*at)))
        .unwrap_or(0)
}

/// What speaks against an endpoint; the order matters.
fn against(
    field: &impl Field,
    at: usize,
    ask: &Ask<'_>,
    cost: impl Fn(&Seen) -> u128,
) -> (bool, bool, bool, u128) {
    let (skip, seen) = ((ask.skip)(at), field.seen(at));
    match has_chance(ask, seen) {
        true => (seen.full, skip, false, 0),
        false => (seen.full, skip, seen.unreached, cost(&seen)),
    }
}

fn by_load(seen: &Seen) -> u128 {
    u128::from(seen.load())
}

/// An endpoint that could not be reached has nothing in flight, and would draw all requests to itself. It comes after every
/// other one, until it is reached; to find out, one draw in 16 takes it for any other, if nothing is under way to it.
fn has_chance(ask: &Ask<'_>, seen: Seen) -> bool {
    seen.unreached && seen.in_flight == 0 && ask.random >> 60 == 0
}

/// A new endpoint takes its turn as often as it has grown.
fn is_up_to_it(seen: Seen, random: u64) -> bool {
    seen.ramp >= FULL || (random >> 32) as u32 % FULL < seen.ramp
}

fn low(random: u64) -> u32 {
    (random & 0xffff_ffff) as u32
}

fn high(random: u64) -> u32 {
    // Mixed, for its top bits say whether there is a chance.
    ((random >> 32) as u32).wrapping_mul(0x9e37_79b1)
}

#[cfg(test)]
mod tests;
