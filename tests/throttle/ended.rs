//! However a request ends: what it is charged, and what its answer says.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, response::Response, routing::any};
use bytes::Bytes;
use http_body_util::Full;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tower::Service;
use tower_gateway::{
    Error, ErrorKind, Gateway, GatewayBuilder, Next, Route, Upstream,
    throttle::{Key, Rule, ThrottleLayer},
};

use crate::{
    support::{axum_backend, connect_http2, refusing, request, send, serve, upstream},
    world::{get, of},
};

/// What was charged: the status of each answer, or that there was none.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<Option<u16>>>>);

impl Ends {
    fn layer(&self, name: &'static str) -> ThrottleLayer {
        let ends = self.clone();
        let rule = Rule::new(of(100).named(name)).by(Key::constant(name));
        ThrottleLayer::new(rule.charge(move |answer| {
            let status = answer.map(|head| head.status.as_u16());
            ends.0.lock().unwrap().push(status);
            status.map_or(7, |_| 0)
        }))
    }

    async fn wait(&self, many: usize) -> Vec<Option<u16>> {
        let there = async {
            while self.0.lock().unwrap().len() < many {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(5), there).await.unwrap();
        self.0.lock().unwrap().clone()
    }
}

/// With backends that answer, never do so, or are not there.
async fn gateway() -> (GatewayBuilder, impl Sized) {
    let backend = Router::new()
        .route("/never", any(async || pending::<Response>().await))
        .fallback(any(async |_: Bytes| "served"));
    let (kept, gone) = refusing();
    let fails = tower::service_fn(async |_: http::Request<tower_gateway::Body>| {
        Err::<http::Response<Full<Bytes>>, _>(Error::new(ErrorKind::Saturated))
    });
    let backend = upstream(axum_backend(backend).await);
    let builder = Gateway::builder()
        .upstream(
            "slow",
            backend.clone().head_timeout(Duration::from_millis(50)),
        )
        .upstream("backend", backend)
        .upstream("gone", upstream(gone))
        .upstream("busy", Upstream::service(fails))
        .trust_proxies(["127.0.0.1"]);
    (builder, kept)
}

#[tokio::test]
async fn who_leaves_before_the_answer_is_charged_too() {
    let ends = Ends::default();
    let (builder, _kept) = gateway().await;
    let throttle = ends.layer("door");
    let handle = throttle.handle();
    let route = Route::new("/{*rest}").to("backend");
    let gateway = serve(builder.throttle(throttle).route(route).build().unwrap()).await;
    let has_come = async |many| {
        while handle.allowed() < many {
            tokio::task::yield_now().await;
        }
    };

    let mut client = TcpStream::connect(gateway).await.unwrap();
    let head = b"GET /never HTTP/1.1\r\nhost: t.example\r\n\r\n";
    client.write_all(head).await.unwrap();
    has_come(1).await;
    drop(client);
    assert_eq!(ends.wait(1).await, [None]);

    // A stream of HTTP/2 that is reset.
    let mut client = connect_http2(gateway).await;
    let mut reset = request("GET", "/never");
    *reset.uri_mut() = "http://t.example/never".parse().unwrap();
    reset.headers_mut().remove("host");
    tokio::select! {
        answer = client.send_request(reset) => panic!("{answer:?}"),
        () = has_come(2) => {}
    }
    assert_eq!(ends.wait(2).await, [None; 2]);

    // Each has cost one, and seven more.
    let answer = get(gateway, "/", "192.0.2.1", &[]).await;
    let told = answer.header("ratelimit")[0];
    assert!(told.starts_with("\"door\";r=83;"), "{told}");
}

#[tokio::test]
async fn what_is_given_up_is_charged_where_nobody_has_seen_an_answer() {
    let (door, route) = (Ends::default(), Ends::default());
    let (builder, _kept) = gateway().await;
    // Backends keep the time themselves, and a layer of one's own need not.
    let silent = tower::layer::layer_fn(|_: Next| {
        tower::service_fn(async |_: http::Request<tower_gateway::Body>| {
            pending::<Result<http::Response<Full<Bytes>>, Error>>().await
        })
    });
    let never = Route::new("/never").to("backend").layer(silent);
    let never = never.throttle(route.layer("route"));
    let never = never.timeout(Duration::from_millis(50));
    let builder = builder.throttle(door.layer("door")).route(never);
    let gateway = serve(builder.build().unwrap()).await;
    let answer = get(gateway, "/never", "192.0.2.1", &[]).await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.header("ratelimit").len(), 1, "{answer:?}");
    assert_eq!(door.wait(1).await, [Some(504)]);
    assert_eq!(route.wait(1).await, [None]);
}

