//! `Expect: 100-continue` to backends that want the body and do not say so, or say so over HTTP/2; and what else comes
//! before an answer.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use tower_gateway::Route;

use crate::{http2_again::whole_of, keeping::pass, support, wire::soon};

/// The head of an upload that waits to be asked for, but for its path.
const EXPECTING: &str =
    "HTTP/1.1\r\nHost: t.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn a_body_that_nobody_asks_for_is_sent_after_a_second() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let backend = support::raw_backend(move |_, mut stream| {
        let tell = tell.clone();
        async move {
            let head = support::read_head(&mut stream).await.to_ascii_lowercase();
            assert!(head.contains("expect: 100-continue"), "{head}");
            tell.send(()).unwrap();
            let mut body = [0; 5];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"hello");
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let gateway = support::in_front_of(backend).await;
    let mut client = TcpStream::connect(gateway).await.unwrap();
    let head = format!("POST /a {EXPECTING}");
    client.write_all(head.as_bytes()).await.unwrap();
    soon("the head", told.recv()).await.unwrap();
    pass(Duration::from_secs(1)).await;
    let interim = soon("leave to go on", support::read_head(&mut client)).await;
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    client.write_all(b"hello").await.unwrap();
    let answer = soon("an answer", support::read_head(&mut client)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A gateway before an HTTP/2 backend that says this before each answer; and what that gets: each request's path, and
/// then its body, if there is one.
async fn before_http2(interim: &'static [u16]) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let backend = support::raw_backend(move |_, stream| {
        let tell = tell.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut answer))) = connection.accept().await {
                for status in interim {
                    let interim = Response::builder().status(*status).body(()).unwrap();
                    answer.send_informational(interim).unwrap();
                }
                tokio::spawn(exchange(request, answer, tell.clone()));
            }
        }
    })
    .await;
    let upstream = support::upstream(backend).http2_only();
    let gateway = support::one_route(Route::new("/{*rest}"), upstream);
    (support::serve(gateway).await, told)
}

/// Refuses at once what is sent to `/refuse`, and answers everything else when its body is there.
async fn exchange(
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    tell: mpsc::UnboundedSender<String>,
) {
    let path = request.uri().path().to_owned();
    let refuses = path == "/refuse";
    tell.send(path).unwrap();
    if refuses {
        let refusal = Response::builder().status(403).body(()).unwrap();
        answer.send_response(refusal, true).unwrap();
    }
    let body = whole_of(request.into_body()).await;
    tell.send(format!("{:?}", body.map(String::from_utf8)))
        .unwrap();
    if !refuses {
        let head = Response::builder().header("content-length", 4).body(());
        let mut answer = answer.send_response(head.unwrap(), false).unwrap();
        answer.send_data("fine".into(), true).unwrap();
    }
}

const INTERIM: [&[u16]; 4] = [&[], &[100], &[103], &[103, 100, 102]];

#[tokio::test]
async fn what_comes_before_an_answer_over_http2_is_no_answer() {
    for interim in INTERIM {
        let (gateway, _told) = before_http2(interim).await;
        let asked = b"GET /a HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n";
        let heard = soon(interim, support::say(gateway, asked)).await.bytes;
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.starts_with("HTTP/1.1 200"), "{interim:?}: {heard}");
        assert!(heard.ends_with("\r\n\r\nfine"), "{interim:?}: {heard}");
    }
}

#[tokio::test]
async fn a_body_reaches_an_http2_backend_within_a_second_whether_it_asks_or_not() {
    for interim in INTERIM {
        let (gateway, mut told) = before_http2(interim).await;
        let mut client = TcpStream::connect(gateway).await.unwrap();
        let head = format!("POST /take {EXPECTING}");
        client.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(soon("the head", told.recv()).await.unwrap(), "/take");
        // hyper tells nobody of a 100 over HTTP/2.
        pass(Duration::from_secs(1)).await;
        let leave = soon("leave to go on", support::read_head(&mut client)).await;
        assert!(leave.starts_with("HTTP/1.1 100"), "{interim:?}: {leave}");
        client.write_all(b"hello").await.unwrap();
        let body = soon("the body", told.recv()).await.unwrap();
        assert_eq!(body, r#"Some(Ok("hello"))"#, "{interim:?}");
        let answer = soon("an answer", support::read_head(&mut client)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{interim:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_an_http2_backend_refuses_unseen_is_not_asked_for() {
    for interim in [&[][..], &[103]] {
        let (gateway, mut told) = before_http2(interim).await;
        let mut client = TcpStream::connect(gateway).await.unwrap();
        let head = format!("POST /refuse {EXPECTING}");
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = soon("a refusal", support::read_head(&mut client)).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{interim:?}: {answer}");
        assert_eq!(soon("the head", told.recv()).await.unwrap(), "/refuse");
        let body = soon("the end", told.recv()).await.unwrap();
        assert_eq!(body, "None", "{interim:?}");
    }
}
