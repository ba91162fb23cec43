//! The service that answers from the store, or asks the backend.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, request};
use tokio::runtime::Handle;
use tower::{Service, ServiceExt};

use super::{
    fetch::fetch,
    flights::{Answered, Begun, Flow, Lead},
    invalidation, key,
    reply::Source,
    rules::{CacheStatus, Fwd},
    shared::{Client, Fetch, Followed, Look, Shared, Wanted},
    vary,
};
use crate::{body::Body, clock, context::RequestContext, error::BoxError, problem::Problem};

/// The service that [`CacheLayer`](super::CacheLayer) makes. It is always ready: the service inside is asked for its readiness when the backend has to be
/// asked.
#[derive(Clone)]
pub struct Cache<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// The future of [`Cache`]. Dropped, it ends the request to the backend, unless most of the answer is there, which is then stored.
pub struct CacheFuture<E>(Stage<E>);

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

enum Stage<E> {
    Hit(Option<Box<Response<Body>>>),
    Ask(Answer<E>),
}

impl<S> Cache<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for Cache<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: http_body::Body + Default + Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CacheFuture<S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        let (head, body) = request.into_parts();
        let look = self.shared.look(&head, has_body);
        let (shared, inner) = (self.shared.clone(), self.inner.clone());
        CacheFuture(match look {
            Look::Hit(response, None) => Stage::Hit(Some(Box::new(response))),
            Look::Pass(why) => Stage::Ask(Box::pin(pass(shared, inner, head, body, why))),
            look => Stage::Ask(Box::pin(ask(shared, inner, head, body, look))),
        })
    }
}

impl<E> Future for CacheFuture<E> {
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Stage::Ask(answer) => answer.as_mut().poll(cx),
            Stage::Hit(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(*response)),
                // Nothing comes of a future that is asked again after its answer.
                None => Poll::Pending,
            },
        }
    }
}

/// A request that is left alone, but for what it may change.
async fn pass<S, B, R>(
    shared: Arc<Shared>,
    inner: S,
    head: request::Parts,
    body: B,
    why: Fwd,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let changes = invalidation::is_unsafe(&head.method).then(|| {
        let context = head.extensions.get::<RequestContext>();
        let scheme = key::scheme(context, &head.uri).to_owned();
        let authority = key::authority(context, &head).to_owned();
        (scheme, authority, head.uri.clone())
    });
    let answer = inner.oneshot(Request::from_parts(head, body)).await?;
    let mut answer = answer.map(Body::of_answer);
    if let Some((scheme, authority, target)) = changes
        && invalidation::is_done(answer.status())
    {
        shared
            .invalidate(&scheme, &authority, &target, answer.headers())
            .await;
    }
    shared.tell_passed(answer.headers_mut(), why);
    Ok(answer)
}

async fn ask<S, B, R>(
    shared: Arc<Shared>,
    inner: S,
    head: request::Parts,
    body: B,
    mut look: Look,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: http_body::Body + Default + Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let until = clock::now() + shared.settings.wait;
    loop {
        let wanted = match look {
            Look::Pass(why) => return pass(shared, inner, head, body, why).await,
            Look::Hit(response, later) => {
                if let Some(later) = later {
                    revalidate(&shared, inner, &head, later);
                }
                return Ok(response);
            }
            Look::Wait(wanted) => {
                look = shared.wait(wanted, &head).await;
                continue;
            }
            Look::Fetch(fetch) => fetch,
        };
        if wanted.wanted.asked.is_only_if_cached() {
            return Ok(nothing_stored(&shared, &wanted.wanted));
        }
        if !collapses(&shared, &wanted, &head) {
            return fetch(&shared, inner, head, body, wanted, None).await;
        }
        match lead_or_follow(&shared, &wanted, &head, until).await {
            Turn::Lead(lead) => return fetch(&shared, inner, head, body, wanted, lead).await,
            Turn::Have(response) => return Ok(response),
            // Perhaps it is stored now.
            Turn::Again => {
                look = match shared.settings.store.get_now(&wanted.wanted.key) {
                    Some(_) => shared.look(&head, false),
                    None => Look::Wait(wanted.wanted),
                };
            }
        }
    }
}

