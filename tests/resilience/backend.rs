//! A backend that fails as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tower_gateway::Endpoint;

use crate::support::raw_backend;

/// What a backend does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers with this status and its name.
    Status(u16),
    /// Ends the connection instead.
    Resets,
    /// Says something that is not HTTP.
    Garbage,
    /// Ends the connection in the middle of the answer's body.
    Breaks,
    /// Says nothing.
    Hangs,
    /// Sends a head, and the body when it is let go.
    Holds,
}

/// A backend; clones are the same one.
#[derive(Clone)]
pub struct Backend {
    pub address: SocketAddr,
    pub name: &'static str,
    mode: Arc<Mutex<Mode>>,
    /// Requests, but not for `/healthz`.
    taken: Arc<AtomicUsize>,
    probes: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    go: Arc<Notify>,
}

impl Backend {
    pub async fn start(name: &'static str) -> Self {
        let (send, receive) = tokio::sync::oneshot::channel::<Self>();
        let receive = Arc::new(tokio::sync::Mutex::new(Some(receive)));
        let this = Arc::new(tokio::sync::OnceCell::new());
        let address = raw_backend(move |_, stream| {
            let (this, receive) = (this.clone(), receive.clone());
            async move {
                let init = async { receive.lock().await.take().unwrap().await.unwrap() };
                let backend: &Self = this.get_or_init(|| init).await;
                backend.open.fetch_add(1, Ordering::SeqCst);
                backend.serve(stream).await;
                backend.open.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .await;
        let backend = Self {
            address,
            name,
            mode: Arc::new(Mutex::new(Mode::Status(200))),
            taken: Arc::default(),
            probes: Arc::default(),
            open: Arc::default(),
            go: Arc::default(),
        };
        let _ = send.send(backend.clone());
        backend
    }

    pub async fn three() -> [Self; 3] {
        [
            Self::start("a").await,
            Self::start("b").await,
            Self::start("c").await,
        ]
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    pub fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Lets what is held go on.
    pub fn let_go(&self) {
        self.go.notify_waiters();
    }

    async fn serve(&self, mut stream: TcpStream) {
        while let Some(head) = read(&mut stream).await {
            if head.contains(" /healthz ") {
                self.probes.fetch_add(1, Ordering::SeqCst);
            } else {
                self.taken.fetch_add(1, Ordering::SeqCst);
            }
            let mode = *self.mode.lock().unwrap();
            let whole = format!("content-length: {}\r\n\r\n{}", self.name.len(), self.name);
            let said = match mode {
                Mode::Status(status) => format!("HTTP/1.1 {status} X\r\n{whole}"),
                Mode::Resets => return,
                Mode::Garbage => "I am a teapot\r\n\r\n".to_owned(),
                Mode::Breaks => "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc".to_owned(),
                Mode::Hangs => {
                    let _ = stream.read_u8().await;
                    return;
                }
                Mode::Holds => {
                    let go = self.go.notified();
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
                        .await
                        .unwrap();
                    go.await;
                    "held".to_owned()
                }
            };
            if stream.write_all(said.as_bytes()).await.is_err() || mode == Mode::Breaks {
                return;
            }
        }
    }
}

impl From<&Backend> for Endpoint {
    fn from(backend: &Backend) -> Self {
        Self::new(backend.url())
    }
}

/// A request's head; `None` at the end.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
    assert!(waited.is_ok(), "{what}");
}
