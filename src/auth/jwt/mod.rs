//! Signed tokens as credentials.

mod issuer;
#[cfg(feature = "redis")]
mod redis;
mod revocation;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::request::Parts;

use super::{
    authenticator::Authenticator,
    bearer::Bearer,
    denied::Denied,
    jose::{ClaimError, KeyId, KeySet, Policy, Unverified, Verified, VerifyError},
    known::{self, Cache, Entry},
};
use crate::{claims::Claims, clock, identity::Identity};
pub use issuer::Issuer;
#[cfg(feature = "redis")]
pub use redis::RedisRevocation;
use revocation::AnyRevocation;
pub use revocation::{Revocation, RevocationList};

/// Lets in whoever has a JSON Web Token (RFC 7519) of an issuer that is believed. Their claims are the [`Identity`].
///
/// A token is looked for in `Authorization: Bearer` (RFC 6750, section 2.1), and elsewhere if asked for. Its issuer is the one that it names,
/// and only that one's keys are tried. What it says is checked as [`Issuer`] has it. Others are answered as RFC 6750, section 3 says, without
/// a word about what exactly is wrong; that is for the log.
///
/// A token that was valid is remembered, so that it costs next to nothing the next time: until its `exp`, until its key is gone or
/// until it is [taken back](Self::revocation), at most for [`cache_ttl`](Self::cache_ttl). Clones share what is remembered; one whose settings
/// are changed remembers for itself.
///
/// | setting | default |
/// |---|---|
/// | [`cookie`](Self::cookie), [`query`](Self::query) | tokens are in `Authorization` alone |
/// | [`realm`](Self::realm) | `api` |
/// | [`max_token_length`](Self::max_token_length) | 8 KiB |
/// | [`forward_token`](Self::forward_token) | off: the token stays here |
/// | [`cache_size`](Self::cache_size) | 10 000 tokens |
/// | [`cache_ttl`](Self::cache_ttl) | 5 minutes |
/// | [`revocation`](Self::revocation) | none |
///
/// ```
/// use tower_gateway::auth::{Issuer, JwtLayer, jose::{Algorithm, Key, KeySet}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeySet::new([Key::from_secret([7; 32], Algorithm::HS256)?])?;
/// let layer = JwtLayer::new(Issuer::new("https://id.example", keys).audience(["orders"]));
/// # let router: axum::Router = axum::Router::new().layer(layer);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct JwtLayer {
    settings: Arc<Settings>,
    known: Arc<Cache<Known>>,
}

#[derive(Clone)]
struct Settings {
    issuers: Vec<Issuer>,
    bearer: Bearer,
    max_token_length: usize,
    cache_size: usize,
    cache_ttl: Duration,
    revocation: Option<Arc<dyn AnyRevocation>>,
}

/// What is remembered of a token.
struct Known {
    identity: Identity,
    issuer: usize,
    key: KeyId,
}

/// Why a token is not accepted, for the log.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Token(#[from] VerifyError),
    #[error(transparent)]
    Claims(#[from] ClaimError),
    #[error("nobody is believed who calls themselves {0:?}")]
    Issuer(Option<String>),
    #[error("it was taken back")]
    Revoked,
}

impl JwtLayer {
    /// Tokens of this issuer.
    pub fn new(issuer: Issuer) -> Self {
        Self::of(Settings {
            issuers: vec![issuer],
            bearer: Bearer::new(),
            max_token_length: 8 * 1024,
            cache_size: 10_000,
            cache_ttl: Duration::from_secs(5 * 60),
            revocation: None,
        })
    }

    /// And of this one. Each has a name of its own.
    pub fn issuer(self, issuer: Issuer) -> Self {
        self.edit(|settings| settings.issuers.push(issuer))
    }

    /// Looks for a token in this cookie too. A request that has two different tokens is answered with 400. A cookie is sent by browsers
    /// whatever page has asked for it: have it `SameSite`, or check the origin.
    pub fn cookie(self, name: impl Into<String>) -> Self {
        self.edit(|settings| settings.bearer = settings.bearer.clone().cookie(name.into()))
    }

    /// Looks for a token in this query parameter too, from where it gets into logs and histories (RFC 6750, section 5.3).
    pub fn query(self, name: impl Into<String>) -> Self {
        self.edit(|settings| settings.bearer = settings.bearer.clone().query(name.into()))
    }

