//! A request on its way out: what has still to be written, and the body that it comes from.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::io::AsyncWrite;

use super::{
    decoder::is_for_the_head,
    head::{Framing, field},
};
use crate::{
    body::Body,
    client::io::Io,
    error::{Error, ErrorKind},
};

/// What is to be written: a head or a chunk's line, a piece of the body as it came, and what stands behind it.
pub(super) struct Outbox {
    pub(super) front: Vec<u8>,
    written: usize,
    data: Bytes,
    back: &'static [u8],
    body: Body,
    pub(super) framing: Framing,
    /// Of this request's bytes, how many have gone out.
    pub(super) sent: u64,
    /// The body's end has been taken.
    ended: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The body has more to give.
    Body,
    /// All of it is in the outbox.
    Drain,
    /// All of it has been written and flushed.
    Sent,
    /// It will never be whole: the connection can not be used again.
    Broken,
}

/// Why a request could not be sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// Its own body failed.
    Body(Error),
    /// The connection did.
    Io(io::Error),
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            front: Vec::new(),
            written: 0,
            data: Bytes::new(),
            back: b"",
            body: Body::empty(),
            framing: Framing::Empty,
            sent: 0,
            ended: false,
            state: State::Sent,
        }
    }

    /// Begins a request whose head is in `front`.
    pub(super) fn begin(&mut self, body: Body, framing: Framing) {
        self.written = 0;
        self.data = Bytes::new();
        self.back = b"";
        self.sent = 0;
        self.ended = false;
        self.state = if framing == Framing::Empty {
            State::Drain
        } else {
            State::Body
        };
        self.body = body;
        self.framing = framing;
    }

    /// Whether the whole request has gone out.
    pub(super) fn is_sent(&self) -> bool {
        self.state == State::Sent
    }

    /// Whether nothing more of it will go out.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Sent | State::Broken)
    }

    /// Gives the body back, if the peer can not have seen anything of the request.
    pub(super) fn take_back(&mut self) -> Option<Body> {
        if !self.is_unseen() {
            return None;
        }
        let body = std::mem::take(&mut self.body);
        if self.data.is_empty() {
            return Some(body);
        }
        let first = Some(std::mem::take(&mut self.data));
        Some(Body::boxed(Resumed { first, body }))
    }

    /// Whether the peer knows nothing of the request, and all of its body is here.
    fn is_unseen(&self) -> bool {
        self.sent == 0 && !self.ended
    }

    /// Sends nothing more. A body that can still be taken back is kept for that.
    pub(super) fn give_up(&mut self) {
        if self.state != State::Sent {
            self.state = State::Broken;
        }
        if !self.is_unseen() {
            self.body = Body::empty();
        }
    }

    /// Lets go of memory that a resting connection does not need.
    pub(super) fn rest(&mut self) {
        self.front = Vec::new();
        self.body = Body::empty();
    }

    /// Writes as much as the connection takes and the body gives. Ready when all is written; `moved` tells whether
    /// anything was.
    pub(super) fn poll(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<Result<(), Unsent>> {
        loop {
            let mut starved = false;
            if self.state == State::Body && self.data.is_empty() && self.back.is_empty() {
                starved = self.pull(cx).map_err(Unsent::Body)?.is_pending();
            }
            if self.has_bytes() {
                ready!(self.write(io, cx, moved)).map_err(Unsent::Io)?;
            }
            match self.state {
                State::Body if starved => {
                    // What is written goes out while the body is waited for.
                    ready!(Pin::new(&mut *io).poll_flush(cx)).map_err(Unsent::Io)?;
                    return Poll::Pending;
                }
                State::Body => {}
                State::Drain => {
                    ready!(Pin::new(&mut *io).poll_flush(cx)).map_err(Unsent::Io)?;
                    self.state = State::Sent;
                    self.body = Body::empty();
                }
                State::Sent | State::Broken => return Poll::Ready(Ok(())),
            }
        }
    }

    fn has_bytes(&self) -> bool {
        self.written < self.front.len() || !self.data.is_empty() || !self.back.is_empty()
    }

    fn write(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while self.has_bytes() {
            let front = &self.front[self.written..];
            let count = if self.data.is_empty() && self.back.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, front))?
            } else {
                let parts = [
                    IoSlice::new(front),
                    IoSlice::new(&self.data),
                    IoSlice::new(self.back),
                ];
                let parts = if front.is_empty() {
                    &parts[1..]
                } else {
                    &parts
                };
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, parts))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
            *moved = true;
        }
        self.front.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut count: usize) {
        self.sent += count as u64;
        let front = count.min(self.front.len() - self.written);
        self.written += front;
        count -= front;
        let data = count.min(self.data.len());
        self.data.advance(data);
        count -= data;
        self.back = &self.back[count.min(self.back.len())..];
    }

    /// Takes the next frame of the body.
    fn pull(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(frame) => frame,
        };
        let frame = match frame {
            None => {
                self.ended = true;
                self.end(None)?;
                return Ok(Poll::Ready(()));
            }
            Some(frame) => frame?,
        };
        match frame.into_data() {
            Ok(data) => self.data(data)?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.ended = true;
                    self.end(Some(trailers))?;
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    fn data(&mut self, data: Bytes) -> Result<(), Error> {
        if data.is_empty() {
            // An empty chunk would end the body.
            return Ok(());
        }
        match &mut self.framing {
            Framing::Empty => return Err(mismatch("longer")),
            Framing::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or_else(|| mismatch("longer"))?;
                if *left == 0 {
                    self.state = State::Drain;
                }
            }
            Framing::Chunked => {
                use std::io::Write as _;
                // Into a vector nothing fails.
                let _ = write!(self.front, "{:x}\r\n", data.len());
                self.back = b"\r\n";
                if self.body.is_end_stream() {
                    self.back = b"\r\n0\r\n\r\n";
                    self.state = State::Drain;
                }
            }
        }
        self.data = data;
        Ok(())
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Error> {
        match self.framing {
            Framing::Chunked => {
                self.front.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.iter().flatten() {
                    if !is_for_the_head(name) {
                        field(&mut self.front, name.as_str().as_bytes(), value.as_bytes());
                    }
                }
                self.front.extend_from_slice(b"\r\n");
            }
            Framing::Length(left) if left > 0 => return Err(mismatch("shorter")),
            Framing::Length(_) | Framing::Empty => {}
        }
        self.state = State::Drain;
        Ok(())
    }
}

/// A body whose first frame was taken, and given back.
struct Resumed {
    first: Option<Bytes>,
    body: Body,
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None if self.body.is_end_stream() => Poll::Ready(None),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(first)) {
            hint.set_upper(upper);
        }
        hint
    }
}

fn mismatch(how: &str) -> Error {
    Error::new(ErrorKind::BadRequest).with_source(format!(
        "the request's body is {how} than its Content-Length says"
    ))
}
