//! A subscriber for one thread, which keeps all that is logged there.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tracing::{
    Event, Id, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// The fields of the access log's event for one request.
#[derive(Clone, Debug)]
pub struct Access {
    pub level: Level,
    pub fields: BTreeMap<&'static str, String>,
}

impl Access {
    /// A field's value; nothing when the event does not have it.
    pub fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    /// Status, outcome, rejection and origin.
    pub fn verdict(&self) -> [&str; 4] {
        ["status", "outcome", "rejection", "origin"].map(|field| self.get(field))
    }
}

#[derive(Default)]
pub struct Kept {
    pub accesses: Vec<Access>,
    /// The fields of the requests' spans.
    pub spans: Vec<BTreeMap<&'static str, String>>,
    /// All that was logged by anyone, as text.
    pub all: String,
}

/// Keeps the log of the thread that made it, until it is dropped: so a test that uses it runs on one thread, and tests
/// beside it have a log of their own.
pub struct Log {
    kept: Arc<Mutex<Kept>>,
    _until_dropped: DefaultGuard,
}

impl Log {
    pub fn start() -> Self {
        // Somebody who wants everything is always there: what nobody wanted, when a thread without a log came by first, is not asked about again.
        static GLOBAL: std::sync::Once = std::sync::Once::new();
        GLOBAL.call_once(|| {
            let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        });
        let kept = Arc::<Mutex<Kept>>::default();
        let subscriber = tracing_subscriber::registry().with(Keep(kept.clone()));
        Self {
            kept,
            _until_dropped: tracing::subscriber::set_default(subscriber),
        }
    }

    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// The event of the next request; it may come a moment after its answer.
    pub async fn next(&self) -> Access {
        let wait = async {
            while self.kept().accesses.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let logged = tokio::time::timeout(Duration::from_secs(5), wait).await;
        logged.expect("a request is logged");
        let mut kept = self.kept();
        assert_eq!(kept.accesses.len(), 1, "once");
        kept.accesses.remove(0)
    }
}

struct Keep(Arc<Mutex<Kept>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Keep {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut kept = self.0.lock().unwrap();
        kept.all.push_str(&format!("{fields:?}\n"));
        if span.metadata().target() == "tower_gateway::request" {
            kept.spans.push(fields.0);
        }
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.0
            .lock()
            .unwrap()
            .all
            .push_str(&format!("{fields:?}\n"));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut kept = self.0.lock().unwrap();
        kept.all.push_str(&format!("{fields:?}\n"));
        if event.metadata().target() == "tower_gateway::access" {
            let level = *event.metadata().level();
            kept.accesses.push(Access {
                level,
                fields: fields.0,
            });
        }
    }
}

#[derive(Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
