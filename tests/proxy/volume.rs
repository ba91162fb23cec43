//! Bodies that are larger than what a gateway may keep: whoever reads slowly slows down whoever sends.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tower_gateway::BoxError;

use crate::wire::{Stream, Wire, chain, whole};

const PIECE: usize = 64 * 1024;
const WHOLE: u64 = 100 << 20;
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

async fn upload(wire: Wire) {
    let (mut client, mut backend) = chain((wire, wire)).await;
    let flow = Flow::default();
    let answer = client.send(Request::post("/a").body(flow.body()).unwrap());
    let exchange = backend.next().await;
    let (request, answered) = (exchange.request, exchange.answer);
    flow.settle().await;
    let stalled = flow.most();
    flow.consume(request.into_body()).await;
    answered.send(http::Response::new(whole("done"))).unwrap();
    let answer = answer.await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), "done");
    check(wire, stalled, flow.most());
}

async fn download(wire: Wire) {
    let (mut client, mut backend) = chain((wire, wire)).await;
    let flow = Flow::default();
    let answer = client.send(Request::get("/a").body(whole("")).unwrap());
    let _asked = backend.next().await.answer(flow.body());
    let answer = answer.await.unwrap();
    flow.settle().await;
    let stalled = flow.most();
    flow.consume(answer.into_body()).await;
    check(wire, stalled, flow.most());
}

fn check(wire: Wire, stalled: u64, most: u64) {
    let bound = match wire {
        // Nearly all of it is in the buffers of four sockets, which the operating system chooses.
        Wire::Http1 => WHOLE / 2,
        // The window of a stream is what counts.
        Wire::Http2 => 8 << 20,
    };
    assert!(stalled >= PIECE as u64, "nothing was sent");
    assert!(most < bound, "{most} bytes were on their way");
}

#[tokio::test]
async fn a_backend_that_reads_slowly_slows_the_client_down() {
    upload(Wire::Http1).await;
}

#[tokio::test]
async fn a_backend_that_reads_slowly_slows_the_client_down_over_http2() {
    upload(Wire::Http2).await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_backend_down() {
    download(Wire::Http1).await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_backend_down_over_http2() {
    download(Wire::Http2).await;
}
