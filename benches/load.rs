//! What a concurrency limit costs a request: permits by themselves, beside tokio's semaphore, and the layer around a service
//! that answers at once, beside tower's. Read ratios within one run.

#![expect(clippy::expect_used, reason = "a bench that can not begin has to stop")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tower::{Layer, Service, limit::ConcurrencyLimitLayer as Towers, service_fn};
use tower_gateway::{
    Body,
    load::{Adaptive, ConcurrencyLimitLayer},
};

use permits::Limit;
use priority::Priority;

#[path = "../src/load/limit.rs"]
#[allow(dead_code, reason = "not all of it is measured")]
mod permits;
#[path = "../src/load/priority.rs"]
#[allow(dead_code, reason = "not all of it is measured")]
mod priority;
#[path = "../src/load/queue.rs"]
#[allow(dead_code, reason = "not all of it is measured")]
mod queue;
#[path = "../src/load/sync.rs"]
mod sync;

/// More than are ever taken: nobody waits.
const PERMITS: u32 = 100;

fn permits(criterion: &mut Criterion) {
    let limit = Limit::new(PERMITS, 100, Duration::from_millis(100));
    let semaphore = Semaphore::new(PERMITS as usize);
    let ours = || {
        assert!(limit.try_acquire(black_box(Priority::Normal)));
        limit.release(Instant::now);
    };
    let theirs = || drop(black_box(semaphore.try_acquire().expect("a permit")));
    let mut group = criterion.benchmark_group("permit");
    group.bench_function("tower-gateway", |bencher| bencher.iter(ours));
    group.bench_function("tokio semaphore", |bencher| bencher.iter(theirs));
    group.finish();

    let mut group = criterion.benchmark_group("permit_of_two_threads");
    group.bench_function("tower-gateway", |bencher| {
        bencher.iter_custom(|times| both(times, ours));
    });
    group.bench_function("tokio semaphore", |bencher| {
        bencher.iter_custom(|times| both(times, theirs));
    });
    group.finish();
}

/// How long two threads take that do this so often each, at the same time.
fn both(times: u64, work: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(2);
    let run = || {
        barrier.wait();
        let start = Instant::now();
        (0..times).for_each(|_| work());
        start.elapsed()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(run);
        let mine = run();
        mine.max(other.join().expect("a thread that does not panic"))
    })
}

type Answer = Ready<Result<Response<Body>, Infallible>>;

fn answer(_: Request<()>) -> Answer {
    ready(Ok(Response::new(Body::from("hello"))))
}

fn layer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer");
    let mut measure = |name, mut call: Box<dyn FnMut() -> Response<Body>>| {
        group.bench_function(name, |bencher| bencher.iter(&mut call));
    };
    measure("none", of(service_fn(answer)));
    let fixed = ConcurrencyLimitLayer::max(PERMITS);
    measure("max", of(fixed.layer(service_fn(answer))));
    let adaptive = ConcurrencyLimitLayer::adaptive(Adaptive::gradient());
    measure("adaptive", of(adaptive.layer(service_fn(answer))));
    let towers = Towers::new(PERMITS as usize);
    measure("tower", of(towers.layer(service_fn(answer))));
    group.finish();
}

/// One request, from readiness to the dropped answer.
fn of<S>(mut service: S) -> Box<dyn FnMut() -> Response<Body>>
where
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible> + 'static,
{
    Box::new(move || {
        let ready = std::future::poll_fn(|cx| service.poll_ready(cx));
        ready.now_or_never().expect("ready").expect("infallible");
        let answer = service.call(Request::new(())).now_or_never();
        answer.expect("at once").expect("infallible")
    })
}

criterion_group!(benches, permits, layer);
criterion_main!(benches);
