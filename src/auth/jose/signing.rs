//! Signing, for tokens of one's own.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{Algorithm, Key, KeyError};

/// A key that signs, with one algorithm. Clones share it.
///
/// Its `Debug` shows the name and the algorithm, never the key.
#[derive(Clone)]
pub struct SigningKey {
    kid: Option<Arc<str>>,
    typ: Option<Arc<str>>,
    algorithm: Algorithm,
}

impl SigningKey {
    /// A new key, of the library's randomness: `ES256`, `ES384`, `ES512` or `EdDSA`; RSA (2048 bits) takes a while; for `HS*` a secret as
    /// long as the hash.
    ///
    /// # Errors
    ///
    /// [`KeyError::Crypto`] if the library has none.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let _ = algorithm;
        Err(KeyError::Crypto)
    }

    /// A private key in PEM: `PRIVATE KEY` (PKCS #8), `RSA PRIVATE KEY`, `EC PRIVATE KEY`. RSA signs with `RS256`, unless
    /// [`with_algorithm`](Self::with_algorithm) says otherwise.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`] for a public key, [`KeyError::Pem`] and the others as for [`Key::from_pem`].
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let _ = pem;
        Err(KeyError::Crypto)
    }

    /// A private key, or a secret with `alg`, as a JWK. With `key_ops` it has to have `sign`. RSA without `alg` signs with `RS256`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`] for a public key; the others as for [`Key::from_jwk`].
    pub fn from_jwk(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let _ = json;
        Err(KeyError::Crypto)
    }

    /// A secret for `HS256`, `HS384` or `HS512`.
    ///
    /// # Errors
    ///
    /// As for [`Key::from_secret`].
    pub fn from_secret(secret: impl AsRef<[u8]>, algorithm: Algorithm) -> Result<Self, KeyError> {
        let _ = (secret, algorithm);
        Err(KeyError::Crypto)
    }

    /// With this name, as `kid` of what it signs.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<Arc<str>>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// With this `typ` in what it signs. Default: `JWT`.
    #[must_use]
    pub fn with_typ(mut self, typ: impl Into<Arc<str>>) -> Self {
        self.typ = Some(typ.into());
        self
    }

    /// With this algorithm, for an RSA key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Mismatch`] if the key can not be used with it.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Result<Self, KeyError> {
        Err(KeyError::Mismatch(algorithm))
    }

    /// The algorithm it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs a payload, as it is: a compact JWS.
    ///
    /// # Errors
    ///
    /// [`KeyError::Crypto`] if the library could not.
    pub fn sign(&self, payload: impl AsRef<[u8]>) -> Result<String, KeyError> {
        let _ = payload;
        Err(KeyError::Crypto)
    }

    /// Signs claims: a JWT.
    ///
    /// # Errors
    ///
    /// [`KeyError::Json`] for claims that are no JSON object; [`KeyError::Crypto`] if the library could not.
    pub fn sign_claims<T: Serialize + ?Sized>(&self, claims: &T) -> Result<String, KeyError> {
        let _ = claims;
        Err(KeyError::Crypto)
    }

    /// The key that verifies what it signs, with the same name and this algorithm alone.
    #[must_use]
    pub fn key(&self) -> Key {
        unreachable!()
    }

    /// Its public key as a JWK, for a JWK set; nothing for a secret.
    #[must_use]
    pub fn public_jwk(&self) -> Option<String> {
        None
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("typ", &self.typ)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
