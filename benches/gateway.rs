//! What a gateway costs in its process: a request through it to a backend that answers at once, beside the same backend
//! asked straight. First the allocations of a request are counted, then its time is measured.

#![expect(clippy::expect_used, reason = "a bench that can not begin has to stop")]

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::atomic::Ordering::Relaxed,
};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tower::{Service, ServiceExt, service_fn};
use tower_gateway::{
    Body, Gateway, GatewayBuilder, Next, Route, Upstream,
    throttle::{Policy, ThrottleLayer},
};

#[path = "support/counting.rs"]
mod counting;

/// As a client of an API sends them.
const API_HEADERS: [(&str, &str); 12] = [
    ("accept", "application/json"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "en-GB,en;q=0.8"),
    ("authorization", "Bearer 0123456789abcdef0123456789abcdef"),
    ("cache-control", "no-cache"),
    ("content-type", "application/json"),
    ("cookie", "session=0123456789abcdef; theme=dark"),
    ("origin", "https://app.example"),
    ("referer", "https://app.example/orders"),
    ("user-agent", "bench/1.0 (loopback)"),
    ("x-api-version", "2026-11-01"),
    ("x-client-id", "0123456789"),
];

type Case = (&'static str, Gateway, HeaderMap);

fn cases() -> Vec<Case> {
    let build = |routes: &dyn Fn(GatewayBuilder) -> GatewayBuilder| {
        let backend = service_fn(|request: Request<Body>| async move {
            drop(request);
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let builder = Gateway::builder().upstream("backend", Upstream::service(backend));
        routes(builder).build().expect("a gateway")
    };
    let mut few = HeaderMap::new();
    few.insert(header::HOST, HeaderValue::from_static("api.example"));
    few.insert(header::USER_AGENT, HeaderValue::from_static("bench/1.0"));
    let mut many = few.clone();
    for (name, value) in API_HEADERS {
        many.insert(name, HeaderValue::from_static(value));
    }
    let plain = |builder: GatewayBuilder| builder.route(Route::new("/{*rest}").to("backend"));
    let rewritten = |builder: GatewayBuilder| {
        builder.route(
            Route::get("/orders/{id}/items/{item}")
                .rewrite_path("/v2/{id}/items/{item}")
                .rewrite(|rewrite| rewrite.request_header_set("x-item", "{item}"))
                .to("backend"),
        )
    };
    let layered = |builder: GatewayBuilder| {
        builder.route(
            Route::new("/{*rest}")
                .layer(tower::layer::layer_fn(|next: Next| next))
                .to("backend"),
        )
    };
    // So much for each second that nobody is refused.
    let throttle = |name: &str, headers| {
        let policy = Policy::per_second(1_000_000_000).named(name);
        ThrottleLayer::new(policy).headers(headers)
    };
    let throttled = move |builder: GatewayBuilder| plain(builder.throttle(throttle("door", true)));
    let quiet = move |builder: GatewayBuilder| plain(builder.throttle(throttle("door", false)));
    let twice = move |builder: GatewayBuilder| {
        let policies =
            throttle("door", true).rule(Policy::per_hour(1_000_000_000_000).named("hour"));
        plain(builder.throttle(policies))
    };
    vec![
        ("plain", build(&plain), few.clone()),
        ("throttled", build(&throttled), few.clone()),
        ("throttled without headers", build(&quiet), few.clone()),
        ("throttled by two policies", build(&twice), few.clone()),
        ("api-headers", build(&plain), many),
        ("rewritten", build(&rewritten), few.clone()),
        ("layered", build(&layered), few),
    ]
}

fn request(headers: &HeaderMap) -> Request<Body> {
    let mut request = Request::get("/orders/17/items/4?full=1")
        .body(Body::empty())
        .expect("a request");
    request.headers_mut().clone_from(headers);
    let peer = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 40_000);
    request.extensions_mut().insert(peer);
    request
}

fn gateway(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let cases = cases();

    println!("allocations for each request, without those of the request itself");
    for (name, gateway, headers) in &cases {
        const REQUESTS: usize = 100;
        let requests: Vec<_> = (0..=REQUESTS).map(|_| request(headers)).collect();
        let mut before = 0;
        runtime.block_on(async {
            for (at, request) in requests.into_iter().enumerate() {
                if at == 1 {
                    // The first one may fill what is filled once.
                    before = counting::CALLS.load(Relaxed);
                }
                let response = gateway.clone().oneshot(request).await.expect("an answer");
                assert_eq!(response.status(), 200);
            }
        });
        let calls = counting::CALLS.load(Relaxed) - before;
        println!("{name:>26} {:5.1}", calls as f64 / REQUESTS as f64);
    }

    let mut group = criterion.benchmark_group("gateway");
    for (name, gateway, headers) in &cases {
        let mut gateway = gateway.clone();
        group.bench_function(*name, |bencher| {
            bencher.iter_batched(
                || request(headers),
                |request| runtime.block_on(Service::call(&mut gateway, request)),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, gateway);
criterion_main!(benches);
