//! What comes of a request to the backend: it is stored, a stored answer is validated, or it passes.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request, response,
};
use http_body::Body as _;
use tokio::runtime::Handle;
use tower::{Service, ServiceExt};

use super::{
    filling::Filling,
    flights::{Answered, Flow, Lead},
    key::Key,
    layer::Settings,
    purge::Purge,
    reply::Source,
    rules::{Age, CacheStatus, Exchange, NotStored, Storable},
    shared::{Client, Fetch, Shared, Wanted},
    stored::{Stored, StoredHead},
    tags,
    validation::{self, Selected},
    vary::Vary,
};
use crate::{body::Body, clock, date, error::BoxError};

/// How long the store may take for the rest of a body that no client waits for any more.
const LINGER: Duration = Duration::from_secs(10);

/// A request as its client has sent it.
struct Asked {
    method: Method,
    headers: HeaderMap,
    asked_at: u64,
}

impl Asked {
    fn client(&self) -> Client<'_> {
        Client {
            method: &self.method,
            headers: &self.headers,
        }
    }
}

/// Asks the backend. With a lead, others may wait for what comes of it.
pub(super) async fn fetch<S, B, R>(
    shared: &Arc<Shared>,
    inner: S,
    mut head: request::Parts,
    body: B,
    fetch: Box<Fetch>,
    lead: Option<Lead>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Default,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let asked = Asked {
        method: head.method.clone(),
        headers: head.headers.clone(),
        asked_at: clock::wall_millis(),
    };
    let is_asked = prepare(&mut head, &fetch, lead.is_some());
    if is_asked {
        shared.counts.validations.fetch_add(1, Relaxed);
    }
    let again = is_asked.then(|| (inner.clone(), head.clone()));
    let answer = inner.oneshot(Request::from_parts(head, body)).await;
    let now = clock::wall_millis();
    let usable = fetch.stale.as_ref().and_then(|stored| {
        let head = stored.head();
        let age = head
            .terms
            .stale_if_error(head.kept(), &fetch.wanted.asked, now)?;
        Some((stored, age))
    });
    let answer = match (answer, usable) {
        (Err(_), Some((stored, age))) => {
            return Ok(shared.fall_back(&asked, &fetch, lead, stored, age, None, now));
        }
        (Err(error), None) => return Err(error),
        (Ok(answer), Some((stored, age))) if Settings::is_failure(answer.status()) => {
            let status = Some(answer.status());
            return Ok(shared.fall_back(&asked, &fetch, lead, stored, age, status, now));
        }
        (Ok(answer), _) => answer,
    };
    let (mut parts, mut body) = answer.into_parts();
    if let (Some((inner, mut head)), StatusCode::NOT_MODIFIED, Some(stored)) =
        (again, parts.status, &fetch.stale)
    {
        let selected = validation::select(&parts.headers, stored, &fetch.variants);
        if let Selected::One(stored) = selected {
            return Ok(shared
                .validated(&asked, &fetch, lead, stored, &parts, now)
                .await);
        }
        // What the backend has in mind is not here: it is asked for all of it.
        validation::remove_conditions(&mut head.headers);
        let answer = inner
            .oneshot(Request::from_parts(head, B::default()))
            .await?;
        (parts, body) = answer.into_parts();
    }
    let now = clock::wall_millis();
    if asked.method == Method::HEAD {
        shared.confirm(&asked, &fetch, &parts, now).await;
    }
    Ok(shared.answered(&asked, fetch, lead, parts, Body::of_answer(body), now))
}

/// Whether the backend is asked about what is stored.
fn prepare(head: &mut request::Parts, fetch: &Fetch, leads: bool) -> bool {
    if let Some(stored) = &fetch.stale
        && head.method == Method::GET
        && validation::can_be_asked(&stored.head().headers)
    {
        validation::ask(&mut head.headers, stored, &fetch.variants);
        return true;
    }
    // Others want all of it. Who is known gets what is meant for them, which is seldom for others.
    if leads && !fetch.wanted.is_identified {
        validation::remove_conditions(&mut head.headers);
    }
    false
}

impl Shared {
    /// A stale answer, since the backend fails.
    #[expect(clippy::too_many_arguments, reason = "all of it is said of one answer")]
    fn fall_back(
        &self,
        asked: &Asked,
        fetch: &Fetch,
        lead: Option<Lead>,
        stored: &Stored,
        age: Age,
        failed: Option<StatusCode>,
        now: u64,
    ) -> Response<Body> {
        self.counts.hits.fetch_add(1, Relaxed);
        self.counts.stale.fetch_add(1, Relaxed);
        if let Some(lead) = lead {
            lead.answered(Answered::of(stored));
        }
        let status = CacheStatus {
            fwd: Some(fetch.why),
            fwd_status: failed,
            ttl: Some(age.ttl),
            detail: Some("stale-if-error"),
            ..CacheStatus::default()
        };
        let body = Source::Stored(stored.body());
        let key = &fetch.wanted.key;
        self.reply(&asked.client(), key, stored.head(), body, age, status, now)
    }

