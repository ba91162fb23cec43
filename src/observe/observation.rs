//! One request under observation, from its first to its last moment.

use http::{HeaderName, HeaderValue, Response};

use super::{layer, log::Log};
use crate::body::Body;

/// What is remembered of a request until its response head is there. Dropped before that, it logs that the client left.
pub(crate) struct Observation {
    request_id: Option<(HeaderName, HeaderValue)>,
    log: Log,
}

impl Observation {
    pub(super) fn new(request_id: Option<(HeaderName, HeaderValue)>, log: Log) -> Self {
        Self { request_id, log }
    }

    /// Runs a part of the request's work inside of its span.
    pub(crate) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        self.log.in_scope(work)
    }

    /// Takes the response head: sets the request's id in it, and logs the request at the end of its body.
    pub(crate) fn finish(self, mut response: Response<Body>) -> Response<Body> {
        if let Some((header, id)) = self.request_id {
            layer::set(response.headers_mut(), header, id);
        }
        self.log.finish(response)
    }

    #[cfg(all(test, feature = "tracing"))]
    pub(super) fn is_logged(&self) -> bool {
        self.log.is_on()
    }

    /// There is no response: the service failed.
    pub(crate) fn fail(self) {
        self.log.fail();
    }
}
