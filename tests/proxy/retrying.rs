//! Retries in front of real endpoints: each try at another one, uploads taken over, deadlines passed on.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_gateway::{
    Body, Route, Upstream,
    deadline::{DeadlineHeader, DeadlineLayer},
    retry::RetryLayer,
};

use crate::support::{
    Recorder, axum_backend, one_route, raw_backend, read_head, refusing, request, send, serve, text,
};

/// An endpoint that answers every request so, and counts them.
async fn answering(status: u16) -> (Arc<AtomicUsize>, SocketAddr) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let address = raw_backend(move |_, mut stream| {
        let counted = counted.clone();
        async move {
            read_head(&mut stream).await;
            counted.fetch_add(1, Ordering::SeqCst);
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    (count, address)
}

fn urls(addresses: &[SocketAddr]) -> Vec<String> {
    addresses
        .iter()
        .map(|address| format!("http://{address}"))
        .collect()
}

#[tokio::test]
async fn each_try_goes_to_another_endpoint() {
    let (first, bad) = answering(503).await;
    let (second, worse) = answering(502).await;
    let (good, alive) = answering(200).await;
    let retry = RetryLayer::new().budget(1.0).budget_minimum(1_000);
    let handle = retry.handle();
    let upstream = Upstream::http(urls(&[bad, worse, alive])).layer(retry);
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for _ in 0..60 {
        assert_eq!(send(gateway, request("GET", "/a")).await.status(), 200);
    }
    assert_eq!(good.load(Ordering::SeqCst), 60);
    let failed = first.load(Ordering::SeqCst) + second.load(Ordering::SeqCst);
    assert!(failed > 0);
    assert_eq!(handle.counts().retries, failed as u64);
}

#[tokio::test]
async fn an_endpoint_that_can_not_be_reached_is_not_asked_again_either() {
    let (_kept, gone) = refusing();
    let (count, bad) = answering(503).await;
    let (_, alive) = answering(200).await;
    for _ in 0..80 {
        // A new gateway knows nothing of its endpoints.
        let upstream = Upstream::http(urls(&[gone, bad, alive])).layer(RetryLayer::new());
        let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
        assert_eq!(send(gateway, request("GET", "/a")).await.status(), 200);
        assert!(count.swap(0, Ordering::SeqCst) <= 1, "one is asked twice");
    }
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn all_tries_are_in_the_log() {
    let log = crate::logging::capture::Log::start();
    let (_, bad) = answering(503).await;
    let upstream = Upstream::http(urls(&[bad])).layer(RetryLayer::new());
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    assert_eq!(send(gateway, request("GET", "/a")).await.status(), 503);
    assert_eq!(log.next().await.get("tries"), "3");
}

#[tokio::test]
async fn an_upload_that_broke_off_is_sent_again_from_its_beginning() {
    let (recorder, alive) = Recorder::start().await;
    let breaks = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let mut half = [0; 500];
        stream.read_exact(&mut half).await.unwrap();
    })
    .await;
    let retry = RetryLayer::new().budget(1.0).budget_minimum(1_000);
    let handle = retry.handle();
    let upstream = Upstream::http(urls(&[breaks, alive])).layer(retry);
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let body: Vec<u8> = (0..1_000_u32).map(|at| at as u8).collect();
    for _ in 0..20 {
        let asked = request("PUT", "/a").map(|_| Full::from(body.clone()));
        assert_eq!(send(gateway, asked).await.status(), 200);
        assert_eq!(recorder.take().body, body);
    }
    assert!(handle.counts().retries > 0);
}

/// The connection's own task may still hold the body of the try that was given up.
#[cfg(feature = "http2")]
#[tokio::test]
async fn an_upload_over_http2_is_taken_over_whole() {
    let silent = raw_backend(|_, mut stream| async move {
        let mut taken = Vec::new();
        let _ = stream.read_to_end(&mut taken).await;
    })
    .await;
    let echo = axum::routing::put(|body: bytes::Bytes| async move { body });
    let alive = axum_backend(axum::Router::new().route("/a", echo)).await;
    let retry = RetryLayer::new()
        .try_timeout(Duration::from_millis(200))
        .budget_minimum(1_000);
    let handle = retry.handle();
    let upstream = Upstream::http(urls(&[silent, alive]))
        .http2_only()
        .layer(retry);
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let body: String = (0..6_000).map(|at| format!("{at:05}.")).collect();
    for _ in 0..8 {
        let frames = futures_util::stream::iter(
            body.clone()
                .into_bytes()
                .chunks(1_000)
                .map(|chunk| Ok::<_, Infallible>(Frame::data(bytes::Bytes::copy_from_slice(chunk))))
                .collect::<Vec<_>>(),
        );
        let asked = request("PUT", "/a").map(|_| StreamBody::new(frames));
        let answer = send(gateway, asked).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(text(answer).await, body);
    }
    assert!(handle.counts().retries > 0);
}

#[tokio::test]
async fn each_try_is_told_what_is_left_of_the_time() {
    let left = HeaderName::from_static("x-time-left");
    let tries = Arc::new(AtomicUsize::new(0));
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let telling = told.clone();
    let backend = service_fn(move |request: Request<Body>| {
        let value = request.headers()["x-time-left"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        telling.lock().unwrap().push(value);
        let mut response = Response::new(Body::empty());
        if tries.fetch_add(1, Ordering::SeqCst) < 2 {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        async move { Ok::<_, Infallible>(response) }
    });
    let pause = Duration::from_millis(30);
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new().timeout(Duration::from_secs(60)))
        .layer(RetryLayer::new().backoff(pause, pause))
        .layer(DeadlineLayer::new().propagate(DeadlineHeader::millis(left)))
        .service(backend);
    let answer = service.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(answer.status(), 200);
    let told: Vec<u64> = told.lock().unwrap().clone();
    assert_eq!(told.len(), 3);
    assert!(
        told[0] < 60_001 && told.is_sorted_by(|a, b| a >= b),
        "{told:?}"
    );
}
