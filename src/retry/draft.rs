//! What is kept of a request, to send it again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    Method, Request,
    header::{EXPECT, UPGRADE},
    request::Parts,
};
use http_body::Body as _;

use super::{layer::Shared, replay::Recording};
use crate::{
    body::Body,
    context::{Notes, RequestContext},
};

/// A request that may be sent again.
pub(super) struct Draft {
    head: Parts,
    /// `None`: there is none.
    body: Option<Recording>,
    /// Whether it may be sent again although it may have had its effect.
    pub(super) is_safe: bool,
    deadline: Option<Instant>,
    pub(super) began: Instant,
    pub(super) hedge_at: Option<Instant>,
    pub(super) shared: Arc<Shared>,
}

impl Draft {
    /// Keeps what is needed of a request that is about to be sent. `None`: it can be sent only once, for its body, or what
    /// comes instead of one, depends on what the backend says first.
    pub(super) fn of(
        request: &mut Request<Body>,
        shared: &Arc<Shared>,
        now: Instant,
    ) -> Option<Self> {
        let settings = &shared.settings;
        let headers = request.headers();
        if settings.max_tries < 2
            || request.method() == Method::CONNECT
            || headers.contains_key(UPGRADE)
            || headers.contains_key(EXPECT)
        {
            return None;
        }
        let extensions = request.extensions_mut();
        let context = extensions.get_or_insert_default::<RequestContext>();
        if context.upgrade().is_some() {
            return None;
        }
        // An outer layer that retries goes on with its own.
        context.tried.get_or_insert_default();
        let deadline = context.deadline();

        let body = (!request.body().is_end_stream()).then(|| {
            let source = std::mem::take(request.body_mut());
            let recording = Recording::new(source, settings.replay_limit);
            *request.body_mut() = recording.first();
            recording
        });
        let (mut head, ()) = Request::new(()).into_parts();
        head.method.clone_from(request.method());
        head.uri.clone_from(request.uri());
        head.version = request.version();
        head.headers.clone_from(request.headers());
        head.extensions.clone_from(request.extensions());
        limit_try(request, settings.try_timeout, now);
        let is_safe = settings.policy.methods.contain(request.method());
        let hedge_delay = if is_safe { shared.hedge_delay() } else { None };
        Some(Self {
            head,
            body,
            is_safe,
            deadline,
            began: now,
            hedge_at: hedge_delay.and_then(|delay| now.checked_add(delay)),
            shared: shared.clone(),
        })
    }

    /// Whether another try can send all of it.
    pub(super) fn is_replayable(&self) -> bool {
        self.body.as_ref().is_none_or(Recording::is_replayable)
    }

    /// Whether another try can send all of it while one is under way.
    pub(super) fn is_complete(&self) -> bool {
        self.body.as_ref().is_none_or(Recording::is_complete)
    }

    /// Looks at, or changes, what is known of how the request fares.
    pub(super) fn record(&self, note: impl FnOnce(&mut Notes)) {
        if let Some(context) = self.head.extensions.get::<RequestContext>() {
            context.record(note);
        }
    }

    /// Whether a try may begin at this moment.
    pub(super) fn is_in_time(&self, at: Instant) -> bool {
        self.deadline.is_none_or(|deadline| at < deadline)
    }

    /// The request once more: beside the try that is under way, or instead of it.
    pub(super) fn request(&self, is_beside: bool, now: Instant) -> Request<Body> {
        let body = match &self.body {
            None => Body::empty(),
            Some(recording) if is_beside => recording.beside(),
            Some(recording) => recording.again(),
        };
        let mut request = Request::from_parts(self.head.clone(), body);
        limit_try(&mut request, self.shared.settings.try_timeout, now);
        request
    }
}

/// Tells those further in how long this try is waited for.
fn limit_try(request: &mut Request<Body>, limit: Option<Duration>, now: Instant) {
    if let Some(end) = limit.and_then(|limit| now.checked_add(limit))
        && let Some(context) = request.extensions_mut().get_mut::<RequestContext>()
    {
        context.try_ends = context.try_ends.into_iter().chain([end]).min();
    }
}
