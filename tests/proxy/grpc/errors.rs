//! What a gRPC client is told when the gateway answers by itself.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_gateway::{Error, ErrorKind, Rejection, RouterLayer, Upstream};

use super::*;

type Backends = Vec<(&'static str, Upstream)>;

/// Backends that fail, each in its way, and their routes.
fn failing(refuses: std::net::SocketAddr, stalls: std::net::SocketAddr) -> (Backends, Vec<Route>) {
    let panics = service_fn(|_: http::Request<tower_gateway::Body>| async {
        if true {
            std::panic::panic_any("on purpose");
        }
        Ok::<http::Response<tower_gateway::Body>, Infallible>(http::Response::default())
    });
    let limit = Duration::from_millis(50);
    let stalling = || support::upstream(stalls).http2_only();
    let upstreams = vec![
        ("Refused", support::upstream(refuses).http2_only()),
        ("Slow", stalling().head_timeout(limit)),
        ("Late", stalling()),
        ("Large", stalling()),
        ("Panics", Upstream::service(panics)),
    ];
    let routes = upstreams.iter().map(|(name, _)| {
        let route = Route::post(format!("/t.Numbers/{name}")).to(*name);
        match *name {
            "Late" => route.timeout(limit),
            "Large" => route.body_limit(3),
            _ => route,
        }
    });
    let routes = routes.chain([Route::get("/t.Numbers/Read").to("Late")]);
    let routes = routes.collect();
    (upstreams, routes)
}

/// A backend that takes requests and never answers.
async fn stalls() -> std::net::SocketAddr {
    support::raw_backend(|_, stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut kept = Vec::new();
        while let Some(Ok(request)) = connection.accept().await {
            kept.push(request);
        }
    })
    .await
}

#[tokio::test]
async fn a_rejection_has_its_status() {
    #[cfg(feature = "tracing")]
    let log = crate::logging::capture::Log::start();
    let (_kept, refuses) = support::refusing();
    let (upstreams, routes) = failing(refuses, stalls().await);
    let gateway = upstreams
        .into_iter()
        .fold(Gateway::builder(), |gateway, (name, upstream)| {
            gateway.upstream(name, upstream)
        });
    let gateway = routes
        .into_iter()
        .fold(gateway, |gateway, route| gateway.route(route));
    let gateway = gateway
        .catch_panic()
        .proxy_status(true)
        .name("front")
        .build()
        .unwrap();
    let url = format!("http://{}", support::serve(gateway).await);
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut client: Client = tonic::client::Grpc::new(channel);
    for (name, code, message, rejection) in [
        (
            "Refused",
            Code::Unavailable,
            "The backend could not be reached",
            "Connect",
        ),
        (
            "Slow",
            Code::DeadlineExceeded,
            "The backend did not answer in time",
            "Timeout",
        ),
        (
            "Late",
            Code::DeadlineExceeded,
            "The request took too long",
            "Deadline",
        ),
        (
            "Large",
            Code::ResourceExhausted,
            "The request body is too large",
            "BodyTooLarge",
        ),
        ("Panics", Code::Internal, "The gateway failed", "Internal"),
        (
            "Nowhere",
            Code::Unimplemented,
            "There is nothing here",
            "RouteNotFound",
        ),
        (
            "Read",
            Code::Unimplemented,
            "The method is not allowed here",
            "MethodNotAllowed",
        ),
    ] {
        client.ready().await.unwrap();
        let answer = client.unary(Request::new(number(1)), method(name), Codec::default());
        let status: Status = soon(name, answer).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message), "{name}");
        assert_eq!(
            status.metadata().get("proxy-status").is_some(),
            name != "Panics"
        );
        #[cfg(feature = "tracing")]
        {
            let access = log.next().await;
            assert_eq!(
                [access.get("status"), access.get("rejection")],
                ["200", rejection]
            );
            let is_bad = access.level == tracing::Level::WARN;
            let is_clients = matches!(name, "Large" | "Nowhere" | "Read");
            assert_eq!(is_bad, !is_clients, "{name}");
        }
        let _ = rejection;
    }
}

#[tokio::test]
async fn only_grpc_is_answered_in_grpc() {
    let gateway = Gateway::builder().build().unwrap();
    let router = RouterLayer::builder()
        .upstream(
            "none",
            Upstream::service(service_fn(|_| async {
                Err::<http::Response<tower_gateway::Body>, _>(Error::new(ErrorKind::NoEndpoint))
            })),
        )
        .route(Route::new("/{*rest}").to("none"))
        .build()
        .unwrap()
        .layer(gateway.clone());
    for (method, kind, is_grpc) in [
        ("POST", "application/grpc", true),
        ("POST", "application/grpc+proto", true),
        ("POST", "application/grpc-web", false),
        ("POST", "application/json", false),
        ("GET", "application/grpc", false),
        ("HEAD", "application/grpc", false),
    ] {
        let request = || {
            http::Request::builder()
                .method(method)
                .uri("http://t.example/a")
                .header("host", "t.example")
                .header("content-type", kind)
                .body(Full::new(Bytes::from("abc")))
                .unwrap()
        };
        let answers = [
            (gateway.clone().oneshot(request()).await.unwrap(), 404, "12"),
            (router.clone().oneshot(request()).await.unwrap(), 503, "14"),
        ];
        for (answer, status, code) in answers {
            let case = format!("{method} {kind} {status}");
            assert!(answer.extensions().get::<Rejection>().is_some(), "{case}");
            let told = answer.headers().get("grpc-status");
            assert_eq!(
                told.map(|code| code.to_str().unwrap()),
                is_grpc.then_some(code),
                "{case}"
            );
            assert_eq!(
                answer.status().as_u16(),
                if is_grpc { 200 } else { status },
                "{case}"
            );
            let kind = if is_grpc {
                "application/grpc"
            } else {
                "application/problem+json"
            };
            assert_eq!(answer.headers()["content-type"], kind, "{case}");
            let body = answer.into_body().collect().await.unwrap();
            assert_eq!(
                body.to_bytes().is_empty(),
                is_grpc || method == "HEAD",
                "{case}"
            );
        }
    }
}
