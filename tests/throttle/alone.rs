//! Alone, in a server of one's own.

use std::net::SocketAddr;

use axum::{Router, extract::ConnectInfo, routing::get};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_gateway::throttle::{Key, LocalStore, Policy, Rule, ThrottleLayer};

use crate::world::{Answer, ask, of};

pub async fn axum(throttle: ThrottleLayer) -> SocketAddr {
    let router = Router::new().route("/", get(|| async { "served" }));
    let service = router
        .layer(throttle)
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    address
}

/// hyper itself, which tells nothing of the peer unless it is put into the request.
async fn hyper(throttle: ThrottleLayer, tells: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = ServiceBuilder::new()
                .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
                    if tells {
                        request.extensions_mut().insert(peer);
                    }
                    request
                })
                .layer(throttle.clone())
                .service_fn(async |_| {
                    Ok::<_, std::convert::Infallible>(http::Response::new(
                        tower_gateway::Body::from("served"),
                    ))
                });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            tokio::spawn(connection);
        }
    });
    address
}

async fn statuses(server: SocketAddr) -> [u16; 3] {
    let status = async || ask(server, "/", &[]).await.status;
    [status().await, status().await, status().await]
}

#[tokio::test]
async fn it_counts_in_axum_and_in_hyper() {
    let told = |extensions: &http::Extensions| {
        let info = extensions.get::<ConnectInfo<SocketAddr>>();
        info.map(|info| info.0)
    };
    let throttle = || ThrottleLayer::new(of(2));
    assert_eq!(
        statuses(axum(throttle().peer_addr(told)).await).await,
        [200, 200, 429]
    );
    assert_eq!(
        statuses(hyper(throttle(), true).await).await,
        [200, 200, 429]
    );
    // Nobody says what the client's address is.
    assert_eq!(statuses(hyper(throttle(), false).await).await, [403; 3]);
    assert_eq!(statuses(axum(throttle()).await).await, [403; 3]);
}

#[tokio::test]
async fn clones_share_what_is_spent_and_a_store_does_so_for_layers() {
    let store = LocalStore::new();
    let everybody = || Rule::new(of(3)).by(Key::constant("all"));
    let one = ThrottleLayer::new(everybody()).limiter(store.clone());
    let other = ThrottleLayer::new(everybody())
        .limiter(store.clone())
        .headers(false);
    let status = async |server| -> Answer { ask(server, "/", &[]).await };
    let (a, b, c) = (
        axum(one.clone()).await,
        axum(one.clone()).await,
        axum(other.clone()).await,
    );
    for server in [a, b, c] {
        assert_eq!(status(server).await.status, 200);
    }
    for server in [a, b, c] {
        assert_eq!(status(server).await.status, 429);
    }
    assert_eq!((one.handle().allowed(), one.handle().refused()), (2, 2));
    assert_eq!((other.handle().allowed(), other.handle().refused()), (1, 1));
    assert_eq!(store.figures().keys, 1);
}

#[tokio::test]
async fn with_a_mistake_nobody_passes() {
    for throttle in [
        ThrottleLayer::new(Policy::per_second(0)),
        ThrottleLayer::new(Rule::new(of(2)).cost(3).by(Key::constant("all"))),
    ] {
        let handle = throttle.handle();
        assert_eq!(statuses(axum(throttle).await).await, [503; 3]);
        assert_eq!((handle.allowed(), handle.refused()), (0, 3));
    }
}

#[tokio::test]
async fn what_is_not_ready_is_not_kept_by_who_is_refused() {
    // A service that is ready once: whoever is refused must not use that up.
    let throttle = ThrottleLayer::new(Rule::new(of(1)).by(Key::constant("all")));
    let inner = tower::limit::ConcurrencyLimit::new(
        tower::service_fn(async |_: http::Request<()>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(bytes::Bytes::new()))
        }),
        1,
    );
    let mut service = throttle.layer(inner.clone());
    let request = || http::Request::new(());
    // Ready, and never called: dropped, or kept, it has no permit.
    let _kept = service.ready().await.unwrap();
    let mut second = throttle.layer(inner.clone());
    let status = second.ready().await.unwrap().call(request()).await;
    assert_eq!(status.unwrap().status(), 200);
    let status = second.ready().await.unwrap().call(request()).await;
    assert_eq!(status.unwrap().status(), 429);
    let mut inner = inner;
    let ready = tokio::time::timeout(std::time::Duration::from_secs(5), inner.ready());
    assert!(ready.await.is_ok(), "nobody has the permit");
}

#[tokio::test]
async fn an_answer_that_is_no_success_is_told_and_charged_too() {
    let rule = Rule::new(of(3)).by(Key::constant("all")).charge(|_| 2);
    let server = axum(ThrottleLayer::new(rule)).await;
    let answer = ask(server, "/nowhere", &[]).await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.header("ratelimit")[0].contains(";r=2;"),
        "{answer:?}"
    );
    assert_eq!(ask(server, "/nowhere", &[]).await.status, 429);
}
