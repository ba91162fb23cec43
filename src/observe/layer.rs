//! The configuration, and what it does to a request on its way in.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tower::Layer;

use super::{
    log::{Log, Settings},
    observation::Observation,
    request_id,
    service::Observe,
    trace_context::{self, TraceParent},
};
use crate::{context::RequestContext, field, random};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Gives each request an id and a place in its trace, and logs how it fares: see the [module](crate::observe). It has
/// no state; clones are independent.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    request_id: Option<HeaderName>,
    trace_context: bool,
    log: Settings,
}

impl ObserveLayer {
    /// Request ids in `x-request-id`, trace context, and the log without queries.
    pub fn new() -> Self {
        Self {
            request_id: Some(REQUEST_ID),
            trace_context: true,
            log: Settings::default(),
        }
    }

    /// The header that carries the request's id, or `None` for no id. Default: `x-request-id`.
    pub fn request_id(mut self, header: impl Into<Option<HeaderName>>) -> Self {
        self.request_id = header.into();
        self
    }

    /// Whether the trace is continued or begun. When off, `traceparent` and `tracestate` pass like any other header.
    /// Default: on.
    pub fn trace_context(mut self, on: bool) -> Self {
        self.trace_context = on;
        self
    }

    /// Whether the log has the query behind the path. The values of parameters that look like secrets by their name or
    /// by their form are masked; the others may well be personal. Default: off.
    #[cfg(feature = "tracing")]
    pub fn log_query(mut self, on: bool) -> Self {
        self.log.query = on;
        self
    }

    /// More names of parameters whose values are never logged, besides those that are known (`token`, `code`,
    /// `password`, `signature` and the like). Case and punctuation do not count: `api-key` is also `apiKey`.
    #[cfg(feature = "tracing")]
    pub fn secret_parameters(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.log.add_secrets(names);
        self
    }

    /// The fields of a request that it has the last word on.
    pub(crate) fn fields(&self) -> impl Iterator<Item = HeaderName> {
        let trace = self.trace_context.then_some([TRACEPARENT, TRACESTATE]);
        self.request_id
            .clone()
            .into_iter()
            .chain(trace.into_iter().flatten())
    }

    /// Prepares a request and begins to observe it. From here on, dropping the observation logs a client that left.
    pub(crate) fn begin<B>(&self, request: &mut Request<B>) -> Observation {
        let request_id = self
            .request_id
            .as_ref()
            .map(|header| (header.clone(), identify(request, header)));
        let trace = self.trace_context.then(|| trace(request.headers_mut()));
        let log = Log::begin(&self.log, request, trace);
        Observation::new(request_id, log)
    }
}

impl Default for ObserveLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe::new(inner, self.clone())
    }
}

/// Settles the request's id and leaves it in the context and in the header, whose value it returns.
fn identify<B>(request: &mut Request<B>, header: &HeaderName) -> HeaderValue {
    let context = request.extensions().get::<RequestContext>();
    // An outer layer may have settled it already.
    let known = context.and_then(|context| context.request_id.clone());
    let trusted = context.is_some_and(RequestContext::peer_is_trusted);
    let sent = || sent_id(request.headers(), header);
    let id = known
        .or_else(|| trusted.then(sent).flatten())
        .unwrap_or_else(|| request_id::make([random::next_u64(), random::next_u64()]));

    field::remove_aliases(request.headers_mut(), header);
    set(request.headers_mut(), header.clone(), id.clone());
    request
        .extensions_mut()
        .get_or_insert_default::<RequestContext>()
        .request_id = Some(id.clone());
    id
}

/// The id that the peer sent, if it sent just one.
fn sent_id(headers: &HeaderMap, header: &HeaderName) -> Option<HeaderValue> {
    let mut lines = headers.get_all(header).iter();
    let line = lines.next()?;
    (lines.next().is_none() && request_id::is_acceptable(line.as_bytes())).then(|| line.clone())
}

