//! The gateway over real sockets: routes, what is passed on and what is not, backends that fail, WebSockets, and raw
//! requests that try to smuggle others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod advisories;
mod assembly;
mod body_limits;
mod door;
mod early;
mod expecting;
mod failover;
mod fallback;
mod grpc;
mod http2;
mod http2_again;
mod identity;
mod in_process;
mod keeping;
mod lasting;
mod layers;
mod leftovers;
mod lies;
mod limits;
mod logging;
mod matching;
mod mounting;
mod order;
mod own_layers;
mod peers;
mod pool;
mod retrying;
mod rewriting;
mod router_layer;
mod semantics;
mod sent_once;
mod splitting;
mod streams;
mod support;
mod tls;
mod tls_trust;
mod trailers;
mod tunnel;
mod unread;
mod upstreams;
mod volume;
mod way;
mod websockets;
mod wire;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::Uri, routing::post};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::{io::AsyncWriteExt, sync::Notify};
use tower_gateway::{Gateway, Route};

use support::{
    Recorder, axum_backend, in_front_of, raw_backend, read_head, refusing, request, request_to,
    say, send, serve, text, upstream,
};

/// A backend that says its name and the path and query that it was asked for.
fn named(name: &'static str) -> Router {
    Router::new().fallback(move |uri: Uri| async move { format!("{name} {uri}") })
}

#[tokio::test]
async fn routes_by_path_parameter_host_and_method() {
    let (one, two) = (
        axum_backend(named("one")).await,
        axum_backend(named("two")).await,
    );
    let gateway = Gateway::builder()
        .upstream("one", upstream(one))
        .upstream("two", upstream(two))
        .route(Route::get("/users/{id}").to("one"))
        .route(Route::get("/users/me").to("two"))
        .route(Route::new("/files/{*rest}").to("two"))
        .route(Route::new("/shop").to("one"))
        .route(Route::new("/shop").host("shop.example").to("two"))
        .build()
        .unwrap();
    let gateway = serve(gateway).await;
    for (host, path, expected) in [
        ("t.example", "/users/7?full=1", "one /users/7?full=1"),
        ("t.example", "/users/me", "two /users/me"),
        ("t.example", "/files/a/b.txt", "two /files/a/b.txt"),
        ("t.example", "/shop", "one /shop"),
        ("shop.example", "/shop", "two /shop"),
        ("SHOP.example:8080", "/shop", "two /shop"),
    ] {
        let response = send(gateway, request_to(host, "GET", path)).await;
        assert_eq!(response.status(), 200, "{host}{path}");
        assert_eq!(text(response).await, expected, "{host}{path}");
    }

    let response = send(gateway, request("GET", "/nowhere")).await;
    assert_eq!(response.status(), 404);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );

    let response = send(gateway, request("POST", "/users/7")).await;
    assert_eq!(response.status(), 405);
    let allow = response.headers()[header::ALLOW].to_str().unwrap();
    let allowed: Vec<_> = allow.split(',').map(str::trim).collect();
    assert!(
        allowed.contains(&"GET") && !allowed.contains(&"POST"),
        "{allow}"
    );
}

#[tokio::test]
async fn a_stripped_prefix_is_told_to_the_backend() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = Gateway::builder()
        .upstream("backend", upstream(backend))
        .route(
            Route::new("/api/{*rest}")
                .to("backend")
                .strip_prefix("/api"),
        )
        .build()
        .unwrap();
    let response = send(serve(gateway).await, request("GET", "/api/orders/1?a=b")).await;
    assert_eq!(response.status(), 200);
    let [seen] = &recorder.requests()[..] else {
        panic!("{:?}", recorder.requests())
    };
    assert!(
        seen.head.starts_with("GET /orders/1?a=b HTTP/1.1\r\n"),
        "{}",
        seen.head
    );
    assert_eq!(seen.header("x-forwarded-prefix"), ["/api"]);
}

