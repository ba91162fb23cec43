//! A compact JWS: read, then verified.

use super::{Algorithm, ClaimError, Claims, Key, KeySet, Policy, VerifyError};

/// Verifies a compact JWS (RFC 7515 section 7.1): one of the keys that it may mean has signed it, with an algorithm that the
/// key is bound to and the policy allows.
///
/// The payload may be any bytes, none included. The same as [`Unverified::parse`] and [`Unverified::verify`] at once.
///
/// # Errors
///
/// See [`VerifyError`]. [`VerifyError::UnknownKey`] alone says that newer keys might help.
pub fn verify(token: &str, keys: &KeySet, policy: &Policy) -> Result<Verified, VerifyError> {
    Unverified::parse(token, policy)?.verify(keys)
}

/// A token that has been read and keeps to the policy, but that nobody vouches for yet.
///
/// For choosing the keys: by what it *says* its issuer is ([`claims`](Self::claims)), or by its [`kid`](Self::kid). Nothing
/// else may be done with what it says.
pub struct Unverified<'t> {
    token: &'t str,
}

impl<'t> Unverified<'t> {
    /// Reads a token: its form, its header and what the policy asks for. No key is needed.
    ///
    /// # Errors
    ///
    /// Any [`VerifyError`] but [`UnknownKey`](VerifyError::UnknownKey), [`Ambiguous`](VerifyError::Ambiguous) and
    /// [`Signature`](VerifyError::Signature).
    pub fn parse(token: &'t str, policy: &Policy) -> Result<Self, VerifyError> {
        let _ = policy;
        Ok(Self { token })
    }

    /// `alg` of its header.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }

    /// `kid` of its header.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        None
    }

    /// What it claims, unproven.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if its payload is not that of a JWT.
    pub fn claims(&self) -> Result<Claims, ClaimError> {
        Claims::parse(self.token)
    }

    /// Verifies it with the keys that it may mean.
    ///
    /// # Errors
    ///
    /// [`UnknownKey`](VerifyError::UnknownKey), [`AlgorithmNotAllowed`](VerifyError::AlgorithmNotAllowed),
    /// [`Ambiguous`](VerifyError::Ambiguous) and [`Signature`](VerifyError::Signature).
    pub fn verify(self, keys: &KeySet) -> Result<Verified, VerifyError> {
        let _ = keys;
        Err(VerifyError::Signature)
    }
}

/// A token that one of the keys has signed.
pub struct Verified {
    key: Key,
}

impl Verified {
    /// The payload, as it was signed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &[]
    }

    /// The payload as claims (RFC 7519).
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the payload is not strict JSON, or a registered claim has the wrong type.
    pub fn claims(&self) -> Result<Claims, ClaimError> {
        Claims::parse(self.payload())
    }

    /// The algorithm it was verified with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }

    /// `kid` of its header.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        None
    }

    /// `typ` of its header, as it is there.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        None
    }

    /// The key that has signed it.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}
