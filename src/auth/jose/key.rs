//! A key that verifies, bound to its algorithms.

use std::{fmt, sync::Arc};

use super::{Algorithm, KeyError, algorithm::Algorithms};

/// A key that verifies signatures, and the algorithms that it verifies. Clones share it.
///
/// Which algorithms is decided when the key is loaded: a curve has one, a secret is given one, and so has an RSA key with `alg`.
/// An RSA key without `alg` verifies `RS*` and `PS*`, all six, as issuers publish it for either; restrict it with
/// [`with_algorithms`](Self::with_algorithms), or in the [`Policy`](super::Policy).
#[derive(Clone)]
pub struct Key {
    kid: Option<Arc<str>>,
    algorithms: Algorithms,
}

impl Key {
    /// A public key as a JWK (RFC 7517): `kty` `RSA`, `EC` (P-256, P-384, P-521) or `OKP` (Ed25519).
    ///
    /// With `use` it has to be `sig`, with `key_ops` it has to have `verify`, and `alg` has to fit the key. Members that are not
    /// known are ignored.
    ///
    /// # Errors
    ///
    /// [`KeyError::Private`] for a private key, [`KeyError::Secret`] for a secret (see [`from_secret`](Self::from_secret));
    /// a [`KeyError`] that names the member for what is missing, weak or wrong.
    pub fn from_jwk(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let _ = json;
        Err(KeyError::Crypto)
    }

    /// A public key in PEM: `PUBLIC KEY`, `RSA PUBLIC KEY`, or the key of a `CERTIFICATE`, of which nothing else is looked at.
    ///
    /// # Errors
    ///
    /// [`KeyError::Private`] for a private key; [`KeyError::Pem`] and the others for what can not be read or is weak.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let _ = pem;
        Err(KeyError::Crypto)
    }

    /// A secret for `HS256`, `HS384` or `HS512`: at least as long as the hash (32, 48, 64 bytes).
    ///
    /// # Errors
    ///
    /// [`KeyError::ShortSecret`]; [`KeyError::Mismatch`] for another algorithm.
    pub fn from_secret(secret: impl AsRef<[u8]>, algorithm: Algorithm) -> Result<Self, KeyError> {
        let _ = (secret, algorithm);
        Err(KeyError::Crypto)
    }

    /// With this name: tokens that have another `kid` are not verified with it. A key without one verifies a token whatever
    /// its `kid` is, unless another key has that.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<Arc<str>>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Bound to these algorithms alone.
    ///
    /// # Errors
    ///
    /// [`KeyError::Mismatch`] for one that it was not bound to before, and [`KeyError::Member`] for none at all.
    pub fn with_algorithms(
        self,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Result<Self, KeyError> {
        let _ = algorithms;
        Err(KeyError::Crypto)
    }

    /// Its name.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it verifies.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.algorithms.iter()
    }

    /// What is the same for the same key with the same name and the same algorithms, however often it is loaded.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId([0; 32])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// Which key it was: a digest of its material, its `kid` and its algorithms.
///
/// For remembering what verified a token, and asking later whether the key is still there ([`KeySet::contains`](super::KeySet::contains)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);
