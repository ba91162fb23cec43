//! `Expect: 100-continue` to a backend that wants the body and does not say so.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::{keeping::pass, support, wire::soon};

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
    let head =
        b"POST /a HTTP/1.1\r\nHost: t.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    client.write_all(head).await.unwrap();
    soon("the head", told.recv()).await.unwrap();
    pass(Duration::from_secs(1)).await;
    let interim = soon("leave to go on", support::read_head(&mut client)).await;
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    client.write_all(b"hello").await.unwrap();
    let answer = soon("an answer", support::read_head(&mut client)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
