//! The settings.

use std::{fmt, ops::RangeBounds, sync::Arc, time::Duration};

use http::{HeaderName, StatusCode, request, response};
use tower::Layer;

use super::{
    handle::CacheHandle,
    key::CacheKey,
    rules::{CacheName, Override, Settings as Rules},
    service::Cache,
    shared::Shared,
    store::{AnyStore, CacheStore},
};

/// Answers from what is stored: see the [module](crate::cache).
///
/// | setting | default |
/// |---|---|
/// | [`key`](Self::key) | [`CacheKey::new`]: method, scheme, authority, path, query |
/// | [`max_object`](Self::max_object) | 8 MiB, or what the store allows if that is less |
/// | [`wait`](Self::wait) | 5 s |
/// | [`ttl`](Self::ttl), [`ttl_by`](Self::ttl_by), [`force`](Self::force) | what answers say |
/// | [`stale_if_error`](Self::stale_if_error), [`stale_while_revalidate`](Self::stale_while_revalidate) | what answers say |
/// | [`bypass`](Self::bypass) | nothing |
/// | [`store_set_cookie`](Self::store_set_cookie) | off |
/// | [`name`](Self::name), [`target`](Self::target) | `tower-gateway`, none |
/// | [`status_header`](Self::status_header), [`status_key`](Self::status_key) | on, off |
/// | [`max_filling`](Self::max_filling) | 256 MiB |
/// | [`revalidations`](Self::revalidations) | 64 |
///
/// The layer owns what is on its way to the store, and its counters; the store has what is stored. All services that it and its clones make share them. A setting
/// makes a layer with counters of its own, so settings come first; the store stays.
#[derive(Clone)]
pub struct CacheLayer {
    settings: Settings,
    shared: Arc<Shared>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) store: AnyStore,
    pub(super) key: CacheKey,
    pub(super) rules: Rules,
    pub(super) max_object: u64,
    pub(super) max_filling: u64,
    pub(super) wait: Duration,
    pub(super) revalidations: usize,
    pub(super) bypass: Option<Arc<Bypass>>,
    pub(super) ttls: Vec<(u16, u16, u32)>,
    pub(super) ttl_by: Option<Arc<TtlBy>>,
    pub(super) is_forced: bool,
    pub(super) name: CacheName,
    pub(super) bad_name: Option<String>,
    pub(super) tells: bool,
    pub(super) tells_key: bool,
}

type Bypass = dyn Fn(&request::Parts) -> bool + Send + Sync;
type TtlBy = dyn Fn(&response::Parts) -> Option<Duration> + Send + Sync;

const MAX_OBJECT: u64 = 8 << 20;
const MAX_FILLING: u64 = 256 << 20;
/// A TTL that is longer has been mistyped.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

impl CacheLayer {
    /// A cache that keeps answers in this store.
    pub fn new(store: impl CacheStore) -> Self {
        let store = AnyStore::new(store);
        let settings = Settings {
            max_object: MAX_OBJECT.min(store.max_object()),
            store,
            key: CacheKey::new(),
            rules: Rules::default(),
            max_filling: MAX_FILLING,
            wait: Duration::from_secs(5),
            revalidations: 64,
            bypass: None,
            ttls: Vec::new(),
            ttl_by: None,
            is_forced: false,
            name: CacheName::default(),
            bad_name: None,
            tells: true,
            tells_key: false,
        };
        Self {
            shared: Shared::new(settings.clone()),
            settings,
        }
    }

    /// What tells requests apart.
    pub fn key(self, key: CacheKey) -> Self {
        self.change(|settings| {
            settings.rules.is_keyed_by_identity = key.has_identity();
            settings.key = key;
        })
    }

    /// The most bytes of a body that is stored: a larger one passes. At most what the store allows.
    pub fn max_object(self, bytes: u64) -> Self {
        self.change(|settings| settings.max_object = bytes)
    }

    /// How many bytes of bodies may be on their way to the store, of all requests together: when there are more, answers pass and are not stored.
    pub fn max_filling(self, bytes: u64) -> Self {
        self.change(|settings| settings.max_filling = bytes)
    }

    /// How long a request waits for the answer to another one for the same key, before it goes to the backend by itself; zero: it does not wait.
    pub fn wait(self, most: Duration) -> Self {
        self.change(|settings| settings.wait = most)
    }

    /// How many stale answers are validated in the background at a time, after they were [used](Self::stale_while_revalidate). What is beyond stays stale.
    pub fn revalidations(self, most: usize) -> Self {
        self.change(|settings| settings.revalidations = most)
    }