#[tokio::test]
async fn a_backend_sees_the_gateways_headers_and_not_what_a_client_made_up() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = in_front_of(backend).await;
    let mut asked = request("GET", "/a");
    for (name, value) in [
        ("connection", "x-named, keep-alive"),
        ("x-named", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-kept", "yes"),
    ] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(send(gateway, asked).await.status(), 200);
    let [seen] = &recorder.requests()[..] else {
        panic!("{:?}", recorder.requests())
    };
    for gone in [
        "x-named",
        "keep-alive",
        "proxy-connection",
        "te",
        "x_forwarded_for",
    ] {
        assert!(seen.header(gone).is_empty(), "{gone} is in {}", seen.head);
    }
    assert!(
        !seen
            .header("connection")
            .iter()
            .any(|value| value.contains("x-named")),
        "{}",
        seen.head
    );
    assert_eq!(seen.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-host"), ["t.example"]);
    assert_eq!(seen.header("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.header("host"), [backend.to_string()]);
    assert_eq!(seen.header("x-kept"), ["yes"]);
    let [via] = seen.header("via")[..] else {
        panic!("{}", seen.head)
    };
    assert!(via.starts_with("1.1 "), "{via}");
}

#[tokio::test]
async fn a_client_does_not_see_the_backends_hop_by_hop_headers() {
    let backend = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nConnection: close, X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\n\
                      X-Kept: yes\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let response = send(in_front_of(backend).await, request("GET", "/a")).await;
    assert_eq!(response.status(), 200);
    for gone in ["x-named", "keep-alive", "connection"] {
        assert!(
            !response.headers().contains_key(gone),
            "{:?}",
            response.headers()
        );
    }
    assert_eq!(response.headers()["x-kept"], "yes");
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    const PIECE: usize = 64 * 1024;
    let echo = Router::new().route("/echo", post(|body: Body| async move { body }));
    let gateway = in_front_of(axum_backend(echo).await).await;
    let pieces =
        (0..64u8).map(|number| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![number; PIECE]))));
    let body = StreamBody::new(stream::iter(pieces));
    let asked = Request::post("/echo")
        .header("host", "t.example")
        .body(body)
        .unwrap();
    let response = send(gateway, asked).await;
    assert_eq!(response.status(), 200);
    let echoed = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(echoed.len(), 64 * PIECE);
    assert!(
        echoed
            .chunks(PIECE)
            .zip(0..)
            .all(|(piece, number)| piece.iter().all(|byte| *byte == number))
    );
}

#[tokio::test]
async fn an_answer_arrives_before_its_request_is_complete() {
    let echo = Router::new().route("/echo", post(|body: Body| async move { body }));
    let gateway = in_front_of(axum_backend(echo).await).await;
    let (pieces, body) = tokio::sync::mpsc::unbounded_channel::<Result<Frame<Bytes>, Infallible>>();
    let body = StreamBody::new(tokio_stream::wrappers::UnboundedReceiverStream::new(body));
    let asked = Request::post("/echo")
        .header("host", "t.example")
        .body(body)
        .unwrap();
    pieces
        .send(Ok(Frame::data(Bytes::from_static(b"ping"))))
        .unwrap();
    let mut answer = send(gateway, asked).await.into_body();
    assert_eq!(
        answer.frame().await.unwrap().unwrap().into_data().unwrap(),
        "ping"
    );
    pieces
        .send(Ok(Frame::data(Bytes::from_static(b"pong"))))
        .unwrap();
    drop(pieces);
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "pong");
}

#[tokio::test]
async fn a_backend_that_refuses_is_a_502() {
    let (_kept, backend) = refusing();
    let response = send(in_front_of(backend).await, request("GET", "/a")).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );
    let problem: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(problem["status"], 502);
}

