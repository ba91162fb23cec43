//! TLS to backends, and `Expect: 100-continue` from end to end.
#![cfg(feature = "tls")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{extract::ws::WebSocketUpgrade, routing::any};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
};
use tokio_tungstenite::tungstenite::Message;
use tower::ServiceExt;
use tower_gateway::{ErrorKind, Gateway, Rejection, Route, Upstream};

use crate::{early::others, keeping::pass, support, wire::soon};

/// A TLS backend for `localhost` that says which protocol was negotiated; with the PEM of its certificate.
async fn backend(protocols: &[&[u8]]) -> (SocketAddr, String) {
    backend_for(protocols, None).await
}

/// The same, for clients that show this certificate.
async fn backend_for(
    protocols: &[&[u8]],
    client: Option<CertificateDer<'static>>,
) -> (SocketAddr, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = certified.cert.pem();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let mut config = builder
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate breaks off.
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = hyper_util::service::TowerToHyperService::new(says_version());
                let server = hyper_util::server::conn::auto::Builder::new(
                    hyper_util::rt::TokioExecutor::new(),
                );
                let _ = server
                    .serve_connection_with_upgrades(hyper_util::rt::TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, pem)
}

/// Says which protocol a request came in; on `/ws`, what it hears.
fn says_version() -> axum::Router {
    axum::Router::new()
        .route(
            "/ws",
            any(|upgrade: WebSocketUpgrade| async move {
                upgrade.on_upgrade(|mut socket| async move {
                    while let Some(Ok(message)) = socket.recv().await {
                        if socket.send(message).await.is_err() {
                            break;
                        }
                    }
                })
            }),
        )
        .fallback(|version: http::Version| async move { format!("{version:?}") })
}

#[tokio::test]
async fn a_websocket_goes_over_http1_to_a_backend_that_prefers_http2() {
    let (backend, pem) = backend(&[b"h2", b"http/1.1"]).await;
    let upstream = Upstream::http([format!("https://localhost:{}", backend.port())]);
    let gateway = support::one_route(Route::new("/{*rest}"), upstream.tls_authority(pem));
    let gateway = support::serve(gateway).await;
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("ws://t.example/ws", stream)
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::text("hello")
    );
    let plain = support::send(gateway, support::request("GET", "/a")).await;
    assert_eq!(support::text(plain).await, "HTTP/2.0");
}

