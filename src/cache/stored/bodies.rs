//! Bodies that are read from what is stored.

use std::{
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use smallvec::SmallVec;

use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// The chunks of a body, one after the other.
pub(in crate::cache) struct Chunks {
    chunks: SmallVec<[Bytes; 1]>,
    next: usize,
    left: u64,
}

impl Chunks {
    pub(in crate::cache) fn new(chunks: SmallVec<[Bytes; 1]>) -> Self {
        let left = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self {
            chunks,
            next: 0,
            left,
        }
    }
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let at = self.next;
        self.next += 1;
        let chunk = self.chunks.get_mut(at).map(std::mem::take);
        let Some(chunk) = chunk else {
            return Poll::Ready(None);
        };
        self.left -= chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A part of a body.
pub(super) struct Part {
    body: Body,
    at: u64,
    part: Range<u64>,
}

impl Part {
    pub(super) fn new(body: Body, part: Range<u64>) -> Self {
        Self { body, at: 0, part }
    }
}

impl http_body::Body for Part {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.at >= self.part.end {
                return Poll::Ready(None);
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                // It is shorter than it was said to be.
                None => return Poll::Ready(Some(Err(ErrorKind::Internal.into()))),
            };
            let Ok(mut chunk) = frame.into_data() else {
                continue;
            };
            let start = self.at;
            let end = start + chunk.len() as u64;
            self.at = end;
            let from = self.part.start.clamp(start, end) - start;
            let to = self.part.end.clamp(start, end) - start;
            if from < to {
                chunk.truncate(to as usize);
                return Poll::Ready(Some(Ok(Frame::data(chunk.slice(from as usize..)))));
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.part.end.saturating_sub(self.at.max(self.part.start));
        SizeHint::with_exact(left)
    }
}
