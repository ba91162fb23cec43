//! One HTTP/2 connection and its streams.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{io::Io, pool::Pool, timer::Timer};
use crate::{
    body::Body,
    clock,
    error::{Error, ErrorKind},
};

/// A connection in its pool.
pub(crate) struct Entry {
    pub(crate) id: u64,
    tx: SendRequest<Body>,
    /// How many streams the peer allows; 0 until it has said so.
    allowed: Arc<AtomicUsize>,
    streams: usize,
    pub(crate) opened: Instant,
    since: Instant,
}

impl Entry {
    pub(crate) fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    /// Whether the peer has not yet said how many streams it allows.
    pub(crate) fn is_new(&self) -> bool {
        self.allowed.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn has_room(&self, most: usize) -> bool {
        self.streams < self.allowed.load(Ordering::Relaxed).clamp(1, most)
    }

    pub(crate) fn is_idle(&self, now: Instant, limit: Duration) -> bool {
        self.streams == 0 && now.saturating_duration_since(self.since) >= limit
    }

    pub(crate) fn take(&mut self, pool: Arc<Pool>) -> Stream {
        self.streams += 1;
        Stream {
            tx: self.tx.clone(),
            timer: Timer::new(),
            id: self.id,
            pool: Some(pool),
            broken: false,
        }
    }

    pub(crate) fn give_back(&mut self, now: Instant) {
        self.streams = self.streams.saturating_sub(1);
        self.since = now;
    }
}

/// Leave to have one stream; comes back to its connection when it is dropped.
pub(crate) struct Stream {
    tx: SendRequest<Body>,
    pub(crate) timer: Timer,
    id: u64,
    pool: Option<Arc<Pool>>,
    broken: bool,
}

impl Stream {
    pub(crate) fn sender(&mut self) -> &mut SendRequest<Body> {
        &mut self.tx
    }

    /// Its connection takes no more requests.
    pub(crate) fn broken(&mut self) {
        self.broken = true;
    }

    /// Gives the stream up without a look at the pool, which is locked.
    pub(crate) fn forget(mut self) -> u64 {
        self.pool = None;
        self.id
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.end_stream(self.id, self.broken);
        }
    }
}

/// Starts to speak HTTP/2.
pub(crate) async fn open(io: Io, pool: Weak<Pool>) -> Result<Entry, Error> {
    static IDS: AtomicU64 = AtomicU64::new(0);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    // No stream before the peer has said how many it allows: h2 holds the first request back until then, and the pool
    // the others.
    builder.initial_max_send_streams(0);
    let (tx, mut connection) = builder
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| Error::new(ErrorKind::Connect).with_source(error))?;
    let allowed = Arc::new(AtomicUsize::new(0));
    let seen = allowed.clone();
    tokio::spawn(std::future::poll_fn(move |cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        let allows = connection.current_max_send_streams();
        let ended = ended.is_ready();
        if (ended || seen.swap(allows, Ordering::Relaxed) != allows)
            && let Some(pool) = pool.upgrade()
        {
            pool.learnt();
        }
        if ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }));
    let now = clock::now();
    let id = IDS.fetch_add(1, Ordering::Relaxed);
    Ok(Entry {
        id,
        tx,
        allowed,
        streams: 0,
        opened: now,
        since: now,
    })
}
