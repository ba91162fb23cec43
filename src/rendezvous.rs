//! Which of several targets a key belongs to: weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after
//! Schindelhauer and Schomaker 2005).
//!
//! Each target draws a score for the key, and the highest one takes it. A score depends on the key, the target's name and its
//! weight alone, so that a key moves only to a target whose weight was raised, or away from one whose weight was lowered,
//! and no more keys move than have to. The order of the targets is without influence, and every process comes to the same.

use std::f64::consts::{LN_2, SQRT_2};

/// The hash of a key or of a target's name. It is not secret: who chooses the key can choose the target.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a of 64 bits with a finaliser, since FNV's high bits depend too little on the last bytes.
    let fnv = bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
    mix(fnv)
}

/// What a target of this weight scores for the key, both hashed. Over many keys each target gets its weight's share of the
/// highest scores; a weight of 0 scores 0.
pub(crate) fn score(key: u64, target: u64, weight: u32) -> f64 {
    f64::from(weight) / exponential(mix(key ^ target))
}

/// The finaliser of `SplitMix64`.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Turns a hash into a draw from the exponential distribution: `-ln(u)` of a `u` strictly between 0 and 1, so never 0 or infinite.
///
/// The logarithm is computed with the four basic operations alone, which IEEE 754 fixes to the bit. `f64::ln` may differ between
/// platforms, and with it two gateways would differ about a key.
fn exponential(hash: u64) -> f64 {
    // 53 bits, the last of them set: exact as a float. The top bit tells how often it has to be halved to lie below 1.
    let bits = (hash >> 11) | 1;
    let top = bits.ilog2();
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let mut fraction = bits as f64 / (1_u64 << top) as f64;
    let mut halvings = f64::from(53 - top);
    if fraction > SQRT_2 {
        fraction /= 2.0;
        halvings -= 1.0;
    }
    // ln(x) = 2·artanh(y) with y = (x-1)/(x+1), and |y| < 0.172 here: ten terms reach the float's precision.
    let y = (fraction - 1.0) / (fraction + 1.0);
    let square = y * y;
    let series = (0..10)
        .rev()
        .fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    halvings * LN_2 - 2.0 * y * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for hash in (1..20_000_u64)
            .map(|n| mix(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .chain([
                0,
                1,
                u64::MAX,
                u64::MAX - 1,
                1 << 63,
                (1 << 63) - 1,
                1 << 11,
            ])
        {
            #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
            let bits = ((hash >> 11) | 1) as f64;
            let expected = -(bits / 2_f64.powi(53)).ln();
            let drawn = exponential(hash);
            assert!(drawn > 0.0 && drawn.is_finite());
            assert!(
                (drawn - expected).abs() <= 1e-14 * expected.max(0.01),
                "{hash}: {drawn} {expected}"
            );
        }
    }
}
