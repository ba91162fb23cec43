//! Advisories of other gateways and of the crates below: for each, that this one is immune.

mod fields;
mod http2;
mod paths;

use std::sync::Arc;

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
};
use tower_gateway::{Gateway, Route, Upstream};

use crate::{
    support::{
        Recorder, in_front_of, one_route, raw_backend, read_head, request, say, send, serve,
        upstream,
    },
    wire::soon,
};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: t.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// CVE-2026-2833 (Pingora): bytes behind an upgrade request go through unread before the backend has agreed.
#[tokio::test]
async fn cve_2026_2833_a_refused_upgrade_hides_no_request() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = serve(one_route(Route::new("/ws"), upstream(backend))).await;
    let hidden = "GET /admin HTTP/1.1\r\nHost: inside\r\nConnection: close\r\n\r\n";
    let heard = say(gateway, format!("{UPGRADE}{hidden}").as_bytes()).await;
    // The backend answers 200: what follows is a request like any other, for which there is no route.
    let heard = String::from_utf8_lossy(&heard.bytes).into_owned();
    assert!(
        heard.starts_with("HTTP/1.1 200") && heard.contains("HTTP/1.1 404"),
        "{heard}"
    );
    let seen = recorder.take();
    assert_eq!(seen.target(), "/ws");
    assert_eq!(seen.header("upgrade"), ["websocket"]);
    assert!(recorder.malformed().is_empty());
}

/// CVE-2026-2833 (Pingora), when the backend does agree.
#[tokio::test]
async fn cve_2026_2833_no_byte_is_tunnelled_before_the_101() {
    let agree = Arc::new(Notify::new());
    let agreed = agree.clone();
    let backend = raw_backend(move |_, mut stream| {
        let agreed = agreed.clone();
        async move {
            if read_head(&mut stream).await.starts_with("GET /other") {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                return stream.write_all(answer).await.unwrap();
            }
            agreed.notified().await;
            let early = stream.try_read(&mut [0; 16]).map_err(|error| error.kind());
            assert_eq!(early, Err(std::io::ErrorKind::WouldBlock));
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    })
    .await;
    let gateway = in_front_of(backend).await;
    let mut client = TcpStream::connect(gateway).await.unwrap();
    client
        .write_all(format!("{UPGRADE}early").as_bytes())
        .await
        .unwrap();
    // Time enough for the gateway to do it wrong.
    for _ in 0..10 {
        assert_eq!(send(gateway, request("GET", "/other")).await.status(), 200);
    }
    agree.notify_one();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101"));
    let mut echoed = [0; 5];
    client.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"early");
}

/// Sends each text on a connection of its own: all are refused, none reaches a backend, all connections are closed.
async fn all_are_refused(texts: &[&str]) {
    let (recorder, backend) = Recorder::start().await;
    let gateway = in_front_of(backend).await;
    for text in texts {
        let heard = say(gateway, text.as_bytes()).await;
        assert!(
            heard
                .status()
                .is_none_or(|status| (400..=501).contains(&status)),
            "{text:?}: {heard:?}"
        );
        assert!(heard.closed, "{text:?}: {heard:?}");
        let requests = (recorder.requests(), recorder.malformed());
        assert!(
            requests.0.is_empty() && requests.1.is_empty(),
            "{text:?}: {requests:?}"
        );
    }
}

/// CVE-2026-2835 (Pingora): HTTP/1.0 with a transfer coding, and codings on several lines.
#[tokio::test]
async fn cve_2026_2835_transfer_codings_that_can_be_read_in_two_ways() {
    let hidden = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: inside\r\n\r\n";
    let with = |version: &str, lines: &str| {
        format!("POST /a HTTP/{version}\r\nHost: t.example\r\n{lines}\r\n{hidden}")
    };
    let texts = [
        with("1.0", "Transfer-Encoding: chunked\r\n"),
        with(
            "1.0",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nConnection: keep-alive\r\n",
        ),
        with(
            "1.1",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ),
        with(
            "1.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        with("1.1", "Transfer-Encoding: chunked, chunked\r\n"),
        with("1.1", "Transfer-Encoding: chunked, identity\r\n"),
        with("1.1", "Transfer-Encoding: gzip, chunked\r\n"),
    ];
    all_are_refused(&texts.each_ref().map(String::as_str)).await;
}

/// CVE-2026-2835 (Pingora): hyper lets a coding win over a length, as RFC 9112 section 6.3 has it, and closes.
#[tokio::test]
async fn cve_2026_2835_a_coding_wins_over_a_length_and_nothing_follows() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = in_front_of(backend).await;
    let text = "POST /a HTTP/1.1\r\nHost: t.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
                1\r\nx\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: inside\r\n\r\n";
    let heard = say(gateway, text.as_bytes()).await;
    assert!(heard.closed);
    let seen = recorder.take();
    assert_eq!((seen.target(), &seen.body[..]), ("/a", &b"x"[..]));
    assert!(seen.header("content-length").is_empty());
    assert!(recorder.malformed().is_empty());
}

