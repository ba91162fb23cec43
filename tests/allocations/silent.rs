//! A log that nobody reads costs nothing.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{ServiceExt, service_fn};
use tower_gateway::{Body, Gateway, ObserveLayer, Route, Upstream};
use tracing::{Dispatch, level_filters::LevelFilter};
use tracing_subscriber::{filter::Targets, prelude::*, registry};

use crate::counting;

const ACCESS: &str = "tower_gateway::access";
const REQUEST: &str = "tower_gateway::request";

/// How many allocations ten requests take, with a log for these targets.
async fn allocations(wanted: Option<Targets>) -> usize {
    let subscriber = wanted.map(|wanted| Dispatch::new(registry().with(wanted)));
    let _until_dropped = subscriber.as_ref().map(tracing::dispatcher::set_default);
    let backend = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::from("hello")))
    });
    let gateway = Gateway::builder()
        .observe(ObserveLayer::new().log_query(true))
        .upstream("backend", Upstream::service(backend))
        .route(Route::get("/orders/{id}").to("backend"))
        .build()
        .unwrap();
    let asked = || {
        let request = Request::get("/orders/7?page=2").header("host", "t.example");
        request.body(Body::empty()).unwrap()
    };
    let requests: Vec<_> = std::iter::repeat_with(asked).take(20).collect();
    let mut before = 0;
    for (number, request) in requests.into_iter().enumerate() {
        if number == 10 {
            // What is filled once is full.
            before = counting::calls();
        }
        let answer = gateway.clone().oneshot(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "hello");
    }
    counting::calls() - before
}

#[tokio::test]
async fn a_log_that_nobody_reads_allocates_nothing() {
    let targets = Targets::new;
    let plain = allocations(None).await;
    let trace = LevelFilter::TRACE;
    let others = targets().with_default(trace);
    for (what, unwanted) in [
        ("nothing", targets()),
        (
            "other targets",
            others.with_target("tower_gateway", LevelFilter::OFF),
        ),
        (
            "too high a level",
            targets().with_default(LevelFilter::ERROR),
        ),
    ] {
        assert_eq!(allocations(Some(unwanted)).await, plain, "{what}");
    }
    for (what, wanted) in [
        ("all", targets().with_default(trace)),
        (
            "the event",
            targets().with_target(ACCESS, LevelFilter::INFO),
        ),
        ("warnings", targets().with_target(ACCESS, LevelFilter::WARN)),
        (
            "the span",
            targets().with_target(REQUEST, LevelFilter::INFO),
        ),
    ] {
        let counted = allocations(Some(wanted)).await;
        assert!(counted > plain, "{what}: {counted} and {plain}");
    }
}
