//! How requests fare at their endpoints, for those who choose by it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use super::{
    endpoint::LiveEndpoint,
    endpoints::{Endpoints, Outcome},
    upload::Upload,
};
use crate::{
    body::Body,
    clock,
    error::{Error, ErrorKind, Origin},
};

/// An endpoint that was waited for so long has had its time, whatever time somebody else had.
const ENOUGH: Duration = Duration::from_secs(1);

/// The times of a request, and whether it is there as a whole: by these an endpoint is judged when time runs out.
#[derive(Clone)]
pub(super) struct Terms {
    /// From when on nobody waits for the head any more.
    pub(super) patience: Option<Instant>,
    /// When a time runs out that was set for this upstream or a try, unless somebody else's runs out before.
    pub(super) own: Option<Instant>,
    pub(super) upload: Option<Arc<Upload>>,
}

/// A request at an endpoint. Dropped, it says nothing about it: the client left, unless nobody waits any more by then.
pub(super) struct Score {
    endpoints: Arc<Endpoints>,
    live: Arc<LiveEndpoint>,
    started: Instant,
    terms: Terms,
    /// Since when the endpoint is to say something; `None`: nobody has asked it to, or it is not certain when it was.
    awaited: Option<Instant>,
}

/// An answer's body, whose end is still to be seen.
struct Scored {
    body: Body,
    score: Option<Score>,
}

impl Score {
    /// Begins to watch a request, if anybody wants to know.
    pub(super) fn begin(
        endpoints: &Arc<Endpoints>,
        live: &Arc<LiveEndpoint>,
        terms: &Terms,
    ) -> Option<Self> {
        if !endpoints.keeps_score() {
            return None;
        }
        let started = clock::now();
        // With more requests than connections it may wait for one of these, which is not the endpoint's time.
        let most = endpoints.factory.config.max_connections.get();
        let is_first = live.client.in_flight() <= most;
        Some(Self {
            endpoints: endpoints.clone(),
            live: live.clone(),
            started,
            terms: terms.clone(),
            awaited: is_first.then_some(started),
        })
    }

    /// There is no answer.
    pub(super) fn fail(mut self, error: &Error) {
        self.terms.patience = None;
        if self.is_endpoints(error) {
            self.enter_bad();
        }
    }

    /// The head is there; what becomes of the body is still to be seen.
    pub(super) fn answer(mut self, response: Response<Body>) -> Response<Body> {
        self.terms.patience = None;
        if is_bad(response.status()) {
            self.enter_bad();
            return response;
        }
        self.enter_good_head();
        if is_whole(response.body()) {
            self.enter(Outcome::Good);
            return response;
        }
        self.awaited = None;
        response.map(|body| {
            Body::boxed(Scored {
                body,
                score: Some(self),
            })
        })
    }

    /// It has changed the protocol as it was asked to.
    pub(super) fn switched(mut self) {
        self.terms.patience = None;
        self.enter_good_head();
        self.enter(Outcome::Good);
    }

    fn enter_good_head(&self) {
        let took = clock::now().saturating_duration_since(self.started);
        self.endpoints.enter_head(&self.live, Some(took));
    }

    fn enter_bad(&self) {
        self.endpoints.enter_head(&self.live, None);
        self.enter(Outcome::Bad);
    }

    fn enter(&self, outcome: Outcome) {
        self.endpoints.enter(&self.live, outcome);
    }

    /// Whether the endpoint is to blame.
    fn is_endpoints(&self, error: &Error) -> bool {
        match error.kind() {
            // Measured while the endpoint had the word, unless it waited for the client itself.
            ErrorKind::Timeout => self.has_all(),
            ErrorKind::Deadline => self.had_enough(),
            _ => error.origin() == Origin::Upstream,
        }
    }

    /// Whether it has all of the request that there is.
    fn has_all(&self) -> bool {
        let upload = self.terms.upload.as_ref();
        upload.is_none_or(|upload| upload.passed().is_some())
    }

    /// Whether it was the endpoint that was waited for, and for long enough.
    fn had_enough(&self) -> bool {
        let passed = self.terms.upload.as_ref().map(|upload| upload.passed());
        let (Some(awaited), None | Some(Some(_))) = (self.awaited, passed) else {
            return false;
        };
        let since = awaited.max(passed.flatten().unwrap_or(awaited));
        // The greater part of a time that is the upstream's own: what the client's part in it leaves.
        let own = self.terms.own.map_or(ENOUGH, |end| {
            end.saturating_duration_since(self.started) / 2
        });
        clock::now().saturating_duration_since(since) >= ENOUGH.min(own)
    }
}

impl Drop for Score {
    fn drop(&mut self) {
        let patience = self.terms.patience;
        if patience.is_some_and(|end| end <= clock::now()) && self.had_enough() {
            self.enter_bad();
        }
    }
}

impl http_body::Body for Scored {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // Taken out for the poll: a body that panics says nothing.
        let score = self.score.take();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let Some(mut score) = score else {
            return polled;
        };
        match &polled {
            Poll::Pending => {
                score.awaited.get_or_insert_with(clock::now);
                self.score = Some(score);
            }
            Poll::Ready(Some(Ok(frame))) if !frame.is_trailers() => {
                score.awaited = None;
                self.score = Some(score);
            }
            Poll::Ready(Some(Err(error))) => {
                if score.is_endpoints(error) {
                    score.enter(Outcome::Bad);
                }
            }
            Poll::Ready(_) => score.enter(Outcome::Good),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Scored {
    fn drop(&mut self) {
        // A server that knows that it has all does not ask for the end.
        let has_all = self.body.is_end_stream() || self.body.size_hint().exact() == Some(0);
        if let Some(score) = self.score.take()
            && has_all
        {
            score.enter(Outcome::Good);
        }
    }
}

/// A body that can not break any more.
fn is_whole(body: &Body) -> bool {
    body.is_end_stream() || body.is_full()
}

/// The backend says itself that it failed. What it does not support is not a failure.
fn is_bad(status: StatusCode) -> bool {
    status.is_server_error() && !matches!(status.as_u16(), 501 | 505)
}
