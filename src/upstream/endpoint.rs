//! One address of a backend, and the choice among several.

use std::sync::Arc;

use http::HeaderValue;

use crate::{
    client::{Address, Client},
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

/// Power of two choices: of two endpoints drawn at random, the one with fewer requests in flight (Mitzenmacher 2001).
pub(crate) fn pick(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    match endpoints {
        [] => None,
        [only] => Some(only),
        many => {
            let (first, second) = two(random::next_u64(), many.len());
            let (first, second) = (&many[first], &many[second]);
            Some(if second.client.in_flight() < first.client.in_flight() {
                second
            } else {
                first
            })
        }
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
    use super::two;

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
}