    /// What is protected, for people: visible ASCII and blanks, but for `"` and `\`.
    pub fn realm(self, realm: impl Into<String>) -> Self {
        self.edit(|settings| settings.bearer = settings.bearer.clone().realm(realm.into()))
    }

    /// The longest token, in bytes.
    pub fn max_token_length(self, bytes: usize) -> Self {
        self.edit(|settings| {
            settings.bearer = settings.bearer.clone().max_length(bytes);
            settings.max_token_length = bytes;
        })
    }

    /// Whether the token goes on to the backend, which could use it somewhere else. Default: it does not; see
    /// [`IdentityHeadersLayer`](super::IdentityHeadersLayer) for what a backend can be told instead.
    pub fn forward_token(self, on: bool) -> Self {
        self.edit(|settings| settings.bearer = settings.bearer.clone().forward(on))
    }

    /// How many tokens are remembered, up to a million (2^20), rounded up to a multiple of 4; 0 verifies each anew. When there is no room, one that ends soon is
    /// forgotten.
    pub fn cache_size(self, tokens: usize) -> Self {
        self.edit(|settings| settings.cache_size = tokens)
    }

    /// For how long a token is remembered at most.
    pub fn cache_ttl(self, time: Duration) -> Self {
        self.edit(|settings| settings.cache_ttl = time)
    }

    /// Asks for every request whether its token was taken back; if that can not be found out, the answer is 503.
    pub fn revocation(self, revocation: impl Revocation) -> Self {
        self.edit(|settings| settings.revocation = Some(Arc::new(revocation)))
    }

    /// How many tokens are remembered at the moment; it looks at all of them.
    pub fn cached(&self) -> usize {
        self.known.len(clock::now())
    }

    /// Forgets all tokens, so that each is verified anew.
    pub fn clear_cache(&self) {
        self.known.clear();
    }

    fn of(settings: Settings) -> Self {
        Self {
            known: Arc::new(Cache::of_tokens(settings.cache_size)),
            settings: Arc::new(settings),
        }
    }

    /// What other settings have found valid is not known to be so by these.
    fn edit(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        let settings = Arc::make_mut(&mut self.settings);
        change(settings);
        // A token has one limit, whichever issuer it is of.
        let max = settings.max_token_length;
        for issuer in &mut settings.issuers {
            issuer.tokens = issuer.tokens.clone().max_length(max);
        }
        self.known = Arc::new(Cache::of_tokens(self.settings.cache_size));
        self
    }

    /// Who has this token.
    async fn owner(&self, token: &str) -> Result<Identity, Denied> {
        let now = clock::now();
        if let Some(identity) = self.remembered(token, now) {
            return self.unless_revoked(token, identity).await;
        }
        let (known, until) = self.verify(token).await?;
        let identity = known.identity.clone();
        let most = now.checked_add(self.settings.cache_ttl);
        if let (Some(until), Some(most)) = (until.as_instant(now), most) {
            self.known.put(token, known, until.min(most), now);
        }
        self.unless_revoked(token, identity).await
    }

    /// Whoever has had this token a moment ago, if the key is there still.
    fn remembered(&self, token: &str, now: Instant) -> Option<Identity> {
        let found = self.known.get(token, now)?;
        let known: &Known = found.as_deref().map(Entry::value)?;
        let issuer = self.settings.issuers.get(known.issuer)?;
        if issuer.keys.contains(&known.key) {
            return Some(known.identity.clone());
        }
        self.known.remove(token);
        None
    }

    async fn unless_revoked(&self, token: &str, identity: Identity) -> Result<Identity, Denied> {
        let Some(revocation) = &self.settings.revocation else {
            return Ok(identity);
        };
        match revocation.is_revoked(identity.claims()).await {
            Ok(false) => Ok(identity),
            Ok(true) => {
                self.known.remove(token);
                Err(self.invalid(Refusal::Revoked))
            }
            Err(reason) => Err(Denied::unavailable(reason)),
        }
    }

