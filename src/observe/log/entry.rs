//! What the access log says of a request. An entry is written exactly once because dropping it is what writes it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, StatusCode};
use tracing::Span;

use super::text;
use crate::{
    clock,
    context::Record,
    error::{Error, Origin},
};

/// The target of the event.
pub(super) const ACCESS: &str = "tower_gateway::access";

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Rejected,
    UpstreamError,
    ClientGone,
    Broken,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::UpstreamError => "upstream_error",
            Self::ClientGone => "client_gone",
            Self::Broken => "broken",
            Self::Failed => "failed",
        }
    }
}

/// A request that is being logged.
pub(super) struct Entry {
    pub(super) span: Span,
    pub(super) started: Instant,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) request_id: Option<HeaderValue>,
    pub(super) trace_id: Option<[u8; 32]>,
    pub(super) record: Arc<Record>,
    pub(super) status: Option<StatusCode>,
    pub(super) head: Option<Duration>,
    pub(super) bytes: u64,
    pub(super) error: Option<Error>,
    pub(super) outcome: Outcome,
}

impl Entry {
    /// The method; one of a client's own is cut, for its length has no bound.
    pub(super) fn method(&self) -> &str {
        let method = self.method.as_str();
        method.get(..32).unwrap_or(method)
    }

    pub(super) fn request_id(&self) -> Option<&str> {
        self.request_id.as_ref()?.to_str().ok()
    }

    pub(super) fn trace_id(&self) -> Option<&str> {
        let digits = self.trace_id.as_ref()?;
        std::str::from_utf8(digits).ok()
    }

    /// The whole response was passed on.
    pub(super) fn complete(&mut self) {
        self.outcome = match self.error.as_ref().map(Error::origin) {
            None => Outcome::Ok,
            Some(Origin::Upstream) => Outcome::UpstreamError,
            Some(Origin::Client | Origin::Gateway) => Outcome::Rejected,
        };
    }

    /// The body failed on its way.
    pub(super) fn break_off(&mut self, error: &Error) {
        self.outcome = Outcome::Broken;
        self.error = Some(error.clone());
    }

    /// The service failed instead of answering.
    pub(super) fn fail(&mut self) {
        self.outcome = Outcome::Failed;
        self.status = None;
    }

    /// Whether somebody should look at it: the gateway, or what it embeds, did not do its work.
    fn is_bad(&self) -> bool {
        match self.outcome {
            Outcome::Broken | Outcome::Failed => true,
            // Not the answer's own status: gRPC has 200 for everything.
            _ => {
                let error = self.error.as_ref();
                error.is_some_and(|error| error.status().is_server_error())
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // A panic in a poll, which drops the entry just as a client does that leaves.
        if self.outcome == Outcome::ClientGone && std::thread::panicking() {
            match self.head {
                None => self.fail(),
                Some(_) => self.outcome = Outcome::Broken,
            }
        }
        let total = clock::now().saturating_duration_since(self.started);
        // A copy: a subscriber may run for a while, and the record is shared.
        let notes = self.record.lock().clone();
        if let Some(route) = notes.route.as_deref() {
            self.span.record("route", route);
        }
        let error = self.error.as_ref();
        macro_rules! write {
            ($level:ident) => {
                tracing::event!(
                    target: ACCESS,
                    tracing::Level::$level,
                    method = self.method(),
                    path = self.path,
                    route = notes.route.as_deref(),
                    upstream = notes.upstream.as_deref(),
                    endpoint = notes.endpoint.as_deref(),
                    status = self.status.map(|status| status.as_u16()),
                    bytes = self.bytes,
                    head_ms = self.head.map(millis),
                    total_ms = millis(total),
                    tries = notes.tries,
                    outcome = self.outcome.as_str(),
                    rejection = error.map(|error| tracing::field::debug(error.kind())),
                    origin = error.map(|error| origin(error.origin())),
                    error = error.map(|error| text::of_error(error)),
                    request_id = self.request_id(),
                    trace_id = self.trace_id(),
                )
            };
        }
        self.span.in_scope(|| {
            if self.is_bad() {
                write!(WARN)
            } else {
                write!(INFO)
            }
        });
    }
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 microseconds are 285 years"
    )]
    let micros = duration.as_micros() as f64;
    micros / 1000.0
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Client => "client",
        Origin::Upstream => "upstream",
        Origin::Gateway => "gateway",
    }
}
