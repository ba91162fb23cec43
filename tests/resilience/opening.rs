//! Each way to fail opens the circuit, and whoever asks then is told so in its own language.

use std::{net::SocketAddr, time::Duration};

use http_body_util::BodyExt;
use tower_gateway::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, DeadlineLayer, Route, Upstream,
    breaker::CircuitState,
};

use crate::{
    backend::{Backend, Mode, until},
    support::{connect, connect_http2, one_route, refusing, request, serve},
};

fn breaker() -> CircuitBreakerLayer {
    CircuitBreakerLayer::new()
        .consecutive_failures(3)
        .open_duration(Duration::from_millis(1))
        .half_open_calls(1)
}

/// Asks, and reads what comes.
async fn get(gateway: SocketAddr) {
    let mut client = connect(gateway).await;
    // A body that breaks at once may take the head with it.
    if let Ok(response) = client.send_request(request("GET", "/")).await {
        let _ = response.into_body().collect().await;
    }
}

async fn comes_to(gateway: SocketAddr, breaker: &CircuitBreakerLayer, state: CircuitState) {
    let mut changes = breaker.handle();
    until(&format!("it is {state}"), async || {
        let change = tokio::select! {
            biased;
            change = changes.changed() => change,
            () = get(gateway) => None,
        };
        change == Some(state) || breaker.handle().state() == state
    })
    .await;
}

#[tokio::test]
async fn whatever_way_it_fails_and_it_closes_when_the_backend_is_back() {
    for mode in [
        Mode::Status(500),
        Mode::Resets,
        Mode::Garbage,
        Mode::Breaks,
        Mode::Hangs,
        Mode::Holds,
    ] {
        let [backend, ..] = Backend::three().await;
        let breaker = breaker();
        let upstream = Upstream::http([&backend])
            .head_timeout(Duration::from_millis(30))
            .activity_timeout(Duration::from_millis(30))
            .circuit_breaker(breaker.clone());
        let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
        // It flaps.
        for _ in 0..3 {
            backend.set(mode);
            let opened = breaker.handle().figures().opened;
            until(&format!("{mode:?} opens it"), async || {
                get(gateway).await;
                breaker.handle().figures().opened > opened
            })
            .await;
            backend.set(Mode::Status(200));
            comes_to(gateway, &breaker, CircuitState::Closed).await;
        }
        assert_eq!(breaker.handle().figures().half_open_calls, 0);
    }
    let (_kept, gone) = refusing();
    let breaker = breaker();
    let upstream = Upstream::http([format!("http://{gone}")]).circuit_breaker(breaker.clone());
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    comes_to(gateway, &breaker, CircuitState::Open).await;
}

#[tokio::test]
async fn grpc_clients_get_a_grpc_status() {
    let [backend, ..] = Backend::three().await;
    let any = || Route::new("/{*rest}");
    let upstream = || Upstream::http([&backend]);
    let open = CircuitBreakerLayer::new();
    open.handle().force_open();
    let full = ConcurrencyLimitLayer::max(1);
    let late = DeadlineLayer::new().timeout(Duration::from_millis(20));
    backend.set(Mode::Hangs);
    for (gateway, status, holds) in [
        (
            one_route(any(), upstream().circuit_breaker(open)),
            "14",
            false,
        ),
        (
            one_route(any(), upstream().concurrency_limit(full.clone())),
            "14",
            true,
        ),
        (
            one_route(any(), upstream().deadline(late.clone())),
            "4",
            false,
        ),
        (one_route(any().deadline(late), upstream()), "4", false),
    ] {
        let gateway = serve(gateway).await;
        if holds {
            tokio::spawn(async move { get(gateway).await });
            until("it is full", async || full.handle().in_flight() == 1).await;
        }
        let mut asked = request("POST", "http://t.example/a.B/C");
        let kind = "application/grpc".parse().unwrap();
        asked.headers_mut().insert("content-type", kind);
        let response = connect_http2(gateway)
            .await
            .send_request(asked)
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], status);
    }
}
