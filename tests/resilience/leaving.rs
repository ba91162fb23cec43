//! Clients that leave, in whatever state: what they had goes back.

use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use tokio::task::JoinHandle;
use tower_gateway::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, Gateway, RetryLayer, Route, Upstream,
    breaker::CircuitState, load::ConcurrencyLimitHandle, mirror::MirrorLayer,
};

use crate::{
    backend::{Backend, Mode, until},
    support::{one_route, request, send, serve},
};

/// A client on its way; aborted, it leaves.
fn client(gateway: std::net::SocketAddr, method: &'static str) -> JoinHandle<Response<Incoming>> {
    tokio::spawn(async move { send(gateway, request(method, "/")).await })
}

/// A gateway with a limit of one and a queue of one, before the match, on the route, or in front of the upstream.
fn limited(place: usize, backend: &Backend) -> (Gateway, ConcurrencyLimitHandle) {
    let limit = ConcurrencyLimitLayer::max(1).queue(1, Duration::from_secs(60));
    let handle = limit.handle();
    let (builder, upstream) = (Gateway::builder(), Upstream::http([backend]));
    let route = Route::new("/{*rest}").to("a");
    let builder = match place {
        0 => builder
            .concurrency_limit(limit)
            .upstream("a", upstream)
            .route(route),
        1 => builder
            .upstream("a", upstream)
            .route(route.concurrency_limit(limit)),
        _ => builder
            .upstream("a", upstream.concurrency_limit(limit))
            .route(route),
    };
    (builder.build().unwrap(), handle)
}

#[tokio::test]
async fn a_permit_goes_back_wherever_the_limit_is() {
    for place in 0..3 {
        let [backend, ..] = Backend::three().await;
        let (gateway, permits) = limited(place, &backend);
        let gateway = serve(gateway).await;
        let is = async |in_flight, waiting| {
            until("the permits are so", async || {
                (permits.in_flight(), permits.waiting()) == (in_flight, waiting)
            })
            .await;
        };

        backend.set(Mode::Hangs);
        let before_the_head = client(gateway, "GET");
        is(1, 0).await;
        let queued = client(gateway, "GET");
        is(1, 1).await;
        queued.abort();
        is(1, 0).await;
        let next = client(gateway, "GET");
        is(1, 1).await;
        backend.set(Mode::Holds);
        before_the_head.abort();
        let response = next.await.unwrap();
        is(1, 0).await;
        assert_eq!(response.status(), 200, "its body is still to come");
        drop(response);
        is(0, 0).await;
    }
}

