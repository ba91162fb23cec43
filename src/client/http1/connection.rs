//! One HTTP/1.1 connection: its bytes, the request that goes out and the answer that comes in.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::{Buf, Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame};
use tokio::{io::AsyncReadExt, task::coop};

use super::{
    Failed,
    decoder::{Decoder, Malformed, Step},
    head::{self, Framing, Head, Names},
    outbox::{Outbox, Unsent},
};
use crate::{
    body::Body,
    client::{Outgoing, io::Io, watch::Watch},
    error::{Error, ErrorKind},
    timer::Timer,
};

/// The room that a read begins with, and the most that it may get. A large body in few reads saves a quarter of the
/// work.
const SMALL: usize = 8 * 1024;
const LARGE: usize = 128 * 1024;

/// The most bytes of a head, or of a whole body, that are copied out of the buffer.
const COPIED: usize = 4 * 1024;

/// Interim answers (1xx) in front of the final one; nobody needs more.
const MOST_INTERIM: u8 = 32;

pub(super) struct Connection {
    io: Io,
    input: BytesMut,
    names: Names,
    /// The room for the next read, as the last ones were filled.
    room: usize,
    pub(super) outbox: Outbox,
    pub(super) decoder: Decoder,
    keep: bool,
    pub(super) timer: Timer,
    pub(super) opened: Instant,
    /// It has served a request before.
    pub(super) served: bool,
    interim: u8,
    /// Why the request could not be sent to its end. An answer may have come all the same.
    unsent: Option<io::Error>,
}

