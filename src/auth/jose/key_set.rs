//! The keys of one issuer.

use std::sync::Arc;

use super::{Algorithm, Key, KeyError, KeyId, VerifyError};
use crate::json::{Value, parse_object};

/// The keys that may have signed a token. Immutable; clones share it.
///
/// Either public keys or secrets, never both, so that a public key is never taken for a secret. Two keys with the same `kid` have to
/// be for different algorithms.
///
/// Which key a token means: the one with its `kid` and its algorithm; if no key has its `kid`, those without a `kid`; if it has none
/// itself, all. Of several that is one that verifies it, and no more than [`MAX_TRIES`](Self::MAX_TRIES) are tried.
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
    /// How many keys a set has at most, those that are left out included.
    pub const MAX_KEYS: usize = 128;

    /// How many bytes a JWK set has at most.
    pub const MAX_BYTES: usize = 512 * 1024;

    /// How many keys are tried for a token whose `kid` does not single one out; if more could have signed it, it is refused.
    pub const MAX_TRIES: usize = 4;

    /// A set of these keys. A key that is there twice counts once.
    ///
    /// # Errors
    ///
    /// [`KeyError::DuplicateKid`], [`KeyError::Mixed`], and [`KeyError::TooMany`] above [`MAX_KEYS`](Self::MAX_KEYS).
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        Self::checked(keys, Vec::new())
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
        let (mut usable, mut skipped) = (Vec::new(), Vec::new());
        read(json.as_ref(), |index, value| {
            match Key::from_value(value) {
                Ok(key) => usable.push(key),
                Err(error) => skipped.push((index, error)),
            }
            Ok(())
        })?;
        match skipped.first() {
            Some((_, first)) if usable.is_empty() => {
                Err(KeyError::NoneUsable(Box::new(first.clone())))
            }
            _ => Self::checked(usable, skipped),
        }
    }

    /// The secrets (`kty` `oct`) of a JWK set, each with its `alg`. Never for a set that others can read.
    ///
    /// It is one's own, so that nothing in it is left out.
    ///
    /// # Errors
    ///
    /// As [`from_jwks`](Self::from_jwks), [`KeyError::Mixed`] if a public key is among them, and for any secret that can not be used
    /// what is wrong with it.
    pub fn from_secret_jwks(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        read(json.as_ref(), |_, value| {
            keys.push(Key::from_secret_value(value)?);
            Ok(())
        })?;
        Self::new(keys)
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
        self.keys().iter().any(|key| key.id() == *id)
    }

    /// The key that has signed this, of those that the token may mean.
    pub(super) fn signer(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<&Key, VerifyError> {
        let is_known = kid.is_some() && self.keys().iter().any(|key| key.kid() == kid);
        let is_meant = |key: &&Key| match kid {
            Some(_) if is_known => key.kid() == kid,
            Some(_) => key.kid().is_none(),
            None => true,
        };
        let mut meant = self.keys().iter().filter(is_meant).peekable();
        if meant.peek().is_none() {
            let kid = kid.map(Into::into);
            return Err(VerifyError::UnknownKey { kid });
        }
        let able = meant.filter(|key| key.bound_to().contains(algorithm));
        match able.clone().count() {
            0 => return Err(VerifyError::AlgorithmNotAllowed(algorithm)),
            count if count > Self::MAX_TRIES => return Err(VerifyError::Ambiguous(count)),
            _ => {}
        }
        let mut able = able;
        able.find(|key| key.verify(algorithm, signed, signature))
            .ok_or(VerifyError::Signature)
    }

    fn checked(
        all: impl IntoIterator<Item = Key>,
        skipped: Vec<(usize, KeyError)>,
    ) -> Result<Self, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        for key in all {
            if keys.iter().any(|other| other.id() == key.id()) {
                continue;
            }
            if keys
                .iter()
                .any(|other| other.is_secret() != key.is_secret())
            {
                return Err(KeyError::Mixed);
            }
            let is_same = |other: &Key| {
                other.kid() == key.kid() && other.bound_to().intersects(key.bound_to())
            };
            if let Some(kid) = key.kid()
                && keys.iter().any(is_same)
            {
                return Err(KeyError::DuplicateKid(kid.into()));
            }
            within(keys.len() + 1, "keys", Self::MAX_KEYS)?;
            keys.push(key);
        }
        let shared = Arc::new(Shared { keys, skipped });
        Ok(Self { shared })
    }
}

/// Each key of a JWK set, with its place in it.
fn read(
    json: &[u8],
    mut each: impl FnMut(usize, Value<'_>) -> Result<(), KeyError>,
) -> Result<(), KeyError> {
    within(json.len(), "bytes", KeySet::MAX_BYTES)?;
    let (text, node) = parse_object(json)?;
    let keys = Value::new(text, &node)
        .member("keys")
        .and_then(Value::items)
        .ok_or(KeyError::Member {
            member: "keys",
            wrong: "has to be an array",
        })?;
    for (index, value) in keys.enumerate() {
        within(index + 1, "keys", KeySet::MAX_KEYS)?;
        each(index, value)?;
    }
    Ok(())
}

fn within(count: usize, unit: &'static str, max: usize) -> Result<(), KeyError> {
    match count <= max {
        true => Ok(()),
        false => Err(KeyError::TooMany { count, unit, max }),
    }
}
