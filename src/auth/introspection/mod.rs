//! Opaque tokens, about which whoever has issued them is asked (RFC 7662).

mod answer;
mod flights;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use self::{
    answer::{Verdict, Wanted},
    flights::Flights,
};
use super::{
    asked::{Asked, asked_settings},
    authenticator::Authenticator,
    bearer::Bearer,
    denied::Denied,
    jose::ClaimPolicy,
    known::{Cache, Entry},
};
use crate::{clock, error::BoxError, identity::Identity};

/// An answer has some claims; a page that is none may be long.
const MAX_ANSWER: usize = 64 * 1024;
const HOUR: Duration = Duration::from_secs(3600);

/// Lets in whoever has a bearer token that its issuer calls active (RFC 7662). Clones share what is known; one whose settings are changed
/// asks for itself.
///
/// | setting | default |
/// |---|---|
/// | [`client_secret_basic`](Self::client_secret_basic), [`bearer_token`](Self::bearer_token) | the gateway does not say who it is |
/// | [`issuer`](Self::issuer), [`audience`](Self::audience), [`client_ids`](Self::client_ids) | any |
/// | [`leeway`](Self::leeway) | 60 s |
/// | [`cookie`](Self::cookie), [`query`](Self::query) | tokens are in `Authorization` alone |
/// | [`realm`](Self::realm) | `api` |
/// | [`max_token_length`](Self::max_token_length) | 8 KiB |
/// | [`forward_token`](Self::forward_token) | off: the token stays here |
/// | [`cache_size`](Self::cache_size) | 10 000 tokens |
/// | [`cache_ttl`](Self::cache_ttl) | 30 s, until `exp` at most |
/// | [`negative_cache_ttl`](Self::negative_cache_ttl) | 5 s |
/// | [`timeout`](Self::timeout) | 2 s |
/// | [`max_concurrent`](Self::max_concurrent) | 64 questions at once |
/// | [`allow_http`](Self::allow_http) | `https` alone |
///
/// A token that is revoked is let in until its cache entry ends. For one token there is one question at a time, however many requests have
/// it. If there is no answer in time, or one that can not be understood, nobody is let in: 503. The [identity](Identity) has the method
/// `introspection`; its claims are the answer.
///
/// ```
/// use tower_gateway::auth::IntrospectionLayer;
///
/// let layer = IntrospectionLayer::new("https://id.example/introspect")
///     .client_secret_basic("gateway", "its secret")
///     .audience(["orders"]);
/// # let router: axum::Router = axum::Router::new().layer(layer);
/// ```
#[derive(Clone)]
pub struct IntrospectionLayer {
    settings: Arc<Settings>,
    known: Arc<Known>,
}

#[derive(Clone)]
struct Settings {
    asked: Asked,
    /// `Authorization`, if there is any; an error if it can be none.
    credentials: Option<Result<HeaderValue, ()>>,
    wanted: Wanted,
    bearer: Bearer,
    cache_size: usize,
    cache_ttl: Duration,
    negative_cache_ttl: Duration,
}

/// What is known of tokens, each by its SHA-256. Those that are not active have a place of their own, so that who makes them up does not
/// push out the others.
struct Known {
    active: Cache<Identity>,
    inactive: Cache<()>,
    flights: Flights<Outcome>,
}

#[derive(Clone)]
enum Outcome {
    Active(Identity),
    Inactive(Arc<str>),
    Unknown(Arc<str>),
}

impl IntrospectionLayer {
    /// Asks at this URL, which begins with `https://`.
    pub fn new(url: impl Into<String>) -> Self {
        Self::of(Settings {
            asked: Asked::at(url.into(), MAX_ANSWER),
            credentials: None,
            wanted: Wanted {
                policy: ClaimPolicy::new().optional_expiry().any_audience(),
                client_ids: Vec::new(),
            },
            bearer: Bearer::new(),
            cache_size: 10_000,
            cache_ttl: Duration::from_secs(30),
            negative_cache_ttl: Duration::from_secs(5),
        })
    }

