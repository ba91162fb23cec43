//! Charges: how much somebody may owe, and how many are waited for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use http::Request;
use tokio::sync::Semaphore;
use tower::Service;
use tower_gateway::{
    Body, BoxError, Gateway, Route, Upstream,
    throttle::{Ask, Decisions, Key, LocalStore, RateLimiter, Rule, ThrottleLayer},
};

use crate::{
    support::serve,
    world::{gateway, get, of, statuses},
};

/// Charges when it is let.
#[derive(Clone)]
struct Slow {
    store: LocalStore,
    gate: Arc<Semaphore>,
    charged: Arc<AtomicU64>,
}

impl Slow {
    fn new() -> Self {
        Self {
            store: LocalStore::new(),
            gate: Arc::new(Semaphore::new(0)),
            charged: Arc::default(),
        }
    }
}

impl RateLimiter for Slow {
    fn acquire_now(&self, asks: &[Ask<'_>]) -> Option<Decisions> {
        self.store.acquire_now(asks)
    }

    async fn acquire(&self, asks: &[Ask<'_>]) -> Result<Decisions, BoxError> {
        self.store.acquire(asks).await
    }

    async fn charge(&self, _: &[Ask<'_>]) -> Result<(), BoxError> {
        self.gate.acquire().await?.forget();
        self.charged.fetch_add(1, Relaxed);
        Ok(())
    }
}

const MOST: u64 = 1_024;

fn in_process(throttle: ThrottleLayer) -> Gateway {
    let served = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(Body::from("served")))
    });
    let gateway = Gateway::builder().upstream("backend", Upstream::service(served));
    let route = Route::new("/{*rest}").to("backend");
    gateway.throttle(throttle).route(route).build().unwrap()
}

async fn ask(gateway: &mut Gateway, times: u64) {
    for _ in 0..times {
        let request = Request::get("/").header("host", "t.example");
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(gateway.call(request).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn no_more_charges_are_waited_for_than_was_said() {
    #[cfg(feature = "tracing")]
    let log = crate::logging::Log::start();
    let slow = Slow::new();
    let rule = Rule::new(of(9_000)).by(Key::constant("all"));
    let throttle = ThrottleLayer::new(rule.charge(|_| 1)).limiter(slow.clone());
    let handle = throttle.handle();
    let mut gateway = in_process(throttle);
    ask(&mut gateway, MOST).await;
    assert_eq!(handle.dropped_charges(), 0);
    ask(&mut gateway, 5).await;
    assert_eq!(handle.dropped_charges(), 5);
    #[cfg(feature = "tracing")]
    {
        let kept = log.kept();
        assert_eq!(kept.all.matches("charges are dropped").count(), 1);
    }
    // As many as are there have room again.
    slow.gate.add_permits(3);
    while slow.charged.load(Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    ask(&mut gateway, 4).await;
    assert_eq!(handle.dropped_charges(), 6);
    slow.gate.add_permits(MOST as usize);
    while slow.charged.load(Relaxed) < MOST + 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(handle.failures(), 0);
}

#[tokio::test]
async fn nobody_is_locked_out_for_longer_than_a_burst_takes() {
    for charged in [21, 1_000_000, u64::MAX] {
        let rule = Rule::new(of(10)).cost(0).charge(move |_| charged);
        let route = Route::new("/{*rest}").to("backend");
        let gateway = gateway()
            .await
            .throttle(ThrottleLayer::new(rule))
            .route(route);
        let gateway = serve(gateway.build().unwrap()).await;
        assert_eq!(statuses(gateway, "192.0.2.1", 2).await, [200, 429]);
        let refused = get(gateway, "/", "192.0.2.1", &[]).await;
        let wait: u64 = refused.header("retry-after")[0].parse().unwrap();
        assert!((35_990..=36_000).contains(&wait), "{charged}: {wait}");
    }
}

#[test]
fn without_a_runtime_a_charge_that_waits_is_dropped() {
    let rule = Rule::new(of(9)).by(Key::constant("all")).charge(|_| 1);
    let throttle = ThrottleLayer::new(rule).limiter(Slow::new());
    let handle = throttle.handle();
    let inner = tower::service_fn(async |_: Request<()>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(bytes::Bytes::new()))
    });
    let mut service = tower::Layer::layer(&throttle, inner);
    let answer = futures_util::FutureExt::now_or_never(service.call(Request::new(())));
    assert_eq!(answer.unwrap().unwrap().status(), 200);
    assert_eq!(handle.dropped_charges(), 1);
}
