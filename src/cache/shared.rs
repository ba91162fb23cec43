//! What all services of a layer share, and what it makes of a request before the backend is asked.

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::Instant,
};

use http::{HeaderMap, Method, Response, header, request::Parts};
use smallvec::SmallVec;
use tokio::sync::{Semaphore, watch};

use super::{
    filling::Budget,
    flights::{Alone, Answered, Flights, Stage},
    key::Key,
    layer::Settings,
    purge::Purge,
    reply::{self, Source},
    rules::{Age, Asked, CacheStatus, Fwd, Reuse},
    stored::{Stored, StoredHead, Variants},
    vary,
};
use crate::{body::Body, clock, context::RequestContext, error::BoxError};

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) flights: Arc<Flights>,
    pub(super) alone: Alone,
    pub(super) budget: Arc<Budget>,
    pub(super) revalidations: Arc<Semaphore>,
    pub(super) counts: Counts,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) hits: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) validations: AtomicU64,
    pub(super) collapsed: AtomicU64,
    pub(super) bypassed: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) store_failures: AtomicU64,
}

/// What becomes of a request.
pub(super) enum Look {
    /// It is left alone.
    Pass(Fwd),
    /// The answer is there; and whether it is to be validated in the background.
    Hit(Response<Body>, Option<Box<Fetch>>),
    /// The backend is to be asked.
    Fetch(Box<Fetch>),
    /// The store has to be waited for.
    Wait(Wanted),
}

/// A request that the cache has read.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) key: Key,
    pub(super) asked: Asked,
    /// Somebody has shown who they are, and the key does not say who.
    pub(super) is_identified: bool,
}

/// What the backend is asked for, and why.
pub(super) struct Fetch {
    pub(super) wanted: Wanted,
    pub(super) why: Fwd,
    pub(super) variants: Variants,
    /// The one that is validated.
    pub(super) stale: Option<Stored>,
}

