//! The keys of one issuer.

use std::sync::Arc;

use super::{Key, KeyError, KeyId};

/// The keys that may have signed a token. Immutable; clones share it.
///
/// Either public keys or secrets, never both, so that a public key is never taken for a secret. Two keys with the same `kid` have to
/// be for different algorithms.
#[derive(Clone, Debug)]
pub struct KeySet {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keys: Vec<Key>,
    skipped: Vec<(usize, KeyError)>,
}

impl KeySet {
    /// How many keys a set has at most.
    pub const MAX_KEYS: usize = 128;

    /// How many bytes a JWK set has at most.
    pub const MAX_BYTES: usize = 512 * 1024;

    /// How many keys are tried for a token that has no `kid`; if more could have signed it, it is refused.
    pub const MAX_TRIES: usize = 4;

    /// A set of these keys. A key that is there twice counts once.
    ///
    /// # Errors
    ///
    /// [`KeyError::DuplicateKid`], [`KeyError::Mixed`], and [`KeyError::TooMany`] above [`MAX_KEYS`](Self::MAX_KEYS).
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        let shared = Arc::new(Shared {
            keys: keys.into_iter().collect(),
            skipped: Vec::new(),
        });
        Ok(Self { shared })
    }

    /// The public keys of a JWK set (RFC 7517 section 5), such as a JWKS URL answers with.
    ///
    /// Keys that can not be used are left out, as the RFC has it: of an unknown kind, for encryption, weak, private, or a secret.
    /// [`skipped`](Self::skipped) has them. A set without any keys is a set that verifies nothing.
    ///
    /// # Errors
    ///
    /// What is not a JWK set; [`KeyError::NoneUsable`] if it has keys and none can be used; [`KeyError::DuplicateKid`],
    /// [`KeyError::TooMany`].
    pub fn from_jwks(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let _ = json;
        Err(KeyError::Crypto)
    }

    /// The secrets (`kty` `oct`) of a JWK set, each with its `alg`. Never for a set that others can read.
    ///
    /// # Errors
    ///
    /// As [`from_jwks`](Self::from_jwks), and [`KeyError::Mixed`] if a public key is among them.
    pub fn from_secret_jwks(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let _ = json;
        Err(KeyError::Crypto)
    }

    /// The keys, as they were given.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.shared.keys
    }

    /// The keys of the JWK set that are left out: their place in it, from 0, and why.
    #[must_use]
    pub fn skipped(&self) -> &[(usize, KeyError)] {
        &self.shared.skipped
    }

    /// Whether the key is in the set, with the same `kid` and algorithms.
    #[must_use]
    pub fn contains(&self, id: &KeyId) -> bool {
        self.shared.keys.iter().any(|key| key.id() == *id)
    }
}
