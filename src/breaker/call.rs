//! A call on its way: it reports what comes of it, whatever becomes of it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::Response;

use super::{
    circuit::{Entry, Outcome, Ticket},
    classify::{CallResult, Verdict, is_of_no_backend},
    shared::Shared,
};
use crate::{
    body::{Body, End, Witness},
    clock,
    error::BoxError,
};

/// A call that was let through, from its beginning to the end of the answer's body.
pub(super) struct Call {
    shared: Arc<Shared>,
    ticket: Ticket,
    began: Instant,
    /// From when on nobody waits for the head any more.
    patience: Option<Instant>,
    stage: Stage,
}

enum Stage {
    /// Dropped now, it is given back: the client has left. Or it has failed: time is up.
    Head,
    /// Reported as a success. Dropped now, without a word from the body, the body has panicked.
    Body(Entry),
    Over,
}

impl Call {
    pub(super) fn new(
        shared: Arc<Shared>,
        ticket: Ticket,
        began: Instant,
        patience: Option<Instant>,
    ) -> Self {
        Self {
            shared,
            ticket,
            began,
            patience,
            stage: Stage::Head,
        }
    }

    /// Reports what the head of the answer says, and stays with the body if that may still change it.
    pub(super) fn head<B, E>(mut self, result: Result<Response<B>, E>) -> Result<Response<Body>, E>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        E: 'static,
    {
        let now = clock::now();
        let elapsed = now.saturating_duration_since(self.began);
        let classify = &self.shared.config.classify;
        let verdict = classify.classify(&CallResult::of(&result, elapsed));
        match verdict {
            Verdict::Success => self.record(false, now),
            Verdict::Failure => self.record(true, now),
            Verdict::Neither => self.patience = None,
        }
        if verdict == Verdict::Success && result.is_err() {
            self.stage = Stage::Over;
        }
        result.map(|response| {
            response.map(|body| match (verdict, Body::of_answer(body)) {
                (Verdict::Success, body) => body.watched(self),
                (_, body) => body,
            })
        })
    }

    /// The service inside has panicked.
    pub(super) fn panicked(mut self) {
        self.record(true, clock::now());
    }

    fn record(&mut self, failed: bool, now: Instant) {
        let slow = now.saturating_duration_since(self.began) > self.shared.slow;
        let circuit = &self.shared.circuit;
        let entry = circuit.record(self.ticket, Outcome { failed, slow }, now);
        self.stage = if failed {
            Stage::Over
        } else {
            Stage::Body(entry)
        };
        self.shared.tell();
    }

    /// The success was none.
    fn amend(&mut self) {
        if let Stage::Body(entry) = self.stage {
            self.stage = Stage::Over;
            self.shared.circuit.amend(self.ticket, entry, clock::now());
            self.shared.tell();
        }
    }
}

impl Witness for Call {
    fn end(mut self, end: End<'_>) {
        match end {
            End::Broken(error) if !is_of_no_backend(error) => self.amend(),
            _ => self.stage = Stage::Over,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        match self.stage {
            Stage::Head => {
                let now = clock::now();
                if self.patience.is_some_and(|end| end <= now) {
                    self.record(true, now);
                } else {
                    self.shared.circuit.give_back(self.ticket);
                }
            }
            Stage::Body(_) => self.amend(),
            Stage::Over => {}
        }
    }
}
