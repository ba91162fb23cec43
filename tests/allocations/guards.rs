//! What a protection costs while nothing is wrong.

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, Service, layer::util::Identity, util::service_fn};
use tower_gateway::{
    Body, CircuitBreakerLayer, ConcurrencyLimitLayer, breaker::CircuitState, mirror::MirrorLayer,
};

use crate::counting;

type Answer = Ready<Result<Response<Body>, Infallible>>;

fn answer(request: Request<Body>) -> Answer {
    ready(Ok(Response::new(match request.uri().path() {
        "/full" => Body::from("hello"),
        _ => Body::empty(),
    })))
}

/// How many allocations ten requests take.
async fn allocations<L>(layer: &L, path: &str) -> usize
where
    L: Layer<tower::util::ServiceFn<fn(Request<Body>) -> Answer>>,
    L::Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let answer: fn(Request<Body>) -> Answer = answer;
    let mut service = layer.layer(service_fn(answer));
    let asked = || Request::get(path).body(Body::empty()).unwrap();
    let requests: Vec<_> = std::iter::repeat_with(asked).take(30).collect();
    let mut before = 0;
    for (number, request) in requests.into_iter().enumerate() {
        if number == 20 {
            // What is filled once is full.
            before = counting::calls();
        }
        std::future::poll_fn(|cx| service.poll_ready(cx))
            .await
            .unwrap();
        let response = service.call(request).await.unwrap();
        let mut body = response.into_body();
        while body.frame().await.is_some() {}
    }
    counting::calls() - before
}

#[tokio::test]
async fn a_closed_circuit_and_a_free_permit_allocate_nothing_but_one_box_for_a_body() {
    let breaker = CircuitBreakerLayer::new();
    let limit = ConcurrencyLimitLayer::max(10).queue(5, std::time::Duration::from_secs(1));
    let none = MirrorLayer::new(service_fn(answer)).share(0.0);
    for (path, boxes) in [("/empty", 0), ("/full", 10)] {
        let plain = allocations(&Identity::new(), path).await;
        assert_eq!(
            allocations(&breaker, path).await - plain,
            boxes,
            "circuit, {path}"
        );
        assert_eq!(
            allocations(&limit, path).await - plain,
            boxes,
            "limit, {path}"
        );
        assert_eq!(allocations(&none, path).await - plain, 0, "mirror, {path}");
    }
    assert_eq!(breaker.handle().figures().calls, 60, "they were counted");
    assert_eq!(limit.handle().admitted(), 60);

    breaker.handle().force_open();
    assert_eq!(breaker.handle().state(), CircuitState::ForcedOpen);
    let refused = allocations(&breaker, "/empty").await;
    assert!(refused > 0, "so it would show");
}
