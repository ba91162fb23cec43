//! One request and its answer on an HTTP/2 connection, whose own task sends and receives.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response, Uri, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Address, InFlight, Limits, Outgoing, attend::attend, http2::Stream, watch::Watch};
use crate::{
    body::Body,
    clock,
    error::{BoxError, Error, ErrorKind},
};

/// Why there is no answer.
pub(super) enum Failed {
    Error(Error),
    /// The peer has not looked at the request: here it is again.
    Again(Box<Outgoing>, Error),
}

impl Outgoing {
    /// Sends the request on a stream and waits for the head of its answer.
    pub(super) async fn exchange(
        mut self,
        mut stream: Stream,
        limits: Limits,
        in_flight: InFlight,
    ) -> Result<Response<Body>, (Failed, InFlight)> {
        let mut watch = Watch::new(limits);
        let mut upload = None;
        if self.body.is_end_stream() {
            watch.sent();
        } else {
            let shared = Upload::start(std::mem::take(&mut self.body));
            watch.follow(shared.clone());
            self.body = Body::boxed(UploadBody(shared.clone()));
            upload = Some(shared);
        }
        // A peer that refuses the stream or goes away says that it has not looked at the request; hyper keeps it then.
        let copy = self.copy();
        let request = match self.into_http2(in_flight.client().connector().address()) {
            Ok(request) => request,
            Err(error) => return Err((Failed::Error(error), in_flight)),
        };
        let sent = {
            let mut reply = pin!(stream.sender().try_send_request(request));
            let timer = &mut stream.timer;
            poll_fn(|cx| match reply.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(Ok(Box::new(error)))),
                Poll::Pending => watch.poll(cx, timer).map(|error| Err(Err(error))),
            })
            .await
        };
        let mut error = match sent {
            Ok(response) => {
                watch.headed();
                in_flight.client().set_reached();
                return Ok(response.map(|body| {
                    if body.is_end_stream() {
                        Body::empty()
                    } else {
                        let (limits, pool) = (watch.limits(), stream.pool().cloned());
                        let body = Download::new(body, stream, watch, in_flight);
                        attend(body, limits, pool.as_ref())
                    }
                }));
            }
            Err(Err(error)) => {
                stream.late();
                return Err((Failed::Error(error), in_flight));
            }
            Err(Ok(error)) => error,
        };
        let message = error.take_message();
        let error = (*error).into_error();
        if message.is_some() || ends_connection(&error) {
            stream.broken();
        }
        let is_unseen = message.is_some() || is_refused(&error);
        // The body itself and not what wraps it: that belongs to this exchange, and ends with it.
        let body = match &upload {
            _ if !is_unseen => None,
            Some(upload) => upload.take_back(),
            None => Some(Body::empty()),
        };
        let error = upstream_error(error);
        let failed = match body {
            Some(body) => {
                Failed::Again(Box::new(Self { body, ..copy }), error.with_retryable(true))
            }
            None => Failed::Error(error),
        };
        Err((failed, in_flight))
    }

    fn into_http2(mut self, address: &Address) -> Result<Request<Body>, Error> {
        let host = self.headers.remove(header::HOST);
        let authority = match &host {
            Some(host) => http::uri::Authority::try_from(host.as_bytes()),
            None => Ok(address.authority.clone()),
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(address.scheme.clone());
        parts.authority =
            Some(authority.map_err(|error| Error::new(ErrorKind::BadRequest).with_source(error))?);
        parts.path_and_query = Some(self.path);
        let uri = Uri::from_parts(parts)
            .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))?;
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers;
        // Of what comes before the answer hyper tells over HTTP/1 only, so nobody says that the body may come.
        Ok(request)
    }

    /// The same request without its body.
    fn copy(&self) -> Self {
        Self {
            method: self.method.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            body: Body::empty(),
            on_continue: self.on_continue.clone(),
        }
    }
}

