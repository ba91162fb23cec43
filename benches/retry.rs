//! What retries and deadlines cost a request that needs neither: beside the same service without the layer. First the
//! allocations of a request are counted, then its time is measured.

#![expect(clippy::expect_used, reason = "a bench that can not begin has to stop")]

use std::{convert::Infallible, hint::black_box, sync::atomic::Ordering::Relaxed, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_gateway::{
    Body, RequestContext,
    deadline::{DeadlineHeader, DeadlineLayer},
    retry::RetryLayer,
};

#[path = "support/counting.rs"]
mod counting;

type Backend = BoxCloneService<Request<Body>, Response<Body>, Infallible>;
type Case = (&'static str, Backend, fn() -> Request<Body>);

fn backend()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|request: Request<Body>| {
        drop(black_box(request));
        std::future::ready(Ok(Response::new(Body::empty())))
    })
}

/// With the header fields of an API's client, as behind the gateway's door.
fn request(method: &str, body: Body) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri("/orders/17/items/4?full=1");
    let headers = request.headers_mut().expect("a request");
    *headers = HeaderMap::with_capacity(8);
    for (name, value) in [
        (header::HOST, "api.example"),
        (header::ACCEPT, "application/json"),
        (header::USER_AGENT, "bench/1.0 (loopback)"),
        (
            header::AUTHORIZATION,
            "Bearer 0123456789abcdef0123456789abcdef",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let mut request = request.body(body).expect("a request");
    request.extensions_mut().insert(RequestContext::new());
    request
}

fn get() -> Request<Body> {
    request("GET", Body::empty())
}

fn upgrade() -> Request<Body> {
    let mut request = get();
    let value = HeaderValue::from_static("websocket");
    request.headers_mut().insert(header::UPGRADE, value);
    request
}

fn post() -> Request<Body> {
    request("POST", Body::from("{\"quantity\":1}"))
}

fn cases() -> Vec<Case> {
    let second = Duration::from_secs(1);
    let retry = || BoxCloneService::new(RetryLayer::new().layer(backend()));
    let timed = RetryLayer::new().try_timeout(second).layer(backend());
    let hedged = RetryLayer::new().hedge_after(second).layer(backend());
    let deadline = DeadlineLayer::new().timeout(second);
    let told = deadline
        .clone()
        .propagate(DeadlineHeader::millis(header::EXPIRES));
    vec![
        ("without", BoxCloneService::new(backend()), get),
        ("retry-get", retry(), get),
        ("retry-post", retry(), post),
        ("retry-upgrade", retry(), upgrade),
        ("retry-timeout", BoxCloneService::new(timed), get),
        ("retry-hedge", BoxCloneService::new(hedged), get),
        (
            "deadline",
            BoxCloneService::new(deadline.layer(backend())),
            get,
        ),
        (
            "deadline-told",
            BoxCloneService::new(told.layer(backend())),
            get,
        ),
    ]
}

fn retry(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!("allocations for each request, without those of the request itself");
    for (name, service, request) in cases() {
        const REQUESTS: usize = 100;
        let requests: Vec<_> = (0..REQUESTS).map(|_| request()).collect();
        let before = counting::CALLS.load(Relaxed);
        runtime.block_on(async {
            for request in requests {
                let answer = service.clone().oneshot(request).await;
                assert_eq!(answer.expect("an answer").status(), 200);
            }
        });
        let calls = counting::CALLS.load(Relaxed) - before;
        println!("{name:>14} {:5.2}", calls as f64 / REQUESTS as f64);
    }

    let mut group = criterion.benchmark_group("retry");
    for (name, mut service, request) in cases() {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                request,
                |request| runtime.block_on(service.call(request)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, retry);
criterion_main!(benches);