impl Connection {
    pub(super) fn new(io: Io, opened: Instant) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            names: Names::default(),
            room: SMALL,
            outbox: Outbox::new(),
            decoder: Decoder::Length(0),
            keep: true,
            timer: Timer::new(),
            opened,
            served: false,
            interim: 0,
            unsent: None,
        }
    }

    /// Whether the peer has neither closed the connection nor said anything. Not a system call, unless something came.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // A task that has used up its turn would be told that nothing has come.
        let look = coop::unconstrained(poll_fn(|cx| self.fill(cx)));
        pin!(look).poll(&mut cx).is_pending()
    }

    pub(super) fn rest(&mut self) {
        self.input = BytesMut::new();
        self.room = SMALL;
        self.names.forget();
        self.outbox.rest();
    }

    pub(super) fn begin(&mut self, outgoing: &mut Outgoing) {
        let body = std::mem::take(&mut outgoing.body);
        let framing = if body.is_end_stream() {
            Framing::Empty
        } else {
            match body.size_hint().exact().or_else(|| outgoing.length()) {
                Some(length) => Framing::Length(length),
                None => Framing::Chunked,
            }
        };
        self.outbox.front.clear();
        head::write(
            &mut self.outbox.front,
            &outgoing.method,
            &outgoing.path,
            &outgoing.headers,
            framing,
        );
        self.outbox.begin(body, framing);
        self.interim = 0;
    }

    /// Sends on; an error is the request's own, those of the connection are kept for later.
    fn poll_send(&mut self, cx: &mut Context<'_>, watch: &mut Watch) -> Result<(), Error> {
        if self.outbox.is_over() {
            return Ok(());
        }
        let mut moved = false;
        let sent = self.outbox.poll(&mut self.io, cx, &mut moved);
        if moved {
            watch.moved();
        }
        match sent {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => {
                watch.sent();
                Ok(())
            }
            Poll::Ready(Err(Unsent::Body(error))) => {
                // Asked again, a body that has failed might end as if it were whole.
                self.outbox.give_up();
                Err(error)
            }
            Poll::Ready(Err(Unsent::Io(error))) => {
                // A backend may answer without having read everything, and then close.
                self.outbox.give_up();
                self.unsent = Some(error);
                Ok(())
            }
        }
    }

    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        watch: &mut Watch,
    ) -> Poll<Result<Response<()>, Failed>> {
        if let Err(error) = self.poll_send(cx, watch) {
            return Poll::Ready(Err(Failed { error, lost: false }));
        }
        loop {
            let length = match self.fill(cx) {
                Poll::Pending => {
                    return watch
                        .poll(cx, &mut self.timer)
                        .map(|error| Err(Failed { error, lost: false }));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.ended(Some(error)))),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.ended(None))),
                Poll::Ready(Ok(_)) if self.outbox.sent == 0 => {
                    // A farewell, such as a 408, that crossed with the request: no answer to it.
                    self.input.clear();
                    return Poll::Ready(Err(self.ended(None)));
                }
                Poll::Ready(Ok(length)) => length,
            };
            watch.moved();
            let mut looked = self.input.len() - length;
            while let Some(end) = head::end(&self.input, looked) {
                let head = take(&mut self.input, end);
                // The request is not sent again once an answer has begun: its map is the answer's.
                let headers = std::mem::take(&mut outgoing.headers);
                let head = head::read(&head, &outgoing.method, headers, &mut self.names)
                    .map_err(protocol)?;
                if let Some(response) = self.take_head(head, outgoing)? {
                    watch.headed();
                    return Poll::Ready(Ok(response));
                }
                looked = 0;
            }
            if self.input.len() >= head::LONGEST {
                let what = Malformed("the answer's head is longer than 128 KiB");
                return Poll::Ready(Err(protocol(what)));
            }
        }
    }

    /// The final head, or nothing for an interim one.
    fn take_head(
        &mut self,
        head: Head,
        outgoing: &mut Outgoing,
    ) -> Result<Option<Response<()>>, Failed> {
        let status = head.response.status();
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Err(Failed::new(ErrorKind::Protocol, "too many interim answers"));
            }
            if status == StatusCode::CONTINUE
                && let Some(on_continue) = &outgoing.on_continue
            {
                on_continue();
            }
            outgoing.headers = head.response.into_parts().0.headers;
            return Ok(None);
        }
        self.decoder = head.decoder;
        self.keep = head.keep;
        Ok(Some(head.response))
    }

    /// What it means that the connection ended while an answer was waited for.
    fn ended(&mut self, error: Option<io::Error>) -> Failed {
        let source = error
            .or_else(|| self.unsent.take())
            .unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
        Failed {
            error: Error::new(ErrorKind::Incomplete).with_source(source),
            lost: self.input.is_empty() && self.interim == 0,
        }
    }

    /// The body, if it has come with the head as a whole.
    pub(super) fn take_whole(&mut self) -> Option<Body> {
        let length = self.decoder.remaining()?;
        if (self.input.len() as u64) < length {
            return None;
        }
        self.decoder = Decoder::Length(0);
        Some(Body::from(take(&mut self.input, length as usize)))
    }

    /// The next frame of the answer's body. The request, if it has not gone out yet, is sent on.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        watch: &mut Watch,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Err(error) = self.poll_send(cx, watch) {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match self.decoder.step(&mut self.input) {
                Ok(Step::Data(data)) => {
                    self.decoder.look_ahead(&mut self.input);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Step::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
                Err(Malformed(what)) => {
                    let error = Error::new(ErrorKind::Protocol).with_source(what);
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match self.fill(cx) {
                Poll::Pending => {
                    return watch
                        .poll(cx, &mut self.timer)
                        .map(|error| Some(Err(error)));
                }
                Poll::Ready(Ok(0)) if self.decoder.may_close() => {
                    self.decoder = Decoder::Length(0);
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => {
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(Some(Err(
                        Error::new(ErrorKind::Incomplete).with_source(error)
                    )));
                }
                Poll::Ready(Ok(_)) => watch.moved(),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Some(Err(
                        Error::new(ErrorKind::Incomplete).with_source(error)
                    )));
                }
            }
        }
    }

    /// Sends on while nobody asks for the answer; ready when that has failed, or the time for the whole is over.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>, watch: &mut Watch) -> Poll<Error> {
        match self.poll_send(cx, watch) {
            Ok(()) => watch.poll_whole(cx, &mut self.timer),
            Err(error) => Poll::Ready(error),
        }
    }

    /// The connection can serve another request.
    pub(super) fn is_reusable(&self) -> bool {
        self.keep && self.outbox.is_sent() && self.decoder.is_done() && self.input.is_empty()
    }

    /// The bytes that were read too far, and the connection.
    pub(super) fn into_parts(self) -> (Bytes, Io) {
        (self.input.freeze(), self.io)
    }

    /// Reads what there is.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = usize::try_from(self.decoder.wanted()).unwrap_or(LARGE);
        let room = wanted.clamp(self.room, LARGE);
        let spare = self.input.capacity() - self.input.len();
        if spare < room / 2 {
            self.input.reserve(room);
        }
        let spare = self.input.capacity() - self.input.len();
        let read = pin!(self.io.read_buf(&mut self.input)).poll(cx);
        if let Poll::Ready(Ok(length)) = read {
            if length == spare {
                self.room = (self.room * 4).min(LARGE);
            } else if length < self.room / 4 {
                self.room = (self.room / 2).max(SMALL);
            }
        }
        read
    }
}

/// Takes bytes from the front. A few are copied: then the buffer is free again before the next answer, which may come while
/// this one is still on its way to the client, and needs no other.
fn take(input: &mut BytesMut, length: usize) -> Bytes {
    if length > COPIED {
        return input.split_to(length).freeze();
    }
    let bytes = Bytes::copy_from_slice(&input[..length]);
    input.advance(length);
    bytes
}

fn protocol(Malformed(what): Malformed) -> Failed {
    Failed::new(ErrorKind::Protocol, what)
}
