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
    issuer: Option<Box<str>>,
    audience: Audience,
    required: Vec<Box<str>>,
    leeway: Duration,
    max_lifetime: Option<Duration>,
    needs_expiry: bool,
}

#[derive(Clone, Debug)]
enum Audience {
    /// The claim is missing.
    Nobody,
    Any,
    AnyOf(Vec<Box<str>>),
    AllOf(Vec<Box<str>>),
}

impl ClaimPolicy {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            issuer: None,
            audience: Audience::Nobody,
            required: Vec::new(),
            leeway: Duration::from_secs(60),
            max_lifetime: None,
            needs_expiry: true,
        }
    }

    /// `iss` has to be there, and exactly this. Default: any, or none.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// `aud` has to be there, and have at least one of these. Of none, no token has one.
    #[must_use]
    pub fn audience<T: Into<Box<str>>>(mut self, any_of: impl IntoIterator<Item = T>) -> Self {
        self.audience = Audience::AnyOf(any_of.into_iter().map(Into::into).collect());
        self
    }

    /// `aud` has to be there, and have all of these.
    #[must_use]
    pub fn all_audiences<T: Into<Box<str>>>(mut self, all_of: impl IntoIterator<Item = T>) -> Self {
        self.audience = Audience::AllOf(all_of.into_iter().map(Into::into).collect());
        self
    }

    /// `aud` may be anything: tokens for others are accepted too.
    #[must_use]
    pub fn any_audience(mut self) -> Self {
        self.audience = Audience::Any;
        self
    }

    /// These claims have to be there, by name or path as [`Claims::get`] takes them, and not be `null`. Default: none but `exp`.
    #[must_use]
    pub fn require<T: Into<Box<str>>>(mut self, claims: impl IntoIterator<Item = T>) -> Self {
        self.required.extend(claims.into_iter().map(Into::into));
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
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// A token may do without `exp`, and then lasts for ever. Default: `exp` is required.
    #[must_use]
    pub fn optional_expiry(mut self) -> Self {
        self.needs_expiry = false;
        self
    }

    /// Whether the claims are good at this time.
    ///
    /// A token is good before `exp` and from `nbf` on, each by the leeway longer.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self, claims: &Claims, now: SystemTime) -> Result<(), ClaimError> {
        let missing = |claim: &str| ClaimError::Missing(claim.into());
        self.check_times(claims, now)?;
        if let Some(issuer) = &self.issuer {
            match claims.issuer().ok_or_else(|| missing("iss"))? {
                other if other != &**issuer => return Err(ClaimError::Issuer),
                _ => {}
            }
        }
        let has_audience = || claims.member("aud").is_some();
        let has = |wanted: &str| claims.audience().any(|one| one == wanted);
        let is_ours = match &self.audience {
            Audience::Nobody => !has_audience(),
            Audience::Any => true,
            _ if !has_audience() => return Err(missing("aud")),
            Audience::AnyOf(wanted) => wanted.iter().any(|wanted| has(wanted)),
            Audience::AllOf(wanted) => wanted.iter().all(|wanted| has(wanted)),
        };
        if !is_ours {
            return Err(ClaimError::Audience);
        }
        let is_there = |claim: &str| claims.get(claim).is_some_and(|value| !value.is_null());
        match self.required.iter().find(|claim| !is_there(claim)) {
            Some(claim) => Err(ClaimError::Missing(claim.clone())),
            None => Ok(()),
        }
    }

    fn check_times(&self, claims: &Claims, now: SystemTime) -> Result<(), ClaimError> {
        let missing = |claim: &str| ClaimError::Missing(claim.into());
        // A leeway beyond what a time can be is no limit at all.
        let is_before =
            |time: SystemTime| now.checked_add(self.leeway).is_some_and(|now| now < time);
        match claims.expires_at() {
            Some(at) if at.checked_add(self.leeway).is_some_and(|at| now >= at) => {
                return Err(ClaimError::Expired { at });
            }
            None if self.needs_expiry => return Err(missing("exp")),
            _ => {}
        }
        if let Some(at) = claims.not_before().filter(|at| is_before(*at)) {
            return Err(ClaimError::NotYetValid { at });
        }
        if let Some(at) = claims.issued_at().filter(|at| is_before(*at)) {
            return Err(ClaimError::IssuedInFuture { at });
        }
        let Some(max) = self.max_lifetime else {
            return Ok(());
        };
        let expires_at = claims.expires_at().ok_or_else(|| missing("exp"))?;
        let issued_at = claims.issued_at().ok_or_else(|| missing("iat"))?;
        match expires_at.duration_since(issued_at) {
            Ok(lifetime) if lifetime <= max => Ok(()),
            _ => Err(ClaimError::Lifetime {
                issued_at,
                expires_at,
                max,
            }),
        }
    }
}

impl Default for ClaimPolicy {
    fn default() -> Self {
        Self::new()
    }
}
