//! What can be wrong with claims. Precise, for logs; nothing for clients.

use std::time::{Duration, SystemTime};

use crate::json::JsonError;

/// Why claims are refused. For logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The payload is not strict JSON, or no object.
    #[error("the payload: {0}")]
    Json(#[from] JsonError),
    /// A registered claim has the wrong type or a value out of range.
    #[error("`{claim}` {wrong}")]
    Type {
        /// Its name.
        claim: &'static str,
        /// What it has to be, as the end of a sentence.
        wrong: &'static str,
    },
    /// A claim that is required is missing.
    #[error("`{0}` is missing")]
    Missing(Box<str>),
    /// Past its `exp`, leeway included.
    #[error("expired at {at:?}")]
    Expired {
        /// What `exp` says.
        at: SystemTime,
    },
    /// Before its `nbf`, leeway included.
    #[error("not valid before {at:?}")]
    NotYetValid {
        /// What `nbf` says.
        at: SystemTime,
    },
    /// `iat` is in the future, leeway included.
    #[error("issued in the future, at {at:?}")]
    IssuedInFuture {
        /// What `iat` says.
        at: SystemTime,
    },
    /// From `iat` to `exp` is longer than allowed, or less than nothing.
    #[error("the token lasts from {issued_at:?} to {expires_at:?}; at most {max:?} is allowed")]
    Lifetime {
        /// What `iat` says.
        issued_at: SystemTime,
        /// What `exp` says.
        expires_at: SystemTime,
        /// How long a token may last.
        max: Duration,
    },
    /// `iss` is not the issuer that is wanted.
    #[error("`iss` is not the issuer that is wanted")]
    Issuer,
    /// `aud` has none, or not all, of the audiences that are wanted; or has one, and none is wanted.
    #[error("`aud` is not the audience that is wanted")]
    Audience,
    /// The claims are not what [`Claims::deserialize`](super::Claims::deserialize) was asked for.
    #[error("the claims are not what is wanted: {0}")]
    Deserialize(Box<str>),
}
