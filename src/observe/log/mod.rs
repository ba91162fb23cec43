//! The log of a request, with `tracing`: its span, and one event at its end.

mod body;
#[cfg(test)]
mod capture;
mod entry;
mod redact;
#[cfg(test)]
mod tests;
mod text;

use http::{Method, Request, Response, StatusCode};
use tracing::{Level, Span, field::Empty};

use self::{
    entry::{ACCESS, Entry, Outcome},
    redact::Secrets,
};
use super::trace_context::TraceParent;
use crate::{body::Body, clock, context::RequestContext, error::Rejection};

/// The target of the span.
const REQUEST: &str = "tower_gateway::request";

/// What goes into the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) query: bool,
    secrets: Secrets,
}

impl Settings {
    pub(super) fn add_secrets(&mut self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        self.secrets = self.secrets.with(names);
    }
}

/// A request's entry in the log, if somebody reads it; nothing is done or kept otherwise.
pub(super) struct Log(Option<Box<Entry>>);

impl Log {
    /// Begins the entry, and asks the stages behind to note what they know.
    pub(super) fn begin<B>(
        settings: &Settings,
        request: &mut Request<B>,
        trace: Option<TraceParent>,
    ) -> Self {
        // Which of the two levels the event will have is not known yet.
        let wanted = tracing::event_enabled!(target: ACCESS, Level::WARN)
            || tracing::event_enabled!(target: ACCESS, Level::INFO)
            || tracing::span_enabled!(target: REQUEST, Level::INFO);
        if !wanted {
            return Self(None);
        }
        let uri = request.uri();
        let mut path = settings.secrets.path(uri.path());
        if let Some(query) = uri.query().filter(|_| settings.query) {
            path.push('?');
            path.push_str(&settings.secrets.query(query));
        }
        let context = request
            .extensions_mut()
            .get_or_insert_default::<RequestContext>();
        let record = context.record.get_or_insert_default().clone();
        let request_id = context.request_id.clone();
        let mut entry = Entry {
            span: Span::none(),
            started: clock::now(),
            method: request.method().clone(),
            path,
            request_id,
            trace_id: trace.map(TraceParent::trace_id),
            record,
            status: Some(StatusCode::from_u16(499).unwrap_or_default()),
            head: None,
            bytes: 0,
            error: None,
            outcome: Outcome::ClientGone,
        };
        entry.span = tracing::info_span!(
            target: REQUEST,
            "request",
            method = entry.method(),
            path = entry.path,
            route = Empty,
            request_id = entry.request_id(),
            trace_id = entry.trace_id(),
        );
        Self(Some(Box::new(entry)))
    }

    pub(super) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(entry) => entry.span.in_scope(work),
            None => work(),
        }
    }

    /// Enters the head. The entry is written when the body has ended, which may be now.
    pub(super) fn finish(self, response: Response<Body>) -> Response<Body> {
        let Some(mut entry) = self.0 else {
            return response;
        };
        entry.head = Some(clock::now().saturating_duration_since(entry.started));
        entry.status = Some(response.status());
        entry.error = response
            .extensions()
            .get::<Rejection>()
            .map(|rejection| rejection.0.clone());
        if ends_at_head(&entry.method, &response) {
            entry.complete();
            return response;
        }
        response.map(|body| body.watched(entry))
    }

    #[cfg(test)]
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn fail(self) {
        if let Some(mut entry) = self.0 {
            entry.fail();
        }
    }
}

/// Whether the server sends no body, so that it may drop it unread; what comes behind a 101 is not HTTP.
fn ends_at_head(method: &Method, response: &Response<Body>) -> bool {
    method == Method::HEAD
        || matches!(
            response.status(),
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
        || http_body::Body::is_end_stream(response.body())
}
