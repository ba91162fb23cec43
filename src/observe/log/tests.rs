//! The layer under a subscriber that keeps everything.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Level;

use super::capture::{Log, answer, data, frames, get, seen};
use crate::{
    body::Body,
    context::RequestContext,
    error::{Error, ErrorKind},
    observe::ObserveLayer,
};

#[tokio::test(start_paused = true)]
async fn an_event_says_it_all() {
    let log = Log::at(Level::TRACE);
    let inner = service_fn(|request: Request<Body>| async move {
        tracing::info!("inside");
        tokio::time::advance(std::time::Duration::from_micros(1_500)).await;
        tracing::info!("still inside");
        let context = request.extensions().get::<RequestContext>().unwrap();
        context.record(|notes| {
            notes.route = Some("orders".into());
            notes.upstream = Some("orders-v2".into());
            notes.endpoint = Some("10.0.0.1:80".into());
            notes.tries = 2;
        });
        Ok::<_, Infallible>(Response::new(frames([data("hello"), data(" world")])))
    });
    let service = ObserveLayer::new().layer(inner);
    let response = service.oneshot(get("/orders/1?page=2")).await.unwrap();
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(log.count(), 0, "not before the end of the body");
    tokio::time::advance(std::time::Duration::from_millis(2)).await;
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "hello world"
    );

    let (level, mut fields) = log.only();
    assert_eq!(level, Level::INFO);
    let span = log.seen().span.clone();
    assert_eq!(fields["trace_id"].len(), 32);
    for field in ["method", "path", "route", "request_id", "trace_id"] {
        assert_eq!(span.get(field), fields.get(field), "{field}");
    }
    assert_eq!(span.len(), 5, "{span:?}");
    fields.remove("trace_id");
    let expected = [
        ("bytes", "11"),
        ("endpoint", "10.0.0.1:80"),
        ("head_ms", "1.5"),
        ("method", "GET"),
        ("outcome", "ok"),
        ("path", "/orders/1"),
        ("request_id", &id),
        ("route", "orders"),
        ("status", "200"),
        ("total_ms", "3.5"),
        ("tries", "2"),
        ("upstream", "orders-v2"),
    ];
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    assert_eq!(fields, expected);
    assert_eq!(log.seen().inside, 2, "every poll is in the span");
}

#[tokio::test]
async fn answers_of_the_gateway_itself() {
    let cases = [
        (ErrorKind::RouteNotFound, Level::INFO, "rejected", "client"),
        (ErrorKind::NoEndpoint, Level::WARN, "rejected", "gateway"),
        (
            ErrorKind::Connect,
            Level::WARN,
            "upstream_error",
            "upstream",
        ),
        (
            ErrorKind::Timeout,
            Level::WARN,
            "upstream_error",
            "upstream",
        ),
    ];
    for (kind, level, outcome, origin) in cases {
        let log = Log::at(Level::TRACE);
        let response = Error::new(kind)
            .with_source("line\nbreak ?token=abc")
            .into_response();
        let length = http_body::Body::size_hint(response.body()).exact().unwrap();
        let response = answer(get("/"), response).await;
        response.into_body().collect().await.unwrap();
        assert_eq!(
            log.outcome(),
            seen(level, outcome, kind.status().as_u16(), length)
        );
        let (_, fields) = log.only();
        assert_eq!(fields["rejection"], format!("{kind:?}"));
        assert_eq!(fields["origin"], origin);
        assert_eq!(
            fields["error"],
            format!("{}: line\\u{{a}}break ?***", kind.title())
        );
    }
}

