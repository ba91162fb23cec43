//! A body that is copied while it passes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, Request, request::Parts};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::StreamBody;

use super::layer::{InFlight, MirrorLayer};
use crate::{body::Body, error::Error};

/// A copy that waits for its body.
struct Waiting {
    parts: Parts,
    /// In one piece: many small frames would keep far more memory than they are long.
    data: BytesMut,
    trailers: Option<HeaderMap>,
    layer: MirrorLayer,
    place: InFlight,
}

impl Waiting {
    /// Keeps a frame, unless that is too much.
    fn keep(mut self, frame: &Frame<Bytes>) -> Option<Self> {
        if let Some(data) = frame.data_ref() {
            if self.data.len().saturating_add(data.len()) > self.layer.max_body {
                self.layer.leave_out();
                return None;
            }
            self.data.extend_from_slice(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        Some(self)
    }

    /// All of it has passed.
    fn send(self) {
        let data = self.data.freeze();
        let body = match self.trailers {
            None => data.into(),
            trailers => {
                let frames = [Some(Frame::data(data)), trailers.map(Frame::trailers)];
                let frames = frames.into_iter().flatten().map(Ok::<_, Error>);
                Body::boxed(StreamBody::new(stream::iter(frames)))
            }
        };
        let request = Request::from_parts(self.parts, body);
        self.layer.send(request, self.place);
    }
}

/// A body that is kept while it passes.
struct Copied {
    body: Body,
    copy: Option<Box<Waiting>>,
}

/// Sends a copy as soon as the body has passed, which may be at once; returns the body to pass on.
pub(super) fn copied(layer: &MirrorLayer, parts: Parts, body: Body, place: InFlight) -> Body {
    let size = body.size_hint();
    if size.lower() > layer.max_body as u64 {
        layer.leave_out();
        return body;
    }
    let waiting = Waiting {
        parts,
        data: BytesMut::new(),
        trailers: None,
        layer: layer.clone(),
        place,
    };
    if body.is_end_stream() {
        waiting.send();
        return body;
    }
    Body::boxed(Copied {
        body,
        copy: Some(Box::new(waiting)),
    })
}

impl http_body::Body for Copied {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                let copy = self.copy.take();
                let copy = copy.and_then(|copy| copy.keep(frame).map(Box::new));
                // Who knows the length, or has the trailers, does not ask for the end.
                match copy {
                    Some(copy) if frame.is_trailers() || self.body.is_end_stream() => copy.send(),
                    copy => self.copy = copy,
                }
            }
            Poll::Ready(None) => {
                if let Some(copy) = self.copy.take() {
                    copy.send();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                if let Some(copy) = self.copy.take() {
                    copy.layer.leave_out();
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let Some(copy) = self.copy.take() {
            match self.body.size_hint().exact() {
                // Of a body with a length nobody has to ask for the end.
                Some(0) => copy.send(),
                _ => copy.layer.leave_out(),
            }
        }
    }
}