/// A server drops the body of such an answer unread.
#[tokio::test]
async fn an_answer_without_a_body_keeps_no_permit_and_ends_a_half_open_call() {
    for (method, mode) in [
        ("HEAD", Mode::Status(200)),
        ("HEAD", Mode::Status(404)),
        ("GET", Mode::Status(204)),
        ("GET", Mode::Status(304)),
    ] {
        let [backend, ..] = Backend::three().await;
        let breaker = CircuitBreakerLayer::new()
            .consecutive_failures(1)
            .open_duration(Duration::from_millis(1))
            .half_open_calls(1);
        let limit = ConcurrencyLimitLayer::max(1).queue(1, Duration::from_secs(10));
        let (circuit, permits) = (breaker.handle(), limit.handle());
        let upstream = Upstream::http([&backend])
            .circuit_breaker(breaker)
            .concurrency_limit(limit);
        let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
        backend.set(Mode::Status(500));
        send(gateway, request("GET", "/")).await;
        assert_eq!(circuit.state(), CircuitState::Open);
        backend.set(mode);
        until("it is closed", async || {
            send(gateway, request(method, "/")).await;
            circuit.state() == CircuitState::Closed
        })
        .await;
        until("the permit is back", async || permits.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn half_open_exactly_one_asks_and_gives_way_when_its_client_leaves() {
    let [backend, ..] = Backend::three().await;
    let breaker = CircuitBreakerLayer::new()
        .consecutive_failures(1)
        .open_duration(Duration::from_millis(1))
        .half_open_calls(1);
    let circuit = breaker.handle();
    let mut changes = breaker.handle();
    let upstream = Upstream::http([&backend]).circuit_breaker(breaker);
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    backend.set(Mode::Status(500));
    send(gateway, request("GET", "/")).await;
    assert_eq!(changes.changed().await, Some(CircuitState::Open));
    for mode in [Mode::Hangs, Mode::Holds] {
        backend.set(Mode::Hangs);
        let mut probe = client(gateway, "GET");
        until("one is let through", async || {
            if probe.is_finished() {
                // It was still open.
                probe = client(gateway, "GET");
            }
            circuit.figures().half_open_calls == 1
        })
        .await;
        let taken = backend.taken();
        for _ in 0..5 {
            assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
        }
        assert_eq!(circuit.state(), CircuitState::HalfOpen, "{mode:?}");
        probe.abort();
        until("it has given way", async || {
            circuit.figures().half_open_calls == 0
        })
        .await;
        assert!(backend.taken() <= taken + 1);
    }
    assert_eq!(changes.changed().await, Some(CircuitState::HalfOpen));
    // An answer that never ends is an answer.
    backend.set(Mode::Holds);
    let endless = send(gateway, request("GET", "/")).await;
    assert_eq!(endless.status(), 200);
    assert_eq!(changes.changed().await, Some(CircuitState::Closed));
    // Its end belongs to another state.
    drop(endless);
    assert_eq!(circuit.figures().failures, 0);
    // Forced, nothing counts.
    circuit.force_close();
    assert_eq!(changes.changed().await, Some(CircuitState::ForcedClosed));
    backend.set(Mode::Status(500));
    for _ in 0..3 {
        assert_eq!(send(gateway, request("GET", "/")).await.status(), 500);
    }
    assert_eq!(circuit.state(), CircuitState::ForcedClosed);
    circuit.force_open();
    assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
    assert_eq!(changes.changed().await, Some(CircuitState::ForcedOpen));
}

/// The one that loses is stopped at its backend, and whoever leaves stops all.
#[tokio::test]
async fn hedges_and_copies_end_at_their_backends() {
    let backends = Backend::three().await;
    let shadow = Backend::start("shadow").await;
    shadow.set(Mode::Hangs);
    let mirror = MirrorLayer::new(Upstream::http([&shadow])).timeout(Duration::from_millis(50));
    let retry = RetryLayer::new()
        .hedge_after(Duration::from_millis(20))
        .budget_minimum(9);
    let (tries, copies) = (retry.handle(), mirror.handle());
    let upstream = Upstream::http(&backends[..2]).mirror(mirror).retry(retry);
    let endpoints = upstream.handle();
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let idle = async || {
        until("nothing is in flight", async || {
            let counts = tries.counts();
            let endpoints = endpoints.endpoints();
            counts.in_flight + counts.extra_in_flight == 0
                && copies.counts().in_flight == 0
                && endpoints.iter().all(|status| status.in_flight == 0)
        })
        .await;
    };
    backends[0].set(Mode::Hangs);
    until("a hedge has won", async || {
        let response = send(gateway, request("GET", "/")).await;
        assert_eq!(response.status(), 200);
        tries.counts().hedges_won == 1
    })
    .await;
    until("the loser is gone", async || backends[0].open() == 0).await;
    idle().await;
    backends[1].set(Mode::Hangs);
    let leaves = client(gateway, "GET");
    until("both are asked", async || {
        tries.counts().extra_in_flight == 1 && backends[0].open() == 1
    })
    .await;
    leaves.abort();
    idle().await;
    until("both are stopped", async || {
        backends[0].open() + backends[1].open() == 0
    })
    .await;
    assert!(copies.counts().failed > 0);
}
