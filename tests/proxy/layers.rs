//! The layers of tower-http in front of the door, each through a served gateway.
#![cfg(all(
    feature = "catch-panic",
    feature = "compression",
    feature = "cors",
    feature = "decompression",
    feature = "sensitive-headers"
))]

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, body::Bytes, extract::Path, http::HeaderMap, response::IntoResponse};
use futures_util::stream;
use http::{HeaderName, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{Body, Gateway, GatewayBuilder, Route, Upstream};
use tower_http::{
    compression::CompressionLayer,
    cors::{AllowOrigin, CorsLayer},
    decompression::{DecompressionLayer, RequestDecompressionLayer},
};

use crate::support::{
    Recorder, axum_backend, connect, request, request_with, send, serve, text, upstream,
};

async fn gateway(
    upstream: Upstream,
    settings: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
) -> SocketAddr {
    let gateway = Gateway::builder()
        .upstream("backend", upstream)
        .route(Route::new("/{*rest}").to("backend"));
    serve(settings(gateway).build().unwrap()).await
}

fn long() -> String {
    "all work and no play ".repeat(100)
}

/// The bytes of a text, compressed.
async fn gzip(plain: String) -> Bytes {
    let says = service_fn(move |_: Request<Body>| {
        let plain = plain.clone();
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(plain)))) }
    });
    let asked = Request::get("/")
        .header("accept-encoding", "gzip")
        .body(Body::empty())
        .unwrap();
    let answer = CompressionLayer::new()
        .layer(says)
        .oneshot(asked)
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    answer.into_body().collect().await.unwrap().to_bytes()
}

/// The text of a compressed answer.
async fn plain(answer: Response<Incoming>) -> String {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let answer = Response::from_parts(head, Full::new(body));
    let mut answer = Some(answer);
    let says = service_fn(move |_: Request<Body>| {
        let answer = answer.take().unwrap();
        async move { Ok::<_, Infallible>(answer) }
    });
    let answer = DecompressionLayer::new()
        .layer(says)
        .oneshot(Request::new(Body::empty()))
        .await
        .unwrap();
    String::from_utf8(
        answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .into(),
    )
    .unwrap()
}

/// A backend that says something long, with the header lines of a case.
async fn says_long() -> SocketAddr {
    let says = Router::new().route(
        "/{case}",
        axum::routing::any(|Path(case): Path<String>| async move {
            let lines: &[(&str, &str)] = match case.as_str() {
                "text" => &[
                    ("content-type", "text/plain"),
                    ("vary", "origin"),
                    ("accept-ranges", "bytes"),
                ],
                "strong" => &[("etag", "\"v1\"")],
                "weak" => &[("etag", "W/\"v1\"")],
                "encoded" => &[("content-encoding", "br"), ("etag", "\"v1\"")],
                "events" => &[("content-type", "text/event-stream")],
                "grpc" => &[("content-type", "application/grpc+proto")],
                "image" => &[("content-type", "image/png")],
                "part" => &[("content-range", "bytes 0-9/99")],
                "fixed" => &[
                    ("cache-control", "public, No-Transform"),
                    ("etag", "\"v1\""),
                ],
                _ => return "short".into_response(),
            };
            let mut response = long().into_response();
            response.headers_mut().remove("content-type");
            for (name, value) in lines {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            response
        }),
    );
    axum_backend(says).await
}

#[tokio::test]
async fn an_answer_is_compressed_for_whoever_accepts_it() {
    let gateway = gateway(upstream(says_long().await), |to| {
        to.compression(CompressionLayer::new())
    })
    .await;
    for (accepted, encoding) in [
        ("gzip", Some("gzip")),
        ("br;q=0.5, gzip;q=0.1", Some("br")),
        ("zstd", Some("zstd")),
        ("identity", None),
        ("rot13", None),
        ("gzip;q=0", None),
    ] {
        let answer = send(
            gateway,
            request_with("/text", &[("accept-encoding", accepted)]),
        )
        .await;
        let headers = answer.headers().clone();
        let told = headers
            .get("content-encoding")
            .map(|told| told.to_str().unwrap());
        assert_eq!(told, encoding, "{accepted}");
        let vary: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept-encoding"], "{accepted}");
        assert_eq!(headers.contains_key("content-length"), encoding.is_none());
        assert_eq!(headers.contains_key("accept-ranges"), encoding.is_none());
        assert_eq!(plain(answer).await, long());
    }
    assert_eq!(
        text(send(gateway, request("GET", "/text")).await).await,
        long()
    );
}

#[tokio::test]
async fn what_gains_nothing_by_it_is_not_compressed() {
    let gateway = gateway(upstream(says_long().await), |to| {
        to.compression(CompressionLayer::new())
    })
    .await;
    let asked = |path: &str| request_with(path, &[("accept-encoding", "gzip")]);
    for path in [
        "/encoded", "/events", "/grpc", "/image", "/part", "/fixed", "/short",
    ] {
        let answer = send(gateway, asked(path)).await;
        let encoding = answer
            .headers()
            .get("content-encoding")
            .map(|told| told.to_str().unwrap());
        assert_eq!(encoding, (path == "/encoded").then_some("br"), "{path}");
        let etag = answer
            .headers()
            .get("etag")
            .map(|told| told.to_str().unwrap());
        assert_eq!(
            etag,
            matches!(path, "/encoded" | "/fixed").then_some("\"v1\""),
            "{path}"
        );
        let expected = if path == "/short" {
            "short".to_owned()
        } else {
            long()
        };
        assert_eq!(
            answer.headers()["content-length"],
            expected.len().to_string(),
            "{path}"
        );
        assert_eq!(text(answer).await, expected, "{path}");
    }
    // Another coding is another representation: its validator is not a strong one any more (RFC 9110, section 8.8.3).
    for (path, accepted, etag) in [
        ("/strong", "gzip", "W/\"v1\""),
        ("/weak", "gzip", "W/\"v1\""),
        ("/strong", "identity", "\"v1\""),
    ] {
        let answer = send(
            gateway,
            request_with(path, &[("accept-encoding", accepted)]),
        )
        .await;
        assert_eq!(answer.headers()["etag"], etag, "{path} {accepted}");
    }
}

#[tokio::test]
async fn server_sent_events_arrive_at_once_behind_compression() {
    let (events, sent) = tokio::sync::mpsc::unbounded_channel::<Result<Frame<Bytes>, Infallible>>();
    let sent = std::sync::Arc::new(std::sync::Mutex::new(Some(sent)));
    let backend = Router::new().fallback(move || {
        let sent = sent.lock().unwrap().take().unwrap();
        async move {
            let body = StreamBody::new(tokio_stream::wrappers::UnboundedReceiverStream::new(sent));
            (
                [("content-type", "text/event-stream")],
                axum::body::Body::new(body),
            )
        }
    });
    let backend = upstream(axum_backend(backend).await);
    let gateway = gateway(backend, |to| to.compression(CompressionLayer::new())).await;
    let asked = request_with("/", &[("accept-encoding", "gzip")]);
    let mut body = send(gateway, asked).await.into_body();
    for event in ["data: one\n\n", "data: two\n\n"] {
        events.send(Ok(Frame::data(Bytes::from(event)))).unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            event
        );
    }
}

