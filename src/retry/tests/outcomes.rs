//! What is sent again, and what is given to the client.

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};

use super::support::*;
use crate::{
    body::Body,
    error::{BoxError, Error, ErrorKind, Rejection},
    retry::RetryLayer,
};

#[tokio::test(start_paused = true)]
async fn what_is_safe_is_sent_again() {
    let unsent = || Fail(ErrorKind::Connect);
    let broken = || Fail(ErrorKind::Incomplete);
    // The method, what becomes of its tries; how many there are, and the last status.
    let cases = [
        ("GET", vec![Status(503)], 2, 200),
        ("GET", vec![Status(503), Status(502)], 3, 200),
        ("GET", vec![Status(503), Status(502), Status(504)], 3, 504),
        ("GET", vec![broken(), unsent()], 3, 200),
        ("GET", vec![Status(500)], 1, 500),
        ("GET", vec![Status(404)], 1, 404),
        ("GET", vec![Status(429)], 1, 429),
        ("GET", vec![RetryAfter(429, "1")], 2, 200),
        ("GET", vec![Fail(ErrorKind::CircuitOpen)], 1, 503),
        ("GET", vec![Fail(ErrorKind::BodyTooLarge)], 1, 413),
        ("PUT", vec![Status(503)], 2, 200),
        ("DELETE", vec![broken()], 2, 200),
        ("POST", vec![Status(503)], 1, 503),
        ("POST", vec![broken()], 1, 502),
        ("POST", vec![unsent()], 2, 200),
        ("PATCH", vec![unsent(), Status(503)], 2, 503),
        ("PATCH", vec![unsent(), unsent(), unsent()], 3, 502),
    ];
    for (method, acts, tries, status) in cases {
        let told = format!("{method} {acts:?}");
        let backend = Backend::new(acts);
        let layer = RetryLayer::new();
        let answer = layer.layer(backend.clone()).oneshot(request(method)).await;
        let last = answer.map_or_else(|error| error.status(), |answer| answer.status());
        assert_eq!((backend.count(), last.as_u16()), (tries, status), "{told}");
        let counts = layer.handle().counts();
        assert_eq!((counts.requests, counts.retries as usize), (1, tries - 1));
        assert_eq!((counts.in_flight, counts.extra_in_flight), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn settings_say_what_is_safe() {
    let sent = |layer: RetryLayer, method: &'static str, act: Act| async move {
        let backend = Backend::new([act]);
        let _ = layer.layer(backend.clone()).oneshot(request(method)).await;
        backend.count()
    };
    let layer = RetryLayer::new;
    let teapot = StatusCode::IM_A_TEAPOT;
    for (layer, method, act, tries) in [
        (layer().all_methods(), "POST", Status(503), 2),
        (layer().methods([Method::POST]), "POST", Status(503), 2),
        (layer().methods([Method::POST]), "GET", Status(503), 1),
        (
            layer().methods([Method::POST]),
            "GET",
            Fail(ErrorKind::Tls),
            2,
        ),
        (layer().statuses([teapot]), "GET", Status(418), 2),
        (layer().statuses([teapot]), "GET", Status(503), 1),
        (layer().statuses([]), "GET", Fail(ErrorKind::Protocol), 1),
        (layer().statuses([]), "GET", Fail(ErrorKind::Resolve), 2),
        (layer().max_tries(1), "GET", Status(503), 1),
        (layer().max_tries(2), "GET", Status(503), 2),
    ] {
        let told = format!("{layer:?} {method} {act:?}");
        assert_eq!(sent(layer, method, act).await, tries, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_is_given_as_it_is() {
    let backend = Backend::new([Fail(ErrorKind::Timeout), Status(502), RetryAfter(503, "0")]);
    let service = RetryLayer::new().layer(backend);
    let answer = service.oneshot(request("GET")).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "0");
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "an answer");
}

#[tokio::test(start_paused = true)]
async fn each_try_is_the_same_request() {
    let backend = Backend::new([Status(503), Status(503)]);
    let mut asked = request("PUT");
    *asked.uri_mut() = "/a/b?c=d".parse().unwrap();
    asked.headers_mut().append("x", "1".parse().unwrap());
    asked.headers_mut().append("x", "2".parse().unwrap());
    asked.extensions_mut().insert("an extension");
    RetryLayer::new()
        .layer(backend.clone())
        .oneshot(asked)
        .await
        .unwrap();
    let heads = backend.heads();
    assert_eq!(heads.len(), 3);
    for head in heads {
        assert_eq!(
            (head.method(), head.uri().to_string()),
            (&Method::PUT, "/a/b?c=d".into())
        );
        assert_eq!(head.headers().get_all("x").iter().count(), 2);
        assert_eq!(head.extensions().get(), Some(&"an extension"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_the_backend_is_sent_once() {
    let backend = || Backend::always(Fail(ErrorKind::Connect));
    let mut upgrade = within(SECOND, request("GET"));
    upgrade
        .extensions_mut()
        .get_mut::<crate::RequestContext>()
        .unwrap()
        .upgrade = Some("websocket".into());
    let with = |name: &'static str, value: &str| {
        let mut request = request("GET");
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for (request, tries) in [
        (request("GET"), 3),
        (request("CONNECT"), 1),
        (with("upgrade", "websocket"), 1),
        (with("expect", "100-continue"), 1),
        (upgrade, 1),
    ] {
        let told = format!("{request:?}");
        let backend = backend();
        let _ = RetryLayer::new()
            .layer(backend.clone())
            .oneshot(request)
            .await;
        assert_eq!(backend.count(), tries, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_any_type_are_understood() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Error);

    let tries = |error: fn() -> BoxError, method: &'static str| async move {
        let layer = RetryLayer::new();
        let service = layer.layer(service_fn(move |_: http::Request<Body>| async move {
            Err::<Response<Body>, _>(error())
        }));
        assert!(service.oneshot(request(method)).await.is_err());
        layer.handle().counts().retries + 1
    };
    let own: fn() -> BoxError = || Error::new(ErrorKind::Connect).into();
    let wrapped: fn() -> BoxError = || Outer(ErrorKind::BadRequest.into()).into();
    let foreign: fn() -> BoxError = || "reset".into();
    for (error, get, post) in [(own, 3, 3), (wrapped, 1, 1), (foreign, 3, 1)] {
        assert_eq!(
            (tries(error, "GET").await, tries(error, "POST").await),
            (get, post)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rejections_of_layers_inside_are_errors() {
    for (kind, of_post, of_get) in [
        (ErrorKind::NoEndpoint, 3, 3),
        (ErrorKind::Saturated, 1, 1),
        (ErrorKind::CircuitOpen, 1, 1),
        (ErrorKind::QuotaExceeded, 1, 1),
        (ErrorKind::CapacityReduced, 1, 1),
        (ErrorKind::ThrottleUnavailable, 1, 3),
        (ErrorKind::Timeout, 1, 3),
    ] {
        for (method, tries) in [("POST", of_post), ("GET", of_get)] {
            let layer = RetryLayer::new();
            let service = layer.layer(service_fn(move |_: http::Request<Body>| async move {
                Ok::<_, Error>(Error::new(kind).into_response::<Body>())
            }));
            let answer = service.oneshot(request(method)).await.unwrap();
            assert_eq!(
                answer.extensions().get::<Rejection>().unwrap().0.kind(),
                kind
            );
            let sent = layer.handle().counts().retries + 1;
            assert_eq!(sent, tries, "{method} {kind:?}");
        }
    }
}
