//! Layers of the user's own: what their errors become.

use std::time::Duration;

use futures_util::poll;
use http::{Request, Response};
use tower::{ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer};
use tower_gateway::{Body, BoxError, Gateway, Rejection, Route, Upstream};

use crate::support::request;

/// Never answers.
fn silent() -> Upstream {
    Upstream::service(service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, BoxError>>()
    }))
}

fn is_problem(response: &Response<Body>) -> bool {
    response.headers()["content-type"] == "application/problem+json"
        && response.extensions().get::<Rejection>().is_some()
}

#[tokio::test(start_paused = true)]
async fn a_timeout_layer_answers_504_wherever_it_stands() {
    let layer = || TimeoutLayer::new(Duration::from_secs(9));
    let (builder, route) = (Gateway::builder(), Route::new("/"));
    for gateway in [
        Gateway::builder()
            .upstream("silent", silent().layer(layer()))
            .route(route.clone().to("silent")),
        Gateway::builder()
            .upstream("silent", silent())
            .route(route.clone().to("silent").layer(layer())),
        builder
            .upstream("silent", silent())
            .route(route.to("silent"))
            .layer(layer()),
    ] {
        let gateway = gateway.build().unwrap();
        let response = gateway.oneshot(request("GET", "/")).await.unwrap();
        assert_eq!(response.status(), 504);
        assert!(is_problem(&response), "{response:?}");
    }
}

#[tokio::test]
async fn a_layer_that_sheds_load_answers_503() {
    // One stack: what is behind a layer of its own is always ready, so that nothing would ever be shed.
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(1);
    let gateway = Gateway::builder()
        .upstream("silent", silent())
        .route(Route::new("/").to("silent").layer(stack))
        .build()
        .unwrap();
    let mut held = Box::pin(gateway.clone().oneshot(request("GET", "/")));
    assert!(poll!(held.as_mut()).is_pending());
    let shed = gateway.oneshot(request("GET", "/")).await.unwrap();
    assert_eq!(shed.status(), 503);
    assert!(is_problem(&shed), "{shed:?}");
}
