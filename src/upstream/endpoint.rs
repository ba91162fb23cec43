//! One address of a backend, and the choice among several.

use std::sync::Arc;

use http::HeaderValue;

use crate::{
    client::{Address, Client},
    context::Tried,
    random,
};

/// One address of a backend, with its connections.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) host: HeaderValue,
    pub(crate) label: Arc<str>,
    pub(crate) client: Client,
}

impl Endpoint {
    /// Its number among all endpoints of all backends: clones have the same.
    pub(crate) fn id(&self) -> usize {
        self.label.as_ptr().addr()
    }

    fn load(&self) -> Load {
        Load {
            unreached: self.client.is_unreached(),
            in_flight: self.client.in_flight(),
        }
    }
}

/// Power of two choices: of two endpoints drawn at random, the one with fewer requests in flight (Mitzenmacher 2001).
///
/// One that could not be reached has nothing in flight, and would draw all requests to itself: it comes after every
/// other one, until it is reached. To find out, one draw in 16 takes it for any other, if nothing is under way to it.
fn pick(endpoints: &[Endpoint]) -> Option<usize> {
    match endpoints.len() {
        0 => None,
        1 => Some(0),
        count => Some(choose(random::next_u64(), count, |at| endpoints[at].load())),
    }
}

/// The choice for a request that may have been sent before: one that it has not been to, if there is one. It is noted.
pub(crate) fn pick_for(endpoints: &[Endpoint], tried: Option<&Tried>) -> Option<usize> {
    let Some(tried) = tried else {
        return pick(endpoints);
    };
    let other = match tried.is_empty() {
        true => None,
        false => pick_other(endpoints, |at| tried.has(endpoints[at].id())),
    };
    let chosen = other.or_else(|| pick(endpoints))?;
    tried.add(endpoints[chosen].id());
    Some(chosen)
}

/// The best of those that have not been tried; of several any one.
pub(crate) fn pick_other(
    endpoints: &[Endpoint],
    is_tried: impl Fn(usize) -> bool,
) -> Option<usize> {
    let count = endpoints.len();
    let start = random::next_u64() as usize % count.max(1);
    (0..count)
        .map(|at| (start + at) % count)
        .filter(|at| !is_tried(*at))
        .min_by_key(|at| endpoints[*at].load())
}

/// What speaks against an endpoint; the order matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    unreached: bool,
    in_flight: usize,
}

fn choose(random: u64, count: usize, load: impl Fn(usize) -> Load) -> usize {
    let (first, second) = two(random, count);
    let has_chance = random >> 60 == 0;
    let load = |at| match load(at) {
        Load { in_flight: 0, .. } if has_chance => Load {
            unreached: false,
            in_flight: 0,
        },
        load => load,
    };
    if load(second) < load(first) {
        second
    } else {
        first
    }
}

/// Two different indices below `count`, which is at least 2.
fn two(random: u64, count: usize) -> (usize, usize) {
    let low = (random & 0xffff_ffff) as usize;
    let high = (random >> 32) as usize;
    let first = low % count;
    let second = (first + 1 + high % (count - 1)) % count;
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_differ_and_all_pairs_come() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2000 {
            let (a, b) = two(crate::random::next_u64(), 4);
            assert!(a != b && a < 4 && b < 4);
            seen.insert((a, b));
        }
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn the_one_with_fewer_requests_is_chosen_and_an_unreached_one_seldom() {
        // (unreached, in flight) of two endpoints; the chosen one when the first is drawn first, and when the second is;
        // and the same when an unreached one has its chance.
        let cases = [
            ([(false, 0), (false, 0)], [0, 1], [0, 1]),
            ([(false, 1), (false, 2)], [0, 0], [0, 0]),
            ([(true, 0), (false, 9)], [1, 1], [0, 0]),
            ([(true, 0), (false, 0)], [1, 1], [0, 1]),
            ([(true, 1), (false, 9)], [1, 1], [1, 1]),
            ([(true, 1), (true, 2)], [0, 0], [0, 0]),
        ];
        for (loads, usual, chance) in cases {
            let load = |at: usize| {
                let (unreached, in_flight) = loads[at];
                Load {
                    unreached,
                    in_flight,
                }
            };
            let chosen = |high: u64| [0, 1].map(|low| choose(high << 60 | low, 2, load));
            assert_eq!(chosen(0), chance, "{loads:?}");
            for high in 1..16 {
                assert_eq!(chosen(high), usual, "{loads:?}");
            }
        }
    }
}
