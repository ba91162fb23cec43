//! Connections that end between the last look at them and their use. The test's own task is the only one that runs, so
//! that it decides what has been noticed and what has not.

use bytes::Bytes;
use futures_util::poll;
use http_body::Frame;
use tokio::{sync::mpsc, task::coop};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::*;

/// A client of one connection, which is idle, and both ends of what the backend sees.
async fn idle() -> (Client, TcpListener, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap(), one_connection);
    let serve = async {
        let mut peer = listener.accept().await.unwrap().0;
        read_head(&mut peer).await.unwrap();
        peer.write_all(OK).await.unwrap();
        peer
    };
    let (status, peer) = tokio::join!(fetch(&client, get()), serve);
    assert_eq!(status, Ok(200));
    (client, listener, peer)
}

/// Ends a connection at once, so that whoever writes next learns of it.
fn reset(peer: TcpStream) {
    socket2::SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Waits until everything that has arrived anywhere has been noticed.
async fn notice(listener: &TcpListener) {
    let probe = TcpListener::bind((listener.local_addr().unwrap().ip(), 0));
    let probe = probe.await.unwrap();
    let there = TcpStream::connect(probe.local_addr().unwrap());
    let (mut here, there) = tokio::join!(probe.accept(), there);
    there.unwrap().write_all(b"x").await.unwrap();
    here.as_mut().unwrap().0.read_u8().await.unwrap();
}

fn post(body: Body) -> Outgoing {
    Outgoing {
        method: Method::POST,
        body,
        ..get()
    }
}

/// Takes a request up to these last bytes from a fresh connection, and answers it.
async fn serve_anew(listener: &TcpListener, last: &str) -> String {
    let mut peer = listener.accept().await.unwrap().0;
    let mut seen = Vec::new();
    while !seen.ends_with(last.as_bytes()) {
        seen.push(peer.read_u8().await.unwrap());
    }
    peer.write_all(OK).await.unwrap();
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_request_that_never_left_keeps_the_body_that_is_still_to_come() {
    let (client, listener, peer) = idle().await;
    let (sender, body) = mpsc::unbounded_channel::<Result<Frame<Bytes>, Error>>();
    let body = Body::new(StreamBody::new(UnboundedReceiverStream::new(body)));
    reset(peer);
    let answer = fetch(&client, post(body));
    let mut answer = std::pin::pin!(answer);
    assert!(poll!(answer.as_mut()).is_pending());
    sender.send(Ok(Frame::data("hello".into()))).unwrap();
    drop(sender);
    let end = "5\r\nhello\r\n0\r\n\r\n";
    let served = tokio::time::timeout(Duration::from_secs(5), serve_anew(&listener, end));
    let (status, seen) = tokio::join!(answer, served);
    assert!(seen.expect("a whole request").ends_with(end));
    assert_eq!(status, Ok(200));
}

#[tokio::test]
async fn a_request_that_never_left_keeps_the_body_that_was_taken() {
    for text in ["hello", ""] {
        let (client, listener, peer) = idle().await;
        let frames = [text, "!"].map(|data| Ok::<_, Error>(Frame::data(Bytes::from(data))));
        let body = Body::new(StreamBody::new(tokio_stream::iter(frames)));
        reset(peer);
        let served = serve_anew(&listener, "1\r\n!\r\n0\r\n\r\n");
        let served = tokio::time::timeout(Duration::from_secs(5), served);
        let (status, seen) = tokio::join!(fetch(&client, post(body)), served);
        assert_eq!(
            seen.expect("a whole request").contains("5\r\nhello\r\n"),
            !text.is_empty()
        );
        assert_eq!(status, Ok(200));
    }
}

#[tokio::test]
async fn what_came_before_the_request_left_is_no_answer_to_it() {
    let (client, listener, peer) = idle().await;
    let farewell = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(peer.try_write(farewell).unwrap(), farewell.len());
    reset(peer);
    let served = serve_anew(&listener, "\r\n\r\n");
    let served = tokio::time::timeout(Duration::from_secs(5), served);
    let (status, served) = tokio::join!(fetch(&client, get()), served);
    assert_eq!(status, Ok(200));
    assert!(served.is_ok());
}

#[tokio::test]
async fn a_task_that_has_used_up_its_turn_still_sees_that_a_connection_has_ended() {
    let (client, listener, peer) = idle().await;
    drop(peer);
    notice(&listener).await;
    let (sender, mut busy) = mpsc::unbounded_channel();
    while coop::has_budget_remaining() {
        sender.send(()).unwrap();
        let _ = poll!(std::pin::pin!(busy.recv()));
    }
    let answer = fetch(&client, post("hello".into()));
    let served = serve_anew(&listener, "hello");
    let served = tokio::time::timeout(Duration::from_secs(5), served);
    let (status, served) = tokio::join!(answer, served);
    assert_eq!(status, Ok(200));
    assert!(served.is_ok());
}

#[tokio::test]
async fn a_connection_that_ended_after_it_was_handed_over_is_not_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap(), one_connection);
    let serve = async {
        let mut peer = listener.accept().await.unwrap().0;
        read_head(&mut peer).await.unwrap();
        let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok";
        peer.write_all(begun).await.unwrap();
        peer
    };
    let sent = client
        .clone()
        .enter(usize::MAX)
        .unwrap()
        .send(get(), Limits::default());
    let (first, mut peer) = tokio::join!(sent, serve);
    let first = body(first.unwrap_or_else(|failed| panic!("{}", failed.error)));
    let waits = fetch(&client, post("hello".into()));
    let mut waits = std::pin::pin!(waits);
    assert!(poll!(waits.as_mut()).is_pending());
    let (first, _) = tokio::join!(first.into_body().collect(), peer.write_all(b"ok"));
    assert_eq!(first.unwrap().to_bytes(), "okok");
    let evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    peer.write_all(evil).await.unwrap();
    drop(peer);
    notice(&listener).await;
    let served = serve_anew(&listener, "hello");
    let served = tokio::time::timeout(Duration::from_secs(5), served);
    let (status, served) = tokio::join!(waits, served);
    assert_eq!(status, Ok(200));
    assert!(served.is_ok());
}
