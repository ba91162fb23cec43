//! The one error of the crate: what went wrong, on whose side, and whether another try is safe.
//!
//! A layer of your own recovers it from the boxed error of a tower service with [`Error::from_boxed`]; at the edge the
//! gateway turns it into an RFC 9457 answer (see [`Problem`](crate::Problem)) that says nothing about the inside.
//!
//! ```
//! use tower_gateway::{Error, ErrorKind, Origin};
//!
//! let error = Error::new(ErrorKind::Connect).with_source("connection refused");
//! assert_eq!(error.kind(), ErrorKind::Connect);
//! assert_eq!(error.origin(), Origin::Upstream);
//! assert_eq!(error.status(), 502);
//! assert!(error.is_retryable());
//! ```

use std::{any::Any, borrow::Cow, fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};
use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};

/// Any error, as tower and hyper pass it around.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, in the way of a request through the gateway. Cheap to clone; clones share the source.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    detail: Option<Cow<'static, str>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    retryable: bool,
    retry_after: Option<Duration>,
    elsewhere: bool,
    /// For its answer.
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// The side that is to blame for an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The client sent something wrong, or went away.
    Client,
    /// A backend failed or was too slow.
    Upstream,
    /// The gateway itself refused or failed.
    Gateway,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $origin:ident, $status:literal, $title:literal, $proxy:expr;)*) => {
        /// The kinds of [`Error`], each with its status code, its [`Origin`] and its RFC 9209 error type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[$doc])* $name,)* }

        impl ErrorKind {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name,)*];

            /// The side that is to blame.
            pub fn origin(self) -> Origin {
                match self { $(Self::$name => Origin::$origin,)* }
            }

            /// The status code that the client gets.
            pub fn status(self) -> StatusCode {
                let code = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// A short text that is safe to show to a client.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The error type of the `Proxy-Status` field (RFC 9209, section 2.3), where one fits.
            pub fn proxy_status(self) -> Option<&'static str> {
                match self { $(Self::$name => $proxy,)* }
            }
        }
    };
}

kinds! {
    /// 400: the request breaks the protocol or can be read in two ways.
    BadRequest: Client, 400, "The request is malformed", Some("http_request_error");
    /// 401: the request does not say who sends it, or what it says is not believed; the answer carries `WWW-Authenticate`.
    Unauthenticated: Client, 401, "Valid credentials are needed", Some("http_request_denied");
    /// 403: it is known who sends the request, and they may not.
    Forbidden: Client, 403, "This is not allowed", Some("http_request_denied");
    /// 404: no route takes this host and path.
    RouteNotFound: Client, 404, "There is nothing here", Some("destination_not_found");
    /// 405: the path is known, the method is not; the answer carries `Allow`.
    MethodNotAllowed: Client, 405, "The method is not allowed here", Some("http_request_denied");
    /// 413: the request's body is over the limit.
    BodyTooLarge: Client, 413, "The request body is too large", Some("http_request_error");
    /// 417: an `Expect` that is not `100-continue` (RFC 9110, section 10.1.1).
    ExpectationFailed: Client, 417, "The expectation can not be met", Some("http_request_error");
    /// 429: the client has spent what it may; the answer has `Retry-After`, unless it will never be allowed.
    QuotaExceeded: Client, 429, "Too many requests", Some("http_request_denied");
    /// 499, never sent: the client went away before it had its answer.
    ClientGone: Client, 499, "The client went away", None;
    /// 500: a layer or an in-process service failed.
    Internal: Gateway, 500, "The gateway failed", Some("proxy_internal_error");
    /// 501: `CONNECT` and `TRACE` are not for a gateway.
    NotImplemented: Client, 501, "The method is not supported", Some("http_request_denied");
    /// 502: the backend's name could not be resolved.
    Resolve: Upstream, 502, "The backend could not be reached", Some("dns_error");
    /// 502: no connection to the backend could be made; nothing of the request was sent.
    Connect: Upstream, 502, "The backend could not be reached", Some("connection_refused");
    /// 502: the TLS handshake with the backend failed, or its certificate is not trusted.
    Tls: Upstream, 502, "The backend could not be reached", Some("tls_protocol_error");
    /// 502: the backend answered something that is not HTTP.
    Protocol: Upstream, 502, "The backend answered badly", Some("http_protocol_error");
    /// 502: the connection ended before the answer was whole.
    Incomplete: Upstream, 502, "The backend broke off", Some("http_response_incomplete");
    /// 502: the backend's answer to an upgrade is not what was asked for.
    Upgrade: Upstream, 502, "The backend answered badly", Some("http_upgrade_failed");
    /// 503: who sends the request can not be found out: the keys, or whoever is asked about it, can not be reached.
    AuthUnavailable: Gateway, 503, "Credentials can not be checked at the moment", Some("proxy_internal_error");
    /// 503: a limit that all clients share is used up.
    CapacityReduced: Gateway, 503, "The service takes no more requests at the moment", Some("http_request_denied");
    /// 503: what requests have spent can not be found out: whoever counts them, or says by what, can not be reached.
    ThrottleUnavailable: Gateway, 503, "Requests can not be counted at the moment", Some("proxy_internal_error");
    /// 503: no endpoint can take the request.
    NoEndpoint: Gateway, 503, "No backend is available", Some("destination_unavailable");
    /// 503: the backend's circuit is open: it failed too often a moment ago.
    CircuitOpen: Gateway, 503, "The backend is not available at the moment", Some("destination_unavailable");
    /// 503: all connections to the backend are in use, and so is the room to wait for one; or a layer sheds load.
    Saturated: Gateway, 503, "The backend is busy", Some("connection_limit_reached");
    /// 504: no connection to the backend within the connect timeout.
    ConnectTimeout: Upstream, 504, "The backend did not answer in time", Some("connection_timeout");
    /// 504: no response head, or no byte in either direction, within the timeout.
    Timeout: Upstream, 504, "The backend did not answer in time", Some("http_response_timeout");
    /// 504: the route's whole time is used up, or that of a timeout layer.
    Deadline: Gateway, 504, "The request took too long", Some("http_response_timeout");
    /// 508: the request has been here before (its `Via` names this gateway).
    Loop: Gateway, 508, "The request goes round in a loop", Some("proxy_loop_detected");
}

