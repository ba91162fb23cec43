//! Who issues tokens, with which keys, and what their tokens have to be.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use crate::{
    auth::{
        jose::{Algorithm, ClaimPolicy, KeyId, KeySet, Policy},
        keys::KeySource,
    },
    error::BoxError,
};

/// How far clocks may be apart at most.
pub(super) const MAX_LEEWAY: Duration = Duration::from_secs(3_600);

/// Somebody whose tokens are believed: a name, keys, and what a token has to be. A token of one issuer is never verified with the keys
/// of another. Clones share the keys.
///
/// | setting | default |
/// |---|---|
/// | [`audience`](Self::audience) | a token with `aud` is for somebody else, and refused |
/// | [`algorithms`](Self::algorithms) | those that the keys are bound to |
/// | [`types`](Self::types) | any `typ`, or none |
/// | [`leeway`](Self::leeway) | 60 s |
/// | [`max_lifetime`](Self::max_lifetime) | none |
/// | [`require`](Self::require) | `exp` |
///
/// ```
/// use tower_gateway::auth::{Issuer, jose::{Algorithm, Key, KeySet}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = Key::from_secret([7; 32], Algorithm::HS256)?;
/// let issuer = Issuer::new("https://id.example", KeySet::new([key])?).audience(["orders"]).types(["at+jwt"]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Issuer {
    pub(super) name: Option<Arc<str>>,
    pub(super) keys: Arc<dyn AnyKeys>,
    pub(super) tokens: Policy,
    pub(super) claims: ClaimPolicy,
    audiences: usize,
    mistakes: Vec<String>,
}

impl Issuer {
    /// Tokens whose `iss` is exactly this, with these keys.
    pub fn new(name: impl Into<String>, keys: impl KeySource) -> Self {
        let name = name.into();
        let claims = ClaimPolicy::new().issuer(name.clone());
        let mut issuer = Self::of(Some(name.clone().into()), keys, claims);
        if name.is_empty() {
            issuer
                .mistakes
                .push("an issuer has a name: what its tokens say in `iss`".to_owned());
        }
        issuer
    }

    /// Tokens of whoever has these keys, whatever their `iss`: for keys that nobody else has. It can only be the one issuer of a
    /// layer.
    pub fn unnamed(keys: impl KeySource) -> Self {
        Self::of(None, keys, ClaimPolicy::new())
    }

    fn of(name: Option<Arc<str>>, keys: impl KeySource, claims: ClaimPolicy) -> Self {
        Self {
            name,
            mistakes: keys.mistakes(),
            keys: Arc::new(keys),
            tokens: Policy::new(),
            claims,
            audiences: 1,
        }
    }

    /// Who we are: `aud` has to have one of these. Default: it has to be missing, for a token that says whom it is for is for them alone
    /// (RFC 7519, section 4.1.3).
    pub fn audience<T: Into<Box<str>>>(mut self, any_of: impl IntoIterator<Item = T>) -> Self {
        let any_of: Vec<Box<str>> = any_of.into_iter().map(Into::into).collect();
        self.audiences = any_of.len();
        self.claims = self.claims.audience(any_of);
        self
    }

    /// `aud` has to have all of these.
    pub fn all_audiences<T: Into<Box<str>>>(mut self, all_of: impl IntoIterator<Item = T>) -> Self {
        let all_of: Vec<Box<str>> = all_of.into_iter().map(Into::into).collect();
        self.audiences = all_of.len();
        self.claims = self.claims.all_audiences(all_of);
        self
    }

    /// Tokens for anybody are accepted, so that one which was meant for another service opens this one too.
    pub fn any_audience(mut self) -> Self {
        self.audiences = 1;
        self.claims = self.claims.any_audience();
        self
    }

    /// Only these algorithms, of those that the keys are bound to (RFC 8725, section 3.1).
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.tokens = self.tokens.algorithms(algorithms);
        self
    }

    /// `typ` has to be one of these, as `at+jwt` (RFC 9068, section 4): so that a token for another purpose is not taken for an access
    /// token (RFC 8725, section 3.11).
    pub fn types<T: AsRef<str>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.tokens = self.tokens.types(types);
        self
    }

    /// How far the clocks may be apart, for `exp`, `nbf` and `iat`. At most an hour. Default: 60 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        if leeway > MAX_LEEWAY {
            self.mistakes
                .push(format!("leeway is {leeway:?}; allowed is up to an hour"));
        } else {
            self.claims = self.claims.leeway(leeway);
        }
        self
    }

    /// The longest time from `iat` to `exp`; a token that does not say when it was issued is refused. Default: any.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        if lifetime.is_zero() {
            self.mistakes
                .push("max_lifetime is 0; leave it out for no limit".to_owned());
        }
        self.claims = self.claims.max_lifetime(lifetime);
        self
    }

    /// Claims that have to be there, by name or [path](crate::Claims).
    pub fn require<T: Into<Box<str>>>(mut self, claims: impl IntoIterator<Item = T>) -> Self {
        self.claims = self.claims.require(claims);
        self
    }

    /// Tokens without `exp` are accepted, and last for as long as their key does.
    pub fn optional_expiry(mut self) -> Self {
        self.claims = self.claims.optional_expiry();
        self
    }

    /// What is wrong with the settings.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let nobody = (self.audiences == 0)
            .then(|| "audience names nobody; leave it out, or say `any_audience`".to_owned());
        let name = self.name.as_deref().unwrap_or("unnamed");
        let all = self.mistakes.iter().cloned().chain(nobody);
        all.map(|mistake| format!("issuer `{name}`: {mistake}"))
            .collect()
    }
}

/// A [`KeySource`] behind a pointer.
pub(super) trait AnyKeys: Send + Sync {
    fn current(&self) -> Option<KeySet>;

    fn contains(&self, key: &KeyId) -> bool;

    fn refresh<'a>(&'a self, kid: Option<&'a str>) -> Refreshed<'a>;
}

pub(super) type Refreshed<'a> = Pin<Box<dyn Future<Output = Result<KeySet, BoxError>> + Send + 'a>>;

impl<K: KeySource> AnyKeys for K {
    fn current(&self) -> Option<KeySet> {
        KeySource::current(self)
    }

    fn contains(&self, key: &KeyId) -> bool {
        KeySource::contains(self, key)
    }

    fn refresh<'a>(&'a self, kid: Option<&'a str>) -> Refreshed<'a> {
        Box::pin(KeySource::refresh(self, kid))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .field("tokens", &self.tokens)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}