#[tokio::test]
async fn a_backend_that_hangs_up_after_each_handshake_is_tried_three_times() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    // In TLS 1.2 the server has the last word, and its end arrives together with it: before the first request.
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&tokio_rustls::rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    // Not so in a session that is resumed.
    config.session_storage = Arc::new(tokio_rustls::rustls::server::NoServerSessionStorage {});
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let handshakes = Arc::new(AtomicUsize::new(0));
    let count = handshakes.clone();
    let address = support::raw_backend(move |_, stream| {
        let (acceptor, count) = (acceptor.clone(), count.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let upstream = Upstream::http([format!("https://localhost:{}", address.port())]);
    let asked = ask(upstream.tls_authority(certified.cert.pem()));
    let soon = tokio::time::timeout(Duration::from_secs(5), asked);
    assert_eq!(soon.await.expect("an end of it").0, 502);
    assert_eq!(handshakes.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_handshake_that_the_backend_does_not_answer_ends_with_the_connect_timeout() {
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let (tell, mut told) = mpsc::unbounded_channel();
    let backend = support::raw_backend(move |_, mut stream| {
        let tell = tell.clone();
        async move {
            // The type of a record that shakes hands (RFC 8446, section 5.1).
            tell.send(stream.read_u8().await.unwrap() == 22).unwrap();
            // Until the gateway closes.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            tell.send(true).unwrap();
        }
    })
    .await;
    type Set = fn(Upstream) -> Upstream;
    let speaks: [Set; 3] = [|to| to, Upstream::http1_only, Upstream::http2_only];
    for set in speaks {
        let upstream = Upstream::http([format!("https://{backend}")])
            .connect_timeout(HOUR)
            .activity_timeout(2 * HOUR);
        let gateway = support::one_route(Route::new("/{*rest}"), set(upstream));
        let mut answer = tokio::spawn(gateway.oneshot(support::request("GET", "/a")));
        assert!(soon("a handshake", told.recv()).await.unwrap());
        pass(HOUR - MINUTE).await;
        others().await;
        assert!(!answer.is_finished() && told.is_empty());
        pass(MINUTE).await;
        let answer = soon("an answer", &mut answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), 504);
        let rejection = answer.extensions().get::<Rejection>().unwrap();
        assert_eq!(rejection.0.kind(), ErrorKind::ConnectTimeout);
        soon("the end", told.recv()).await.unwrap();
    }
}

async fn ask(upstream: Upstream) -> (u16, String) {
    let gateway = Gateway::builder()
        .upstream("backend", upstream)
        .route(Route::new("/{*rest}").to("backend"))
        .build()
        .unwrap();
    let address = support::serve(gateway).await;
    let answer = support::send(address, support::request("GET", "/a")).await;
    (answer.status().as_u16(), support::text(answer).await)
}

#[tokio::test]
async fn alpn_decides_and_only_a_known_authority_is_trusted() {
    let (both, pem) = backend(&[b"h2", b"http/1.1"]).await;
    let to =
        |address: SocketAddr| Upstream::http([format!("https://localhost:{}", address.port())]);
    assert_eq!(
        ask(to(both).tls_authority(pem.clone())).await,
        (200, "HTTP/2.0".to_owned())
    );
    assert_eq!(
        ask(to(both).tls_authority(pem.clone()).http1_only()).await,
        (200, "HTTP/1.1".to_owned())
    );
    assert_eq!(
        ask(to(both)).await.0,
        502,
        "the system does not know this authority"
    );
    let other_name = to(both).tls_authority(pem).tls_server_name("elsewhere");
    assert_eq!(
        ask(other_name).await.0,
        502,
        "the certificate is for another name"
    );

    let (old, pem) = backend(&[b"http/1.1"]).await;
    assert_eq!(
        ask(to(old).tls_authority(pem.clone())).await,
        (200, "HTTP/1.1".to_owned())
    );
    assert_eq!(ask(to(old).tls_authority(pem).http2_only()).await.0, 502);
}

#[tokio::test]
async fn a_backend_that_wants_a_certificate_gets_the_one_that_was_given() {
    let identity = || rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap();
    let (known, stranger) = (identity(), identity());
    for protocols in [&[&b"h2"[..]], &[&b"http/1.1"[..]]] {
        let (address, pem) = backend_for(protocols, Some(known.cert.der().clone())).await;
        let to = || {
            let endpoint = format!("https://localhost:{}", address.port());
            Upstream::http([endpoint]).tls_authority(pem.clone())
        };
        let shown = |who: &rcgen::CertifiedKey<rcgen::KeyPair>| {
            to().tls_identity(who.cert.pem(), who.signing_key.serialize_pem())
        };
        assert_eq!(ask(shown(&known)).await.0, 200);
        assert_eq!(ask(shown(&stranger)).await.0, 502);
        assert_eq!(ask(to()).await.0, 502);
    }
}

#[tokio::test]
async fn a_body_is_asked_for_when_the_backend_asks_for_it() {
    let backend = support::raw_backend(|_, mut stream| async move {
        let head = support::read_head(&mut stream).await;
        assert!(
            head.to_ascii_lowercase().contains("expect: 100-continue"),
            "{head}"
        );
        if head.starts_with("POST /refuse") {
            let answer =
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty(), "nobody asked for the body");
            return;
        }
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .unwrap();
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"hello");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
    })
    .await;
    let address = support::in_front_of(backend).await;
    for (path, first) in [("/refuse", "HTTP/1.1 403"), ("/take", "HTTP/1.1 100")] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: t.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = support::read_head(&mut client).await;
        assert!(answer.starts_with(first), "{path}: {answer}");
        if first.ends_with("100") {
            client.write_all(b"hello").await.unwrap();
            assert!(
                support::read_head(&mut client)
                    .await
                    .starts_with("HTTP/1.1 200")
            );
        }
    }
}

#[tokio::test]
async fn a_body_up_to_the_end_of_the_connection_is_whole_only_if_tls_says_so() {
    use http_body_util::BodyExt;
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for is_whole in [true, false] {
        let acceptor = acceptor.clone();
        let address = support::raw_backend(move |_, stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let answer = b"HTTP/1.1 200 OK\r\n\r\nall there is";
                stream.write_all(answer).await.unwrap();
                stream.flush().await.unwrap();
                if is_whole {
                    stream.shutdown().await.unwrap();
                } else {
                    // As anyone on the way can do it.
                    stream.get_mut().0.shutdown().await.unwrap();
                }
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        })
        .await;
        let upstream = Upstream::http([format!("https://localhost:{}", address.port())]);
        let gateway = support::one_route(
            Route::new("/a"),
            upstream.tls_authority(certified.cert.pem()),
        );
        let gateway = support::serve(gateway).await;
        let mut client = support::connect(gateway).await;
        let whole = match client.send_request(support::request("GET", "/a")).await {
            Ok(answer) => answer.into_body().collect().await.ok(),
            Err(_) => None,
        };
        let whole = whole.map(http_body_util::Collected::to_bytes);
        let expected = is_whole.then(|| "all there is".into());
        assert_eq!(whole, expected);
    }
}
