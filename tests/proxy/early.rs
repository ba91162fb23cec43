//! Answers that begin before their request has ended, and what may still happen to either.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tower::ServiceExt;
use tower_gateway::{Body, BoxError, Route, Upstream};

use crate::{
    support::{one_route, raw_backend, read_head, upstream},
    wire::{Stream, data, frames, soon},
};

/// More than one piece of an answer that does not end.
const BEGUN: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n2\r\nok\r\n2\r\nok\r\n";

/// A backend that says this behind a request's head; with what it gets of the body until the connection ends.
async fn answers_early(said: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (bodies, received) = mpsc::unbounded_channel();
    let backend = raw_backend(move |_, mut stream| {
        let bodies = bodies.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut body = Vec::new();
            let _ = stream.read_to_end(&mut body).await;
            let _ = bodies.send(body);
        }
    })
    .await;
    (backend, received)
}

/// Sends an upload through a gateway in this process, which decides alone when the answer is read.
async fn upload(upstream: Upstream, body: Stream) -> Response<Body> {
    let request = Request::post("/a").header("host", "t.example");
    let gateway = one_route(Route::new("/{*rest}"), upstream);
    let answer = gateway.oneshot(request.body(body).unwrap());
    soon("an answer", answer).await.unwrap()
}

/// Lets everything else run that can.
pub async fn others() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_upload_that_fails_while_nobody_reads_the_answer_is_not_ended_as_if_it_were_whole() {
    let (backend, mut bodies) = answers_early(BEGUN).await;
    let (sent, body) = frames();
    sent.send(data("part")).unwrap();
    let answer = upload(upstream(backend), body).await;
    others().await;
    sent.send(Err("no more".into())).unwrap();
    drop(sent);
    others().await;
    let answer = soon("the end", answer.into_body().collect()).await;
    assert!(answer.is_err(), "{answer:?}");
    let body = soon("the end", bodies.recv()).await.unwrap();
    assert_eq!(body.escape_ascii().to_string(), "4\\r\\npart\\r\\n");
}

#[tokio::test]
async fn an_upload_that_panics_breaks_the_answer() {
    let (backend, mut bodies) = answers_early(BEGUN).await;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let pieces = stream::poll_fn(move |cx| {
        assert!(!stopped.load(Ordering::Relaxed), "on purpose");
        cx.waker().wake_by_ref();
        std::task::Poll::<Option<Result<Frame<Bytes>, BoxError>>>::Pending
    });
    let body = BodyExt::boxed_unsync(StreamBody::new(pieces));
    let answer = upload(upstream(backend), body).await;
    stop.store(true, Ordering::Relaxed);
    let answer = soon("the end", answer.into_body().collect()).await;
    assert!(answer.is_err(), "{answer:?}");
    soon("the end", bodies.recv()).await.unwrap();
}

#[tokio::test]
async fn the_time_for_the_whole_ends_for_a_client_that_neither_sends_nor_reads() {
    let (backend, mut bodies) = answers_early(BEGUN).await;
    let (_sent, body) = frames();
    let limit = Duration::from_millis(200);
    let answer = upload(upstream(backend).timeout(limit), body).await;
    assert_eq!(answer.status(), 200);
    soon("the end", bodies.recv()).await.unwrap();
    let answer = soon("the end", answer.into_body().collect()).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn an_answer_that_is_followed_by_a_reset_arrives() {
    let backend = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 6\r\n\r\nenough";
        stream.write_all(answer).await.unwrap();
        // What is sent from here on is answered by a reset.
    })
    .await;
    for round in 0..50 {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let pieces = stream::repeat_with(move || Ok(Frame::data(piece.clone())));
        let body = BodyExt::boxed_unsync(StreamBody::new(pieces));
        let answer = upload(upstream(backend), body).await;
        assert_eq!(answer.status(), 413, "{round}");
        let answer = soon("the end", answer.into_body().collect()).await;
        assert_eq!(answer.unwrap().to_bytes(), "enough", "{round}");
    }
}
