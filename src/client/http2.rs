//! One HTTP/2 connection and its streams.

mod link;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::oneshot;

use super::{ClientConfig, io::Io, pool::Pool};
use crate::{
    body::Body,
    clock,
    error::{BoxError, Error, ErrorKind},
    timer::Timer,
};

use link::{Link, Socket};

/// How long a connection may say nothing at all while a request waits, if that request is then given up.
const SILENCE: Duration = Duration::from_secs(5);

/// What is as good as never, and can be added to a moment.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A connection in its pool.
pub(crate) struct Entry {
    tx: SendRequest<Body>,
    link: Arc<Link>,
    streams: usize,
    pub(crate) opened: Instant,
    since: Instant,
}

impl Entry {
    pub(crate) fn id(&self) -> u64 {
        self.link.id
    }

    /// Whether it takes no more requests; streams that there are may go on.
    pub(crate) fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    /// Whether its socket is closed.
    pub(crate) fn is_gone(&self) -> bool {
        self.link.is_closed()
    }

    pub(crate) fn has_room(&self, most: usize) -> bool {
        self.streams < self.link.allowed.load(Ordering::Relaxed).min(most)
    }

    pub(crate) fn is_idle(&self, now: Instant, limit: Duration) -> bool {
        self.streams == 0 && now.saturating_duration_since(self.since) >= limit
    }

    pub(crate) fn take(&mut self, pool: Arc<Pool>, now: Instant) -> Stream {
        self.streams += 1;
        Stream {
            tx: self.tx.clone(),
            timer: Timer::new(),
            heard: self.link.heard(),
            link: self.link.clone(),
            began: now,
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
    link: Arc<Link>,
    began: Instant,
    /// What had been heard when it began.
    heard: usize,
    pool: Option<Arc<Pool>>,
    broken: bool,
}

impl Stream {
    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.as_ref()
    }

    pub(crate) fn sender(&mut self) -> &mut SendRequest<Body> {
        &mut self.tx
    }

    /// Its connection takes no more requests.
    pub(crate) fn broken(&mut self) {
        self.broken = true;
    }

    /// It was not answered in time. If nothing else was said meanwhile, the peer may be gone without a word.
    pub(crate) fn late(&mut self) {
        self.broken |= self.is_unheard();
    }

    fn is_unheard(&self) -> bool {
        self.link.heard() == self.heard
    }

    /// Gives the stream up without a look at the pool, which is locked.
    pub(crate) fn forget(mut self) -> u64 {
        self.pool = None;
        self.link.id
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            let broken = self.broken
                || (self.is_unheard()
                    && clock::now().saturating_duration_since(self.began) >= SILENCE);
            pool.end_stream(self.link.id, broken);
        }
    }
}

/// Starts to speak HTTP/2. Ready when the peer has said how many streams it allows, and that they are some.
pub(crate) async fn open(io: Io, pool: Weak<Pool>, config: &ClientConfig) -> Result<Entry, Error> {
    let failed = |error: BoxError| Error::new(ErrorKind::Connect).with_source(error);
    let link = Link::new(pool);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        // What tells that the peer's SETTINGS are there.
        .initial_max_send_streams(0)
        .timer(TokioTimer::new())
        .keep_alive_interval(config.ping_every.map(|every| every.min(NEVER)))
        .keep_alive_timeout(config.ping_timeout.min(NEVER))
        .keep_alive_while_idle(true);
    let socket = Socket::new(io, link.clone());
    let (tx, mut connection) = builder
        .handshake(TokioIo::new(socket))
        .await
        .map_err(|error| failed(error.into()))?;
    let (tell, told) = oneshot::channel::<Result<(), BoxError>>();
    let mut tell = Some(tell);
    let shared = link.clone();
    tokio::spawn(std::future::poll_fn(move |cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        let mut allows = connection.current_max_send_streams();
        if allows == 0 {
            // Nothing else wakes this task while there is no request. What came before it was registered counts, too.
            shared.news.register(cx.waker());
            allows = connection.current_max_send_streams();
        }
        let changed = shared.allowed.swap(allows, Ordering::Relaxed) != allows;
        if let Some(tell) = tell.take_if(|_| ended.is_ready() || allows > 0) {
            let _ = tell.send(match &ended {
                _ if allows > 0 => Ok(()),
                Poll::Ready(Err(error)) => Err(error.to_string().into()),
                _ => Err("it ended before the peer's SETTINGS".into()),
            });
        } else if (ended.is_ready() || changed)
            && let Some(pool) = shared.pool.upgrade()
        {
            pool.learnt();
        }
        ended.map(drop)
    }));
    told.await
        .unwrap_or_else(|gone| Err(gone.into()))
        .map_err(failed)?;
    let now = clock::now();
    Ok(Entry {
        tx,
        link,
        streams: 0,
        opened: now,
        since: now,
    })
}
