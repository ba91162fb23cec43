//! What happens to the two connections of a WebSocket: when they are joined, and how they end.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tower_gateway::{Gateway, Route, Upstream};

use crate::{
    support::{self, Recorder, raw_backend, read_head},
    wire::soon,
};

/// The example of RFC 6455, section 1.3.
const ASK: &str = "GET /ws HTTP/1.1\r\nHost: t.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// A backend that hands over its connections, each with a request's head read.
async fn backend() -> (SocketAddr, mpsc::UnboundedReceiver<TcpStream>) {
    let (send, streams) = mpsc::unbounded_channel();
    let address = raw_backend(move |_, mut stream| {
        let send = send.clone();
        async move {
            read_head(&mut stream).await;
            send.send(stream).unwrap();
        }
    })
    .await;
    (address, streams)
}

async fn gateway(upstream: Upstream) -> SocketAddr {
    let gateway = Gateway::builder()
        .upstream("backend", upstream)
        .route(Route::new("/{*rest}").to("backend"))
        .build()
        .unwrap();
    support::serve(gateway).await
}

/// Both ends of a tunnel.
async fn open(set: impl FnOnce(Upstream) -> Upstream) -> (TcpStream, TcpStream) {
    let (address, mut streams) = backend().await;
    let gateway = gateway(set(support::upstream(address))).await;
    let mut client = TcpStream::connect(gateway).await.unwrap();
    client.write_all(ASK.as_bytes()).await.unwrap();
    let mut backend = streams.recv().await.unwrap();
    backend.write_all(SWITCH.as_bytes()).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, backend)
}

/// Sends a word through the tunnel.
async fn pass(from: &mut TcpStream, to: &mut TcpStream, word: &str) {
    from.write_all(word.as_bytes()).await.unwrap();
    let mut got = vec![0; word.len()];
    soon(word, to.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, word.as_bytes());
}

/// What arrives up to the end, which a reset is too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    rest.escape_ascii().to_string()
}

#[tokio::test]
async fn a_direction_that_is_closed_leaves_the_other_open() {
    let (mut client, mut backend) = open(|upstream| upstream).await;
    pass(&mut client, &mut backend, "first").await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut backend).await, "");
    pass(&mut backend, &mut client, "to the client").await;
    drop(backend);
    assert_eq!(rest(&mut client).await, "");

    let (mut client, mut backend) = open(|upstream| upstream).await;
    pass(&mut backend, &mut client, "first").await;
    backend.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    pass(&mut client, &mut backend, "to the backend").await;
    drop(client);
    assert_eq!(rest(&mut backend).await, "");
}

#[tokio::test]
async fn an_end_that_breaks_off_ends_the_other() {
    for reset in [false, true] {
        for client_goes in [false, true] {
            let (mut client, mut backend) = open(|upstream| upstream).await;
            pass(&mut client, &mut backend, "there").await;
            pass(&mut backend, &mut client, "and back").await;
            let (gone, mut other) = if client_goes {
                (client, backend)
            } else {
                (backend, client)
            };
            if reset {
                let socket = socket2::SockRef::from(&gone);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(gone);
            assert_eq!(rest(&mut other).await, "", "{reset} {client_goes}");
        }
    }
}

#[tokio::test]
async fn a_tunnel_is_closed_when_nothing_is_said_for_too_long() {
    let idle = Duration::from_millis(250);
    let (mut client, mut backend) = open(|upstream| upstream.tunnel_idle_timeout(idle)).await;
    // It stays open as long as one of them speaks.
    let begin = Instant::now();
    while begin.elapsed() < 2 * idle {
        pass(&mut client, &mut backend, "ping").await;
    }
    while begin.elapsed() < 4 * idle {
        pass(&mut backend, &mut client, "pong").await;
    }
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(rest(&mut backend).await, "");
}

#[tokio::test]
async fn what_a_client_says_too_early_is_not_passed_on_before_the_switch() {
    // A backend that does not switch, and therefore reads requests (CVE-2026-2833).
    let (recorder, address) = Recorder::start().await;
    let mut client = TcpStream::connect(gateway(support::upstream(address)).await)
        .await
        .unwrap();
    let second = "GET /second HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n";
    client
        .write_all(format!("{ASK}{second}").as_bytes())
        .await
        .unwrap();
    let heard = rest(&mut client).await;
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 2, "{heard}");
    assert!(!heard.contains("HTTP/1.1 101"), "{heard}");
    assert!(recorder.malformed().is_empty());
    let requests = recorder.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests[1].head.starts_with("GET /second "));
    for request in requests {
        // It came through the front door.
        assert_eq!(request.header("x-forwarded-for"), ["127.0.0.1"]);
    }

    // A backend that does.
    let (address, mut streams) = backend().await;
    let mut client = TcpStream::connect(gateway(support::upstream(address)).await)
        .await
        .unwrap();
    client
        .write_all(format!("{ASK}too early").as_bytes())
        .await
        .unwrap();
    let mut backend = streams.recv().await.unwrap();
    let mut early = [0; 16];
    let nothing = backend.try_read(&mut early).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    backend.write_all(SWITCH.as_bytes()).await.unwrap();
    read_head(&mut client).await;
    soon("what was said early", backend.read_exact(&mut early[..9]))
        .await
        .unwrap();
    assert_eq!(&early[..9], b"too early");
}

#[tokio::test]
async fn what_a_backend_says_with_the_switch_is_passed_on() {
    let (address, mut streams) = backend().await;
    let mut client = TcpStream::connect(gateway(support::upstream(address)).await)
        .await
        .unwrap();
    client.write_all(ASK.as_bytes()).await.unwrap();
    let mut backend = streams.recv().await.unwrap();
    backend
        .write_all(format!("{SWITCH}at once").as_bytes())
        .await
        .unwrap();
    drop(backend);
    let heard = rest(&mut client).await;
    assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
    assert!(heard.ends_with("\\r\\n\\r\\nat once"), "{heard}");
}

#[tokio::test]
async fn a_switch_that_is_not_the_one_asked_for_is_a_502() {
    let plain = "GET /ws HTTP/1.1\r\nHost: t.example\r\n\r\n";
    let other = ASK.replace("Upgrade: websocket", "Upgrade: other");
    let keyless = ASK.replace("Sec-WebSocket-Key", "X-Key");
    let websocket = "Upgrade: websocket\r\n";
    let cases = [
        (
            ASK,
            format!("{websocket}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n"),
        ),
        (ASK, websocket.to_owned()),
        (ASK, ACCEPT.to_owned()),
        (ASK, format!("Upgrade: other\r\n{ACCEPT}")),
        (ASK, format!("{websocket}{websocket}{ACCEPT}")),
        (ASK, format!("Upgrade: websocket, other\r\n{ACCEPT}")),
        (plain, format!("{websocket}{ACCEPT}")),
        (&other, "Upgrade: other\r\n".to_owned()),
        (&keyless, format!("{websocket}{ACCEPT}")),
    ];
    for (ask, switch) in cases {
        let case = format!("{ask} {switch}");
        let (address, mut streams) = backend().await;
        let mut client = TcpStream::connect(gateway(support::upstream(address)).await)
            .await
            .unwrap();
        client
            .write_all(format!("{ask}hidden").as_bytes())
            .await
            .unwrap();
        let mut backend = streams.recv().await.unwrap();
        let answer =
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n{switch}\r\n");
        backend.write_all(answer.as_bytes()).await.unwrap();
        let head = soon(&case, read_head(&mut client)).await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{case}: {head}");
        assert_eq!(rest(&mut backend).await, "", "{case}");
    }
}
