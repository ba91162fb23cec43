//! What comes behind an answer's head: a body as it arrives, or a connection that goes on as something else.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};

use super::Http1;
use crate::{
    body::Body,
    client::{
        InFlight,
        attend::attend,
        io::Io,
        pool::Slot,
        watch::{Limits, Watch},
    },
    error::{Error, ErrorKind},
};

/// An answer's body. When it has ended, its connection goes back to the pool; when it is dropped before that, the
/// connection is closed.
pub(super) struct Streamed(Option<Link>);

/// What an exchange holds until it is over.
struct Link {
    conn: Http1,
    watch: Watch,
    _in_flight: InFlight,
}

impl Streamed {
    pub(super) fn new(conn: Http1, watch: Watch, in_flight: InFlight) -> Self {
        Self(Some(Link {
            conn,
            watch,
            _in_flight: in_flight,
        }))
    }

    pub(super) fn into_response(self, response: Response<()>) -> Response<Body> {
        let sending = self
            .0
            .as_ref()
            .is_some_and(|link| !link.conn.conn.outbox.is_over());
        response.map(|()| {
            let (limits, pool) = match &self.0 {
                Some(link) => (link.watch.limits(), link.conn.pool().cloned()),
                None => (Limits::default(), None),
            };
            if sending {
                attend(both_ways(self), limits, pool.as_ref())
            } else {
                attend(self, limits, pool.as_ref())
            }
        })
    }

    fn finish(&mut self) {
        if let Some(Link { conn, .. }) = self.0.take() {
            conn.finish();
        }
    }
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(link) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let conn = &mut link.conn.conn;
        let frame = std::task::ready!(conn.poll_frame(cx, &mut link.watch));
        match frame {
            Some(Ok(frame)) => {
                if conn.decoder.is_done() {
                    self.finish();
                } else if link.watch.is_over() {
                    self.0 = None;
                    return Poll::Ready(Some(Err(ErrorKind::Deadline.into())));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.0 = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let remaining = match &self.0 {
            Some(link) => link.conn.conn.decoder.remaining(),
            None => Some(0),
        };
        remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// For an answer that begins while the request is still being sent. A client that reads nothing before it has sent
/// everything must not bring its own sending to a halt, so a task of its own carries both.
fn both_ways(mut body: Streamed) -> Carried {
    let hint = body.size_hint();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut gone = pin!(sender.closed());
        loop {
            let mut failed = None;
            let permit = {
                let mut reserve = pin!(sender.reserve());
                poll_fn(|cx| {
                    if let Some(link) = &mut body.0
                        && let Poll::Ready(error) = link.conn.conn.poll_sent(cx, &mut link.watch)
                    {
                        body.0 = None;
                        failed = Some(error);
                    }
                    reserve.as_mut().poll(cx)
                })
                .await
            };
            let Ok(permit) = permit else { return };
            let frame = match failed {
                Some(error) => Some(Err(error)),
                None => {
                    let next = poll_fn(|cx| match gone.as_mut().poll(cx) {
                        Poll::Ready(()) => Poll::Ready(None),
                        Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(Some),
                    });
                    let Some(frame) = next.await else { return };
                    frame
                }
            };
            let is_end = frame.is_none();
            permit.send(frame);
            if is_end {
                return;
            }
        }
    });
    Carried {
        receiver,
        hint,
        over: false,
    }
}

/// The end of the channel that a client reads. The end of the body is said; that of the channel without it means that
/// the task is gone.
struct Carried {
    receiver: mpsc::Receiver<Option<Result<Frame<Bytes>, Error>>>,
    hint: SizeHint,
    over: bool,
}

impl http_body::Body for Carried {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let broken = || Some(Err(ErrorKind::Incomplete.into()));
        let frame = std::task::ready!(self.receiver.poll_recv(cx)).unwrap_or_else(broken);
        self.over = !matches!(frame, Some(Ok(_)));
        if let Some(Ok(frame)) = &frame
            && let (Some(left), Some(data)) = (self.hint.exact(), frame.data_ref())
        {
            self.hint = SizeHint::with_exact(left.saturating_sub(data.len() as u64));
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// A connection that has switched protocols. It counts as in use until it is dropped.
pub(crate) struct Switched {
    read: Bytes,
    io: Io,
    _slot: Slot,
    _in_flight: InFlight,
}

impl Switched {
    pub(super) fn new(conn: Http1, in_flight: InFlight) -> Self {
        let (read, io) = conn.conn.into_parts();
        Self {
            read,
            io,
            _slot: conn.slot,
            _in_flight: in_flight,
        }
    }
}

impl AsyncRead for Switched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        // Bytes that came with the head.
        let length = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..length]);
        self.read.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
