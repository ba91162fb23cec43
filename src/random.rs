//! The one source of randomness: fast, well spread, and not for secrets.
//!
//! It picks endpoints, jitters delays and makes ids of requests and traces. All of these only have to be unlikely to
//! meet, in one process or in a fleet: nobody is let in because they know one. So the generator need not be
//! cryptographic, and whoever sees some of its numbers can work out the next. A key, a token or a nonce must come
//! from the TLS library instead.

use std::{
    cell::Cell,
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

thread_local! {
    /// The generator's state; zero until the thread asks for its first number. One cell for each word, because copied
    /// as a whole it is loaded wider than it was stored, and the processor waits for its own stores: six times slower.
    static STATE: [Cell<u64>; 4] = const { [const { Cell::new(0) }; 4] };
}

/// The next 64 random bits of this thread.
#[inline]
pub(crate) fn next_u64() -> u64 {
    STATE.with(|cells| {
        let [a, b, c, d] = cells;
        let mut state = [a.get(), b.get(), c.get(), d.get()];
        // Also once in 2^64 numbers, which does no harm.
        if state[0] == 0 {
            state = seed();
        }
        let value = step(&mut state);
        for (cell, word) in cells.iter().zip(state) {
            cell.set(word);
        }
        value
    })
}

/// A state of its own for each thread: the standard library keys its hash maps from the operating system's randomness,
/// and what such a keyed hash makes of four counters can not be told from random.
#[cold]
fn seed() -> [u64; 4] {
    let keys = RandomState::new();
    [1_u64, 2, 3, 4].map(|counter| {
        let mut hasher = keys.build_hasher();
        hasher.write_u64(counter);
        hasher.finish().max(1)
    })
}

/// xoshiro256++ by David Blackman and Sebastiano Vigna: 256 bits of state, so that threads and processes do not run
/// into each other's sequences.
#[inline]
fn step(state: &mut [u64; 4]) -> u64 {
    let [a, b, c, d] = state;
    let value = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
    let shifted = *b << 17;
    *c ^= *a;
    *d ^= *b;
    *b ^= *c;
    *a ^= *d;
    *c ^= shifted;
    *d = d.rotate_left(45);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_sequence_is_that_of_the_reference() {
        let mut state = [1, 2, 3, 4];
        let values: Vec<u64> = (0..4).map(|_| step(&mut state)).collect();
        assert_eq!(
            values,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386
            ]
        );
    }

    #[test]
    fn threads_do_not_share_a_sequence() {
        let draw = || (0..1_000).map(|_| next_u64()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let mut seen: HashSet<u64> = draw().into_iter().collect();
        for thread in threads {
            seen.extend(thread.join().unwrap());
        }
        assert_eq!(seen.len(), 5_000);
    }

    #[test]
    fn every_bit_is_set_half_of_the_time() {
        let draws = 4_096;
        let mut counts = [0_u32; 64];
        for _ in 0..draws {
            let value = next_u64();
            for (bit, count) in counts.iter_mut().enumerate() {
                *count += u32::from(value >> bit & 1 == 1);
            }
        }
        // 2048 ± 10 standard deviations: out of reach of chance.
        assert!(
            counts.iter().all(|count| (1_728..=2_368).contains(count)),
            "{counts:?}"
        );
    }
}