/// CVE-2021-32715 (hyper): lengths that a lenient parser takes for numbers.
#[tokio::test]
async fn cve_2021_32715_lengths_are_digits_only() {
    let lines = [
        "+3",
        "-3",
        "3 3",
        "0x3",
        "3,3",
        "3, 4",
        "",
        "3\r\nContent-Length: 4",
        "18446744073709551619",
    ];
    let texts = lines.map(|length| {
        format!("POST /a HTTP/1.1\r\nHost: t.example\r\nContent-Length: {length}\r\n\r\nabc")
    });
    all_are_refused(&texts.each_ref().map(String::as_str)).await;
}

/// CVE-2022-3212 (axum-core): there is no limit for bodies unless one is set; so they are passed on and not kept.
#[tokio::test]
async fn cve_2022_3212_a_body_without_a_limit_is_passed_on_as_it_comes() {
    for (framing, passed) in [
        ("Content-Length: 9223372036854775807\r\n\r\n", "hello"),
        (
            "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n",
            "5\r\nhello\r\n",
        ),
    ] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let backend = raw_backend(move |_, mut stream| {
            let tell = tell.clone();
            async move {
                let head = read_head(&mut stream).await.to_ascii_lowercase();
                let mut body = vec![0; passed.len()];
                stream.read_exact(&mut body).await.unwrap();
                tell.send(head + std::str::from_utf8(&body).unwrap())
                    .unwrap();
                // The client leaves, and so does its request.
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                tell.send(String::from_utf8(rest).unwrap()).unwrap();
            }
        })
        .await;
        let mut client = TcpStream::connect(in_front_of(backend).await)
            .await
            .unwrap();
        let begun = format!("POST /a HTTP/1.1\r\nHost: t.example\r\n{framing}hello");
        client.write_all(begun.as_bytes()).await.unwrap();
        let seen = soon("a part", told.recv()).await.unwrap();
        let announced = framing.split("\r\n").next().unwrap();
        let announced = announced.to_ascii_lowercase();
        assert!(
            seen.contains(&announced) && seen.ends_with(passed),
            "{seen}"
        );
        drop(client);
        assert_eq!(soon("the end", told.recv()).await.unwrap(), "", "{framing}");
    }
}

/// CVE-2025-4366 (Pingora): when the gateway answers without reading the body, the body becomes the next request.
#[tokio::test]
async fn cve_2025_4366_a_body_that_nobody_reads_is_no_request() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = serve(one_route(Route::get("/a"), upstream(backend))).await;
    let hidden = "GET /a HTTP/1.1\r\nHost: t.example\r\nX-Hidden: 1\r\n\r\n";
    let last = "GET /nowhere HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n";
    for (target, extra) in [
        ("/nowhere", ""),
        ("/a", ""),
        ("/%zz", ""),
        ("/a", "Expect: 100-continue\r\n"),
    ] {
        let length = hidden.len();
        let text = format!(
            "POST {target} HTTP/1.1\r\nHost: t.example\r\n{extra}Content-Length: {length}\r\n\r\n{hidden}{last}"
        );
        let heard = say(gateway, text.as_bytes()).await;
        assert!(
            heard
                .status()
                .is_some_and(|status| (400..=405).contains(&status)),
            "{target}: {heard:?}"
        );
        assert!(recorder.requests().is_empty(), "{target}");
    }
}

/// CVE-2026-22750 (Spring Cloud Gateway): a setting for TLS is ignored without a word.
#[cfg(feature = "tls")]
#[tokio::test]
async fn cve_2026_22750_no_setting_for_tls_is_ignored() {
    let secure = || Upstream::http(["https://localhost:1"]);
    let clear = || Upstream::http(["http://localhost:1"]);
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mixed = || Upstream::http(["https://localhost:1", "http://localhost:2"]);
    let here = || Upstream::service(Router::new());
    for (what, upstream, is_good) in [
        ("authority", secure().tls_authority(pem.clone()), true),
        (
            "identity",
            secure().tls_identity(pem.clone(), key.clone()),
            true,
        ),
        ("no authority", secure().tls_authority("nothing"), false),
        ("empty authority", secure().tls_authority(""), false),
        (
            "no certificate",
            secure().tls_identity("", key.clone()),
            false,
        ),
        (
            "no key",
            secure().tls_identity(pem.clone(), "nothing"),
            false,
        ),
        (
            "another's key",
            secure().tls_identity(pem.clone(), other.signing_key.serialize_pem()),
            false,
        ),
        ("no name", secure().tls_server_name("a b"), false),
        ("clear", clear(), true),
        (
            "authority in clear",
            clear().tls_authority(pem.clone()),
            false,
        ),
        (
            "identity in clear",
            clear().tls_identity(pem.clone(), key.clone()),
            false,
        ),
        ("mixed", mixed(), true),
        (
            "authority in half",
            mixed().tls_authority(pem.clone()),
            false,
        ),
        (
            "identity in half",
            mixed().tls_identity(pem.clone(), key.clone()),
            false,
        ),
        ("name in half", mixed().tls_server_name("localhost"), false),
        ("name in clear", clear().tls_server_name("localhost"), false),
        (
            "name of a service",
            here().tls_server_name("localhost"),
            false,
        ),
    ] {
        let built = Gateway::builder()
            .upstream("backend", upstream)
            .route(Route::new("/a").to("backend"))
            .build();
        assert_eq!(built.is_ok(), is_good, "{what}: {built:?}");
        if let Err(error) = built {
            assert!(
                error.to_string().contains("upstream `backend`"),
                "{what}: {error}"
            );
        }
    }
}