#[tokio::test]
async fn a_backend_that_resets_in_the_middle_breaks_the_clients_body() {
    for framing in [
        "Content-Length: 100\r\n\r\npart",
        "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let reset = Arc::new(Notify::new());
        let when = reset.clone();
        let backend = raw_backend(move |_, mut stream| {
            let when = when.clone();
            async move {
                read_head(&mut stream).await;
                stream
                    .write_all(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes())
                    .await
                    .unwrap();
                when.notified().await;
                socket2::SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
        })
        .await;
        let response = send(in_front_of(backend).await, request("GET", "/a")).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "part"
        );
        reset.notify_one();
        assert!(body.collect().await.is_err(), "{framing}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_closed_is_replaced() {
    let (close, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let connections = Arc::new(AtomicUsize::new(0));
    let shared = (close.clone(), closed.clone(), connections.clone());
    let backend = raw_backend(move |_, mut stream| {
        let (close, closed, connections) = shared.clone();
        async move {
            connections.fetch_add(1, Ordering::Relaxed);
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            close.notified().await;
            drop(stream);
            closed.notify_one();
        }
    })
    .await;
    let gateway = in_front_of(backend).await;
    for round in 1..=5 {
        let response = send(gateway, request("GET", "/a")).await;
        assert_eq!(response.status(), 200, "{round}");
        assert_eq!(text(response).await, "ok");
        close.notify_one();
        closed.notified().await;
        assert_eq!(connections.load(Ordering::Relaxed), round);
    }
}

/// Bare LF does not end a trailer: whoever reads strictly waits for the rest of the line.
const WAITS: &str = "trailer-lf";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_requests_are_refused_or_passed_on_whole() {
    let cases: Value = serde_json::from_str(include_str!("../data/http1-requests.json")).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert!(cases.len() > 200);
    let heard = join_all(cases.iter().map(|case| async move {
        let (recorder, backend) = Recorder::start().await;
        let gateway = in_front_of(backend).await;
        let raw: Vec<u8> = case["raw"]
            .as_str()
            .unwrap()
            .chars()
            .map(|char| u8::try_from(char).unwrap())
            .collect();
        (case, recorder, say(gateway, &raw).await)
    }))
    .await;
    let mut wrong = Vec::new();
    for (case, recorder, heard) in &heard {
        if let Err(what) = judge(case, recorder, heard) {
            let answer = heard.bytes[..heard.bytes.len().min(60)]
                .escape_ascii()
                .to_string();
            wrong.push(format!(
                "{} ({}): {what}; heard {answer}, closed: {}",
                case["name"], case["why"], heard.closed
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn judge(case: &Value, recorder: &Recorder, heard: &support::Heard) -> Result<(), String> {
    let (requests, malformed) = (recorder.requests(), recorder.malformed());
    if !malformed.is_empty() {
        return Err(format!("the backend got {malformed:?}"));
    }
    let allowed = usize::try_from(case["count"].as_u64().unwrap_or(1)).unwrap();
    let refused = heard.status().map_or(heard.closed, |status| {
        (400..500).contains(&status) || status == 501
    });
    let fits = match case["expect"].as_str().unwrap() {
        "reject" => requests.is_empty() && refused,
        "one_request" => requests.len() == allowed && heard.status() == Some(200),
        "either" => {
            let waits = case["hang_ok"] == true || case["name"] == WAITS;
            requests.len() <= allowed && (waits || heard.closed || heard.status().is_some())
        }
        other => return Err(format!("{other} is not an expectation")),
    };
    if !fits {
        return Err(format!(
            "{} expected, the backend got {requests:?}",
            case["expect"]
        ));
    }
    if let (Some(body), Some(first)) = (case["want_body"].as_str(), requests.first())
        && first.body != body.as_bytes()
    {
        return Err(format!("the body is {}", first.body.escape_ascii()));
    }
    let forbidden = case["forbid"].as_str().map(prefixes).unwrap_or_default();
    let lines = || requests.iter().flat_map(|request| request.head.lines());
    match lines().find(|line| {
        forbidden
            .iter()
            .any(|prefix| squeeze(line).starts_with(prefix.as_str()))
    }) {
        Some(line) => Err(format!("`{line}` reached the backend")),
        None => Ok(()),
    }
}

/// The beginnings of lines that `^(a|b: *c):` means, without spaces.
fn prefixes(forbid: &str) -> Vec<String> {
    let forbid = squeeze(&forbid.replace(" *", ""));
    let forbid = forbid.strip_prefix('^').expect("the beginning of a line");
    match forbid
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
    {
        Some((choices, end)) => choices
            .split('|')
            .map(|choice| format!("{choice}{end}"))
            .collect(),
        None => vec![forbid.to_owned()],
    }
}

fn squeeze(line: &str) -> String {
    line.to_ascii_lowercase().replace(' ', "")
}
