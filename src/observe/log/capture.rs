//! For tests: a subscriber that keeps everything, and requests to log.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::{Layer, ServiceExt, service_fn};
use tracing::{
    Event, Id, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use super::{ACCESS, REQUEST};
use crate::{body::Body, error::Error, observe::ObserveLayer};

pub(super) type Fields = BTreeMap<&'static str, String>;

#[derive(Default)]
pub(super) struct Seen {
    pub(super) span: Fields,
    pub(super) spans: usize,
    pub(super) closed: usize,
    pub(super) events: Vec<(Level, Fields)>,
    pub(super) inside: usize,
    pub(super) all: String,
}

/// Keeps what is logged; `lowest` is the least important level that it wants.
#[derive(Clone)]
struct Capture {
    seen: Arc<Mutex<Seen>>,
    lowest: Option<Level>,
}

struct Visitor<'a>(&'a mut Fields, &'a mut String);

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        self.1.push_str(&format!("{field}={text}\n"));
        self.0.insert(field.name(), text);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Capture {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lowest
            .is_some_and(|lowest| *metadata.level() <= lowest)
    }

    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let seen = &mut *self.seen.lock().unwrap();
        assert_eq!(
            (span.metadata().target(), span.metadata().name()),
            (REQUEST, "request")
        );
        seen.spans += 1;
        span.record(&mut Visitor(&mut seen.span, &mut seen.all));
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let seen = &mut *self.seen.lock().unwrap();
        values.record(&mut Visitor(&mut seen.span, &mut seen.all));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let seen = &mut *self.seen.lock().unwrap();
        let in_request = context
            .event_span(event)
            .is_some_and(|span| span.name() == "request");
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields, &mut seen.all));
        if event.metadata().target() == ACCESS {
            assert!(
                in_request || seen.spans == 0,
                "the event stands in its span"
            );
            seen.events.push((*event.metadata().level(), fields));
        } else {
            seen.inside += usize::from(in_request);
        }
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        self.seen.lock().unwrap().closed += 1;
    }
}

pub(super) struct Log {
    seen: Arc<Mutex<Seen>>,
    _until_dropped: DefaultGuard,
}

impl Log {
    pub(super) fn at(lowest: impl Into<Option<Level>>) -> Self {
        let seen = Arc::default();
        let capture = Capture {
            seen: Arc::clone(&seen),
            lowest: lowest.into(),
        };
        let subscriber = tracing_subscriber::registry().with(capture);
        Self {
            seen,
            _until_dropped: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(super) fn count(&self) -> usize {
        self.seen().events.len()
    }

    /// The level and the fields of the only event.
    #[track_caller]
    pub(super) fn only(&self) -> (Level, Fields) {
        let seen = self.seen();
        assert_eq!(seen.events.len(), 1, "{:?}", seen.events);
        assert_eq!(seen.closed, seen.spans, "the span is closed");
        seen.events[0].clone()
    }

    #[track_caller]
    pub(super) fn outcome(&self) -> (Level, String, Option<String>, String) {
        let (level, mut fields) = self.only();
        (
            level,
            fields["outcome"].clone(),
            fields.remove("status"),
            fields["bytes"].clone(),
        )
    }
}

pub(super) fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).unwrap()
}

pub(super) async fn answer(request: Request<Body>, response: Response<Body>) -> Response<Body> {
    let response = Mutex::new(Some(response));
    let inner = service_fn(|_| {
        ready(Ok::<_, Infallible>(
            response.lock().unwrap().take().unwrap(),
        ))
    });
    ObserveLayer::new()
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap()
}

/// A body of these frames, of unknown length.
pub(super) fn frames(frames: impl IntoIterator<Item = Result<Frame<Bytes>, Error>>) -> Body {
    let frames: Vec<_> = frames.into_iter().collect();
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

pub(super) fn data(text: &'static str) -> Result<Frame<Bytes>, Error> {
    Ok(Frame::data(Bytes::from(text)))
}

pub(super) fn seen(
    level: Level,
    outcome: &str,
    status: u16,
    bytes: u64,
) -> (Level, String, Option<String>, String) {
    (
        level,
        outcome.into(),
        Some(status.to_string()),
        bytes.to_string(),
    )
}