    async fn verify(&self, token: &str) -> Result<(Known, Until), Denied> {
        let (at, issuer) = self
            .chosen(token)
            .map_err(|refusal| self.invalid(refusal))?;
        let parse = || Unverified::parse(token, &issuer.tokens);
        let verified = match issuer.keys.current() {
            Some(keys) => parse().and_then(|token| token.verify(&keys)),
            None => parse().and_then(|token| {
                let kid = token.kid().map(Into::into);
                Err(VerifyError::UnknownKey { kid })
            }),
        };
        let verified = match verified {
            // There may be a new key, or none yet.
            Err(VerifyError::UnknownKey { kid }) => {
                let keys = issuer.keys.refresh(kid.as_deref()).await;
                let keys: KeySet = keys.map_err(Denied::unavailable)?;
                parse().and_then(|token| token.verify(&keys))
            }
            other => other,
        };
        let (claims, key) = verified
            .map_err(Refusal::from)
            .and_then(|verified| issuer.accept(&verified, clock::wall()))
            .map_err(|refusal| self.invalid(refusal))?;
        let until = Until(claims.expires_at());
        let identity = Identity::new("jwt", claims);
        let issuer = at;
        Ok((
            Known {
                identity,
                issuer,
                key,
            },
            until,
        ))
    }

    /// The issuer whose token it says it is.
    fn chosen(&self, token: &str) -> Result<(usize, &Issuer), Refusal> {
        let issuers = &self.settings.issuers;
        if let [only] = &issuers[..] {
            return Ok((0, only));
        }
        let any = Policy::new().max_length(self.settings.max_token_length);
        let claims = Unverified::parse(token, &any)?.claims()?;
        let name = claims.issuer();
        let named =
            |(_, issuer): &(usize, &Issuer)| name.is_some() && issuer.name.as_deref() == name;
        let found = issuers.iter().enumerate().find(named);
        found.ok_or_else(|| Refusal::Issuer(name.map(ToOwned::to_owned)))
    }

    fn invalid(&self, refusal: Refusal) -> Denied {
        self.settings.bearer.invalid(refusal)
    }
}

impl Issuer {
    fn accept(&self, verified: &Verified, now: SystemTime) -> Result<(Claims, KeyId), Refusal> {
        let claims = verified.claims()?;
        self.claims.check(&claims, now)?;
        Ok((claims, verified.key().id()))
    }
}

/// When a token ends by itself; `None`: never.
struct Until(Option<SystemTime>);

impl Until {
    /// The leeway is for verifying it anew.
    fn as_instant(&self, now: Instant) -> Option<Instant> {
        match self.0 {
            Some(end) => now.checked_add(end.duration_since(clock::wall()).ok()?),
            None => now.checked_add(Duration::from_secs(24 * 60 * 60)),
        }
    }
}

impl Authenticator for JwtLayer {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        let token = self.settings.bearer.token(head)?;
        self.owner(&token).await
    }

    fn strip(&self, head: &mut Parts) {
        self.settings.bearer.strip(head);
    }

    fn mistakes(&self) -> Vec<String> {
        let issuers = &self.settings.issuers;
        let mut mistakes: Vec<String> = issuers.iter().flat_map(Issuer::mistakes).collect();
        mistakes.extend(self.settings.bearer.mistakes());
        let revocation = self.settings.revocation.iter();
        mistakes.extend(revocation.flat_map(|revocation| revocation.mistakes()));
        if self.settings.cache_ttl.is_zero() {
            mistakes.push("cache_ttl is 0; for no cache say `cache_size(0)`".to_owned());
        }
        mistakes.extend(known::mistake(self.settings.cache_size));
        let is_unnamed = |issuer: &Issuer| issuer.name.is_none();
        if issuers.len() > 1 && issuers.iter().any(is_unnamed) {
            mistakes
                .push("an unnamed issuer is the only one; of several each has a name".to_owned());
        }
        for (at, issuer) in issuers.iter().enumerate() {
            let mut before = issuers.iter().take(at);
            if let Some(name) = &issuer.name
                && before.any(|other| other.name.as_ref() == Some(name))
            {
                mistakes.push(format!("issuer `{name}` is there twice"));
            }
        }
        mistakes
            .into_iter()
            .map(|mistake| format!("jwt: {mistake}"))
            .collect()
    }
}

impl_layer!(JwtLayer);

impl fmt::Debug for JwtLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtLayer")
            .field("issuers", &self.settings.issuers)
            .finish_non_exhaustive()
    }
}
