//! The same gateway in every kind of server, and without one.

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, extract::ConnectInfo, routing::get};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tower::{BoxError, ServiceExt, service_fn};
use tower_gateway::{Body, Gateway, RequestContext, Route, Upstream};

use crate::support::{axum_backend, request, send, serve, text};

/// A gateway whose backend says what it was asked for, by whom, and with which body.
fn gateway() -> Gateway {
    let backend = service_fn(|request: Request<Body>| async move {
        let context = request.extensions().get::<RequestContext>().unwrap();
        let peer = context.peer().map(|peer| peer.ip().to_string());
        let head = format!(
            "{} {} from {} with ",
            request.method(),
            request.uri().path(),
            peer.as_deref().unwrap_or("nobody"),
        );
        let mut said = head.into_bytes();
        said.extend_from_slice(&request.into_body().collect().await?.to_bytes());
        Ok::<_, BoxError>(Response::new(Body::from(said)))
    });
    Gateway::builder()
        .upstream("backend", Upstream::service(backend))
        .route(Route::new("/{*rest}").to("backend"))
        .peer_addr(|extensions| {
            let of_axum = extensions.get::<ConnectInfo<SocketAddr>>();
            let of_axum = of_axum.map(|info| info.0);
            of_axum.or_else(|| extensions.get::<SocketAddr>().copied())
        })
        .build()
        .unwrap()
}

async fn get_text(address: SocketAddr, path: &str) -> String {
    let answer = send(address, request("GET", path)).await;
    assert_eq!(answer.status(), 200, "{path}");
    text(answer).await
}

#[tokio::test]
async fn as_the_fallback_of_an_axum_router() {
    let app = Router::new()
        .route("/own", get(|| async { "own" }))
        .fallback_service(gateway());
    let address = axum_backend(app.clone()).await;
    assert_eq!(get_text(address, "/own").await, "own");
    assert_eq!(
        get_text(address, "/a/b").await,
        "GET /a/b from nobody with "
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    assert_eq!(
        get_text(address, "/a//b/../%63").await,
        "GET /a/c from 127.0.0.1 with "
    );
}

#[tokio::test]
async fn nested_in_an_axum_router() {
    // axum takes the prefix from the path, and the gateway's routes are about what is left.
    let app = Router::new()
        .nest_service("/api", gateway())
        .route_service("/whole/{*rest}", gateway());
    let address = axum_backend(app).await;
    for (path, seen) in [("/api", "/"), ("/api/", "/"), ("/api/a/b?c", "/a/b")] {
        let expected = format!("GET {seen} from nobody with ");
        assert_eq!(get_text(address, path).await, expected, "{path}");
    }
    assert_eq!(
        get_text(address, "/whole/a").await,
        "GET /whole/a from nobody with "
    );
    // `/api/..` would be out of the nest; for the gateway it is above the root.
    for (path, status) in [
        ("/other", 404),
        ("/api/%2e%2e/x", 400),
        ("/api/a/../b", 200),
    ] {
        let answer = send(address, request("GET", path)).await;
        assert_eq!(answer.status(), status, "{path}");
    }
}

#[tokio::test]
async fn in_hypers_auto_server_over_both_versions() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (by_tower, by_hyper) = (TowerToHyperService::new(gateway()), serve(gateway()).await);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = by_tower.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let io = TokioIo::new(stream);
                let _ = server.serve_connection_with_upgrades(io, service).await;
            });
        }
    });
    for (address, peer) in [(address, "nobody"), (by_hyper, "127.0.0.1")] {
        let expected = format!("GET /a from {peer} with ");
        assert_eq!(get_text(address, "/a").await, expected);

        let stream = TcpStream::connect(address).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        tokio::spawn(connection);
        let asked = Request::get("http://t.example/a").body(Empty::<Bytes>::new());
        let answer = sender.send_request(asked.unwrap()).await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        assert_eq!(text(answer).await, expected);
    }
}

#[tokio::test]
async fn by_oneshot_with_any_body_of_bytes() {
    async fn ask<B>(body: B) -> String
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let asked = Request::post("/a").header("host", "t.example");
        let answer = gateway().oneshot(asked.body(body).unwrap()).await;
        let body = answer.unwrap().into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().into()).unwrap()
    }
    let frames = || {
        stream::iter(["by ", "parts"])
            .map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from_static(part.as_bytes()))))
    };
    for (said, body) in [
        (ask(Empty::new()).await, ""),
        (ask(Full::from("full")).await, "full"),
        (ask(Body::from("ours")).await, "ours"),
        (ask(axum::body::Body::from("axum's")).await, "axum's"),
        (ask("a string".to_owned()).await, "a string"),
        (ask(StreamBody::new(frames())).await, "by parts"),
        (
            ask(StreamBody::new(frames()).boxed_unsync()).await,
            "by parts",
        ),
    ] {
        assert_eq!(said, format!("POST /a from nobody with {body}"));
    }
}
