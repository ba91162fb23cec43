//! The body that flows through the gateway: empty, whole, straight from hyper, or anything else in a box.
//!
//! ```
//! use tower_gateway::Body;
//! use http_body::Body as _;
//!
//! let body = Body::from("hello");
//! assert_eq!(body.size_hint().exact(), Some(5));
//! assert!(Body::empty().is_end_stream());
//! ```

mod until;
mod watched;

use std::{
    any::Any,
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

pub(crate) use watched::{End, Witness};

use crate::error::{BoxError, Error, ErrorKind};

/// A request's or response's body. Frames pass one by one as they come: nothing is buffered, and the size hint, the
/// end of the stream and the trailers are those of the body inside.
///
/// Its errors are the crate's: [`BadRequest`](ErrorKind::BadRequest), [`BodyTooLarge`](ErrorKind::BodyTooLarge) and
/// [`ClientGone`](ErrorKind::ClientGone) of a request's; [`Incomplete`](ErrorKind::Incomplete),
/// [`Protocol`](ErrorKind::Protocol), [`Timeout`](ErrorKind::Timeout) and [`Deadline`](ErrorKind::Deadline) of an answer's,
/// and [`Internal`](ErrorKind::Internal) when a layer or a service in this process made it. A server breaks off an answer
/// whose body fails.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    /// Somebody else's, and whether it is an answer's.
    Foreign(Boxed<BoxError>, bool),
    Boxed(Boxed<Error>),
}

type Boxed<E> = Pin<Box<dyn http_body::Body<Data = Bytes, Error = E> + Send>>;

impl Body {
    /// A body of no bytes.
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Takes any body. A [`Body`], hyper's [`Incoming`] and one that has ended already are taken as they are; the
    /// others are boxed once.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut slot = Some(body);
        let any: &mut dyn Any = &mut slot;
        if let Some(own) = any.downcast_mut::<Option<Self>>().and_then(Option::take) {
            return own;
        }
        if let Some(incoming) = any
            .downcast_mut::<Option<Incoming>>()
            .and_then(Option::take)
        {
            return Self::from(incoming);
        }
        match slot {
            Some(body) if !body.is_end_stream() => {
                Self(Kind::Foreign(Box::pin(Foreign { body }), false))
            }
            _ => Self::empty(),
        }
    }

    /// Whether all of it is here.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.0, Kind::Empty | Kind::Full(_))
    }

    /// Boxes a body whose errors are ours already.
    pub(crate) fn boxed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = Error> + Send + 'static,
    {
        Self(Kind::Boxed(Box::pin(body)))
    }

    /// The body of an answer, whose failure is not the client's. One that is ours already has its own word for it.
    pub(crate) fn of_answer<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        match Self::new(body).0 {
            Kind::Foreign(body, _) => Self(Kind::Foreign(body, true)),
            Kind::Incoming(body) => Self(Kind::Foreign(Box::pin(Foreign { body }), true)),
            kind => Self(kind),
        }
    }
}

impl From<Incoming> for Body {
    fn from(body: Incoming) -> Self {
        if http_body::Body::is_end_stream(&body) {
            Self::empty()
        } else {
            Self(Kind::Incoming(body))
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Full(bytes))
        }
    }
}

macro_rules! from_bytes {
    ($($of:ty),*) => {$(
        impl From<$of> for Body {
            fn from(value: $of) -> Self {
                Self::from(Bytes::from(value))
            }
        }
    )*};
}
from_bytes!(&'static str, &'static [u8], String, Vec<u8>);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Incoming(_) => "incoming",
            Kind::Foreign(..) | Kind::Boxed(_) => "boxed",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(_) => match std::mem::take(&mut self.0) {
                Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Kind::Incoming(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|error| client_error(error.into())),
            Kind::Foreign(body, is_answer) => body.as_mut().poll_frame(cx).map_err(|error| {
                if *is_answer {
                    Error::from_boxed(error)
                } else {
                    client_error(error)
                }
            }),
            Kind::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Foreign(body, _) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Foreign(body, _) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

pin_project_lite::pin_project! {
    /// A body of somebody else's, with its errors boxed.
    struct Foreign<B> {
        #[pin]
        body: B,
    }
}

impl<B> http_body::Body for Foreign<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What an error of a client's body means: over a limit, gone, or against the protocol.
fn client_error(error: BoxError) -> Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    let mut kind = None;
    while let Some(current) = next {
        if let Some(own) = current.downcast_ref::<Error>() {
            return own.clone();
        }
        if current.is::<http_body_util::LengthLimitError>() {
            return Error::new(ErrorKind::BodyTooLarge);
        }
        if let Some(hyper) = current.downcast_ref::<hyper::Error>() {
            let gone = hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled();
            kind = Some(if gone || !breaks_protocol(hyper) {
                ErrorKind::ClientGone
            } else {
                ErrorKind::BadRequest
            });
        }
        if let Some(io) = current.downcast_ref::<io::Error>()
            && kind.is_none()
            && !is_of_connection(io.kind())
        {
            // A layer that reads the body, such as a decompression, does not understand it.
            kind = Some(ErrorKind::BadRequest);
        }
        next = current.source();
    }
    Error::new(kind.unwrap_or(ErrorKind::ClientGone)).with_source(error)
}

fn is_of_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut
    )
}

/// hyper reports a bad chunk as an I/O error of these kinds, and a connection that broke as one of the others.
fn breaks_protocol(error: &hyper::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput};
    match std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(io) => matches!(io.kind(), InvalidInput | InvalidData),
        None => error.is_parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use http_body_util::BodyExt;

    #[test]
    fn a_body_is_not_boxed_twice() {
        let full = Body::new(Body::from("abc"));
        assert_eq!(format!("{full:?}"), "Body(\"full\")");
        let boxed = Body::new(http_body_util::Full::new(Bytes::from("abc")));
        assert_eq!(format!("{:?}", Body::new(boxed)), "Body(\"boxed\")");
        assert!(Body::new(http_body_util::Empty::<Bytes>::new()).is_end_stream());
    }

    #[tokio::test]
    async fn frames_pass_unchanged() {
        let trailers =
            http::HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
        let inner = http_body_util::Full::new(Bytes::from("abc"))
            .with_trailers(std::future::ready(Some(Ok(trailers))));
        let collected = Body::new(inner).collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()[http::header::ETAG], "x");
        assert_eq!(collected.to_bytes(), "abc");
    }

    #[tokio::test]
    async fn a_limit_is_a_413() {
        let limited =
            http_body_util::Limited::new(http_body_util::Full::new(Bytes::from("abc")), 2);
        let error = Body::new(limited).collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BodyTooLarge);
    }
}
