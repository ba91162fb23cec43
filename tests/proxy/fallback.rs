//! A backend that changes its mind about HTTP/2 while it is in use.
#![cfg(all(feature = "tls", feature = "http2"))]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    sync::{Barrier, watch},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};
use tower_gateway::{Gateway, Route, Upstream};

use crate::support;

/// How many requests are there before any is answered.
const TOGETHER: usize = 4;

/// A TLS backend for `localhost` that speaks HTTP/2 as long as the sender says so, and ends its connections when
/// that changes. It answers with the version when four requests are there.
struct Backend {
    address: SocketAddr,
    pem: String,
    http2: watch::Sender<bool>,
    /// Connections there have been.
    connections: Arc<AtomicUsize>,
    /// Connections there are.
    live: watch::Sender<usize>,
}

async fn backend() -> Backend {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = certified.cert.pem();
    let acceptor = |protocols: &[&[u8]]| {
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    };
    let (both, old) = (acceptor(&[b"h2", b"http/1.1"]), acceptor(&[b"http/1.1"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (http2, mind) = watch::channel(true);
    let connections = Arc::new(AtomicUsize::new(0));
    let live = watch::Sender::new(0);
    let (count, alive) = (connections.clone(), live.clone());
    tokio::spawn(async move {
        let barrier = Arc::new(Barrier::new(TOGETHER));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            alive.send_modify(|live| *live += 1);
            let alive = alive.clone();
            let mut mind = mind.clone();
            let acceptor = if *mind.borrow_and_update() {
                &both
            } else {
                &old
            }
            .clone();
            let barrier = barrier.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(move |request: Request<Incoming>| {
                    let barrier = barrier.clone();
                    async move {
                        barrier.wait().await;
                        let version = format!("{:?}", request.version());
                        Ok::<_, Infallible>(Response::new(version))
                    }
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let serving = server.serve_connection(TokioIo::new(stream), service);
                let mut serving = std::pin::pin!(serving);
                tokio::select! {
                    _ = &mut serving => {}
                    _ = mind.changed() => {
                        serving.as_mut().graceful_shutdown();
                        let _ = serving.await;
                    }
                }
                alive.send_modify(|live| *live -= 1);
            });
        }
    });
    Backend {
        address,
        pem,
        http2,
        connections,
        live,
    }
}

#[tokio::test]
async fn after_a_fallback_there_are_many_connections_and_after_a_return_streams() {
    let backend = backend().await;
    let url = format!("https://localhost:{}", backend.address.port());
    let upstream = Upstream::http([url]);
    let gateway = Gateway::builder()
        .upstream("backend", upstream.tls_authority(backend.pem))
        .route(Route::new("/{*rest}").to("backend"))
        .build()
        .unwrap();
    let gateway = support::serve(gateway).await;
    for (speaks, version, opened) in [
        (true, "HTTP/2.0", 1..=1),
        (false, "HTTP/1.1", TOGETHER..=2 * TOGETHER),
        // Nobody knows yet that one connection is enough;
        (true, "HTTP/2.0", 1..=TOGETHER),
        // now they do.
        (true, "HTTP/2.0", 1..=1),
    ] {
        backend.http2.send_replace(speaks);
        let mut live = backend.live.subscribe();
        live.wait_for(|live| *live == 0).await.unwrap();
        let before = backend.connections.load(Ordering::SeqCst);
        let rounds = async {
            for _ in 0..2 {
                let one = || async {
                    let answer = support::send(gateway, support::request("GET", "/a")).await;
                    assert_eq!(answer.status(), 200);
                    support::text(answer).await
                };
                let said = join_all((0..TOGETHER).map(|_| one())).await;
                assert!(said.iter().all(|said| said == version), "{said:?}");
            }
        };
        tokio::time::timeout(Duration::from_secs(4), rounds)
            .await
            .unwrap_or_else(|_| panic!("{version}: they did not come together"));
        let count = backend.connections.load(Ordering::SeqCst) - before;
        assert!(opened.contains(&count), "{version}: {count} connections");
    }
}
