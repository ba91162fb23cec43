//! A request that an HTTP/2 peer says it has not looked at is sent again, whole; every other one goes out once.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{Request, Response, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tower_gateway::Route;

use crate::{
    support::{self, raw_backend, text},
    wire::{Stream, data, frames, soon, whole},
};

/// What becomes of the first request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    /// Its stream is reset.
    Reset(Reason),
    /// Its stream is reset when some of the body is there.
    ResetLater(Reason),
    /// The peer goes away, and has looked at no stream or at this one.
    GoAway { last: u32 },
    /// The connection ends.
    Close,
}

/// A request whose head has arrived.
type Arrived = mpsc::UnboundedReceiver<()>;

/// A backend that deals so with its first request, and answers the others with their bodies.
async fn backend(first: First) -> (SocketAddr, Arrived) {
    let (tell, arrived) = mpsc::unbounded_channel();
    let address = raw_backend(move |number, stream| {
        let tell = tell.clone();
        async move {
            match first {
                First::GoAway { last } if number == 0 => go_away(stream, last, &tell).await,
                _ => serve(stream, (number == 0).then_some(first), &tell).await,
            }
        }
    })
    .await;
    (address, arrived)
}

async fn serve(stream: TcpStream, mut first: Option<First>, tell: &mpsc::UnboundedSender<()>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, answer))) = connection.accept().await {
        tell.send(()).unwrap();
        match first.take() {
            Some(First::Close) => return,
            first => drop(tokio::spawn(exchange(request.into_body(), answer, first))),
        }
    }
}

async fn exchange(mut body: RecvStream, mut answer: SendResponse<Bytes>, first: Option<First>) {
    match first {
        Some(First::Reset(reason)) => return answer.send_reset(reason),
        Some(First::ResetLater(reason)) => {
            body.data().await.unwrap().unwrap();
            return answer.send_reset(reason);
        }
        _ => {}
    }
    if let Some(all) = whole_of(body).await {
        let mut answer = answer.send_response(Response::new(()), false).unwrap();
        answer.send_data(all.into(), true).unwrap();
    }
}

/// All of a body; nothing if it breaks off.
pub async fn whole_of(mut body: RecvStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = body.data().await {
        all.extend_from_slice(&frame.ok()?);
    }
    Some(all)
}

/// Says GOAWAY with NO_ERROR when the first request's head is there, and closes.
async fn go_away(mut stream: TcpStream, last: u32, tell: &mpsc::UnboundedSender<()>) {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const GOAWAY: u8 = 7;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    stream.write_all(&settings).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            break;
        }
    }
    tell.send(()).unwrap();
    let mut frame = vec![0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
    frame.extend(last.to_be_bytes());
    frame.extend([0; 4]);
    stream.write_all(&frame).await.unwrap();
    // A socket that is closed with something unread would take back what was written.
    stream.shutdown().await.unwrap();
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

async fn gateway(backend: SocketAddr) -> SocketAddr {
    let upstream = support::upstream(backend).http2_only();
    support::serve(support::one_route(Route::new("/{*rest}"), upstream)).await
}

fn post(body: Stream) -> Request<Stream> {
    let request = Request::post("/a").header("host", "t.example");
    request.body(body).unwrap()
}

/// The answer, its body, and how many requests the backend has seen.
async fn ask(first: First, body: Stream) -> (StatusCode, String, usize) {
    let (backend, mut arrived) = backend(first).await;
    let gateway = gateway(backend).await;
    let answer = soon("an answer", support::send(gateway, post(body))).await;
    let mut seen = 0;
    while arrived.try_recv().is_ok() {
        seen += 1;
    }
    let status = answer.status();
    let text = if status.is_success() {
        text(answer).await
    } else {
        String::new()
    };
    (status, text, seen)
}

const UNSEEN: [First; 2] = [
    First::Reset(Reason::REFUSED_STREAM),
    First::GoAway { last: 0 },
];

const SEEN: [First; 3] = [
    First::Reset(Reason::INTERNAL_ERROR),
    First::GoAway { last: 1 },
    First::Close,
];

#[tokio::test]
async fn what_was_not_looked_at_is_sent_again_without_a_body() {
    for first in UNSEEN {
        let answer = ask(first, whole("")).await;
        assert_eq!(answer, (StatusCode::OK, String::new(), 2), "{first:?}");
    }
}

#[tokio::test]
async fn what_was_not_looked_at_is_sent_again_with_a_body_that_had_not_begun() {
    for first in UNSEEN {
        let (backend, mut arrived) = backend(first).await;
        let gateway = gateway(backend).await;
        let (sent, body) = frames();
        let answer = tokio::spawn(support::send(gateway, post(body)));
        for _ in 0..2 {
            soon((first, "a request"), arrived.recv()).await.unwrap();
        }
        sent.send(data("hel")).unwrap();
        sent.send(data("lo")).unwrap();
        drop(sent);
        let answer = soon("an answer", answer).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{first:?}");
        assert_eq!(text(answer).await, "hello", "{first:?}");
        assert!(arrived.try_recv().is_err(), "{first:?}");
    }
}

#[tokio::test]
async fn what_may_have_been_looked_at_is_sent_once() {
    for first in SEEN {
        for body in [whole(""), whole("hello")] {
            let answer = ask(first, body).await;
            let expected = (StatusCode::BAD_GATEWAY, String::new(), 1);
            assert_eq!(answer, expected, "{first:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_has_begun_is_sent_once_even_if_it_was_refused() {
    let (sent, body) = frames();
    sent.send(data("hel")).unwrap();
    let first = First::ResetLater(Reason::REFUSED_STREAM);
    let answer = ask(first, body).await;
    let expected = (StatusCode::BAD_GATEWAY, String::new(), 1);
    assert_eq!(answer, expected);
    drop(sent);
}