#[tokio::test]
async fn no_head_is_told_too() {
    let log = Log::at(Level::TRACE);
    let waiting = service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
    let mut future = Box::pin(ObserveLayer::new().layer(waiting).oneshot(get("/")));
    assert!(
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    assert_eq!(log.count(), 0);
    drop(future);
    assert_eq!(log.outcome(), seen(Level::INFO, "client_gone", 499, 0));
    assert!(!log.only().1.contains_key("head_ms"));

    let log = Log::at(Level::TRACE);
    let failing = service_fn(|_: Request<Body>| ready(Err::<Response<Body>, _>("oops")));
    assert_eq!(
        ObserveLayer::new()
            .layer(failing)
            .oneshot(get("/"))
            .await
            .unwrap_err(),
        "oops"
    );
    assert_eq!(
        log.outcome(),
        (Level::WARN, "failed".into(), None, "0".into())
    );

    let log = Log::at(Level::TRACE);
    let panicking = service_fn(|request: Request<Body>| async move {
        assert_eq!(request.method(), Method::POST, "on purpose");
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let future = ObserveLayer::new().layer(panicking).oneshot(get("/"));
    let poll = std::panic::AssertUnwindSafe(async { future.await.is_ok() });
    assert!(futures_util::FutureExt::catch_unwind(poll).await.is_err());
    assert_eq!(
        log.outcome(),
        (Level::WARN, "failed".into(), None, "0".into())
    );
}

#[tokio::test]
async fn secrets_stay_out() {
    const SECRETS: [&str; 9] = ["S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8"];
    for log_query in [false, true] {
        let log = Log::at(Level::TRACE);
        let request =
            Request::get("/a;jsessionid=S0?page=7&access_token=S1&sig=S2&%63ode=S3&mine=S8")
                .header("authorization", "Bearer S4")
                .header("cookie", "session=S5")
                .header("x-request-id", "S6")
                .header("x-api-key", "S7")
                .body(Body::empty())
                .unwrap();
        let layer = ObserveLayer::new()
            .log_query(log_query)
            .secret_parameters(["Mine"]);
        let inner = service_fn(|request: Request<Body>| async move {
            let mut response = Error::new(ErrorKind::Connect)
                .with_source(format!("http://x{}", request.uri()))
                .into_response();
            response
                .headers_mut()
                .insert("set-cookie", "session=S5".parse().unwrap());
            Ok::<_, Infallible>(response)
        });
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        let (_, fields) = log.only();
        let query = "?page=7&access_token=***&sig=***&%63ode=***&mine=***";
        let query = if log_query { query } else { "" };
        assert_eq!(fields["path"], format!("/a;jsessionid=***{query}"));
        let all = log.seen().all.clone();
        for secret in SECRETS {
            // The one source of text that the room does not shape is an error's.
            let shown = all.lines().find(|line| line.contains(secret));
            assert_eq!(shown, None);
        }
    }
}

#[tokio::test]
async fn off_is_untouched() {
    let log = Log::at(None);
    let body = |text: &str| format!("Body({text:?})");
    let inner = service_fn(|request: Request<Body>| async move {
        let context = request.extensions().get::<RequestContext>().unwrap();
        assert!(context.record.is_none(), "nobody is asked to note anything");
        assert_eq!(context.request_id().unwrap().len(), 32);
        Ok::<_, Infallible>(Response::new(Body::from("abc")))
    });
    let layer = ObserveLayer::new();
    let response = layer.clone().layer(inner).oneshot(get("/")).await.unwrap();
    assert_eq!(
        format!("{:?}", response.body()),
        body("full"),
        "the body is not wrapped"
    );
    assert_eq!(response.headers()["x-request-id"].len(), 32);

    // The clock is read to fill in an entry, and only then.
    let observation = layer.begin(&mut get("/"));
    assert!(!observation.is_logged());

    let silent = layer.request_id(None).trace_context(false);
    let mut request = get("/");
    drop(silent.begin(&mut request));
    assert!(request.headers().is_empty() && request.extensions().is_empty());
    assert_eq!(log.seen().all, "");
}

#[tokio::test]
async fn warnings_are_seen_alone() {
    let log = Log::at(Level::WARN);
    answer(get("/"), Response::new(Body::empty())).await;
    assert_eq!(log.count(), 0);
    let response = answer(get("/"), Error::from(ErrorKind::Connect).into_response()).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    drop(response);
    assert_eq!(log.outcome().0, Level::WARN);
    assert_eq!(log.only().1["outcome"], "client_gone");
    assert_eq!(log.seen().spans, 0);
}

#[tokio::test]
async fn a_method_of_any_length_is_cut() {
    let log = Log::at(Level::TRACE);
    let method = Method::from_bytes(&[b'M'; 5_000]).unwrap();
    let request = Request::builder()
        .method(method)
        .body(Body::empty())
        .unwrap();
    answer(request, Response::new(Body::empty())).await;
    assert_eq!(log.only().1["method"], "M".repeat(32));
}

#[tokio::test]
async fn two_layers_share_the_record_and_the_id() {
    let log = Log::at(Level::TRACE);
    let inner = service_fn(|request: Request<Body>| async move {
        let context = request.extensions().get::<RequestContext>().unwrap();
        context.record(|notes| notes.tries = 3);
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let layer = ObserveLayer::new();
    let service = layer.clone().layer(layer.layer(inner));
    service.oneshot(get("/")).await.unwrap();
    let seen = log.seen();
    assert_eq!(seen.events.len(), 2);
    for field in ["tries", "request_id", "trace_id"] {
        assert_eq!(seen.events[0].1[field], seen.events[1].1[field], "{field}");
    }
    assert_eq!(seen.events[0].1["tries"], "3");
}

/// Sends a request over a connection to a hyper server, and reads the answer to its end or only its head.
async fn over_a_wire(http2: bool, request: Request<Body>, body: Body, reads_all: bool) {
    let (client, server) = tokio::io::duplex(1024);
    let (client, server) = (TokioIo::new(client), TokioIo::new(server));
    let body = Arc::new(Mutex::new(Some(body)));
    let inner = service_fn(move |_: Request<Incoming>| {
        let body = body.lock().unwrap().take().unwrap_or_default();
        ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let service = TowerToHyperService::new(ObserveLayer::new().layer(inner));
    let serving = tokio::spawn(async {
        let builder = auto::Builder::new(TokioExecutor::new());
        builder.serve_connection(server, service).await.is_ok()
    });
    let (response, driver) = if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), client)
            .await
            .unwrap();
        let driver = tokio::spawn(async { connection.await.is_ok() });
        (sender.send_request(request).await.unwrap(), driver)
    } else {
        let (mut sender, connection) = http1::handshake(client).await.unwrap();
        let driver = tokio::spawn(async { connection.await.is_ok() });
        (sender.send_request(request).await.unwrap(), driver)
    };
    if reads_all {
        response.into_body().collect().await.unwrap();
    }
    driver.abort();
    let _ = serving.await;
}

#[tokio::test]
async fn servers_take_the_body_to_its_end() {
    let trailers = || {
        Ok(Frame::trailers(HeaderMap::from_iter([(
            http::header::ETAG,
            "x".parse().unwrap(),
        )])))
    };
    for http2 in [false, true] {
        // hyper sends the body of a HEAD over HTTP/2, which is against the protocol: there must be none.
        let head = if http2 { "" } else { "abc" };
        let cases = [
            (Method::GET, Body::empty(), 0),
            (Method::GET, Body::from("abc"), 3),
            (Method::GET, Body::new(Full::new(Bytes::from("abc"))), 3),
            (Method::GET, frames([data("abc"), data("de")]), 5),
            (Method::GET, frames([data("abc"), trailers()]), 3),
            (Method::HEAD, Body::from(head), 0),
        ];
        for (method, body, bytes) in cases {
            let log = Log::at(Level::INFO);
            let request = Request::builder()
                .method(method)
                .uri("http://a/")
                .body(Body::empty())
                .unwrap();
            let shown = format!("{} {body:?} http2: {http2}", request.method());
            over_a_wire(http2, request, body, true).await;
            assert_eq!(
                log.outcome(),
                seen(Level::INFO, "ok", 200, bytes),
                "{shown}"
            );
        }
        let log = Log::at(Level::INFO);
        let endless = futures_util::stream::repeat_with(|| data("a long text, again and again"));
        let body = Body::new(StreamBody::new(endless));
        over_a_wire(http2, get("http://a/"), body, false).await;
        assert_eq!(log.only().1["outcome"], "client_gone", "http2: {http2}");
    }
}
