//! A token of the gateway's own, for backends.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;

use crate::{
    auth::{jose::SigningKey, known::Cache},
    claims::Claims,
    clock,
    identity::Identity,
};

/// How many identities have their token kept.
const KEPT: usize = 10_000;

/// A short-lived token that the gateway signs, and backends believe instead of that of the client: it is for them alone, whatever the way in
/// which somebody has shown who they are. For [`IdentityHeadersLayer::token`](super::IdentityHeadersLayer::token).
///
/// It has `iss`, `aud`, `iat`, `exp` and the claims that are named. A token is signed once for an identity and used for half of its lifetime.
/// Clones share these tokens. Backends verify it with [`SigningKey::public_jwk`]; of a new key they have to know before it signs.
///
/// | setting | default |
/// |---|---|
/// | [`lifetime`](Self::lifetime) | 60 s |
/// | [`claims`](Self::claims) | `sub`, `scope` |
///
/// ```
/// use tower_gateway::auth::{IdentityHeadersLayer, InternalToken, jose::{Algorithm, SigningKey}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = SigningKey::generate(Algorithm::EdDSA)?.with_kid("gateway-1");
/// let token = InternalToken::new(key, "https://gateway.internal", "backends").claims(["sub", "scope", "tenant"]);
/// let layer = IdentityHeadersLayer::new().token(token);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct InternalToken {
    key: SigningKey,
    issuer: String,
    audience: String,
    lifetime: Duration,
    claims: Vec<String>,
    signed: Arc<Cache<HeaderValue>>,
}

impl InternalToken {
    /// Tokens that are signed with this key, from `issuer` for `audience`.
    pub fn new(key: SigningKey, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            key,
            issuer: issuer.into(),
            audience: audience.into(),
            lifetime: Duration::from_secs(60),
            claims: vec!["sub".to_owned(), "scope".to_owned()],
            signed: Arc::default(),
        }
        .anew()
    }

    /// How long a token is valid, from 2 s to an hour.
    pub fn lifetime(mut self, time: Duration) -> Self {
        self.lifetime = time;
        self.anew()
    }

    /// The claims that go along, by their names, where they are there.
    pub fn claims<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.claims = names.into_iter().map(Into::into).collect();
        self.anew()
    }

    /// What other settings have signed is not theirs.
    fn anew(mut self) -> Self {
        self.signed = Arc::new(Cache::of_texts(KEPT));
        self
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        const OWN: [&str; 4] = ["iss", "aud", "iat", "exp"];
        let mut mistakes = Vec::new();
        if !(2..=3_600).contains(&self.lifetime.as_secs()) {
            mistakes.push(format!(
                "internal token: lifetime is {:?}; allowed is from 2 s to an hour",
                self.lifetime
            ));
        }
        for (field, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if text.is_empty() {
                mistakes.push(format!("internal token: the {field} is empty"));
            }
        }
        let taken = self.claims.iter().filter(|name| OWN.contains(&&***name));
        mistakes.extend(taken.map(|name| format!("internal token: `{name}` is the token's own")));
        mistakes
    }

    /// `Bearer` and the token for somebody.
    pub(super) fn of(&self, identity: &Identity) -> Option<HeaderValue> {
        let (claims, now) = (identity.claims(), clock::now());
        if let Some(known) = self.signed.get(claims.as_json(), now) {
            return known.as_deref().map(|entry| entry.value().clone());
        }
        let token = self.sign(claims, clock::wall())?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        if let Some(until) = now.checked_add(self.lifetime / 2) {
            self.signed.put(claims.as_json(), value.clone(), until, now);
        }
        Some(value)
    }

    fn sign(&self, from: &Claims, now: SystemTime) -> Option<String> {
        let issued = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut claims = Claims::new()
            .with("iss", &self.issuer)
            .with("aud", &self.audience)
            .with("iat", issued)
            .with("exp", issued + self.lifetime.as_secs());
        for name in &self.claims {
            if let Some(value) = from.member(name) {
                claims = claims.with_json(name, value.json()).ok()?;
            }
        }
        self.key.sign(claims.as_json()).ok()
    }
}

impl fmt::Debug for InternalToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InternalToken")
            .field("key", &self.key)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
