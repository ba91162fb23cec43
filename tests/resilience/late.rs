//! What is given up because it takes too long, and whom that is held against.

use std::{convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::ServiceExt;
use tower_gateway::{
    Balance, Body, CircuitBreakerLayer, ConcurrencyLimitLayer, DeadlineLayer, Gateway,
    GatewayBuilder, OutlierEjection, RetryLayer, Route, Upstream, breaker::CircuitState,
};

use crate::{
    backend::{Backend, Mode},
    support::{one_route, request, send, serve},
};

const SECOND: Duration = Duration::from_secs(1);

/// A backend that never answers, in this process.
fn silent() -> Upstream {
    Upstream::service(tower::service_fn(async |_: Request<Body>| {
        pending::<Result<Response<Body>, Infallible>>().await
    }))
}

/// Whoever gives up, the backend is to blame.
#[tokio::test(start_paused = true)]
async fn a_backend_that_is_silent_opens_the_circuit_whoever_runs_out_of_patience() {
    let any = || Route::new("/{*rest}").to("a");
    let breaker = || CircuitBreakerLayer::new().consecutive_failures(3);
    let deadline = || DeadlineLayer::new().timeout(SECOND);
    let retry = || RetryLayer::new().try_timeout(SECOND).budget(1.0);
    let build = |upstream, route, builder: GatewayBuilder| {
        builder
            .upstream("a", upstream)
            .route(route)
            .build()
            .unwrap()
    };
    let plain = Gateway::builder;
    for what in 0..7 {
        let breaker = breaker();
        let circuit = breaker.handle();
        let broken = silent().circuit_breaker(breaker.clone());
        let gateway: Gateway = match what {
            0 => build(broken.timeout(SECOND), any(), plain()),
            1 => build(broken.deadline(deadline()), any(), plain()),
            2 => build(broken, any().timeout(SECOND), plain()),
            3 => build(broken, any().deadline(deadline()), plain()),
            4 => build(broken, any(), plain().deadline(deadline())),
            5 => build(broken.retry(retry()), any(), plain()),
            _ => build(
                silent(),
                any().retry(retry()).circuit_breaker(breaker),
                plain(),
            ),
        };
        for _ in 0..3 {
            assert_eq!(ask(&gateway).await.status(), 504, "{what}");
            if circuit.state() == CircuitState::Open {
                break;
            }
        }
        assert_eq!(circuit.state(), CircuitState::Open, "{what}");
    }
}

/// An endpoint that hangs is ejected, though it is the retries that do not wait for it.
#[tokio::test]
async fn an_endpoint_that_hangs_is_ejected_when_a_try_gives_up() {
    let backends = Backend::three().await;
    backends[1].set(Mode::Hangs);
    let ejection = OutlierEjection::new()
        .consecutive_failures(2)
        .failure_percentage(None, 1, SECOND);
    let upstream = Upstream::http(&backends)
        .balance(Balance::round_robin())
        .outlier_ejection(ejection)
        .retry(
            RetryLayer::new()
                .try_timeout(Duration::from_millis(100))
                .budget(1.0),
        );
    let handle = upstream.handle();
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for _ in 0..12 {
        assert_eq!(send(gateway, request("GET", "/")).await.status(), 200);
    }
    assert!(handle.endpoints()[1].is_ejected);
    assert_eq!(backends[1].taken(), 2);
}

/// A try that waits in a queue for too long has not been anywhere.
#[tokio::test(start_paused = true)]
async fn a_try_that_is_given_up_in_a_queue_is_not_the_backends_failure() {
    let breaker = CircuitBreakerLayer::new().consecutive_failures(1);
    let limit = ConcurrencyLimitLayer::max(1).queue(9, 60 * SECOND);
    let (circuit, permits) = (breaker.handle(), limit.handle());
    let service = tower::service_fn(async |_: Request<Body>| {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        Ok::<_, Infallible>(Response::new(Body::new(body)))
    });
    let upstream = Upstream::service(service)
        .circuit_breaker(breaker)
        .concurrency_limit(limit)
        .retry(RetryLayer::new().try_timeout(SECOND));
    let gateway = one_route(Route::new("/{*rest}"), upstream);
    let held = ask(&gateway).await;
    assert_eq!(held.status(), 200);
    let waited = ask(&gateway).await;
    assert!(waited.status().is_server_error());
    assert_eq!(circuit.state(), CircuitState::Closed);
    drop(held);
    assert_eq!((permits.in_flight(), permits.waiting()), (0, 0));
}

async fn ask(gateway: &Gateway) -> Response<Body> {
    let asked = request("GET", "/").map(Body::new);
    gateway.clone().oneshot(asked).await.unwrap()
}
