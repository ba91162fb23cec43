//! Settings on several floors at once, and what is logged of a refusal.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::time::{Instant, advance};
use tower::{ServiceExt, service_fn};
use tower_gateway::{
    Body, CircuitBreakerLayer, ConcurrencyLimitLayer, DeadlineLayer, ErrorKind, Gateway, Rejection,
    RetryLayer, Route, Upstream, breaker::CircuitState, load::Priority,
};

fn get(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", "t.example");
    request.body(Body::empty()).unwrap()
}

/// The earliest of all limits holds, wherever it was set.
#[tokio::test(start_paused = true)]
async fn the_earliest_of_several_timeouts_counts() {
    let silent =
        service_fn(async |_: Request<Body>| pending::<Result<Response<Body>, Infallible>>().await);
    let seconds = Duration::from_secs;
    for limits in [[1, 9, 9, 9], [9, 1, 9, 9], [9, 9, 1, 9], [9, 9, 9, 1]] {
        let [gateway, route, upstream, attempt] = limits.map(seconds);
        let deadline = |limit| DeadlineLayer::new().timeout(limit);
        let gateway = Gateway::builder()
            .deadline(deadline(gateway))
            .upstream(
                "a",
                Upstream::service(silent)
                    .timeout(upstream)
                    .deadline(deadline(attempt)),
            )
            .route(Route::new("/").to("a").timeout(route))
            .build()
            .unwrap();
        let began = Instant::now();
        let answer = gateway.oneshot(get("/")).await.unwrap();
        assert_eq!(answer.status(), 504, "{limits:?}");
        let took = began.elapsed();
        assert!(
            took >= seconds(1) && took < seconds(2),
            "{limits:?}: {took:?}"
        );
    }
}

/// Of one gateway after the other: a limit at the door, one on the route, one on the upstream.
#[tokio::test(start_paused = true)]
async fn priorities_count_at_every_limit() {
    let by_path = |request: &http::request::Parts| match request.uri.path() {
        "/vital" => Priority::Critical,
        _ => Priority::Normal,
    };
    for place in 0..3 {
        let limit = ConcurrencyLimitLayer::max(1);
        let limit = if place == 0 {
            limit.priority(by_path)
        } else {
            limit
        };
        let handle = limit.handle();
        let held = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Body::from("held")))
        });
        let mut upstream = Upstream::service(held);
        let mut builder = Gateway::builder();
        let mut usual = Route::new("/usual").to("a");
        let mut vital = Route::new("/vital").to("a").priority(Priority::Critical);
        match place {
            0 => builder = builder.concurrency_limit(limit),
            1 => {
                usual = usual.concurrency_limit(limit.clone());
                vital = vital.concurrency_limit(limit);
            }
            _ => upstream = upstream.concurrency_limit(limit),
        }
        let gateway = builder
            .upstream("a", upstream)
            .route(usual)
            .route(vital)
            .build()
            .unwrap();
        let first = gateway.clone().oneshot(get("/usual")).await.unwrap();
        let shed = gateway.clone().oneshot(get("/usual")).await.unwrap();
        assert_eq!(shed.status(), 503, "place {place}");
        let rejection = &shed.extensions().get::<Rejection>().unwrap().0;
        assert_eq!(rejection.kind(), ErrorKind::Saturated);
        let second = gateway.clone().oneshot(get("/vital")).await.unwrap();
        assert_eq!(second.status(), 200, "place {place}");
        assert_eq!((handle.in_flight(), handle.shed(Priority::Normal)), (2, 1));
        for answer in [first, second] {
            assert_eq!(
                answer.into_body().collect().await.unwrap().to_bytes(),
                "held"
            );
        }
        assert_eq!(handle.in_flight(), 0, "place {place}");
    }
}

/// Far ahead, many times: everything that waits for a time is over, and nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_does_no_harm() {
    let fails = Arc::new(AtomicBool::new(true));
    let mood = fails.clone();
    let backend = service_fn(move |_: Request<Body>| {
        let status = if mood.load(Ordering::Relaxed) {
            500
        } else {
            200
        };
        let answer = Response::builder().status(status).body(Body::from("said"));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    let breaker = CircuitBreakerLayer::new()
        .consecutive_failures(2)
        .half_open_calls(1)
        .time_window(Duration::from_secs(10));
    let limit = ConcurrencyLimitLayer::max(5).queue(5, Duration::from_secs(1));
    let (circuit, permits) = (breaker.handle(), limit.handle());
    let retry = RetryLayer::new().try_timeout(Duration::from_secs(1));
    let retries = retry.handle();
    let upstream = Upstream::service(backend)
        .circuit_breaker(breaker)
        .concurrency_limit(limit)
        .retry(retry);
    let gateway = Gateway::builder()
        .deadline(DeadlineLayer::new().timeout(Duration::from_secs(5)))
        .upstream("a", upstream)
        .route(Route::new("/").to("a"))
        .build()
        .unwrap();
    let status = async || {
        let answer = gateway.clone().oneshot(get("/")).await.unwrap();
        let status = answer.status().as_u16();
        answer.into_body().collect().await.unwrap();
        status
    };
    for days in [1, 50, 365, 3650] {
        fails.store(true, Ordering::Relaxed);
        assert_eq!(
            [status().await, status().await, status().await],
            [500, 500, 503]
        );
        advance(Duration::from_secs(days * 86_400)).await;
        assert_eq!(status().await, 500, "half-open, and not well yet");
        assert_eq!(status().await, 503);
        advance(Duration::from_secs(days * 86_400)).await;
        fails.store(false, Ordering::Relaxed);
        assert_eq!(status().await, 200);
        assert_eq!(circuit.state(), CircuitState::Closed);
        assert_eq!((permits.in_flight(), retries.counts().in_flight), (0, 0));
    }
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn a_refusal_is_logged_with_its_kind() {
    use crate::{
        capture::Log,
        support::{one_route, request, send, serve, text},
    };
    let open = CircuitBreakerLayer::new();
    open.handle().force_open();
    let full = ConcurrencyLimitLayer::max(1);
    let any = || Route::new("/{*rest}");
    let backend = crate::backend::Backend::start("a").await;
    let upstream = || Upstream::http([&backend]);
    for (gateway, kind, tries) in [
        (
            one_route(any(), upstream().circuit_breaker(open)),
            "CircuitOpen",
            "0",
        ),
        (
            one_route(any(), upstream().concurrency_limit(full)),
            "Saturated",
            "0",
        ),
    ] {
        let gateway = serve(gateway).await;
        let held = (kind == "Saturated").then(|| backend.set(crate::backend::Mode::Holds));
        let first = match held {
            Some(()) => Some(send(gateway, request("GET", "/")).await),
            None => None,
        };
        let log = Log::start();
        assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
        let access = log.next().await;
        assert_eq!(access.verdict(), ["503", "rejected", kind, "gateway"]);
        assert_eq!(access.get("tries"), tries);
        if let Some(first) = first {
            backend.let_go();
            assert_eq!(text(first).await, "held");
        }
    }
}