/// The peer says that it has not processed the request (RFC 9113, sections 6.8 and 8.7).
fn is_refused(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| {
        error.reason() == Some(h2::Reason::REFUSED_STREAM)
            || (error.is_go_away()
                && error.is_remote()
                && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// More than one stream has failed (RFC 9113, section 5.4.1); the others go on after a reset of one.
fn ends_connection(error: &hyper::Error) -> bool {
    error.is_closed()
        || error.is_canceled()
        || h2_error(error).is_some_and(|error| error.is_go_away() || error.is_io())
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref())
}

/// What a failed exchange is called. An error of the client's body that hyper passes on keeps its name.
fn upstream_error(error: hyper::Error) -> Error {
    if let Some(own) = crate::error::find(&error) {
        return own.clone();
    }
    let kind = if error.is_user() && !is_dispatch_gone(&error) {
        ErrorKind::Internal
    } else if error.is_timeout() {
        // A PING that nobody answered.
        ErrorKind::Timeout
    } else if error.is_parse() {
        ErrorKind::Protocol
    } else {
        ErrorKind::Incomplete
    };
    Error::new(kind).with_source(Box::new(error) as BoxError)
}

/// The connection ended before it took the request up, as one does whose TLS client certificate is refused. hyper counts
/// that as a mistake of its user, and tells it from others by its text alone.
fn is_dispatch_gone(error: &hyper::Error) -> bool {
    error.to_string() == "dispatch task is gone"
}

/// A request's body, shared with the connection that sends it, and how far it has come.
pub(crate) struct Upload {
    body: Mutex<Body>,
    start: Instant,
    /// When a frame was last taken, in nanoseconds since the start.
    last: AtomicU64,
    /// A frame was taken, or an error: nobody else can have the body whole.
    touched: AtomicBool,
    ended: AtomicBool,
    stopped: AtomicBool,
    waker: AtomicWaker,
    /// Whoever waits for the head, whose time begins when the body has ended.
    watcher: AtomicWaker,
}

impl Upload {
    fn start(body: Body) -> Arc<Self> {
        Arc::new(Self {
            body: Mutex::new(body),
            start: clock::now(),
            last: AtomicU64::new(0),
            touched: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            watcher: AtomicWaker::new(),
        })
    }

    pub(super) fn last(&self) -> Instant {
        self.start + Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn wake_at_end(&self, waker: &Waker) {
        self.watcher.register(waker);
    }

    /// The answer is over or nobody wants it: the connection must not wait for a client that may never send on.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// The body, if nothing was taken from it. The connection, which may not have noticed yet, gets no more.
    fn take_back(&self) -> Option<Body> {
        let whole = {
            let mut body = self.body();
            self.stopped.store(true, Ordering::Release);
            let is_whole = !self.touched.load(Ordering::Relaxed);
            is_whole.then(|| std::mem::take(&mut *body))
        };
        self.waker.wake();
        whole
    }

    fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.watcher.wake();
    }

    fn touch(&self) {
        let since = clock::now().saturating_duration_since(self.start);
        self.last.store(
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

/// A request's body on its way out.
struct UploadBody(Arc<Upload>);

impl http_body::Body for UploadBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let upload = &*self.0;
        upload.waker.register(cx.waker());
        let mut body = upload.body();
        if upload.stopped.load(Ordering::Acquire) {
            return Poll::Ready(Some(Err(
                Error::new(ErrorKind::ClientGone).with_source("the answer ended first")
            )));
        }
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if frame.is_ready() {
            upload.touched.store(true, Ordering::Relaxed);
        }
        match &frame {
            Poll::Pending | Poll::Ready(Some(Err(_))) => {}
            Poll::Ready(Some(Ok(frame))) => {
                upload.touch();
                if frame.is_trailers() || body.is_end_stream() {
                    upload.end();
                }
            }
            Poll::Ready(None) => {
                upload.touch();
                upload.end();
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body().size_hint()
    }
}

/// An answer's body on its way in. When it is dropped before its end, the stream is reset.
struct Download {
    body: Incoming,
    link: Option<Link>,
}

/// What an exchange holds until it is over.
struct Link {
    stream: Stream,
    watch: Watch,
    _in_flight: InFlight,
}

impl Download {
    fn new(body: Incoming, stream: Stream, watch: Watch, in_flight: InFlight) -> Self {
        Self {
            body,
            link: Some(Link {
                stream,
                watch,
                _in_flight: in_flight,
            }),
        }
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if this.body.is_end_stream() {
                    this.link = None;
                } else if let Some(link) = &mut this.link {
                    link.watch.moved();
                    if link.watch.is_over() {
                        this.link = None;
                        return Poll::Ready(Some(Err(ErrorKind::Deadline.into())));
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.link = None;
                Poll::Ready(Some(Err(upstream_error(error))))
            }
            Poll::Ready(None) => {
                this.link = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(link) = &mut this.link else {
                    return Poll::Pending;
                };
                let Poll::Ready(error) = link.watch.poll(cx, &mut link.stream.timer) else {
                    return Poll::Pending;
                };
                this.link = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
