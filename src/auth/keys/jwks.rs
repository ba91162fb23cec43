//! Keys that an issuer publishes.

use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{KeySource, live::Live, load::Place, schedule::Timing};
use crate::{
    auth::{
        fetch::CallSettings,
        jose::{KeyId, KeySet},
    },
    error::BoxError,
};

/// The public keys that an issuer publishes, kept fresh.
///
/// A task beside the requests loads them before they get old, so that requests read them without a lock and without waiting. It
/// begins at the first use on a runtime, and ends with the last clone. Clones share it, the keys and the connections; a method that
/// changes a setting makes a source of its own.
///
/// * **How long keys are fresh** is what the answer says (`Cache-Control: max-age`, or `Expires`; RFC 9111), within
///   [bounds](Self::cache_duration_within), or else the [`cache_duration`](Self::cache_duration). They are loaded again when 70 to 80
///   percent of that are over.
/// * **A new key** is found when a token names its `kid`: the keys are loaded at once, and the request waits. However many requests
///   miss a key, there is one load at a time, which goes on when they go away. Clients choose the `kid`, so there is one such
///   load in a [`cooldown`](Self::cooldown), and a `kid` that was looked for in vain does not cause another one for twice as long each time, up
///   to five minutes: for so long can whoever guesses the next `kid` keep it from being found.
/// * **A key that is not listed any more** is not used from the next load on, and neither is a key whose `kid` is listed with another one.
/// * **When the source fails**, or answers what is no JWK set with a key that can be used, the keys that were loaded last are used on,
///   for the [`outage_tolerance`](Self::outage_tolerance); then there are none, and requests get 503. It is asked again after a
///   second, then two, up to a minute; meanwhile a `kid` that is not known is a 503, too, as it might be a new one.
///
/// Secrets and private keys are never taken from it, and what is more than [`KeySet::MAX_BYTES`] or [`KeySet::MAX_KEYS`] is refused. No
/// redirect is followed.
///
/// ```
/// use std::time::Duration;
/// use tower_gateway::auth::keys::Jwks;
///
/// let by_issuer = Jwks::discover("https://id.example.com");
/// let by_url = Jwks::url("https://id.example.com/jwks.json").outage_tolerance(Duration::from_secs(48 * 3600));
/// # let _ = (by_issuer, by_url);
/// ```
///
/// The first requests wait for the first keys. To have them earlier, ask for them when the program starts, with
/// [`refresh(None)`](KeySource::refresh).
#[derive(Clone)]
pub struct Jwks {
    place: Place,
    timing: Timing,
    calls: CallSettings,
    live: Arc<OnceLock<Arc<Live>>>,
}

impl Jwks {
    /// From a URL that answers with a JWK set (RFC 7517, section 5).
    pub fn url(url: impl Into<Box<str>>) -> Self {
        Self::at(Place::Url(url.into()))
    }

    /// From the `jwks_uri` that an issuer publishes under `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0), or if that
    /// is not there, where RFC 8414 has it. It is looked up at every load.
    ///
    /// The issuer is written exactly as it writes itself, as in the claim `iss`: a document that is for another one is refused.
    pub fn discover(issuer: impl Into<Box<str>>) -> Self {
        Self::at(Place::Issuer(issuer.into()))
    }

    /// From a function, for whatever else keys are in. It may take as long as the [`timeout`](Self::timeout).
    ///
    /// ```
    /// use tower_gateway::auth::{jose::KeySet, keys::Jwks};
    ///
    /// let keys = Jwks::from_fn(|| async { Ok(KeySet::from_jwks(std::fs::read("/run/keys.json")?)?) });
    /// # let _ = keys;
    /// ```
    pub fn from_fn<F, Fut>(load: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<KeySet, BoxError>> + Send + 'static,
    {
        Self::at(Place::Function(Arc::new(load)))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            timing: Timing::default(),
            calls: CallSettings {
                max_bytes: KeySet::MAX_BYTES,
                ..CallSettings::default()
            },
            live: Arc::default(),
        }
    }

    /// How long a load may take, above 0, discovery included. A request waits for two loads at most: one that is under way when it
    /// comes may be too early to know a new key. Default: 5 s.
    pub fn timeout(self, time: Duration) -> Self {
        self.set(|this| this.calls.timeout = time)
    }

    /// How long keys are fresh when the answer does not say, above 0. Default: 10 min.
    pub fn cache_duration(self, time: Duration) -> Self {
        self.set(|this| this.timing.cache_duration = time)
    }

    /// How long they are fresh at least, above 0, and at most, whatever the answer says, and
    /// [`cache_duration`](Self::cache_duration). Default: from 1 min to 24 h.
    pub fn cache_duration_within(self, bounds: RangeInclusive<Duration>) -> Self {
        self.set(|this| this.timing.bounds = bounds)
    }

    /// How long keys are used after they were loaded while the source fails; at least as long as they may be fresh. Default: 24 h.
    pub fn outage_tolerance(self, time: Duration) -> Self {
        self.set(|this| this.timing.outage_tolerance = time)
    }

    /// The time between two loads because of a `kid` that is not known, above 0. Default: 30 s.
    pub fn cooldown(self, time: Duration) -> Self {
        self.set(|this| this.timing.cooldown = time)
    }

    /// Allows `http` for the URL, the issuer and its `jwks_uri`: whoever is on the way can then make tokens. Default: `https` alone,
    /// to this machine as well.
    pub fn allow_http(self) -> Self {
        self.set(|this| this.calls.allow_http = true)
    }

    /// Trusts only these authorities (PEM, one or more), instead of what the operating system trusts.
    #[cfg(feature = "tls")]
    pub fn tls_authority(self, pem: impl Into<Vec<u8>>) -> Self {
        let roots = crate::tls::Roots::Own(pem.into());
        self.set(|this| this.calls.tls.roots = roots)
    }

    /// Trusts the web's roots that are compiled in, instead of what the operating system trusts.
    #[cfg(feature = "webpki-roots")]
    pub fn tls_web_roots(self) -> Self {
        self.set(|this| this.calls.tls.roots = crate::tls::Roots::Web)
    }

    /// How it is at the moment.
    pub fn status(&self) -> JwksStatus {
        self.live().status()
    }

    fn set(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.live = Arc::default();
        self
    }

    fn live(&self) -> &Arc<Live> {
        self.live
            .get_or_init(|| Arc::new(Live::new(&self.place, &self.timing, &self.calls)))
    }
}

impl KeySource for Jwks {
    fn current(&self) -> Option<KeySet> {
        self.live().current()
    }

    async fn refresh(&self, unknown_kid: Option<&str>) -> Result<KeySet, BoxError> {
        self.live().refresh(unknown_kid).await
    }

    fn contains(&self, key: &KeyId) -> bool {
        self.live().contains(key)
    }

    fn mistakes(&self) -> Vec<String> {
        self.live().mistakes().to_vec()
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = format_args!("{}", self.place).to_string();
        f.debug_tuple("Jwks").field(&place).finish()
    }
}

/// How a [`Jwks`] is, for a status page or metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwksStatus {
    /// The keys that are used; 0 before the first load, and when they are too old.
    pub keys: usize,
    /// Keys that were listed and can not be used, for whatever reason.
    pub skipped: usize,
    /// The time since they were loaded; `None` before the first time.
    pub age: Option<Duration>,
    /// The loads that failed since then.
    pub failures: u32,
    /// Why the last of them did. Not for clients.
    pub last_error: Option<String>,
}
