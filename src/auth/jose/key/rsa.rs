//! Which RSA keys are strong enough.

use crate::auth::jose::KeyError;

/// Checks modulus and exponent, without leading zeros.
pub(super) fn check(n: &[u8], e: &[u8]) -> Result<(), KeyError> {
    let wrong = |member, wrong| Err(KeyError::Member { member, wrong });
    let bits = n
        .first()
        .map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    if n.last().is_some_and(|last| last & 1 == 0) {
        return wrong("n", "is even, so it is no RSA modulus");
    }
    // What FIPS 186-5 section 5.4 wants at least, and what the cryptographic library takes at most.
    let exponent = match e {
        [] | [0, ..] => None,
        e if e.len() <= 8 => Some(
            e.iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        ),
        _ => None,
    };
    if !exponent.is_some_and(|e| e % 2 == 1 && (0x1_0001..1 << 33).contains(&e)) {
        return wrong("e", "has to be odd, at least 65537 and below 2^33");
    }
    if has_roca_fingerprint(n) {
        return wrong(
            "n",
            "is of a generator whose keys can be factored (CVE-2017-15361)",
        );
    }
    Ok(())
}

/// Primes below 168, without 2. A weak modulus is a power of 65537 modulo each of them.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Nemec, Sys, Svenda, Klinec, Matyas: The Return of Coppersmith's Attack (2017), section 3.2. A sound key has it by
/// chance once in 2^27 times at most.
fn has_roca_fingerprint(n: &[u8]) -> bool {
    PRIMES.iter().all(|&prime| {
        let modulo = |rest, byte: &u8| (rest << 8 | u32::from(*byte)) % prime;
        let rest = n.iter().fold(0, modulo);
        let mut power = 1;
        for _ in 0..prime {
            if power == rest {
                return true;
            }
            power = power * 65537 % prime;
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sound modulus of so many bits, as far as this looks.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut n = vec![0xA5; bits.div_ceil(8)];
        n[0] = 0xFF >> (n.len() * 8 - bits);
        n
    }

    #[test]
    fn weak_keys_are_refused() {
        const E: &[u8] = &[1, 0, 1];
        for (bits, is_good) in [
            (1024, false),
            (2047, false),
            (2048, true),
            (2049, true),
            (8192, true),
            (8193, false),
        ] {
            assert_eq!(check(&modulus(bits), E).is_ok(), is_good, "{bits}");
        }
        assert_eq!(check(&[], E), Err(KeyError::RsaSize(0)));
        let mut even = modulus(2048);
        even[255] = 0xA4;
        assert!(check(&even, E).is_err());
        for (e, is_good) in [
            (&[][..], false),
            (&[0], false),
            (&[1], false),
            (&[3], false),
            (&[0xFF, 0xFF], false),
            (&[1, 0, 0], false),
            (&[1, 0, 1], true),
            (&[0, 1, 0, 1], false),
            (&[1, 0xFF, 0xFF, 0xFF, 0xFF], true),
            (&[2, 0, 0, 0, 1], false),
            (&[1, 0, 0, 0, 0, 0, 0, 1, 0, 1], false),
        ] {
            assert_eq!(check(&modulus(2048), e).is_ok(), is_good, "{e:?}");
        }
    }
}