fn post(body: Bytes, lines: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = request_with("/a", lines);
    *request.method_mut() = http::Method::POST;
    *request.body_mut() = Full::new(body);
    request
}

#[tokio::test]
async fn a_request_is_decompressed_for_its_backend() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = gateway(upstream(backend), |to| {
        to.decompression(RequestDecompressionLayer::new())
    })
    .await;
    let asked = post(gzip(long()).await, &[("content-encoding", "gzip")]);
    assert_eq!(send(gateway, asked).await.status(), 200);
    let seen = recorder.take();
    assert_eq!(seen.body, long().as_bytes());
    assert!(seen.header("content-encoding").is_empty() && seen.header("content-length").is_empty());
    assert_eq!(seen.header("transfer-encoding"), ["chunked"]);

    assert_eq!(send(gateway, post("plain".into(), &[])).await.status(), 200);
    assert_eq!(recorder.take().body, b"plain");

    let unknown = send(gateway, post("x".into(), &[("content-encoding", "rot13")])).await;
    assert_eq!(unknown.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // What is no gzip, or not all of one, is the client's mistake, and never looks whole to the backend.
    let cut = gzip(long()).await.slice(..50);
    for broken in ["no gzip".into(), cut] {
        let answer = send(gateway, post(broken, &[("content-encoding", "gzip")])).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
    assert!(recorder.requests().is_empty() && recorder.malformed().is_empty());
}

#[tokio::test]
async fn the_limit_counts_what_comes_out_of_a_compressed_body() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = gateway(upstream(backend), |to| {
        to.decompression(RequestDecompressionLayer::new())
            .body_limit(1000)
    })
    .await;
    let bomb = gzip("0".repeat(100_000)).await;
    assert!(bomb.len() < 1000);
    let answer = send(gateway, post(bomb, &[("content-encoding", "gzip")])).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let small = gzip("0".repeat(1000)).await;
    assert_eq!(
        send(gateway, post(small, &[("content-encoding", "gzip")]))
            .await
            .status(),
        200
    );
    assert_eq!(recorder.take().body.len(), 1000);
    assert!(recorder.malformed().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_never_reaches_a_backend_whole() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = gateway(upstream(backend), |to| to.body_limit(10)).await;
    let chunked = |sizes: &[usize]| {
        let frames: Vec<_> = sizes
            .iter()
            .map(|size| Frame::data(Bytes::from(vec![b'x'; *size])))
            .collect();
        let body = StreamBody::new(stream::iter(frames.into_iter().map(Ok::<_, Infallible>)));
        Request::post("/a")
            .header("host", "t.example")
            .body(body)
            .unwrap()
    };
    for (sizes, status) in [
        (&[10][..], 200),
        (&[5, 5], 200),
        (&[11], 413),
        (&[5, 5, 1], 413),
    ] {
        let answer = send(gateway, chunked(sizes)).await;
        assert_eq!(answer.status(), status, "{sizes:?}");
        if status == 200 {
            assert_eq!(recorder.take().body.len(), 10);
        }
    }
    let known = send(gateway, post(Bytes::from(vec![b'x'; 11]), &[])).await;
    assert_eq!(known.status(), 413);
    assert!(recorder.requests().is_empty() && recorder.malformed().is_empty());
}

#[tokio::test]
async fn cors_answers_preflights_and_marks_answers_and_refusals() {
    let (recorder, backend) = Recorder::start().await;
    let origin = AllowOrigin::list(["https://shop.example".parse().unwrap()]);
    let cors = CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([http::Method::PUT]);
    let gateway = gateway(upstream(backend), |to| to.cors(cors)).await;
    let mut preflight = request_with(
        "/a",
        &[
            ("origin", "https://shop.example"),
            ("access-control-request-method", "PUT"),
        ],
    );
    *preflight.method_mut() = http::Method::OPTIONS;
    let answer = send(gateway, preflight).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-methods"], "PUT");
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://shop.example"
    );
    assert!(
        recorder.requests().is_empty(),
        "a preflight is not the backend's business"
    );

    for (path, from, status, allowed) in [
        ("/a", "https://shop.example", 200, true),
        ("/a", "https://evil.example", 200, false),
        ("/%zz", "https://shop.example", 400, true),
    ] {
        let answer = send(gateway, request_with(path, &[("origin", from)])).await;
        assert_eq!(answer.status(), status, "{path} {from}");
        let told = answer.headers().get("access-control-allow-origin");
        assert_eq!(
            told.map(|told| told == from),
            allowed.then_some(true),
            "{path} {from}"
        );
        assert!(
            answer.headers()["vary"]
                .to_str()
                .unwrap()
                .contains("origin")
        );
    }
}

