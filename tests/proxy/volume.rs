//! Bodies that are larger than what a gateway may keep: whoever reads slowly slows down whoever sends, and memory does not
//! grow with what passes.

use std::{
    pin::Pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::net::TcpSocket;
use tower_gateway::BoxError;

use crate::wire::{Backend, Client, Stream, Wire, chain_of, whole};

const PIECE: usize = 64 * 1024;
const WHOLE: u64 = 100 << 20;
/// What may be on its way, in buffers and windows of client, gateway and backend together, and what they may take for it.
const BOUND: u64 = 8 << 20;
/// Set where a test is alone in its process.
const ALONE: &str = "TOWER_GATEWAY_TEST_ALONE";

/// A body of [`WHOLE`] bytes from here to there.
#[derive(Clone, Default)]
struct Flow(Arc<Counts>);

#[derive(Default)]
struct Counts {
    produced: AtomicU64,
    consumed: AtomicU64,
    most: AtomicU64,
}

impl Flow {
    fn produced(&self) -> u64 {
        self.0.produced.load(Ordering::Relaxed)
    }

    /// The most bytes that were produced and not yet consumed.
    fn most(&self) -> u64 {
        self.0.most.load(Ordering::Relaxed)
    }

    fn body(&self) -> Stream {
        let (flow, piece) = (self.clone(), piece());
        Source { flow, piece }.boxed_unsync()
    }

    /// Waits until nothing moves any more.
    async fn settle(&self) {
        // With the clock stopped, time passes when there is nothing else to do.
        tokio::time::pause();
        let mut before = None;
        while before.replace(self.produced()) != Some(self.produced()) {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        tokio::time::resume();
    }

    async fn consume(&self, mut body: Incoming) {
        let piece = piece();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            let mut rest = &data[..];
            while !rest.is_empty() {
                let at = self.0.consumed.load(Ordering::Relaxed) as usize % PIECE;
                let length = rest.len().min(PIECE - at);
                assert!(rest[..length] == piece[at..at + length]);
                rest = &rest[length..];
                self.0.consumed.fetch_add(length as u64, Ordering::Relaxed);
            }
        }
        assert_eq!(self.0.consumed.load(Ordering::Relaxed), WHOLE);
    }
}

/// What the body repeats.
fn piece() -> Bytes {
    (0..PIECE / 4)
        .flat_map(|n| (n as u32).to_le_bytes())
        .collect()
}

struct Source {
    flow: Flow,
    piece: Bytes,
}

impl Body for Source {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let counts = &self.flow.0;
        if counts.produced.load(Ordering::Relaxed) == WHOLE {
            return Poll::Ready(None);
        }
        let produced = counts.produced.fetch_add(PIECE as u64, Ordering::Relaxed) + PIECE as u64;
        let ahead = produced - counts.consumed.load(Ordering::Relaxed);
        counts.most.fetch_max(ahead, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }
}

/// A socket whose buffers do not grow, as the operating system would let them: it is not what is tested.
fn narrow() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(64 * 1024).unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket
}

async fn upload(wire: Wire) {
    let (mut client, mut backend) = chain_of((wire, wire), narrow).await;
    let before = first(&mut client, &mut backend).await;
    let flow = Flow::default();
    let answer = client.send(Request::post("/a").body(flow.body()).unwrap());
    let exchange = backend.next().await;
    let (request, answered) = (exchange.request, exchange.answer);
    flow.settle().await;
    flow.consume(request.into_body()).await;
    answered.send(Response::new(whole("done"))).unwrap();
    let answer = answer.await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), "done");
    check(flow.most(), before);
}

async fn download(wire: Wire) {
    let (mut client, mut backend) = chain_of((wire, wire), narrow).await;
    let before = first(&mut client, &mut backend).await;
    let flow = Flow::default();
    let answer = client.send(Request::get("/a").body(whole("")).unwrap());
    let _asked = backend.next().await.answer(flow.body());
    let answer = answer.await.unwrap();
    flow.settle().await;
    flow.consume(answer.into_body()).await;
    check(flow.most(), before);
}

/// A first exchange, for what is needed once. Returns the memory that is held after it.
async fn first(client: &mut Client, backend: &mut Backend) -> Option<u64> {
    let answer = client.send(Request::post("/a").body(whole(piece())).unwrap());
    let exchange = backend.next().await;
    let body = exchange.request.into_body().collect().await.unwrap();
    let answered = exchange.answer.send(Response::new(whole(body.to_bytes())));
    assert!(answered.is_ok());
    let answer = answer.await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), piece());
    memory("VmRSS:")
}

fn check(most: u64, before: Option<u64>) {
    assert!(most >= PIECE as u64, "nothing was sent");
    let peak = memory("VmHWM:");
    let grown = peak
        .zip(before)
        .map_or(0, |(peak, before)| peak.saturating_sub(before));
    assert!(
        most < BOUND && grown < BOUND,
        "{most} bytes were on their way, and memory grew by {grown}"
    );
}

/// The memory of this process in bytes, as Linux tells it: what is held (`VmRSS:`), or the most that was (`VmHWM:`).
fn memory(name: &str) -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    Some(kib.parse::<u64>().unwrap() << 10)
}

/// Runs a test of this file in a process of its own, where nobody else takes memory.
fn alone(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        return runtime.enable_all().build().unwrap().block_on(test);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("volume::{name}"), "--nocapture"])
        .env(ALONE, "")
        .output()
        .unwrap();
    let [said, failed] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{failed}"
    );
}

macro_rules! alone {
    ($($name:ident: $test:expr;)*) => {$(
        #[test]
        fn $name() {
            alone(stringify!($name), $test);
        }
    )*};
}

alone! {
    a_backend_that_reads_slowly_slows_the_client_down: upload(Wire::Http1);
    a_backend_that_reads_slowly_slows_the_client_down_over_http2: upload(Wire::Http2);
    a_client_that_reads_slowly_slows_the_backend_down: download(Wire::Http1);
    a_client_that_reads_slowly_slows_the_backend_down_over_http2: download(Wire::Http2);
}