    /// Says who the gateway is by a password (RFC 6749, section 2.3.1).
    pub fn client_secret_basic(self, id: impl AsRef<str>, secret: impl AsRef<str>) -> Self {
        let basic = answer::basic(id.as_ref(), secret.as_ref());
        self.credentials(basic)
    }

    /// Says who the gateway is by a token of its own.
    pub fn bearer_token(self, token: impl AsRef<str>) -> Self {
        self.credentials(format!("Bearer {}", token.as_ref()))
    }

    /// `iss` has to be there, and exactly this. Default: any, or none.
    pub fn issuer(self, issuer: impl Into<Box<str>>) -> Self {
        self.policy(|policy| policy.issuer(issuer))
    }

    /// `aud` has to be there, and have at least one of these. Default: any, or none.
    pub fn audience<T: Into<Box<str>>>(self, any_of: impl IntoIterator<Item = T>) -> Self {
        self.policy(|policy| policy.audience(any_of))
    }

    /// `client_id` has to be one of these. Default: any, or none.
    pub fn client_ids<T: Into<String>>(self, any_of: impl IntoIterator<Item = T>) -> Self {
        let ids = any_of.into_iter().map(Into::into).collect();
        self.edit(|settings| settings.wanted.client_ids = ids)
    }

    /// How far clocks may be apart, for `exp`, `nbf` and `iat`, if the answer has them. Default: 60 s.
    pub fn leeway(self, leeway: Duration) -> Self {
        self.policy(|policy| policy.leeway(leeway))
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

    /// The longest token, in bytes. Default: 8 KiB.
    pub fn max_token_length(self, bytes: usize) -> Self {
        self.edit(|settings| settings.bearer = settings.bearer.clone().max_length(bytes))
    }

    /// Whether the token goes on to the backend, which could use it somewhere else. Default: it does not.
    pub fn forward_token(self, on: bool) -> Self {
        self.edit(|settings| settings.bearer = settings.bearer.clone().forward(on))
    }

    /// How many tokens are remembered, and as many that are not active; 0 asks each time. Default: 10 000.
    pub fn cache_size(self, tokens: usize) -> Self {
        self.edit(|settings| settings.cache_size = tokens)
    }

    /// For how long an active token is not asked about again: at most an hour, and not beyond its `exp`. So long is a revoked token let in
    /// still. Zero asks each time. Default: 30 s.
    pub fn cache_ttl(self, time: Duration) -> Self {
        self.edit(|settings| settings.cache_ttl = time)
    }

    /// For how long a token that is not active is not asked about again, at most an hour. Default: 5 s.
    pub fn negative_cache_ttl(self, time: Duration) -> Self {
        self.edit(|settings| settings.negative_cache_ttl = time)
    }

    asked_settings!();

    fn credentials(self, text: String) -> Self {
        let value = HeaderValue::try_from(text).map_err(drop).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        self.edit(|settings| settings.credentials = Some(value))
    }

    fn policy(self, change: impl FnOnce(ClaimPolicy) -> ClaimPolicy) -> Self {
        self.edit(|settings| settings.wanted.policy = change(settings.wanted.policy.clone()))
    }

    fn ask(self, change: impl FnOnce(&mut Asked)) -> Self {
        self.edit(|settings| change(&mut settings.asked))
    }

    /// What was let in with other settings is not known to be let in with these.
    fn edit(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::clone(&self.settings);
        change(&mut settings);
        self = Self::of(settings);
        self
    }

    fn of(settings: Settings) -> Self {
        let known = Known {
            active: Cache::of_texts(settings.cache_size),
            inactive: Cache::of_texts(settings.cache_size),
            flights: Flights::new(),
        };
        Self {
            settings: Arc::new(settings),
            known: Arc::new(known),
        }
    }

    async fn outcome(&self, token: &str) -> Outcome {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        let key = BASE64_STANDARD.encode(hash);
        match self.remembered(&key) {
            Some(outcome) => outcome,
            None => {
                let ask = || async {
                    // Somebody may have had the answer in between.
                    match self.remembered(&key) {
                        Some(outcome) => outcome,
                        None => self.remember(&key, self.question(token).await),
                    }
                };
                self.known.flights.ask(&key, ask).await
            }
        }
    }

    fn remembered(&self, key: &str) -> Option<Outcome> {
        let now = clock::now();
        if let Some(found) = self.known.active.get(key, now) {
            let identity = found.as_deref().map(Entry::value)?;
            return Some(Outcome::Active(identity.clone()));
        }
        let found = self.known.inactive.get(key, now);
        found.map(|_| Outcome::Inactive("it was not active a moment ago".into()))
    }

    fn remember(&self, key: &str, asked: Result<Verdict, String>) -> Outcome {
        let now = clock::now();
        let after = |time| now.checked_add(time).unwrap_or(now);
        match asked {
            Err(why) => Outcome::Unknown(why.into()),
            Ok(Verdict::Inactive(why)) => {
                let until = after(self.settings.negative_cache_ttl);
                self.known.inactive.put(key, (), until, now);
                Outcome::Inactive(why.into())
            }
            Ok(Verdict::Active(claims)) => {
                let most = after(self.settings.cache_ttl);
                let until = claims
                    .expires_at()
                    .map_or(most, |end| most.min(instant(end, now)));
                let identity = Identity::new("introspection", claims);
                self.known.active.put(key, identity.clone(), until, now);
                Outcome::Active(identity)
            }
        }
    }

    async fn question(&self, token: &str) -> Result<Verdict, String> {
        let settings = &*self.settings;
        let text = |error: BoxError| error.to_string();
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(Ok(credentials)) = &settings.credentials {
            headers.insert(header::AUTHORIZATION, credentials.clone());
        }
        let body = Bytes::from(answer::form(token));
        let answer = settings
            .asked
            .send(Method::POST, headers, body)
            .await
            .map_err(text)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the answer has the status {}", answer.status()));
        }
        answer::judge(answer.body(), &settings.wanted, clock::wall())
    }
}

