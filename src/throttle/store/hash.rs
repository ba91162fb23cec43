//! What keys are known by: SipHash-1-3, with a secret of each store's own.
//!
//! It is the function of the standard library's hash maps. That one takes a key in pieces, and keeps what is between them in memory; a key that is
//! there as a whole takes two thirds of the time, which is a third of that of a check.

use std::hash::{BuildHasher, RandomState};

/// A hash that nobody can know, so that nobody can choose keys that are taken for each other.
#[derive(Clone, Copy)]
pub(super) struct Secret([u64; 2]);

impl Secret {
    /// What the standard library's keyed hash makes of two numbers can not be told from random.
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self([0_u64, 1].map(|number| random.hash_one(number)))
    }

    #[inline]
    pub(super) fn hash(self, bytes: &[u8]) -> u64 {
        sip::<1, 3>(self.0, bytes)
    }
}

/// SipHash (Aumasson and Bernstein, 2012) with so many rounds for each word, and at the end.
#[inline]
fn sip<const EACH: usize, const LAST: usize>([first, second]: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        first ^ 0x736f_6d65_7073_6575,
        second ^ 0x646f_7261_6e64_6f6d,
        first ^ 0x6c79_6765_6e65_7261,
        second ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks();
    let mut last = (bytes.len() as u64) << 56;
    for (at, byte) in rest.iter().enumerate() {
        last |= u64::from(*byte) << (8 * at);
    }
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    for word in words.chain([last]) {
        v[3] ^= word;
        (0..EACH).for_each(|_| round(&mut v));
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..LAST).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32).wrapping_add(v[3]);
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use super::*;

    #[test]
    fn it_is_sip_hash() {
        // The example of the paper's appendix: the bytes from 0 to 15 as the key, those from 0 to 14 as the message.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let bytes: Vec<_> = (0..200_u8).collect();
        assert_eq!(sip::<2, 4>(key, &bytes[..15]), 0xa129_ca61_49be_45e5);
        // And what the standard library has today, with a key of zeros.
        for len in 0..bytes.len() {
            let mut hasher = DefaultHasher::new();
            hasher.write(&bytes[..len]);
            assert_eq!(sip::<1, 3>([0, 0], &bytes[..len]), hasher.finish(), "{len}");
        }
    }

    #[test]
    fn each_store_has_its_own() {
        let [one, other] = [Secret::new(), Secret::new()];
        assert_ne!(one.hash(b"192.0.2.7"), other.hash(b"192.0.2.7"));
        assert_ne!(one.hash(b"192.0.2.7"), one.hash(b"192.0.2.8"));
        assert_eq!(one.hash(b""), one.hash(b""));
    }
}