/// Continues the request's trace, or begins one.
fn trace(headers: &mut HeaderMap) -> TraceParent {
    let is_of_trace = |name: &HeaderName| matches!(name.as_str(), "traceparent" | "tracestate");
    // Most requests have neither, and this is cheaper than to look for both.
    let sent = headers.keys().any(is_of_trace).then(|| {
        let sent = TraceParent::of(lines(headers, &TRACEPARENT));
        if sent.is_none() || !trace_context::state_is_valid(lines(headers, &TRACESTATE)) {
            headers.remove(TRACESTATE);
        }
        sent
    });
    let own = match sent.flatten() {
        Some(parent) => parent.child(random::next_u64),
        None => TraceParent::begin(random::next_u64),
    };
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from_owner(own.to_bytes())) {
        set(headers, TRACEPARENT, value);
    }
    own
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// Sets a header of the gateway's own. Into a map that is full nothing goes, but what the client sent goes out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if headers.try_insert(name.clone(), value).is_err() {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn request(trusted: bool, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().append(*name, value);
        }
        let mut context = RequestContext::new();
        context.peer_is_trusted = trusted;
        request.extensions_mut().insert(context);
        request
    }

    fn id_of(request: &Request<()>) -> String {
        let context = request.extensions().get::<RequestContext>().unwrap();
        let id = context.request_id().unwrap();
        let sent: Vec<_> = request.headers().get_all("x-request-id").iter().collect();
        assert_eq!(sent, [id], "context and header agree");
        id.to_owned()
    }

    #[test]
    fn only_a_trusted_peer_names_the_request() {
        let cases: [(bool, &[&str], bool); 7] = [
            (true, &["abc-1"], true),
            (false, &["abc-1"], false),
            (true, &[], false),
            (true, &["abc 1"], false),
            (true, &[""], false),
            (true, &["abc-1", "abc-1"], false),
            (true, &[&"x".repeat(129)], false),
        ];
        for (trusted, sent, kept) in cases {
            let headers: Vec<_> = sent.iter().map(|id| ("x-request-id", *id)).collect();
            let mut request = request(trusted, &headers);
            drop(ObserveLayer::new().begin(&mut request));
            let id = id_of(&request);
            assert_eq!(sent.contains(&&*id), kept, "{sent:?}");
            assert!(kept || id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn each_request_gets_an_id_of_its_own() {
        let (mut a, mut b) = (Request::new(()), Request::new(()));
        drop(ObserveLayer::new().begin(&mut a));
        drop(ObserveLayer::new().begin(&mut b));
        assert_ne!(id_of(&a), id_of(&b));
        let id = id_of(&a);
        drop(ObserveLayer::new().begin(&mut a));
        assert_eq!(
            id_of(&a),
            id,
            "an inner layer keeps what an outer one settled"
        );
    }

    #[test]
    fn aliases_are_removed() {
        let mut request = request(
            true,
            &[
                ("x_request_id", "a"),
                ("x-request_id", "b"),
                ("x_request-id", "c"),
                ("x-request-ids", "d"),
            ],
        );
        drop(ObserveLayer::new().begin(&mut request));
        let id = id_of(&request);
        assert_eq!(id.len(), 32);
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(
            names.iter().filter(|name| name.contains("request")).count(),
            2,
            "{names:?}"
        );
        assert_eq!(request.headers()["x-request-ids"], "d");
    }

    #[test]
    fn the_header_may_have_another_name_or_none() {
        let other = HeaderName::from_static("correlation-id");
        let mut named = request(
            true,
            &[("correlation-id", "abc"), ("x-request-id", "theirs")],
        );
        drop(ObserveLayer::new().request_id(other).begin(&mut named));
        assert_eq!(named.headers()["correlation-id"], "abc");
        assert_eq!(named.headers()["x-request-id"], "theirs");

        let mut none = request(false, &[("x-request-id", "theirs")]);
        drop(ObserveLayer::new().request_id(None).begin(&mut none));
        assert_eq!(none.headers()["x-request-id"], "theirs");
        let context = none.extensions().get::<RequestContext>().unwrap();
        assert_eq!(context.request_id(), None);
    }

    #[test]
    fn traces_are_continued_or_begun() {
        let other = PARENT.replace("0af7", "0af8");
        // what is sent, whether the trace goes on, what becomes of the state
        let cases: [(&[&str], &[&str], bool, usize); 7] = [
            (&[], &[], false, 0),
            (&[PARENT], &[], true, 0),
            (&[PARENT], &["a=1", "b=2"], true, 2),
            (&[PARENT], &["a=1", "B=2"], true, 0),
            (&[], &["a=1"], false, 0),
            (&["rubbish"], &["a=1"], false, 0),
            (&[PARENT, &other], &["a=1"], false, 0),
        ];
        for (parents, states, continued, kept) in cases {
            let parents = parents.iter().map(|line| ("traceparent", *line));
            let states = states.iter().map(|line| ("tracestate", *line));
            let mut request = request(false, &parents.chain(states).collect::<Vec<_>>());
            drop(ObserveLayer::new().begin(&mut request));
            let sent: Vec<_> = lines(request.headers(), &TRACEPARENT).collect();
            assert_eq!(sent.len(), 1);
            let text = std::str::from_utf8(sent[0]).unwrap();
            assert!(TraceParent::of(sent.iter().copied()).is_some(), "{text}");
            assert_eq!(text[3..35] == PARENT[3..35], continued, "{text}");
            assert_ne!(text[36..52], PARENT[36..52], "an own parent id");
            assert_eq!(
                text.ends_with("-00"),
                continued,
                "the caller's flag, or sampled"
            );
            assert_eq!(
                lines(request.headers(), &TRACESTATE).count(),
                kept,
                "{states:?}",
                states = request.headers()
            );
        }
    }

    #[test]
    fn without_trace_context_the_fields_pass() {
        let mut request = request(false, &[("traceparent", "x"), ("tracestate", "Y")]);
        drop(ObserveLayer::new().trace_context(false).begin(&mut request));
        assert_eq!(request.headers()["traceparent"], "x");
        assert_eq!(request.headers()["tracestate"], "Y");
    }

    #[test]
    fn a_full_map_is_no_panic() {
        let mut request = request(false, &[("x-request-id", "theirs")]);
        for n in 0.. {
            let name = HeaderName::from_bytes(format!("h{n}").as_bytes()).unwrap();
            if request
                .headers_mut()
                .try_insert(name, HeaderValue::from_static(""))
                .is_err()
            {
                break;
            }
        }
        drop(ObserveLayer::new().begin(&mut request));
        assert_ne!(
            request
                .headers()
                .get("x-request-id")
                .unwrap_or(&HeaderValue::from_static("")),
            "theirs"
        );
    }
}