    /// Leaves these requests alone: they go to the backend, and nothing is stored of them.
    pub fn bypass(
        self,
        is_meant: impl Fn(&request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.change(|settings| settings.bypass = Some(Arc::new(is_meant)))
    }

    /// How long answers with these statuses are fresh, where they do not say it themselves: `ttl(200..300, …)`, or `ttl(404..=404, …)` so that what is missing is not asked
    /// for again and again. The first that has the status counts. Up to ten years, in whole seconds.
    pub fn ttl(self, statuses: impl RangeBounds<u16>, fresh: Duration) -> Self {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let first = match statuses.start_bound() {
            Included(first) => *first,
            Excluded(before) => before.saturating_add(1),
            Unbounded => 0,
        };
        let last = match statuses.end_bound() {
            Included(last) => *last,
            Excluded(after) => after.saturating_sub(1),
            Unbounded => u16::MAX,
        };
        self.change(|settings| settings.ttls.push((first, last, seconds(fresh))))
    }

    /// Asks a closure the same, before [`ttl`](Self::ttl); `None`: it does not say.
    pub fn ttl_by(
        self,
        fresh: impl Fn(&response::Parts) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.change(|settings| settings.ttl_by = Some(Arc::new(fresh)))
    }

    /// Whether [`ttl`](Self::ttl) and [`ttl_by`](Self::ttl_by) hold whatever answers say, `no-store` and `no-cache` included; what is `private` stays so. Where people are authenticated, the
    /// [key](Self::key) has to say who, or a gateway is not built.
    pub fn force(self, on: bool) -> Self {
        self.change(|settings| settings.is_forced = on)
    }

    /// For how long a stale answer is used while the backend fails, where it does not say so itself (RFC 5861, section 4). It does not concern answers that
    /// have to be validated: `must-revalidate`, `proxy-revalidate`, `s-maxage`, `no-cache`.
    pub fn stale_if_error(self, most: Duration) -> Self {
        self.change(|settings| settings.rules.stale_if_error = seconds(most))
    }

    /// For how long a stale answer is used while it is validated in the background, likewise (RFC 5861, section 3).
    pub fn stale_while_revalidate(self, most: Duration) -> Self {
        self.change(|settings| settings.rules.stale_while_revalidate = seconds(most))
    }

    /// Whether answers with `Set-Cookie` are stored, and everybody gets the cookie that was meant for one.
    pub fn store_set_cookie(self, on: bool) -> Self {
        self.change(|settings| settings.rules.keeps_set_cookie = on)
    }

    /// What the cache is called in `Cache-Status` (RFC 9211): printable ASCII.
    pub fn name(self, name: &str) -> Self {
        self.change(|settings| match CacheName::new(name) {
            Some(name) => settings.name = name,
            None => settings.bad_name = Some(name.to_owned()),
        })
    }

    /// The field by which backends speak to this cache alone, before `CDN-Cache-Control` (RFC 9213).
    pub fn target(self, field: HeaderName) -> Self {
        self.change(|settings| settings.rules.target = Some(field))
    }

    /// Whether answers say what the cache did, in `Cache-Status` (RFC 9211).
    pub fn status_header(self, on: bool) -> Self {
        self.change(|settings| settings.tells = on)
    }

    /// Whether they say the key there as well.
    pub fn status_key(self, on: bool) -> Self {
        self.change(|settings| settings.tells_key = on)
    }

    /// A look at how it fares, and what can be done to it.
    pub fn handle(&self) -> CacheHandle {
        CacheHandle::new(self.shared.clone())
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let settings = &self.settings;
        let mut mistakes = settings.store.mistakes();
        mistakes.extend(settings.key.mistakes());
        let most = settings.store.max_object();
        if settings.max_object > most {
            let bytes = settings.max_object;
            mistakes.push(format!(
                "cache max_object: {bytes} bytes are more than the store allows, {most}"
            ));
        }
        let longest = seconds(LONGEST);
        for (first, last, ttl) in &settings.ttls {
            if first > last {
                mistakes.push(format!("cache ttl: no status is from {first} to {last}"));
            }
            if *ttl > longest {
                mistakes.push(format!(
                    "cache ttl: {ttl} s are more than {longest}, ten years"
                ));
            }
        }
        if let Some(name) = &settings.bad_name {
            mistakes.push(format!(
                "cache name: {name:?} is empty, or not printable ASCII"
            ));
        }
        if settings.is_forced && settings.ttls.is_empty() && settings.ttl_by.is_none() {
            mistakes.push("cache force: there is no `ttl` that could be forced".to_owned());
        }
        let mistakes = mistakes.into_iter();
        mistakes
            .map(|it| {
                if it.starts_with("cache") {
                    it
                } else {
                    format!("cache: {it}")
                }
            })
            .collect()
    }

    /// Why it may not stand where people are authenticated.
    pub(crate) fn mistake_behind_authentication(&self) -> Option<String> {
        let is_wrong = self.settings.is_forced && !self.settings.key.has_identity();
        is_wrong.then(|| "cache force: one person's answer would be another's, as the key does not say who they are; add `identity` to the key, or leave out `force`".to_owned())
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.shared = Shared::new(self.settings.clone());
        self
    }
}

impl Settings {
    /// What people have said about this answer.
    pub(super) fn given(&self, answer: &response::Parts) -> Option<Override> {
        let force = self.is_forced;
        let by = self.ttl_by.as_ref().and_then(|by| by(answer)).map(seconds);
        let status = answer.status.as_u16();
        let ttl = by.or_else(|| self.ttl_of(status));
        ttl.map(|ttl| Override { ttl, force })
    }

    fn ttl_of(&self, status: u16) -> Option<u32> {
        let mut all = self.ttls.iter();
        let found = all.find(|(first, last, _)| (*first..=*last).contains(&status));
        found.map(|(_, _, ttl)| *ttl)
    }

    /// Whether a backend that answers so fails (RFC 5861, section 4).
    pub(super) fn is_failure(status: StatusCode) -> bool {
        matches!(status.as_u16(), 500 | 502 | 503 | 504)
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Cache<S> {
        Cache::new(inner, self.shared.clone())
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("key", &self.settings.key)
            .field("max_object", &self.settings.max_object)
            .finish_non_exhaustive()
    }
}
