//! The algorithms of RFC 7518 section 3 and RFC 8037, without `none`.

use std::{fmt, str::FromStr};

use super::KeyError;

/// A signature algorithm, by its name in JOSE.
///
/// `none` and every algorithm that is not listed do not exist here: [`FromStr`] refuses them. Names are case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256; a secret of at least 32 bytes.
    HS256,
    /// HMAC with SHA-384; a secret of at least 48 bytes.
    HS384,
    /// HMAC with SHA-512; a secret of at least 64 bytes.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256, and a salt as long as the hash.
    PS256,
    /// RSASSA-PSS with SHA-384, and a salt as long as the hash.
    PS384,
    /// RSASSA-PSS with SHA-512, and a salt as long as the hash.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// Ed25519 (RFC 8037); Ed448 is not supported.
    EdDSA,
}

use Algorithm::*;

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 13] = [
        HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA,
    ];

    /// What `alg` says for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            HS256 => "HS256",
            HS384 => "HS384",
            HS512 => "HS512",
            RS256 => "RS256",
            RS384 => "RS384",
            RS512 => "RS512",
            PS256 => "PS256",
            PS384 => "PS384",
            PS512 => "PS512",
            ES256 => "ES256",
            ES384 => "ES384",
            ES512 => "ES512",
            EdDSA => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By its exact name; `Ed25519` (RFC 9864) is `EdDSA`.
///
/// # Errors
///
/// [`KeyError::Algorithm`] with the name.
impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        // What RFC 9864 calls the only curve that there is here.
        if name == "Ed25519" {
            return Ok(Self::EdDSA);
        }
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| KeyError::Algorithm(name.into()))
    }
}

/// Which algorithms are allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Algorithms(u16);

impl Algorithms {
    pub(super) const ALL: Self = Self(u16::MAX);

    pub(super) fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & 1 << algorithm as u16 != 0
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These, if all of them are among the others and there is one.
    pub(super) fn within(self, others: Self) -> Result<Self, KeyError> {
        match self.iter().find(|algorithm| !others.contains(*algorithm)) {
            Some(other) => Err(KeyError::Mismatch(other)),
            None if self.0 == 0 => Err(KeyError::Member {
                member: "alg",
                wrong: "has to be at least one",
            }),
            None => Ok(self),
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL
            .into_iter()
            .filter(move |algorithm| self.contains(*algorithm))
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<T: IntoIterator<Item = Algorithm>>(algorithms: T) -> Self {
        let mut all = Self(0);
        for algorithm in algorithms {
            all.0 |= 1 << algorithm as u16;
        }
        all
    }
}

impl fmt::Debug for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