#[tokio::test]
async fn another_error_is_no_answer() {
    let ends = Ends::default();
    let inner = tower::service_fn(async |_: http::Request<()>| {
        Err::<http::Response<Bytes>, _>(std::io::Error::other("it fails"))
    });
    let mut service = tower::Layer::layer(&ends.layer("alone"), inner);
    assert!(service.call(http::Request::new(())).await.is_err());
    assert_eq!(ends.wait(1).await, [None]);
}

#[tokio::test]
async fn the_gateways_own_answers_say_what_is_left_and_are_charged() {
    let (door, on_route) = (Ends::default(), Ends::default());
    let (builder, _kept) = gateway().await;
    let to = |path: &str, upstream: &str| {
        let route = Route::post(path).to(upstream);
        route.throttle(on_route.layer("route")).body_limit(4)
    };
    let builder = builder
        .throttle(door.layer("door"))
        .route(to("/gone", "gone"))
        .route(to("/never", "slow"))
        .route(to("/busy", "busy"))
        .route(to("/served", "backend"));
    let gateway = serve(builder.build().unwrap()).await;
    for (method, path, body, status, throttles) in [
        ("POST", "/served", "", 200, 2),
        ("POST", "/nowhere", "", 404, 1),
        ("GET", "/served", "", 405, 1),
        ("POST", "/served", "too large", 413, 1),
        ("POST", "/gone", "", 502, 2),
        ("POST", "/busy", "", 503, 2),
        ("POST", "/never", "", 504, 2),
    ] {
        let request = request(method, path).map(|_| Full::from(body));
        let response = send(gateway, request).await;
        assert_eq!(response.status(), status, "{method} {path}");
        let said = |name| {
            let all = response.headers().get_all(name).iter();
            let all: Vec<_> = all.map(|value| value.to_str().unwrap()).collect();
            all.iter()
                .map(|text| text.split(';').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let expected = &["\"route\"", "\"door\""][2 - throttles..];
        assert_eq!(said("ratelimit"), expected, "{method} {path}");
        assert_eq!(said("ratelimit-policy"), expected, "{method} {path}");
        assert_eq!(response.headers().contains_key("allow"), status == 405);
        let charged = std::mem::take(&mut *door.0.lock().unwrap());
        assert_eq!(charged, [Some(status)], "{method} {path}");
        let charged = std::mem::take(&mut *on_route.0.lock().unwrap());
        let expected: &[_] = if throttles == 2 { &[Some(status)] } else { &[] };
        assert_eq!(charged, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn the_older_fields_are_there_once_in_an_error_too() {
    let (builder, _kept) = gateway().await;
    let layer = |name| Ends::default().layer(name).legacy_headers(true);
    let gone = Route::new("/").to("gone").throttle(layer("route"));
    let builder = builder.throttle(layer("door")).route(gone);
    let gateway = serve(builder.build().unwrap()).await;
    let answer = get(gateway, "/", "192.0.2.1", &[]).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("x-ratelimit-limit"), ["100"]);
    assert_eq!(answer.header("x-ratelimit-reset").len(), 1);
}
