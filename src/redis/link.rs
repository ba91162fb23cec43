//! One connection: made, watched and ended.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use ::redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use futures_util::future::{Either, select};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    task::AbortHandle,
};

use super::{
    error::RedisError,
    target::{Place, Target},
};
use crate::clock;

/// How many questions wait to be written, until who asks has to wait.
const QUEUE: usize = 1_024;

/// A connection that many ask over at once.
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// The task that writes and reads.
    driver: AbortHandle,
    /// Closed when that task is over.
    running: watch::Receiver<()>,
    signs: Arc<Signs>,
    has_answered: AtomicBool,
}

/// When it was asked and when it has said something: microseconds since it was opened.
struct Signs {
    opened: Instant,
    /// The first time since it has last said something.
    asked: AtomicU64,
    heard: AtomicU64,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream that notes when something comes.
struct Watched {
    inner: Box<dyn Stream>,
    signs: Arc<Signs>,
}

impl Link {
    /// Connects, logs in, and is answered once.
    pub(super) async fn open(
        target: &Target,
        #[cfg(feature = "tls")] tls: Option<&super::tls::Tls>,
    ) -> Result<Self, RedisError> {
        let place = &target.place;
        let failed = |error: io::Error| RedisError::unavailable(format!("{place}: {error}"));
        let refused = |error: ::redis::RedisError| {
            let said = target.without_password(&error.to_string());
            RedisError::unavailable(format!("{place}: {said}"))
        };
        let stream = reach(place).await.map_err(failed)?;
        #[cfg(feature = "tls")]
        let stream = match tls {
            Some(tls) => tls.handshake(stream).await.map_err(failed)?,
            None => stream,
        };
        let signs = Arc::new(Signs::new(clock::now()));
        let stream = Watched {
            inner: stream,
            signs: signs.clone(),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let login = target.login.clone().set_skip_set_lib_name();
        let made = MultiplexedConnection::new_with_config(&login, stream, config).await;
        let (connection, driver) = made.map_err(refused)?;
        let (runs, running) = watch::channel(());
        let driver = async move {
            driver.await;
            drop(runs);
        };
        let link = Self {
            driver: tokio::spawn(driver).abort_handle(),
            running,
            signs,
            has_answered: AtomicBool::new(false),
            connection,
        };
        let mut connection = link.connection.clone();
        // Without a password nothing has been asked yet, and anybody could be there.
        let ping = ::redis::cmd("PING");
        let pong = link.unless_ended(ping.query_async::<String>(&mut connection));
        let ended = || RedisError::unavailable(format!("{place}: it has ended the connection"));
        match &*pong.await.ok_or_else(ended)?.map_err(refused)? {
            "PONG" => Ok(link),
            _ => Err(RedisError::unavailable(format!(
                "{place}: that is not Redis"
            ))),
        }
    }

    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// What comes of a question; none if the connection ends before. The library does not tell that to a question which is just being queued.
    pub(super) async fn unless_ended<F: Future>(&self, answer: F) -> Option<F::Output> {
        let mut running = self.running.clone();
        let ended = pin!(running.wait_for(|()| false));
        // An answer that is there goes first.
        match select(pin!(answer), ended).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.driver.is_finished()
    }

    /// Ends it; who waits for an answer gets an error.
    pub(super) fn end(&self) {
        self.driver.abort();
    }

    pub(super) fn asked(&self, now: Instant) {
        self.signs.asked(now);
    }

    /// For how long it has said nothing, although somebody waits for an answer.
    pub(super) fn silent_for(&self, now: Instant) -> Duration {
        self.signs.silent_for(now)
    }

    /// Notes that it is of use; true the first time.
    pub(super) fn has_answered_first(&self) -> bool {
        !self.has_answered.load(Relaxed) && !self.has_answered.swap(true, Relaxed)
    }

    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end();
    }
}

impl Signs {
    fn new(opened: Instant) -> Self {
        Self {
            opened,
            asked: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        }
    }

    fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.opened);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    fn asked(&self, now: Instant) {
        if self.asked.load(Relaxed) <= self.heard.load(Relaxed) {
            self.asked.store(self.at(now), Relaxed);
        }
    }

    fn heard(&self, now: Instant) {
        self.heard.store(self.at(now), Relaxed);
    }

    fn silent_for(&self, now: Instant) -> Duration {
        let since = self.asked.load(Relaxed).max(self.heard.load(Relaxed));
        Duration::from_micros(self.at(now).saturating_sub(since))
    }
}

async fn reach(place: &Place) -> io::Result<Box<dyn Stream>> {
    match place {
        Place::Tcp { host, port, .. } => {
            let stream = TcpStream::connect((&**host, *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Place::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        Place::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.signs.heard(clock::now());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_measured_from_the_first_question_that_nobody_answers() {
        let opened = Instant::now();
        let at = |ms| opened + Duration::from_millis(ms);
        let signs = Signs::new(opened);
        let silent_for = |ms| signs.silent_for(at(ms)).as_millis();
        signs.asked(at(1_000));
        assert_eq!(silent_for(1_000), 0, "nobody has asked before");
        signs.asked(at(1_005));
        assert_eq!(silent_for(1_010), 10);
        signs.heard(at(1_011));
        assert_eq!(silent_for(1_015), 4, "the second one waits");
        signs.asked(at(2_000));
        assert_eq!(silent_for(2_001), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_is_heard_and_what_goes_is_not() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (inner, mut peer) = tokio::io::duplex(64);
        let signs = Arc::new(Signs::new(clock::now()));
        let mut stream = Watched {
            inner: Box::new(inner),
            signs: signs.clone(),
        };
        let second = Duration::from_secs(1);
        signs.asked(clock::now());
        tokio::time::advance(second).await;
        stream.write_all(b"PING").await.unwrap();
        assert_eq!(signs.silent_for(clock::now()), second);
        peer.write_all(b"+PONG").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        assert_eq!(signs.silent_for(clock::now()), Duration::ZERO);
        tokio::time::advance(second).await;
        assert!(
            tokio::time::timeout(second, stream.read_u8())
                .await
                .is_err()
        );
        assert_eq!(signs.silent_for(clock::now()), second * 2, "nothing came");
    }
}
