//! One request for many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, routing::any};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tower_gateway::{Gateway, Route, cache::CacheHandle};

use crate::{
    support::{axum_backend, request_with, send, serve, upstream},
    world::{answer, layer},
};

/// A backend that answers when there is a permit, and how often it was asked.
async fn held(
    lines: &'static [&'static str],
) -> (
    std::net::SocketAddr,
    Arc<Semaphore>,
    Arc<AtomicUsize>,
    CacheHandle,
) {
    let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let service = {
        let (gate, asked) = (gate.clone(), asked.clone());
        any(move |request: http::Request<axum::body::Body>| async move {
            let number = asked.fetch_add(1, Relaxed);
            gate.acquire().await.unwrap().forget();
            let of = request.headers().get("accept-language").cloned();
            answer(200, lines, format!("{number} {of:?}"))
        })
    };
    let backend = axum_backend(Router::new().fallback(service)).await;
    let layer = layer();
    let handle = layer.handle();
    let route = Route::new("/{*rest}").to("backend").cache(layer);
    let gateway = Gateway::builder()
        .upstream("backend", upstream(backend))
        .route(route)
        .build()
        .unwrap();
    (serve(gateway).await, gate, asked, handle)
}

async fn get(gateway: std::net::SocketAddr, lines: &[(&str, &str)]) -> (String, String) {
    let response = send(gateway, request_with("/", lines)).await;
    let did = response.headers()["cache-status"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (String::from_utf8(body.to_vec()).unwrap(), did)
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_thousand_wait_for_one() {
    let (gateway, gate, asked, handle) = held(&["cache-control: max-age=60"]).await;
    let all: Vec<_> = (0..1000).map(|_| tokio::spawn(get(gateway, &[]))).collect();
    until(|| handle.figures().misses == 1000 && asked.load(Relaxed) > 0).await;
    assert_eq!(asked.load(Relaxed), 1);
    gate.add_permits(1);
    for one in join_all(all).await {
        assert_eq!(one.unwrap().0, "0 None");
    }
    assert_eq!(asked.load(Relaxed), 1);
    assert_eq!(handle.figures().collapsed, 999);
    assert_eq!(handle.figures().in_flight, 0);
}

#[tokio::test]
async fn who_waits_in_vain_goes_on_at_once_and_nobody_waits_for_a_while() {
    let (gateway, gate, asked, handle) = held(&["cache-control: private"]).await;
    let all: Vec<_> = (0..20).map(|_| tokio::spawn(get(gateway, &[]))).collect();
    until(|| handle.figures().misses == 20).await;
    gate.add_permits(1);
    until(|| asked.load(Relaxed) == 20).await;
    // None of them waits for another one.
    let more: Vec<_> = (0..20).map(|_| tokio::spawn(get(gateway, &[]))).collect();
    until(|| asked.load(Relaxed) == 40).await;
    gate.add_permits(39);
    let mut bodies: Vec<_> = Vec::new();
    for one in join_all(all.into_iter().chain(more)).await {
        bodies.push(one.unwrap().0);
    }
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 40, "each has its own");
}

#[tokio::test]
async fn variants_do_not_wait_for_each_other_once_they_are_known() {
    let lines = &["cache-control: max-age=60", "vary: accept-language"];
    let (gateway, gate, asked, handle) = held(lines).await;
    let language = |language| {
        tokio::spawn(async move { get(gateway, &[("accept-language", language)]).await })
    };
    // Nobody knows yet that they differ: the second one waits, and asks when it sees that the answer is not for it.
    let (english, german) = (language("en"), language("de"));
    until(|| handle.figures().misses == 2 && asked.load(Relaxed) == 1).await;
    gate.add_permits(1);
    until(|| asked.load(Relaxed) == 2).await;
    gate.add_permits(1);
    let (english, german) = (english.await.unwrap().0, german.await.unwrap().0);
    assert!(
        english.contains("en") && german.contains("de"),
        "{english} {german}"
    );
    let others = [language("fr"), language("it"), language("fr")];
    until(|| asked.load(Relaxed) == 4 && handle.figures().misses >= 6).await;
    gate.add_permits(2);
    for (one, of) in join_all(others).await.into_iter().zip(["fr", "it", "fr"]) {
        assert!(one.unwrap().0.contains(of));
    }
    assert_eq!(asked.load(Relaxed), 4);
}

#[tokio::test]
async fn when_the_first_leaves_the_next_one_asks() {
    let (gateway, gate, asked, handle) = held(&["cache-control: max-age=60"]).await;
    let first = tokio::spawn(get(gateway, &[]));
    until(|| asked.load(Relaxed) == 1).await;
    let second = tokio::spawn(get(gateway, &[]));
    until(|| handle.figures().misses == 2).await;
    first.abort();
    until(|| asked.load(Relaxed) == 2).await;
    gate.add_permits(2);
    assert_eq!(second.await.unwrap().0, "1 None");
}