/// When this time of day is.
fn instant(time: SystemTime, now: Instant) -> Instant {
    let left = time.duration_since(clock::wall()).unwrap_or_default();
    now.checked_add(left).unwrap_or(now)
}

impl Authenticator for IntrospectionLayer {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        let bearer = &self.settings.bearer;
        let token = bearer.token(head)?;
        match self.outcome(&token).await {
            Outcome::Active(identity) => Ok(identity),
            Outcome::Inactive(why) => Err(bearer.invalid(&*why)),
            Outcome::Unknown(why) => Err(Denied::unavailable(&*why)),
        }
    }

    fn strip(&self, head: &mut Parts) {
        self.settings.bearer.strip(head);
    }

    fn mistakes(&self) -> Vec<String> {
        let settings = &*self.settings;
        let mut mistakes = settings.asked.mistakes();
        mistakes.extend(settings.bearer.mistakes());
        if matches!(settings.credentials, Some(Err(()))) {
            mistakes.push("the gateway's token has characters that no header field has".to_owned());
        }
        mistakes.extend(crate::auth::known::mistake(settings.cache_size));
        for (name, time) in [
            ("cache_ttl", settings.cache_ttl),
            ("negative_cache_ttl", settings.negative_cache_ttl),
        ] {
            if time > HOUR {
                mistakes.push(format!("{name} is {time:?}; it is at most an hour"));
            }
        }
        mistakes
            .iter_mut()
            .for_each(|what| what.insert_str(0, "introspection: "));
        mistakes
    }
}

impl_layer!(IntrospectionLayer);

impl fmt::Debug for IntrospectionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntrospectionLayer")
            .field(&self.settings.asked)
            .finish()
    }
}

#[cfg(test)]
mod tests;
