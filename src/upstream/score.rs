//! How requests fare at their endpoints, for those who choose by it.

use std::{sync::Arc, time::Instant};

use http::StatusCode;
use http_body::Body as _;

use super::{
    endpoint::LiveEndpoint,
    endpoints::{Endpoints, Outcome},
};
use crate::{
    body::{Body, End, Witness},
    client::Answer,
    clock,
    error::{Error, ErrorKind, Origin},
};

/// A request at an endpoint. Dropped, it says nothing about it: the client left, unless nobody waits any more by then.
pub(super) struct Score {
    endpoints: Arc<Endpoints>,
    live: Arc<LiveEndpoint>,
    started: Instant,
    /// From when on nobody waits for the head any more.
    patience: Option<Instant>,
}

impl Score {
    /// Begins to watch a request, if anybody wants to know.
    pub(super) fn begin(
        endpoints: &Arc<Endpoints>,
        live: &Arc<LiveEndpoint>,
        patience: Option<Instant>,
    ) -> Option<Self> {
        endpoints.keeps_score().then(|| Self {
            endpoints: endpoints.clone(),
            live: live.clone(),
            started: clock::now(),
            patience,
        })
    }

    /// There is no answer.
    pub(super) fn fail(mut self, error: &Error) {
        self.patience = None;
        if is_endpoints(error) {
            self.enter_bad();
        }
    }

    /// The head is there; what becomes of the body is still to be seen.
    pub(super) fn answer(mut self, answer: Answer) -> Answer {
        self.patience = None;
        let status = match &answer {
            Answer::Body(response) => response.status(),
            Answer::Switched(_) => StatusCode::SWITCHING_PROTOCOLS,
        };
        if is_bad(status) {
            self.enter_bad();
            return answer;
        }
        let took = clock::now().saturating_duration_since(self.started);
        self.endpoints.enter_head(&self.live, Some(took));
        match answer {
            Answer::Body(response) if !is_whole(response.body()) => {
                Answer::Body(response.map(|body| body.watched(self)))
            }
            answer => {
                self.endpoints.enter(&self.live, Outcome::Good);
                answer
            }
        }
    }

    fn enter_bad(&self) {
        self.endpoints.enter_head(&self.live, None);
        self.endpoints.enter(&self.live, Outcome::Bad);
    }
}

impl Drop for Score {
    fn drop(&mut self) {
        if self.patience.is_some_and(|end| end <= clock::now()) {
            self.enter_bad();
        }
    }
}

impl Witness for Score {
    fn end(self, end: End<'_>) {
        match end {
            End::Complete => self.endpoints.enter(&self.live, Outcome::Good),
            End::Broken(error) if is_endpoints(error) => {
                self.endpoints.enter(&self.live, Outcome::Bad);
            }
            End::Broken(_) | End::Dropped => {}
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

/// Whether the endpoint is to blame. It is also when time runs out: it had not answered.
fn is_endpoints(error: &Error) -> bool {
    error.origin() == Origin::Upstream || error.kind() == ErrorKind::Deadline
}