impl Error {
    /// An error of this kind, with no source. It is retryable when its kind says that nothing was sent
    /// ([`Resolve`](ErrorKind::Resolve), [`Connect`](ErrorKind::Connect), [`Tls`](ErrorKind::Tls),
    /// [`ConnectTimeout`](ErrorKind::ConnectTimeout), [`NoEndpoint`](ErrorKind::NoEndpoint),
    /// [`CircuitOpen`](ErrorKind::CircuitOpen), [`Saturated`](ErrorKind::Saturated)).
    pub fn new(kind: ErrorKind) -> Self {
        use ErrorKind::*;
        let retryable = matches!(
            kind,
            Resolve | Connect | Tls | ConnectTimeout | NoEndpoint | CircuitOpen | Saturated
        );
        Self(Arc::new(Inner {
            kind,
            detail: None,
            source: None,
            retryable,
            retry_after: None,
            elsewhere: false,
            fields: Vec::new(),
        }))
    }

    /// Adds what caused it. A source is for logs: it is never shown to a client.
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        self.edit(|inner| inner.source = Some(Arc::from(source.into())))
    }

    /// Adds a sentence that is safe to show to the client; default: the kind's [title](ErrorKind::title).
    pub fn with_detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.edit(|inner| inner.detail = Some(detail.into()))
    }

    /// Says whether the same request may be sent once more without a risk that it is carried out twice.
    pub fn with_retryable(self, retryable: bool) -> Self {
        self.edit(|inner| inner.retryable = retryable)
    }

    /// Says when it is worth to ask again: `Retry-After` in the answer, in whole seconds, rounded up (RFC 9110, section
    /// 10.2.3).
    pub fn with_retry_after(self, delay: Duration) -> Self {
        self.edit(|inner| inner.retry_after = Some(delay))
    }

    /// Says that there is another backend, which has not been asked.
    pub(crate) fn with_elsewhere(self) -> Self {
        self.edit(|inner| inner.elsewhere = true)
    }

    /// Adds fields to its answer, behind those that it has.
    pub(crate) fn with_fields(
        self,
        fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Self {
        self.edit(|inner| inner.fields.extend(fields))
    }

    /// The fields that were added to its answer.
    pub(crate) fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.fields
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whose fault it is.
    pub fn origin(&self) -> Origin {
        self.0.kind.origin()
    }

    /// The status code that the client gets.
    pub fn status(&self) -> StatusCode {
        self.0.kind.status()
    }

    /// The sentence for the client.
    pub fn detail(&self) -> &str {
        self.0.detail.as_deref().unwrap_or(self.0.kind.title())
    }

    /// Whether nothing of the request reached a backend, so that another try is safe for any method.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// When it is worth to ask again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether another try goes to another backend.
    pub(crate) fn has_elsewhere(&self) -> bool {
        self.0.elsewhere
    }

    /// Finds the crate's error in a boxed one or in what caused it. tower's [`Elapsed`] becomes
    /// [`ErrorKind::Deadline`], its [`Overloaded`] [`ErrorKind::Saturated`], and anything else
    /// [`ErrorKind::Internal`], with the given error as their source.
    pub fn from_boxed(error: BoxError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(own) => return *own,
            Err(other) => other,
        };
        if let Some(own) = find(error.as_ref()) {
            return own.clone();
        }
        let known = causes(error.as_ref()).find_map(|cause| {
            if cause.is::<Elapsed>() {
                Some(ErrorKind::Deadline)
            } else {
                cause.is::<Overloaded>().then_some(ErrorKind::Saturated)
            }
        });
        let kind = known.unwrap_or(ErrorKind::Internal);
        Self::new(kind).with_source(error)
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

/// The crate's error among the causes of `error`: hyper wraps what a body of ours reports.
pub(crate) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The crate's error in one of any type: itself, or among the causes of a boxed one.
pub(crate) fn seen_in<E: 'static>(error: &E) -> Option<&Error> {
    let error: &dyn Any = error;
    match error.downcast_ref::<BoxError>() {
        Some(boxed) => find(boxed.as_ref()),
        None => error.downcast_ref(),
    }
}

