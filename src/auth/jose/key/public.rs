//! Public keys, whatever they were written in.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    EcdsaVerificationAlgorithm, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::rsa;
use crate::auth::jose::{Algorithm, KeyError, algorithm::Algorithms};

/// A public key that was checked as far as it can be without the library.
pub(in crate::auth::jose) enum Public {
    Rsa { n: Box<[u8]>, e: Box<[u8]> },
    Ec { curve: Curve, point: Box<[u8]> },
    Ed25519([u8; 32]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::auth::jose) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// What `crv` says for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// Bytes of a coordinate.
    pub(in crate::auth::jose) fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    pub(in crate::auth::jose) fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
            Self::P521 => Algorithm::ES512,
        }
    }

    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
        }
    }
}

/// The first byte of a point with both coordinates (SEC 1 section 2.3.3).
pub(in crate::auth::jose) const UNCOMPRESSED: u8 = 4;

impl Public {
    /// Leading zeros do not count.
    pub(in crate::auth::jose) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        rsa::check(n, e)?;
        let (n, e) = (n.into(), e.into());
        Ok(Self::Rsa { n, e })
    }

    pub(in crate::auth::jose) fn ec(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        if point.first() != Some(&UNCOMPRESSED) || point.len() != 1 + 2 * curve.size() {
            return Err(KeyError::Pem("the point on the curve is not uncompressed"));
        }
        let point = point.into();
        Ok(Self::Ec { curve, point })
    }

    pub(in crate::auth::jose) fn ed25519(point: &[u8]) -> Result<Self, KeyError> {
        let wrong = |wrong| KeyError::Member { member: "x", wrong };
        let point: [u8; 32] = point
            .try_into()
            .map_err(|_| wrong("has to be 32 bytes for Ed25519"))?;
        if is_weak_ed25519(point) {
            return Err(wrong("is a point of small order, or no canonical point"));
        }
        Ok(Self::Ed25519(point))
    }

    pub(in crate::auth::jose) fn algorithms(&self) -> Algorithms {
        use Algorithm::{EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa { .. } => [RS256, RS384, RS512, PS256, PS384, PS512]
                .into_iter()
                .collect(),
            Self::Ec { curve, .. } => [curve.algorithm()].into_iter().collect(),
            Self::Ed25519(_) => [EdDSA].into_iter().collect(),
        }
    }

    /// Parsed once, for one algorithm: the library binds a parsed key to it.
    pub(super) fn parse(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, KeyError> {
        let parsed = match self {
            Self::Rsa { n, e } => {
                let parameters = rsa_parameters(algorithm).ok_or(KeyError::Mismatch(algorithm))?;
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters)
            }
            Self::Ec { curve, point } => ParsedPublicKey::new(curve.verification(), point),
            Self::Ed25519(point) => ParsedPublicKey::new(&ED25519, point),
        };
        parsed.map_err(|_| match self {
            Self::Rsa { .. } | Self::Ed25519(_) => KeyError::Crypto,
            Self::Ec { .. } => KeyError::Member {
                member: "x",
                wrong: "and `y` are no point on the curve",
            },
        })
    }

    /// Its members in the one form that RFC 7638 section 3 hashes.
    pub(in crate::auth::jose) fn to_jwk(&self) -> String {
        let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa { n, e } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64(e), base64(n))
            }
            Self::Ec { curve, point } => {
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                let (crv, x, y) = (curve.name(), base64(x), base64(y));
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Self::Ed25519(point) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64(point))
            }
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn without_zeros(mut number: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = number {
        number = rest;
    }
    number
}

/// The `y` of the points whose order divides 8, little-endian: whoever has such a key can not be told from anybody else.
const SMALL_ORDER: [[u8; 32]; 5] = [
    with_ends(0x00, 0x00, 0x00),
    with_ends(0x01, 0x00, 0x00),
    with_ends(0xEC, 0xFF, 0x7F),
    [
        0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98,
        0xF0, 0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53,
        0xFC, 0x05,
    ],
    [
        0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67,
        0x0F, 0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC,
        0x03, 0x7A,
    ],
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut y = [middle; 32];
    y[0] = first;
    y[31] = last;
    y
}

/// Whether the point has a small order, or its `y` is not below the prime 2^255 - 19.
fn is_weak_ed25519(point: [u8; 32]) -> bool {
    // The highest bit is the sign of `x`.
    let mut y = point;
    y[31] &= 0x7F;
    let is_above = y[0] >= 0xED && y[31] == 0x7F && y[1..31].iter().all(|byte| *byte == 0xFF);
    is_above || SMALL_ORDER.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anybody_signs_for_a_point_of_small_order() {
        // R is the neutral point and S is 0, so that it verifies wherever the order divides the hash.
        let mut signature = [0; 64];
        signature[0] = 1;
        for y in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut point = y;
                point[31] |= sign;
                assert!(Public::ed25519(&point).is_err());
                // Zero is no valid `x` with a sign.
                if sign == 0x80 && (y[0] == 1 || y[0] == 0xEC) {
                    continue;
                }
                let key = ParsedPublicKey::new(&ED25519, point).unwrap();
                let mut messages = 0..200_u8;
                let is_forged = messages.any(|it| key.verify_sig(&[it], &signature).is_ok());
                assert!(is_forged, "{point:x?}");
            }
        }
        for above in 0xED..=0xFF {
            assert!(Public::ed25519(&with_ends(above, 0xFF, 0xFF)).is_err());
        }
        assert!(Public::ed25519(&with_ends(0xEB, 0xFF, 0x7F)).is_ok());
        assert!(Public::ed25519(&[2; 31]).is_err());
    }
}
