//! A way to a server that can be blocked, or be long.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use crate::support::raw_backend;

/// Passes on what it gets, both ways, unless it is blocked.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    blocked: watch::Sender<bool>,
    delay: watch::Sender<Duration>,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let (blocked, is_blocked) = watch::channel(false);
        let (delay, takes) = watch::channel(Duration::ZERO);
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let address = raw_backend(move |_, client| {
            count.fetch_add(1, Ordering::SeqCst);
            let (is_blocked, other) = (is_blocked.clone(), is_blocked.clone());
            let takes = takes.clone();
            async move {
                let Ok(server) = TcpStream::connect(server).await else {
                    return;
                };
                // Or small answers wait for the one who asks to say that the last one was read.
                for stream in [&client, &server] {
                    let _ = stream.set_nodelay(true);
                }
                let at_once = watch::channel(Duration::ZERO).1;
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::select! {
                    () = pass_on(from_client, to_server, is_blocked, at_once) => {}
                    () = pass_on(from_server, to_client, other, takes) => {}
                }
            }
        })
        .await;
        Self {
            address,
            blocked,
            delay,
            accepted,
        }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn block(&self, on: bool) {
        self.blocked.send_replace(on);
    }

    /// What the server says comes so much later.
    pub fn delay(&self, time: Duration) {
        self.delay.send_replace(time);
    }

    /// Connections until now.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut blocked: watch::Receiver<bool>,
    delay: watch::Receiver<Duration>,
) {
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let delay = *delay.borrow();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let free = blocked.wait_for(|blocked| !blocked).await.is_ok();
        if !free || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