    /// The stored answer is right (RFC 9111, section 4.3.4).
    async fn validated(
        &self,
        asked: &Asked,
        fetch: &Fetch,
        lead: Option<Lead>,
        stored: &Stored,
        answer: &response::Parts,
        now: u64,
    ) -> Response<Body> {
        let key = &fetch.wanted.key;
        let refreshed = self.refreshed(stored.head(), answer, asked, &fetch.wanted, now);
        let head = match refreshed {
            Some(head) => {
                let is_doomed = lead.as_ref().is_some_and(Lead::is_doomed);
                if !is_doomed {
                    self.count_failure(self.settings.store.update(key, head.clone()).await);
                }
                head
            }
            None => {
                // It may not be stored any more.
                self.forget(key).await;
                stored.head().clone()
            }
        };
        let stored = Stored::new(head, stored.body().clone());
        if let Some(lead) = lead {
            lead.answered(Answered::of(&stored));
        }
        let known = stored.head();
        let age = known.age(now);
        let status = CacheStatus {
            fwd: Some(fetch.why),
            fwd_status: Some(StatusCode::NOT_MODIFIED),
            ttl: Some(age.ttl),
            is_stored: true,
            ..CacheStatus::default()
        };
        let body = Source::Stored(stored.body());
        self.reply(&asked.client(), key, known, body, age, status, now)
    }

    /// A stored head with what a 304 has brought; `None`: it may not be stored any more.
    fn refreshed(
        &self,
        stored: &StoredHead,
        answer: &response::Parts,
        asked: &Asked,
        wanted: &Wanted,
        now: u64,
    ) -> Option<StoredHead> {
        let mut parts = answer.clone();
        parts.status = stored.status;
        parts.headers.clone_from(&stored.headers);
        validation::refresh(&mut parts.headers, &answer.headers);
        let storable = self
            .judge_answer(&Method::GET, asked, wanted, &parts, now)
            .ok()?;
        storable.strip(&mut parts.headers);
        Some(StoredHead {
            status: stored.status,
            tags: tags::tags(&parts.headers).ok()?,
            headers: parts.headers,
            answered_at: now,
            selecting: stored.selecting.clone(),
            terms: storable.terms,
            is_invalid: false,
        })
    }

    fn judge_answer(
        &self,
        method: &Method,
        asked: &Asked,
        wanted: &Wanted,
        parts: &response::Parts,
        now: u64,
    ) -> Result<Storable, NotStored> {
        let exchange = Exchange {
            method,
            request_headers: &asked.headers,
            is_identified: wanted.is_identified,
            status: parts.status,
            headers: &parts.headers,
            asked_at: asked.asked_at,
            answered_at: now,
            overridden: self.settings.given(parts),
        };
        Storable::of(&exchange, &self.settings.rules)
    }

    /// What an answer to `HEAD` says of the stored one (RFC 9111, section 4.3.5).
    async fn confirm(&self, asked: &Asked, fetch: &Fetch, answer: &response::Parts, now: u64) {
        let Some(stored) = &fetch.stale else {
            return;
        };
        let known = stored.head();
        let is_right = validation::is_confirmed(&known.headers, answer.status, &answer.headers);
        let head = match is_right {
            None => return,
            Some(true) => self.refreshed(known, answer, asked, &fetch.wanted, now),
            Some(false) => Some(StoredHead {
                is_invalid: true,
                ..known.clone()
            }),
        };
        if let Some(head) = head {
            let key = &fetch.wanted.key;
            self.count_failure(self.settings.store.update(key, head).await);
        }
    }

    /// Any other answer: it is stored if it may be, and passes.
    fn answered(
        self: &Arc<Self>,
        asked: &Asked,
        fetch: Box<Fetch>,
        lead: Option<Lead>,
        mut parts: response::Parts,
        body: Body,
        now: u64,
    ) -> Response<Body> {
        let hash = self.flights.hash(fetch.wanted.key.as_bytes());
        let stored = self.storable(asked, &fetch.wanted, &parts, &body, now);
        let why_not = stored.as_ref().err().copied();
        let mut status = CacheStatus {
            fwd: Some(fetch.why),
            fwd_status: Some(parts.status),
            detail: why_not,
            ..CacheStatus::default()
        };
        let head = match stored {
            Ok(head) => head,
            Err(_) => {
                if let Some(lead) = &lead {
                    lead.release();
                    self.alone.add(hash, now);
                }
                self.tell(&mut parts.headers, &fetch.wanted.key, status);
                return Response::from_parts(parts, body);
            }
        };
        self.alone.remove(hash);
        status.is_stored = true;
        status.detail = head.detail();
        let age = head.age(now);
        status.ttl = Some(age.ttl);
        let filling = Filling::new(body, self.budget.clone(), self.settings.max_object);
        let (reader, keeper) = (filling.join(), filling.keeper());
        if let Some(lead) = &lead {
            lead.answered(Answered {
                head: Arc::new(head.clone()),
                body: Flow::Filling(filling.clone()),
            });
        }
        let is_conditional = lead.is_some();
        let client = asked.client();
        let response = match reader {
            // Its condition was taken away, so it is looked at now.
            Some(reader) if is_conditional => {
                let mut response = self.reply(
                    &client,
                    &fetch.wanted.key,
                    &head,
                    Source::Coming(reader),
                    age,
                    status,
                    now,
                );
                put_back(&mut response, &parts);
                response
            }
            Some(reader) => {
                self.tell(&mut parts.headers, &fetch.wanted.key, status);
                Response::from_parts(parts, Body::boxed(reader))
            }
            // A new one can be joined.
            None => Response::from_parts(parts, Body::empty()),
        };
        if let Some(keeper) = keeper {
            self.keep(fetch.wanted.key, head, filling, Body::boxed(keeper), lead);
        }
        response
    }

