//! Keys whose answers nobody else may have, so that waiting for them is in vain.

use std::sync::atomic::{AtomicU64, Ordering};

/// Remembers some thousand of them for a while, and forgets one for another when their places meet: then somebody waits in vain.
pub(in crate::cache) struct Alone(Box<[AtomicU64]>);

const PLACES: usize = 4096;
/// For how long it is known, in seconds.
const TIME: u64 = 120;

impl Alone {
    pub(in crate::cache) fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }

    /// In one number, 36 bits of the hash and until when, in seconds of a time that begins anew every eight years.
    fn place(&self, hash: u64) -> Option<(&AtomicU64, u64)> {
        let place = self.0.get(hash as usize % PLACES)?;
        Some((place, hash >> UNTIL << UNTIL))
    }

    pub(in crate::cache) fn add(&self, hash: u64, now: u64) {
        if let Some((place, tag)) = self.place(hash) {
            let until = (now / 1000 + TIME) & ((1 << UNTIL) - 1);
            place.store(tag | until, Ordering::Relaxed);
        }
    }

    /// An answer for it was one that others may have.
    pub(in crate::cache) fn remove(&self, hash: u64) {
        if let Some((place, tag)) = self.place(hash)
            && place.load(Ordering::Relaxed) >> UNTIL << UNTIL == tag
        {
            place.store(0, Ordering::Relaxed);
        }
    }

    pub(in crate::cache) fn has(&self, hash: u64, now: u64) -> bool {
        let Some((place, tag)) = self.place(hash) else {
            return false;
        };
        let known = place.load(Ordering::Relaxed);
        let mask = (1 << UNTIL) - 1;
        let left = (known & mask).wrapping_sub(now / 1000) & mask;
        known >> UNTIL << UNTIL == tag && known != 0 && left > 0 && left <= TIME
    }
}

/// Bits of the time.
const UNTIL: u32 = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_for_a_while() {
        let alone = Alone::new();
        let now = 1_764_000_000_500;
        for hash in [0, 7 << 60, u64::MAX] {
            assert!(!alone.has(hash, now));
            alone.add(hash, now);
            let told = [0, 119_000, 121_000].map(|later| alone.has(hash, now + later));
            assert_eq!(told, [true, true, false]);
            assert!(
                !alone.has(hash ^ (1 << 40), now),
                "another one at its place"
            );
            alone.remove(hash ^ (1 << 40));
            assert!(alone.has(hash, now));
            alone.remove(hash);
            assert!(!alone.has(hash, now));
        }
    }
}
