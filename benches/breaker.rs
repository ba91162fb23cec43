//! What a circuit costs a call: admitted and recorded, beside the two clock reads that time it; and the layer around a
//! service that is ready.
#![expect(clippy::expect_used, reason = "a bench that can not begin has to stop")]

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_gateway::{Body, CircuitBreakerLayer};

use circuit::{Admission, Circuit, Outcome, Settings, WindowSize};

mod sync {
    pub use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering, fence},
    };
}

#[allow(dead_code, reason = "only the closed state is measured")]
#[path = "../src/breaker/circuit/mod.rs"]
mod circuit;

/// One call; every `every`th is a failure.
#[inline]
fn call(circuit: &Circuit, now: Instant, at: u64, every: u64) {
    let failed = at.is_multiple_of(every);
    if let Admission::Admitted(ticket) = circuit.admit(now) {
        let outcome = Outcome {
            failed,
            slow: false,
        };
        black_box(circuit.record(ticket, outcome, now));
    }
}

fn core(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("circuit");
    group.bench_function("two clock reads", |bencher| {
        bencher.iter(|| {
            black_box(Instant::now());
            black_box(Instant::now());
        });
    });
    let windows = [
        ("count", WindowSize::Calls(100)),
        ("time", WindowSize::Time(Duration::from_secs(60))),
    ];
    for (name, window) in windows {
        for (kind, every) in [("good", u64::MAX), ("1 % failures", 100)] {
            let settings = Settings {
                window,
                consecutive_failures: Some(1_000),
                ..Settings::default()
            };
            let now = Instant::now();
            let circuit = Arc::new(Circuit::new(&settings, now));
            for at in 1..200 {
                call(&circuit, now, at, every);
            }
            let mut at = 0;
            group.bench_function(format!("{name}, {kind}"), |bencher| {
                bencher.iter(|| {
                    at += 1;
                    call(black_box(&circuit), black_box(now), at, every);
                });
            });
            // What a second thread costs by itself, and what it costs that it has the same circuit.
            let own = Arc::new(Circuit::new(&settings, now));
            for (with, others) in [("circuits", own), ("threads", circuit.clone())] {
                let done = Arc::new(AtomicBool::new(false));
                let other = std::thread::spawn({
                    let done = done.clone();
                    move || {
                        let mut at = 0;
                        while !done.load(Relaxed) {
                            at += 1;
                            call(black_box(&others), black_box(now), at, every);
                        }
                    }
                });
                group.bench_function(format!("{name}, {kind}, two {with}"), |bencher| {
                    bencher.iter(|| {
                        at += 1;
                        call(black_box(&circuit), black_box(now), at, every);
                    });
                });
                done.store(true, Relaxed);
                other.join().expect("the other thread");
            }
        }
    }
    group.finish();
}

fn layer(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("breaker_layer");
    let inner = || {
        service_fn(|_: Request<Body>| {
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        })
    };
    let mut bare = inner();
    group.bench_function("without", |bencher| {
        bencher.iter(|| {
            let answer = runtime.block_on(bare.call(Request::new(Body::empty())));
            black_box(answer.expect("an answer"));
        });
    });
    let layer = CircuitBreakerLayer::new();
    let mut service = layer.layer(inner());
    group.bench_function("closed", |bencher| {
        bencher.iter(|| {
            let answer = runtime.block_on(service.call(Request::new(Body::empty())));
            black_box(answer.expect("an answer"));
        });
    });
    layer.handle().force_open();
    group.bench_function("open", |bencher| {
        bencher.iter(|| {
            let answer = runtime.block_on(service.call(Request::new(Body::empty())));
            black_box(answer.expect("an answer"));
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).without_plots();
    targets = core, layer
}
criterion_main!(benches);
