//! What the parts of one HTTP/2 connection tell each other.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client::{io::Io, pool::Pool};

/// Shared by a connection's entry in its pool, its task and its socket.
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) pool: Weak<Pool>,
    /// How many streams the peer allows; 0 until it has said so.
    pub(super) allowed: AtomicUsize,
    /// Whoever waits to know that.
    pub(super) news: AtomicWaker,
    /// Goes up with whatever the peer says.
    heard: AtomicUsize,
    closed: AtomicBool,
}

impl Link {
    pub(super) fn new(pool: Weak<Pool>) -> Arc<Self> {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            pool,
            allowed: AtomicUsize::new(0),
            news: AtomicWaker::new(),
            heard: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    }

    pub(super) fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// A socket that notes what is heard on it, and says when it is closed.
pub(super) struct Socket {
    io: Io,
    link: Arc<Link>,
}

impl Socket {
    pub(super) fn new(io: Io, link: Arc<Link>) -> Self {
        Self { io, link }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // In this order: whoever puts the connection into the pool at this moment sees the one or the other.
        self.link.closed.store(true, Ordering::Release);
        if let Some(pool) = self.link.pool.upgrade() {
            pool.closed(self.link.id);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_pending() {
            // What was read before has been looked at by now, SETTINGS among it.
            self.link.news.wake();
        } else if buf.filled().len() > before {
            self.link.heard.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
