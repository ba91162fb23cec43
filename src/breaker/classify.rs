//! What a result says of the backend.

use std::{any::Any, fmt, time::Duration};

use http::{HeaderMap, Response, StatusCode};
use tower::load_shed::error::Overloaded;

use crate::{
    error::{BoxError, Error, ErrorKind, Origin, Rejection, causes, seen_in},
    problem::grpc,
};

/// Decides what a result says of the backend. Every `Fn(&CallResult<'_>) -> Verdict` does.
///
/// ```
/// use http::StatusCode;
/// use tower_gateway::breaker::{CallResult, CircuitBreakerLayer, Verdict};
///
/// // This backend answers 429 when it is overloaded; the rest as usual.
/// let layer = CircuitBreakerLayer::new().classify(|result: &CallResult<'_>| match result.status() {
///     Some(StatusCode::TOO_MANY_REQUESTS) => Verdict::Failure,
///     _ => result.verdict(),
/// });
/// # let _ = layer;
/// ```
pub trait Classify: Send + Sync + 'static {
    /// What this result says. It is asked once for each call, when the head of the answer has come or the call has failed;
    /// one that panics counts as [`Verdict::Neither`].
    fn classify(&self, result: &CallResult<'_>) -> Verdict;
}

impl<F> Classify for F
where
    F: Fn(&CallResult<'_>) -> Verdict + Send + Sync + 'static,
{
    fn classify(&self, result: &CallResult<'_>) -> Verdict {
        self(result)
    }
}

/// What a result says of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It does what it is there for.
    Success,
    /// It does not.
    Failure,
    /// Nothing. The call is not counted, and one that was let through half-open lets another one through in its place.
    Neither,
}

/// The result of a call: the head of an answer, or an error.
pub struct CallResult<'a> {
    head: Option<(StatusCode, &'a HeaderMap)>,
    grpc: Option<u16>,
    own: Option<&'a Error>,
    error: Option<&'a dyn Any>,
    is_shed: bool,
    elapsed: Duration,
}

impl<'a> CallResult<'a> {
    /// The status of the answer; `None` if the call ended in an error.
    pub fn status(&self) -> Option<StatusCode> {
        self.head.map(|(status, _)| status)
    }

    /// What gRPC says in the head of an answer that has only one (`grpc-status` with a 200; 2, unknown, if it can not be read).
    /// `None` for any other answer, and for one whose status is to come in its trailers.
    pub fn grpc_status(&self) -> Option<u16> {
        self.grpc
    }

    /// The headers of the answer, for a backend that says there how it fares; `None` if the call ended in an error.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.head.map(|(_, headers)| headers)
    }

    /// The error of this crate that the call ended in, or that a layer inside has made an answer of (a [`Rejection`]).
    pub fn error(&self) -> Option<&'a Error> {
        self.own
    }

    /// The error that the call ended in, if it is of this type: that of the service inside.
    pub fn error_ref<E: 'static>(&self) -> Option<&'a E> {
        self.error?.downcast_ref()
    }

    /// The time from the call to the head of the answer, or to the error.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// What is made of it by default.
    ///
    /// | result | verdict |
    /// |---|---|
    /// | an [`Error`] of [`Origin::Client`] (malformed, too large, gone) | neither |
    /// | [`CircuitOpen`](ErrorKind::CircuitOpen), [`Saturated`](ErrorKind::Saturated), [`CapacityReduced`](ErrorKind::CapacityReduced), [`ThrottleUnavailable`](ErrorKind::ThrottleUnavailable) or tower's `Overloaded`: the backend was not asked | neither |
    /// | [`Loop`](ErrorKind::Loop): any client can say that its request has been here | neither |
    /// | any other error | failure |
    /// | a status from 500 up, but not 501 and 505 | failure |
    /// | any other answer | success |
    ///
    /// A [gRPC status](Self::grpc_status) counts as the HTTP status that means the same: unknown (2), deadline exceeded (4), internal
    /// (13), unavailable (14) and data loss (15) are failures; unimplemented (12), as 501, and resource exhausted (8), as 429, are
    /// not, and neither is what is said of the call alone.
    ///
    /// 501 and 505 are about what the client asked for (RFC 9110, sections 15.6.2 and 15.6.6): a backend that knows no
    /// such method does well, and a client must not be able to open the circuit for everybody by asking for it.
    pub fn verdict(&self) -> Verdict {
        let status = match self.grpc {
            Some(code) => Some(grpc::stands_for(code)),
            None => self.status(),
        };
        match (self.own, status) {
            (Some(error), _) if is_of_no_backend(error) => Verdict::Neither,
            (Some(_), _) => Verdict::Failure,
            (None, None) if self.is_shed => Verdict::Neither,
            (None, None) => Verdict::Failure,
            (None, Some(StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED)) => {
                Verdict::Success
            }
            (None, Some(status)) if status.as_u16() >= 500 => Verdict::Failure,
            (None, Some(_)) => Verdict::Success,
        }
    }

    pub(super) fn of<B, E: 'static>(result: &'a Result<Response<B>, E>, elapsed: Duration) -> Self {
        match result {
            Ok(response) => {
                let rejection = response.extensions().get::<Rejection>();
                Self {
                    head: Some((response.status(), response.headers())),
                    grpc: grpc::status_of(response),
                    own: rejection.map(|rejection| &rejection.0),
                    error: None,
                    is_shed: false,
                    elapsed,
                }
            }
            Err(error) => Self {
                head: None,
                grpc: None,
                own: seen_in(error),
                error: Some(error),
                is_shed: is_shed(error),
                elapsed,
            },
        }
    }
}

/// Whether it says nothing of the backend: it was not asked, or the client did it.
pub(super) fn is_of_no_backend(error: &Error) -> bool {
    error.origin() == Origin::Client
        || matches!(
            error.kind(),
            ErrorKind::CircuitOpen
                | ErrorKind::Saturated
                | ErrorKind::CapacityReduced
                | ErrorKind::ThrottleUnavailable
                | ErrorKind::Loop
        )
}

fn is_shed(error: &dyn Any) -> bool {
    let boxed = error.downcast_ref::<BoxError>();
    boxed.is_some_and(|error| causes(error.as_ref()).any(|cause| cause.is::<Overloaded>()))
}

impl fmt::Debug for CallResult<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallResult")
            .field("status", &self.status())
            .field("error", &self.own)
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}
