//! A split whose one upstream takes nothing: with retries, what it refuses goes to the others.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{HeaderName, Method, Request, Response};
use tower::ServiceExt;
use tower_gateway::{
    Body, CircuitBreakerLayer, ConcurrencyLimitLayer, Error, ErrorKind, Gateway, RetryLayer, Route,
    StickyKey, Upstream, breaker::CircuitState,
};

use crate::{
    backend::{Backend, Mode, until},
    support::{request, request_with, send, serve, text},
};

/// Retries that nothing pays for.
fn unpaid() -> RetryLayer {
    RetryLayer::new().budget(0.001).budget_minimum(0)
}

fn split(route: Route, upstreams: [Upstream; 3]) -> Gateway {
    let names = ["a", "b", "c"];
    let route = route.split([("a", 90), ("b", 5), ("c", 5)]);
    let builder = names.iter().zip(upstreams).fold(
        Gateway::builder().route(route),
        |builder, (name, upstream)| builder.upstream(*name, upstream),
    );
    builder.build().unwrap()
}

#[tokio::test]
async fn what_an_open_circuit_refuses_goes_to_the_rest_of_the_split() {
    let backends = Backend::three().await;
    let circuits = [(); 3].map(|()| CircuitBreakerLayer::new());
    let handles = circuits.each_ref().map(CircuitBreakerLayer::handle);
    let upstreams = || {
        [0, 1, 2].map(|at| Upstream::http([&backends[at]]).circuit_breaker(circuits[at].clone()))
    };
    let route = || Route::new("/{*rest}");
    let retry = unpaid();
    let retries = retry.handle();
    let gateway = serve(split(route().retry(retry), upstreams())).await;
    handles[0].force_open();
    for method in ["GET", "POST"].repeat(20) {
        let response = send(gateway, request(method, "/")).await;
        assert_eq!(response.status(), 200, "{method}");
    }
    let taken = backends.each_ref().map(Backend::taken);
    assert_eq!(taken[0], 0);
    assert!(taken[1] > 5 && taken[2] > 5, "by weight: {taken:?}");
    assert_eq!(retries.counts().over_budget, 0);

    // A key has one other target as it had one before.
    let key = HeaderName::from_static("x-user");
    let sticky = route().sticky(StickyKey::header(key)).retry(unpaid());
    let gateway_of_keys = serve(split(sticky, upstreams())).await;
    for user in 0..8 {
        let lines = [("x-user", &*format!("user-{user}"))];
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(text(send(gateway_of_keys, request_with("/", &lines)).await).await);
        }
        assert!(seen.iter().all(|name| *name == seen[0] && name != "a"));
    }

    // When all refuse, that is the answer.
    handles[1].force_open();
    handles[2].force_open();
    let before = retries.counts().retries;
    let response = send(gateway, request("GET", "/")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(retries.counts().retries - before, 2, "each once");
    let refused: u64 = handles
        .iter()
        .map(|circuit| circuit.figures().refused)
        .sum();
    assert!(refused >= 3);

    // Without retries nobody is asked in its place.
    handles[1].force_close();
    let plain = serve(split(route(), upstreams())).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(send(plain, request("GET", "/")).await.status().as_u16());
    }
    assert!(statuses.contains(&503), "{statuses:?}");
}

#[tokio::test]
async fn what_is_shed_and_what_has_no_endpoint_goes_to_the_rest_too() {
    let backends = Backend::three().await;
    let limit = ConcurrencyLimitLayer::max(1);
    let permits = limit.handle();
    let nowhere = tower::service_fn(async |_: Request<Body>| {
        Err::<Response<Body>, _>(Error::new(ErrorKind::NoEndpoint))
    });
    let upstreams = [
        Upstream::http([&backends[0]]).concurrency_limit(limit),
        Upstream::service(nowhere),
        Upstream::http([&backends[2]]),
    ];
    let route = Route::new("/{*rest}").retry(unpaid());
    let gateway = serve(split(route, upstreams)).await;
    backends[0].set(Mode::Holds);
    let mut held = send(gateway, request("GET", "/")).await;
    until("it is the one", async || {
        if permits.in_flight() == 0 {
            held = send(gateway, request("GET", "/")).await;
        }
        permits.in_flight() == 1
    })
    .await;
    for _ in 0..20 {
        let response = send(gateway, request("POST", "/")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, "c");
    }
    backends[0].let_go();
    assert_eq!(text(held).await, "held");
}

/// A gRPC server that can not serve says so with a 200.
#[tokio::test(start_paused = true)]
async fn a_grpc_server_that_is_unavailable_is_tried_again_and_opens_its_circuit() {
    for (code, tries) in [("14", 3), ("13", 1), ("4", 1), ("8", 1)] {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, SeqCst);
            let answer = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", code)
                .body(Body::empty());
            async { Ok::<_, Infallible>(answer.unwrap()) }
        });
        let breaker = CircuitBreakerLayer::new().consecutive_failures(3);
        let circuit = breaker.handle();
        let retry = RetryLayer::new().methods([Method::POST]);
        let upstream = Upstream::service(service)
            .circuit_breaker(breaker)
            .retry(retry);
        let gateway = crate::support::one_route(Route::new("/{*rest}"), upstream);
        let mut asked = request("POST", "/a.B/C").map(Body::new);
        let kind = "application/grpc".parse().unwrap();
        asked.headers_mut().insert("content-type", kind);
        let response = gateway.oneshot(asked).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], code);
        assert_eq!(calls.load(SeqCst), tries, "{code}");
        let is_open = circuit.state() == CircuitState::Open;
        assert_eq!(is_open, tries == 3, "{code}");
    }
}

/// Whoever says by a date when to come back is waited for as well.
#[tokio::test(start_paused = true)]
async fn a_date_to_come_back_is_kept() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let service = tower::service_fn(move |_: Request<Body>| {
        let is_first = counted.fetch_add(1, SeqCst) == 0;
        let answer = Response::builder().status(if is_first { 503 } else { 200 });
        // Long ago: at once.
        let answer = answer.header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        async { Ok::<_, Infallible>(answer.body(Body::empty()).unwrap()) }
    });
    let upstream = Upstream::service(service).retry(RetryLayer::new());
    let gateway = crate::support::one_route(Route::new("/{*rest}"), upstream);
    let start = tokio::time::Instant::now();
    let asked = request("GET", "/").map(Body::new);
    assert_eq!(gateway.oneshot(asked).await.unwrap().status(), 200);
    assert_eq!(calls.load(SeqCst), 2);
    assert!(start.elapsed() < Duration::from_secs(1));
}
