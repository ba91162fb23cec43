//! Sends one request: on a connection there is, or a new one, and once more where that is safe.

use std::{
    future::Future,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    uri::PathAndQuery,
};
use http_body::Body as _;
use hyper::{body::Incoming, client::conn::TrySendError};

use super::{Client, Download, exchange::Watch, pool::Lease};
use crate::{
    body::Body,
    error::{BoxError, Error, ErrorKind},
};

/// How often a request is sent again because the connection that it was given turned out to be dead.
const RESENDS: u8 = 2;

/// How long a request may take. `None`: as long as it likes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// From the last byte of the request to the head of the answer.
    pub(crate) head: Option<Duration>,
    /// Without a byte in either direction.
    pub(crate) activity: Option<Duration>,
    /// For all of it.
    pub(crate) deadline: Option<Instant>,
}

/// A request for an endpoint; its headers have a `Host`.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// Told when the endpoint says `100 Continue`.
    pub(crate) on_continue: Option<std::sync::Arc<dyn Fn() + Send + Sync>>,
}

impl Client {
    /// Sends a request and waits for the head of its answer.
    ///
    /// It is sent again, on a fresh connection, when nothing of it was sent, or when a connection that had been used
    /// before ended without an answer and the request is idempotent and has no body (RFC 9110, section 9.2.2).
    pub(crate) async fn send(
        &self,
        mut outgoing: Outgoing,
        limits: Limits,
    ) -> Result<Response<Download>, Error> {
        let in_flight = self.enter();
        let pool = self.pool().clone();
        let bodiless = outgoing.body.is_end_stream();
        let (mut watch, body) = Watch::start(limits, std::mem::take(&mut outgoing.body));
        outgoing.body = body;
        let on_continue = outgoing.on_continue.clone();
        let mut fresh = false;
        let mut resends = 0;
        loop {
            let acquire = pool.acquire(self.connector(), fresh);
            let mut lease = match limits.deadline {
                None => acquire.await?,
                Some(deadline) => match tokio::time::timeout_at(deadline.into(), acquire).await {
                    Ok(lease) => lease?,
                    Err(_) => return Err(Error::new(ErrorKind::Deadline).with_retryable(true)),
                },
            };
            if let Lease::Http1(conn) = &mut lease
                && !conn.settle().await
            {
                if resends == RESENDS {
                    return Err(Error::new(ErrorKind::Connect)
                        .with_source("each connection ended before it could take the request"));
                }
                fresh = true;
                resends += 1;
                continue;
            }
            watch.restart();
            let replay =
                (bodiless && resends < RESENDS && lease.may_lose_requests(&outgoing.method))
                    .then(|| outgoing.copy());
            let sent = match &mut lease {
                Lease::Http1(conn) => {
                    let reply = conn.sender().try_send_request(outgoing.into_http1());
                    wait(reply, &watch, &mut conn.timer).await
                }
                #[cfg(feature = "http2")]
                Lease::Http2(stream) => {
                    let request = outgoing.into_http2(self.connector().address())?;
                    let reply = stream.sender().try_send_request(request);
                    wait(reply, &watch, &mut stream.timer).await
                }
            };
            let mut error = match sent {
                Ok(response) => {
                    watch.headed();
                    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    let download = if switched {
                        Download::switched
                    } else {
                        Download::new
                    };
                    return Ok(response.map(|body| download(body, lease, watch, in_flight)));
                }
                Err(Failed::Late(error)) => {
                    #[cfg(feature = "http2")]
                    if let Lease::Http2(stream) = &mut lease {
                        stream.late();
                    }
                    return Err(error);
                }
                Err(Failed::Send(error)) => *error,
            };
            let message = error.take_message();
            let error = error.into_error();
            #[cfg(feature = "http2")]
            if let Lease::Http2(stream) = &mut lease
                && (message.is_some() || ends_connection(&error))
            {
                stream.broken();
            }
            outgoing = match (message, replay) {
                (Some(request), _) if resends < RESENDS => Outgoing::from(request),
                (None, Some(copy)) if lease.lost(&error) => copy,
                (message, _) => return Err(upstream_error(error).with_retryable(message.is_some())),
            };
            outgoing.on_continue.clone_from(&on_continue);
            fresh = true;
            resends += 1;
        }
    }
}

impl Outgoing {
    fn into_http1(mut self) -> Request<Body> {
        let bare = matches!(self.method, Method::GET | Method::HEAD);
        if bare && !self.body.is_end_stream() && self.body.size_hint().exact().is_none() {
            // hyper takes a GET whose length nobody knows for one without a body, and would drop it.
            let chunked = HeaderValue::from_static("chunked");
            self.headers.insert(header::TRANSFER_ENCODING, chunked);
        }
        self.request(Uri::from, Version::HTTP_11)
    }