/// What a request does that others might have done.
enum Turn {
    /// It asks the backend: for others too, or only for itself.
    Lead(Option<Lead>),
    /// Somebody else has asked.
    Have(Response<Body>),
    Again,
}

/// Whether a request may be answered with what another one is fetching.
fn collapses(shared: &Shared, fetch: &Fetch, head: &request::Parts) -> bool {
    head.method == Method::GET
        && !head.headers.contains_key(header::RANGE)
        && fetch.why != Fwd::Request
        && !shared.settings.wait.is_zero()
        && !shared.alone.has(
            shared.flights.hash(fetch.wanted.key.as_bytes()),
            clock::wall_millis(),
        )
}

async fn lead_or_follow(
    shared: &Arc<Shared>,
    fetch: &Fetch,
    head: &request::Parts,
    until: std::time::Instant,
) -> Turn {
    let wanted = &fetch.wanted;
    let fits = |stored: &super::stored::StoredHead| {
        vary::matches(&stored.selecting, &head.headers)
            && (stored.terms.is_shareable() || !wanted.is_identified)
    };
    let hint = shared.hint(fetch, &head.headers);
    let stage = match shared.flights.begin(wanted.key.as_bytes(), hint, fits) {
        Begun::Lead(lead) => return Turn::Lead(Some(lead)),
        Begun::Follow(stage) => stage,
    };
    match shared.follow(stage, until).await {
        Followed::Alone => Turn::Lead(None),
        Followed::Again => Turn::Again,
        Followed::Answered(answered) if fits(&answered.head) => {
            match joined(shared, wanted, head, &answered) {
                Some(response) => Turn::Have(response),
                None => Turn::Lead(None),
            }
        }
        Followed::Answered(_) => Turn::Again,
    }
}

/// What another one has fetched.
fn joined(
    shared: &Shared,
    wanted: &Wanted,
    head: &request::Parts,
    answered: &Answered,
) -> Option<Response<Body>> {
    let now = clock::wall_millis();
    let known = &answered.head;
    let age = known.age(now);
    let body = match &answered.body {
        Flow::Stored(body) => Source::Stored(body),
        Flow::Filling(filling) => Source::Coming(filling.join()?),
    };
    let status = CacheStatus {
        fwd: Some(Fwd::Miss),
        ttl: Some(age.ttl),
        detail: known.detail(),
        is_collapsed: true,
        ..CacheStatus::default()
    };
    shared.counts.collapsed.fetch_add(1, Relaxed);
    let client = Client::of(head);
    Some(shared.reply(&client, &wanted.key, known, body, age, status, now))
}

/// Asks about a stale answer that was used, once for each key, and so many at a time.
fn revalidate<S, B, R>(shared: &Arc<Shared>, inner: S, head: &request::Parts, stale: Box<Fetch>)
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: http_body::Body + Default + Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let Ok(permit) = shared.revalidations.clone().try_acquire_owned() else {
        return;
    };
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    let hint = shared.hint(&stale, &head.headers);
    let key = stale.wanted.key.as_bytes();
    let Begun::Lead(lead) = shared.flights.begin(key, hint, |_| true) else {
        return;
    };
    let mut head = head.clone();
    head.method = Method::GET;
    if let Some(context) = head.extensions.get::<RequestContext>() {
        let detached = context.detached();
        head.extensions.insert(detached);
    }
    let shared = shared.clone();
    runtime.spawn(async move {
        let answer = fetch(&shared, inner, head, B::default(), stale, Some(lead)).await;
        // Nobody waits for it: what is to be stored is read by the store.
        if let Ok(answer) = answer {
            use http_body_util::BodyExt;
            let mut body = answer.into_body();
            while let Some(Ok(_)) = body.frame().await {}
        }
        drop(permit);
    });
}

/// RFC 9111, section 5.2.1.7.
fn nothing_stored(shared: &Shared, wanted: &Wanted) -> Response<Body> {
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT)
        .with_title("Nothing is stored for this request, and only that was asked for");
    let mut response = problem.into_response();
    let status = CacheStatus {
        detail: Some("only-if-cached"),
        fwd: Some(Fwd::Miss),
        ..CacheStatus::default()
    };
    shared.tell(response.headers_mut(), &wanted.key, status);
    response
}

impl<S: fmt::Debug> fmt::Debug for Cache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for CacheFuture<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheFuture")
    }
}