/// How waiting for another request has ended.
pub(super) enum Followed {
    Answered(Answered),
    /// It is to be tried again: whoever has led has failed.
    Again,
    /// Not in time, or in vain.
    Alone,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            flights: Flights::new(),
            alone: Alone::new(),
            budget: Budget::new(settings.max_filling),
            revalidations: Arc::new(Semaphore::new(settings.revalidations)),
            counts: Counts::default(),
            settings,
        })
    }

    /// What can be said of a request without waiting.
    pub(super) fn look(&self, head: &Parts, has_body: bool) -> Look {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Look::Pass(Fwd::Method);
        }
        let context = head.extensions.get::<RequestContext>();
        let is_upgrade = context.is_some_and(|context| context.upgrade().is_some())
            || head.headers.contains_key(header::UPGRADE);
        let is_left = self
            .settings
            .bypass
            .as_ref()
            .is_some_and(|is_left| is_left(head));
        // Nobody knows what a body of such a request means: the answer may depend on it.
        if has_body || is_upgrade || is_left {
            return Look::Pass(Fwd::Bypass);
        }
        // They guard a change, and only the origin knows what there is (RFC 9111, section 4.3.2).
        let is_guarded = head.headers.contains_key(header::IF_MATCH)
            || head.headers.contains_key(header::IF_UNMODIFIED_SINCE);
        if is_guarded {
            return Look::Pass(Fwd::Request);
        }
        let Some(key) = self.settings.key.of(head) else {
            return Look::Pass(Fwd::Bypass);
        };
        let is_known = context.is_some_and(|context| context.identity().is_some())
            || head.headers.contains_key(header::AUTHORIZATION);
        let wanted = Wanted {
            key,
            asked: Asked::of(&head.headers),
            is_identified: is_known && !self.settings.key.has_identity(),
        };
        match self.settings.store.get_now(&wanted.key) {
            Some(variants) => self.judge(wanted, variants, head, clock::wall_millis()),
            None => Look::Wait(wanted),
        }
    }

    /// The same with what the store has said.
    pub(super) async fn wait(&self, wanted: Wanted, head: &Parts) -> Look {
        let variants = self.settings.store.get(&wanted.key).await;
        let variants = variants.unwrap_or_else(|_| {
            self.counts.store_failures.fetch_add(1, Relaxed);
            Variants::default()
        });
        self.judge(wanted, variants, head, clock::wall_millis())
    }

    fn judge(&self, wanted: Wanted, variants: Variants, head: &Parts, now: u64) -> Look {
        let all = variants.iter().map(|stored| {
            let head = stored.head();
            (&head.selecting[..], head.answered_at)
        });
        let chosen = vary::choose(all, &head.headers).and_then(|at| variants.iter().nth(at));
        let may_have =
            |stored: &&Stored| !wanted.is_identified || stored.head().terms.is_shareable();
        let Some(stored) = chosen.filter(may_have) else {
            let why = match (variants.iter().next(), chosen) {
                (None, _) => Fwd::UriMiss,
                (Some(_), None) => Fwd::VaryMiss,
                (Some(_), Some(_)) => Fwd::Miss,
            };
            self.counts.misses.fetch_add(1, Relaxed);
            return Look::Fetch(Box::new(Fetch {
                wanted,
                why,
                variants,
                stale: None,
            }));
        };
        let known = stored.head();
        let reuse = known.terms.reuse(known.kept(), &wanted.asked, now);
        let stale = || Some(stored.clone());
        let (age, why) = match reuse {
            Reuse::Forward => return Look::Pass(Fwd::Request),
            Reuse::Validate(why) => {
                let stale = stale();
                return Look::Fetch(Box::new(Fetch {
                    wanted,
                    why,
                    variants,
                    stale,
                }));
            }
            Reuse::Fresh(age) | Reuse::Stale(age) => (age, None),
            Reuse::StaleWhileRevalidate(age) => (age, Some(Fwd::Stale)),
        };
        self.counts.hits.fetch_add(1, Relaxed);
        if !matches!(reuse, Reuse::Fresh(_)) {
            self.counts.stale.fetch_add(1, Relaxed);
        }
        let status = CacheStatus {
            ttl: Some(age.ttl),
            detail: known.detail(),
            ..CacheStatus::default()
        };
        let body = Source::Stored(stored.body());
        let reply = self.reply(
            &Client::of(head),
            &wanted.key,
            known,
            body,
            age,
            status,
            now,
        );
        let later = why.map(|why| {
            Box::new(Fetch {
                stale: stale(),
                wanted,
                why,
                variants: variants.clone(),
            })
        });
        Look::Hit(reply, later)
    }

    /// What this client gets of a stored answer.
    #[expect(clippy::too_many_arguments, reason = "all of it is said of one answer")]
    pub(super) fn reply(
        &self,
        client: &Client<'_>,
        key: &Key,
        head: &StoredHead,
        body: Source<'_>,
        age: Age,
        status: CacheStatus<'_>,
        now: u64,
    ) -> Response<Body> {
        let mut response = reply::of(client, head, body, age.seconds, now);
        self.tell(response.headers_mut(), key, status);
        response
    }

    /// Says what the cache did.
    pub(super) fn tell(&self, headers: &mut HeaderMap, key: &Key, status: CacheStatus<'_>) {
        let settings = &self.settings;
        if !settings.tells {
            return;
        }
        let readable = settings.tells_key.then(|| key.readable());
        let status = CacheStatus {
            key: readable.as_deref().map(str::as_bytes),
            ..status
        };
        status.append(&settings.name, headers);
    }

    /// The same of a request that was left alone.
    pub(super) fn tell_passed(&self, headers: &mut HeaderMap, why: Fwd) {
        self.counts.bypassed.fetch_add(1, Relaxed);
        if self.settings.tells {
            let status = CacheStatus {
                fwd: Some(why),
                ..CacheStatus::default()
            };
            status.append(&self.settings.name, headers);
        }
    }

    /// Waits for whoever has asked for the same, until this time.
    pub(super) async fn follow(
        &self,
        mut stage: watch::Receiver<Stage>,
        until: Instant,
    ) -> Followed {
        let is_known = stage.wait_for(|stage| !matches!(stage, Stage::Asked));
        let known = tokio::time::timeout_at(until.into(), is_known).await;
        match known {
            Err(_) => Followed::Alone,
            Ok(Err(_)) => Followed::Again,
            Ok(Ok(stage)) => match &*stage {
                Stage::Answered(answered) => Followed::Answered(answered.clone()),
                Stage::Released => Followed::Alone,
                Stage::Asked | Stage::Failed => Followed::Again,
            },
        }
    }

    /// What tells this request apart from others for the key, by all that is known.
    pub(super) fn hint(&self, fetch: &Fetch, headers: &HeaderMap) -> u64 {
        let all = fetch.variants.iter();
        let names = vary::names(all.map(|stored| &stored.head().selecting[..]));
        let mut variant = SmallVec::new();
        vary::write_variant(&names, headers, &mut variant);
        variant.push(u8::from(fetch.wanted.is_identified));
        self.flights.hash(&variant)
    }

    /// What is on its way is not stored either.
    pub(super) async fn purge(&self, what: &Purge) -> Result<u64, BoxError> {
        self.flights.doom(|key, head| match head {
            Some(head) => what.matches(key, head),
            None => what.may_match(key),
        });
        self.settings.store.purge(what).await
    }
}

/// A client's request, as far as its answer depends on it.
pub(super) struct Client<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Client<'a> {
    pub(super) fn of(head: &'a Parts) -> Self {
        Self {
            method: &head.method,
            headers: &head.headers,
        }
    }
}