    #[cfg(feature = "http2")]
    fn into_http2(mut self, address: &super::Address) -> Result<Request<Body>, Error> {
        let host = self.headers.remove(header::HOST);
        let authority = match &host {
            Some(host) => http::uri::Authority::try_from(host.as_bytes()),
            None => Ok(address.authority.clone()),
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(address.scheme.clone());
        parts.authority =
            Some(authority.map_err(|error| Error::new(ErrorKind::BadRequest).with_source(error))?);
        parts.path_and_query = Some(self.path.clone());
        let uri = Uri::from_parts(parts)
            .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))?;
        Ok(self.request(|_| uri, Version::HTTP_2))
    }

    fn request(self, uri: impl FnOnce(PathAndQuery) -> Uri, version: Version) -> Request<Body> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri(self.path);
        *request.version_mut() = version;
        *request.headers_mut() = self.headers;
        if let Some(on_continue) = self.on_continue {
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    on_continue();
                }
            });
        }
        request
    }

    /// The same request without its body.
    fn copy(&self) -> Self {
        Self {
            method: self.method.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            body: Body::empty(),
            on_continue: None,
        }
    }
}

impl From<Request<Body>> for Outgoing {
    fn from(request: Request<Body>) -> Self {
        let (mut parts, body) = request.into_parts();
        if let Some(authority) = parts.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            parts.headers.insert(header::HOST, host);
        }
        let path = parts
            .uri
            .into_parts()
            .path_and_query
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        Self {
            method: parts.method,
            path,
            headers: parts.headers,
            body,
            on_continue: None,
        }
    }
}

enum Failed {
    /// A limit passed.
    Late(Error),
    Send(Box<TrySendError<Request<Body>>>),
}

/// Waits for the head, within the limits.
async fn wait<F>(
    reply: F,
    watch: &Watch,
    timer: &mut super::timer::Timer,
) -> Result<Response<Incoming>, Failed>
where
    F: Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>>,
{
    let mut reply = pin!(reply);
    std::future::poll_fn(|cx| match reply.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|error| Failed::Send(Box::new(error)))),
        Poll::Pending => watch.poll(cx, timer).map(|error| Err(Failed::Late(error))),
    })
    .await
}

impl Lease {
    /// Whether a request on it can get lost through no fault of its own, and may then be sent again.
    fn may_lose_requests(&self, method: &Method) -> bool {
        match self {
            Self::Http1(conn) => conn.is_reused() && method.is_idempotent(),
            // A peer that goes away says which streams it has not looked at.
            #[cfg(feature = "http2")]
            Self::Http2(_) => true,
        }
    }

    /// Whether that is what has happened.
    fn lost(&self, error: &hyper::Error) -> bool {
        match self {
            Self::Http1(_) => is_gone(error),
            #[cfg(feature = "http2")]
            Self::Http2(_) => refused(error),
        }
    }
}

fn is_gone(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || io_source(error).is_some()
}

/// The peer says that it has not processed the request (RFC 9113, sections 6.8 and 8.7).
#[cfg(feature = "http2")]
fn refused(error: &hyper::Error) -> bool {
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| {
        error.reason() == Some(h2::Reason::REFUSED_STREAM)
            || (error.is_go_away()
                && error.is_remote()
                && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// More than one stream has failed (RFC 9113, section 5.4.1); the others go on after a reset of one.
#[cfg(feature = "http2")]
fn ends_connection(error: &hyper::Error) -> bool {
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_closed()
        || error.is_canceled()
        || source.is_some_and(|error| error.is_go_away() || error.is_io())
}

fn io_source(error: &hyper::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref())
}

/// What a failed exchange with an endpoint is called. An error of the client's body that hyper passes on keeps its
/// name.
pub(super) fn upstream_error(error: hyper::Error) -> Error {
    if let Some(own) = crate::error::find(&error) {
        return own.clone();
    }
    let kind = if error.is_user() {
        ErrorKind::Internal
    } else if error.is_timeout() {
        // A PING that nobody answered.
        ErrorKind::Timeout
    } else if error.is_parse() || is_protocol(&error) {
        ErrorKind::Protocol
    } else {
        ErrorKind::Incomplete
    };
    Error::new(kind).with_source(Box::new(error) as BoxError)
}

/// A chunk that is not one, or HTTP/2 against its rules.
fn is_protocol(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    io_source(error).is_some_and(|io| matches!(io.kind(), InvalidData | InvalidInput))
}
