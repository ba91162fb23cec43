//! Bytes both ways, after the protocols were switched.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;

/// Joins the two connections until both directions are closed, or nothing was said for the idle limit. A direction
/// that ends is closed on the other side, and the other direction goes on.
pub(super) async fn join<B>(client: OnUpgrade, backend: B, idle: Option<Duration>)
where
    B: AsyncRead + AsyncWrite + Unpin,
{
    if let Ok(client) = client.await {
        relay(TokioIo::new(client), backend, idle).await;
    }
}

async fn relay<A, B>(client: A, backend: B, idle: Option<Duration>)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let pulse = Pulse::new();
    let mut client = Pulsing {
        io: client,
        pulse: pulse.clone(),
    };
    let mut backend = Pulsing {
        io: backend,
        pulse: pulse.clone(),
    };
    let mut copy = pin!(tokio::io::copy_bidirectional(&mut client, &mut backend));
    let Some(idle) = idle else {
        let _ = copy.await;
        return;
    };
    let mut sleep = pin!(tokio::time::sleep(idle));
    poll_fn(|cx| {
        if copy.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while sleep.as_mut().poll(cx).is_ready() {
            let due = pulse.last() + idle;
            if due <= clock::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due.into());
        }
        Poll::Pending
    })
    .await;
}

/// When a byte was last read.
#[derive(Clone)]
struct Pulse(Arc<(Instant, AtomicU64)>);

impl Pulse {
    fn new() -> Self {
        Self(Arc::new((clock::now(), AtomicU64::new(0))))
    }

    fn beat(&self) {
        let since = clock::now().saturating_duration_since(self.0.0);
        self.0.1.store(
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    fn last(&self) -> Instant {
        self.0.0 + Duration::from_nanos(self.0.1.load(Ordering::Relaxed))
    }
}

struct Pulsing<T> {
    io: T,
    pulse: Pulse,
}

impl<T: AsyncRead + Unpin> AsyncRead for Pulsing<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.pulse.beat();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Pulsing<T> {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_after_the_limit_or_never() {
        for idle in [None, Some(HOUR)] {
            let (mut client, from_client) = duplex(64);
            let (mut backend, from_backend) = duplex(64);
            let relayed = tokio::spawn(relay(from_client, from_backend, idle));
            let begin = clock::now();
            for _ in 0..3 {
                tokio::time::sleep(HOUR - Duration::from_secs(1)).await;
                client.write_all(b"a").await.unwrap();
                assert_eq!(backend.read_u8().await.unwrap(), b'a');
            }
            let spoken = clock::now() - begin;
            let silent = tokio::time::timeout(100 * HOUR, client.read(&mut [0])).await;
            let lasted = clock::now() - begin;
            assert_eq!(silent.is_ok(), idle.is_some());
            assert_eq!(
                lasted.as_secs(),
                (spoken + idle.unwrap_or(100 * HOUR)).as_secs()
            );
            relayed.abort();
        }
    }
}
