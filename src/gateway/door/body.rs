//! A client's body, as far as the door has to look at it: how it ends.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use http_body::{Body as _, Frame, SizeHint};

use crate::{
    body::Body,
    error::{Error, ErrorKind},
    upstream::{OwnedHeaders, strip_request},
};

/// Fields that come too late in a trailer section (RFC 9110, section 6.5.1), since they decide where a request goes, who
/// sent it or how its content is read. A backend that merges trailers into the head would believe them.
const FOR_THE_HEAD: [HeaderName; 19] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::MAX_FORWARDS,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::VIA,
];

/// Whether it is certain where a chunked HTTP/1 body ended, and so where the client's next request begins.
///
/// Only an empty trailer section is certain. hyper takes a line that ends in a bare LF for a part of the next one, up to
/// an empty line with CRLF: if there are trailers, they may have swallowed what somebody in front takes for a request.
#[derive(Clone, Default)]
pub(crate) struct Ending(Arc<AtomicBool>);

impl Ending {
    pub(crate) fn is_certain(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body whose trailers are looked at.
pub(crate) struct CheckedBody {
    body: Body,
    owned: OwnedHeaders,
    /// Of HTTP/1.
    ending: Option<Ending>,
    has_trailers: bool,
}

impl CheckedBody {
    /// Looks at the trailers of a body that may have some.
    pub(crate) fn wrap(body: Body, owned: &OwnedHeaders, ending: Option<Ending>) -> Body {
        if body.is_end_stream() {
            if let Some(ending) = ending {
                ending.0.store(true, Ordering::Relaxed);
            }
            return body;
        }
        Body::boxed(Self {
            body,
            owned: owned.clone(),
            ending,
            has_trailers: false,
        })
    }

    fn check(&self, mut trailers: HeaderMap) -> Result<HeaderMap, Error> {
        if self.ending.is_some() && trailers.is_empty() {
            // hyper reads `0 CRLF LF` as the start of a trailer section, takes the bytes behind it for trailers, and
            // finds none. There is no other way to an empty trailer section in HTTP/1.
            return Err(Error::new(ErrorKind::BadRequest)
                .with_detail("The chunked body does not end in CRLF"));
        }
        strip_request(&mut trailers, &self.owned, false);
        for name in &FOR_THE_HEAD {
            trailers.remove(name);
        }
        Ok(trailers)
    }
}

impl http_body::Body for CheckedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            None => {
                if let (Some(ending), false) = (&self.ending, self.has_trailers) {
                    ending.0.store(true, Ordering::Relaxed);
                }
                return Poll::Ready(None);
            }
            error => return Poll::Ready(error),
        };
        Poll::Ready(Some(match frame.into_trailers() {
            Ok(trailers) => {
                self.has_trailers = true;
                self.check(trailers).map(Frame::trailers)
            }
            Err(frame) => Ok(frame),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