/// The crate's error in one of any type, to be changed: itself, or one that is boxed as it is.
pub(crate) fn own_in<E: 'static>(error: &mut E) -> Option<&mut Error> {
    let error: &mut dyn Any = error;
    match error.is::<BoxError>() {
        true => error.downcast_mut::<BoxError>()?.downcast_mut(),
        false => error.downcast_mut(),
    }
}

/// The error, and what caused it.
pub(crate) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("detail", &self.detail())
            .field("source", &self.0.source)
            .field("retryable", &self.0.retryable)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

/// Left in the extensions of a response that the gateway made itself, for whoever observes: logs, metrics, tests. A
/// backend's own error answers have none.
#[derive(Clone, Debug)]
pub struct Rejection(pub Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ours_is_found_below_others() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Error);

        let own = Error::new(ErrorKind::Timeout).with_detail("slow");
        let found = Error::from_boxed(Box::new(Outer(own)));
        assert_eq!((found.kind(), found.detail()), (ErrorKind::Timeout, "slow"));

        let foreign = Error::from_boxed("boom".into());
        assert_eq!(
            (foreign.kind(), foreign.origin()),
            (ErrorKind::Internal, Origin::Gateway)
        );
        assert!(!foreign.is_retryable());
        assert_eq!(
            foreign.detail(),
            "The gateway failed",
            "a foreign error's text is not for clients"
        );
    }

    #[test]
    fn towers_errors_have_a_meaning_wherever_they_stand() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] BoxError);

        let elapsed = || Box::new(Elapsed::new());
        let overloaded = || Box::new(Overloaded::new());
        for (error, kind) in [
            (elapsed() as BoxError, ErrorKind::Deadline),
            (overloaded(), ErrorKind::Saturated),
            (Box::new(Outer(elapsed())), ErrorKind::Deadline),
            (Box::new(Outer(overloaded())), ErrorKind::Saturated),
            (Box::new(Outer("boom".into())), ErrorKind::Internal),
        ] {
            let error = Error::from_boxed(error);
            assert_eq!(error.kind(), kind);
            assert!(std::error::Error::source(&error).is_some());
        }
    }

    #[test]
    fn the_guide_has_each_kind_as_it_is() {
        let guide = include_str!("../docs/GUIDE.md");
        for kind in ErrorKind::ALL {
            let row = guide
                .lines()
                .find(|line| line.starts_with(&format!("| `{kind:?}` |")))
                .unwrap_or_else(|| panic!("{kind:?} is missing"));
            let cells: Vec<_> = row
                .split('|')
                .map(|cell| cell.trim().to_lowercase())
                .collect();
            let origin = format!("{:?}", kind.origin()).to_lowercase();
            let proxy = kind.proxy_status();
            let proxy = proxy.map_or("–".to_owned(), |name| format!("`{name}`"));
            assert!(cells[2].starts_with(kind.status().as_str()), "{row}");
            assert_eq!([&cells[3], &cells[4]], [&origin, &proxy], "{row}");
        }
    }

    #[test]
    fn only_what_never_left_is_retryable() {
        assert!(Error::new(ErrorKind::Connect).is_retryable());
        assert!(!Error::new(ErrorKind::Incomplete).is_retryable());
        assert!(
            Error::new(ErrorKind::Incomplete)
                .with_retryable(true)
                .is_retryable()
        );
    }
}