    /// The head as it is stored, or why it is not.
    fn storable(
        &self,
        asked: &Asked,
        wanted: &Wanted,
        parts: &response::Parts,
        body: &Body,
        now: u64,
    ) -> Result<StoredHead, &'static str> {
        let storable = self
            .judge_answer(&asked.method, asked, wanted, parts, now)
            .map_err(NotStored::as_str)?;
        let selecting = Vary::of(&parts.headers)
            .selecting(&asked.headers)
            .ok_or("vary")?;
        let tags = tags::tags(&parts.headers).map_err(|_| "too-many-tags")?;
        if body.size_hint().lower() > self.settings.max_object {
            return Err("too-large");
        }
        let mut headers = parts.headers.clone();
        storable.strip(&mut headers);
        if !headers.contains_key(header::DATE)
            && let Ok(date) = HeaderValue::try_from(date::format(now / 1000))
        {
            // RFC 9110, section 6.6.1.
            headers.insert(header::DATE, date);
        }
        Ok(StoredHead {
            status: parts.status,
            headers,
            answered_at: now,
            selecting,
            terms: storable.terms,
            tags,
            is_invalid: false,
        })
    }

    /// Gives it to the store, while clients read it.
    fn keep(
        self: &Arc<Self>,
        key: Key,
        head: StoredHead,
        filling: Filling,
        body: Body,
        lead: Option<Lead>,
    ) {
        let shared = self.clone();
        let keep = async move {
            let is_doomed = || lead.as_ref().is_some_and(Lead::is_doomed);
            if is_doomed() {
                return;
            }
            let stored = {
                let put = pin!(shared.settings.store.put(&key, head, body));
                let alone = pin!(async {
                    filling.is_alone().await;
                    tokio::time::sleep(LINGER).await;
                });
                match select(put, alone).await {
                    Either::Left((stored, _)) => Some(stored),
                    Either::Right(_) => None,
                }
            };
            if is_doomed() {
                // A purge has come meanwhile.
                return shared.forget(&key).await;
            }
            if let Some(Ok(())) = stored {
                shared.counts.stored.fetch_add(1, Relaxed);
            }
        };
        let mut keep = Box::pin(keep);
        // A body that is there is stored at once.
        let mut context = Context::from_waker(Waker::noop());
        if keep.as_mut().poll(&mut context) == Poll::Pending
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(keep);
        }
    }

    /// Removes all answers of a key.
    pub(super) async fn forget(&self, key: &Key) {
        self.flights.doom_key(key.as_bytes());
        let purged = self.settings.store.purge(&Purge::key(key.as_bytes())).await;
        self.count_failure(purged.map(drop));
    }

    fn count_failure(&self, done: Result<(), BoxError>) {
        if done.is_err() {
            self.counts.store_failures.fetch_add(1, Relaxed);
        }
    }

    /// After something was changed (RFC 9111, section 4.4).
    pub(super) async fn invalidate(
        &self,
        scheme: &str,
        authority: &str,
        target: &Uri,
        answer: &HeaderMap,
    ) {
        let named = super::invalidation::named(target, scheme, authority, answer);
        for uri in named.iter().chain([target]) {
            if let Some(key) = self.settings.key.of_url(scheme, authority, uri) {
                self.forget_url(&key).await;
            }
        }
    }

    async fn forget_url(&self, key: &Key) {
        if self.settings.key.is_url() {
            return self.forget(key).await;
        }
        let what = Purge::url(key.as_bytes());
        let purged = self.purge(&what).await;
        self.count_failure(purged.map(drop));
    }
}

impl Answered {
    fn of(stored: &Stored) -> Self {
        Self {
            head: stored.head.clone(),
            body: Flow::Stored(stored.body().clone()),
        }
    }
}

/// What is not stored of an answer stands in the one to its own client all the same.
fn put_back(response: &mut Response<Body>, parts: &response::Parts) {
    if response.status() == StatusCode::NOT_MODIFIED {
        return;
    }
    let headers = response.headers_mut();
    for name in parts.headers.keys() {
        if !headers.contains_key(name) {
            for value in parts.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
    }
}