#[tokio::test]
async fn cors_of_the_gateway_replaces_that_of_a_backend() {
    let backend = Router::new()
        .fallback(|| async { [("access-control-allow-origin", "*"), ("vary", "accept")] });
    let origin = AllowOrigin::exact("https://shop.example".parse().unwrap());
    let gateway = gateway(upstream(axum_backend(backend).await), |to| {
        to.cors(CorsLayer::new().allow_origin(origin))
    })
    .await;
    let answer = send(gateway, request("GET", "/a")).await;
    let allowed: Vec<_> = answer
        .headers()
        .get_all("access-control-allow-origin")
        .iter()
        .collect();
    assert_eq!(allowed, ["https://shop.example"]);
    assert_eq!(
        answer.headers().get_all("vary").iter().next().unwrap(),
        "accept"
    );
}

#[tokio::test]
async fn sensitive_headers_are_marked_and_passed_on() {
    let marks = Router::new().fallback(|headers: HeaderMap| async move {
        let shown = format!("{:?} {:?}", headers["authorization"], headers["x-plain"]);
        ([("set-cookie", "sid=1")], shown)
    });
    let names = [header::AUTHORIZATION, HeaderName::from_static("x-secret")];
    let gateway = gateway(Upstream::service(marks), |to| {
        to.sensitive_headers(names.clone())
    })
    .await;
    let lines = [("authorization", "Bearer x"), ("x-plain", "y")];
    let answer = send(gateway, request_with("/", &lines)).await;
    assert_eq!(text(answer).await, "Sensitive \"y\"");

    let (recorder, backend) = Recorder::start().await;
    let gateway = self::gateway(upstream(backend), |to| to.sensitive_headers(names)).await;
    assert_eq!(send(gateway, request_with("/", &lines)).await.status(), 200);
    assert_eq!(recorder.take().header("authorization"), ["Bearer x"]);
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing_and_the_connection_goes_on() {
    let app = Router::new()
        .route(
            "/panic",
            axum::routing::get(|| async {
                if true {
                    panic!("secret-state")
                }
            }),
        )
        .route("/fine", axum::routing::get(|| async { "fine" }));
    let gateway = gateway(Upstream::service(app), GatewayBuilder::catch_panic).await;
    let mut connection = connect(gateway).await;
    for _ in 0..2 {
        let answer = connection
            .send_request(request("GET", "/panic"))
            .await
            .unwrap();
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let told = format!("{:?}", answer.headers()) + &text(answer).await;
        assert!(!told.contains("secret"), "{told}");
        let answer = connection
            .send_request(request("GET", "/fine"))
            .await
            .unwrap();
        assert_eq!(text(answer).await, "fine");
    }
}
