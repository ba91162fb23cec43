//! What is held against a backend, and what is not: clients that leave, and services that panic.

use std::{net::SocketAddr, time::Duration};

use http_body_util::BodyExt;
use tower_gateway::{Balance, OutlierEjection, Route, Upstream};

use crate::{
    backend::{Backend, Mode, until},
    support::{connect, one_route, request, send, serve},
};

/// The status of an answer that comes as a whole.
async fn ask(gateway: SocketAddr) -> Option<u16> {
    let mut client = connect(gateway).await;
    let answer = client.send_request(request("GET", "/")).await.ok()?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await.ok()?;
    Some(status)
}

/// Who does not want the rest of an answer says nothing of the endpoint.
#[tokio::test]
async fn an_endpoint_has_not_failed_when_its_client_leaves() {
    let backends = Backend::three().await;
    let set = |mode| backends.iter().for_each(|backend| backend.set(mode));
    let taken = || backends.iter().map(Backend::taken).sum::<usize>();
    let ejection = OutlierEjection::new()
        .consecutive_failures(1)
        .failure_percentage(1.0, 1, Duration::from_secs(60));
    let upstream = Upstream::http(&backends)
        .balance(Balance::round_robin())
        .outlier_ejection(ejection);
    let endpoints = upstream.handle();
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let ejections = || {
        endpoints
            .endpoints()
            .iter()
            .map(|at| at.ejections)
            .sum::<u64>()
    };
    let is_idle = async || {
        until("nothing is in flight", async || {
            endpoints.endpoints().iter().all(|at| at.in_flight == 0)
        })
        .await;
    };
    for _ in 0..6 {
        set(Mode::Holds);
        let response = send(gateway, request("GET", "/")).await;
        assert_eq!(response.status(), 200, "its body is still to come");
        drop(response);
        is_idle().await;
        backends.iter().for_each(Backend::let_go);
        set(Mode::Hangs);
        let before = taken();
        let leaves = tokio::spawn(send(gateway, request("GET", "/")));
        until("it is asked", async || taken() > before).await;
        leaves.abort();
        is_idle().await;
    }
    assert_eq!(ejections(), 0);
    // It would have been seen.
    set(Mode::Breaks);
    assert_eq!(ask(gateway).await, None);
    until("it is ejected", async || ejections() == 1).await;
}

#[cfg(feature = "catch-panic")]
mod panics {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::SeqCst},
        },
    };

    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use http::{Request, Response};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tower_gateway::{
        Body, CircuitBreakerLayer, ConcurrencyLimitLayer, Gateway, RetryLayer,
        breaker::CircuitState,
    };

    use super::*;

    /// It panics when it is called, in its future, or in its answer's body.
    fn service(place: &'static str, is_well: Arc<AtomicBool>) -> Upstream {
        Upstream::service(tower::service_fn(move |_: Request<Body>| {
            let is_well = is_well.load(SeqCst);
            assert!(is_well || place != "call", "meant to be");
            async move {
                assert!(is_well || place != "future", "meant to be");
                let frames = stream::iter(["ab", "cd"]).map(move |bytes| {
                    assert!(is_well || bytes == "ab" || place != "body", "meant to be");
                    Ok::<_, Infallible>(Frame::data(Bytes::from(bytes)))
                });
                Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(frames))))
            }
        }))
    }

    #[tokio::test]
    async fn a_service_that_panics_opens_its_circuit_and_keeps_nothing() {
        for place in ["call", "future", "body"] {
            let is_well = Arc::new(AtomicBool::new(false));
            let breaker = CircuitBreakerLayer::new()
                .consecutive_failures(3)
                .half_open_calls(1)
                .open_duration(Duration::from_millis(1));
            let (limit, retry) = (ConcurrencyLimitLayer::max(1), RetryLayer::new());
            let (circuit, permits, tries) = (breaker.handle(), limit.handle(), retry.handle());
            let upstream = service(place, is_well.clone())
                .circuit_breaker(breaker)
                .concurrency_limit(limit)
                .retry(retry);
            let gateway = Gateway::builder()
                .catch_panic()
                .upstream("a", upstream)
                .route(Route::new("/{*rest}").to("a"))
                .build();
            let gateway = serve(gateway.unwrap()).await;
            let is_free = async || {
                until("nothing is kept", async || {
                    let counts = tries.counts();
                    counts.in_flight + counts.extra_in_flight == 0
                        && permits.in_flight() == 0
                        && circuit.figures().half_open_calls == 0
                })
                .await;
            };
            for _ in 0..3 {
                let expected = (place != "body").then_some(500);
                assert_eq!(ask(gateway).await, expected, "{place}");
                is_free().await;
            }
            assert_ne!(circuit.state(), CircuitState::Closed, "{place}");
            // A half-open call that panics is over, too.
            for _ in 0..3 {
                until("it is let through", async || {
                    let refused = circuit.figures().refused;
                    ask(gateway).await;
                    circuit.figures().refused == refused
                })
                .await;
                is_free().await;
            }
            is_well.store(true, SeqCst);
            until("it is well again", async || ask(gateway).await == Some(200)).await;
            is_free().await;
            assert_eq!(circuit.state(), CircuitState::Closed, "{place}");
        }
    }
}
