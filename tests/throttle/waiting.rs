//! Keys, plans and limiters that have to be waited for.

use std::sync::{Arc, Mutex};

use http::request::Parts;
use tower_gateway::{
    BoxError, Route,
    throttle::{
        Ask, Decisions, Key, KeyExtractor, LocalStore, PlanLookup, Plans, RateLimiter, Rule,
        ThrottleLayer,
    },
};

use crate::{
    support::serve,
    world::{gateway, get, of},
};

struct Tenant;

impl KeyExtractor for Tenant {
    async fn extract(&self, head: &Parts) -> Result<Option<Vec<u8>>, BoxError> {
        tokio::task::yield_now().await;
        match head.headers.get("x-tenant").map(|tenant| tenant.as_bytes()) {
            Some(b"broken") => Err("the database is away".into()),
            tenant => Ok(tenant.map(Into::into)),
        }
    }
}

struct Accounts;

impl PlanLookup for Accounts {
    async fn plan(&self, head: &Parts) -> Result<Option<String>, BoxError> {
        tokio::task::yield_now().await;
        match head
            .headers
            .get("x-plan")
            .map(|plan| plan.to_str().unwrap())
        {
            Some("broken") => Err("the database is away".into()),
            plan => Ok(plan.map(Into::into)),
        }
    }
}

/// Never says anything at once.
#[derive(Clone, Default)]
struct Slow {
    store: LocalStore,
    charged: Arc<Mutex<u64>>,
}

impl RateLimiter for Slow {
    async fn acquire(&self, asks: &[Ask<'_>]) -> Result<Decisions, BoxError> {
        tokio::task::yield_now().await;
        self.store.acquire(asks).await
    }

    async fn charge(&self, asks: &[Ask<'_>]) -> Result<(), BoxError> {
        tokio::task::yield_now().await;
        *self.charged.lock().unwrap() += asks.iter().map(|ask| ask.cost).sum::<u64>();
        RateLimiter::charge(&self.store, asks).await
    }
}

#[tokio::test]
async fn keys_plans_and_limiters_are_waited_for() {
    let plans = Plans::lookup(Accounts)
        .plan("free", of(1))
        .plan("paid", of(3));
    let rule = Rule::plans(plans).by(Key::all([Tenant.into(), Key::client_ip()]));
    let slow = Slow::default();
    let throttle = ThrottleLayer::new(rule.charge(|_| 1)).limiter(slow.clone());
    let handle = throttle.handle();
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    let said = |tenant: &'static str, plan: &'static str| [("x-tenant", tenant), ("x-plan", plan)];
    for (tenant, plan, status) in [
        // Each costs one, and one more when it is answered.
        ("acme", "free", 200),
        ("acme", "free", 429),
        ("acme", "paid", 200),
        ("acme", "paid", 200),
        ("acme", "paid", 429),
        ("other", "unknown", 200),
        ("other", "free", 429),
        ("broken", "free", 503),
        ("acme", "broken", 503),
    ] {
        let answer = get(gateway, "/", "192.0.2.1", &said(tenant, plan)).await;
        assert_eq!(answer.status, status, "{tenant} {plan}: {answer:?}");
    }
    let answer = get(gateway, "/", "192.0.2.1", &[("x-plan", "free")]).await;
    assert_eq!(answer.status, 403, "there is no key");
    assert_eq!(*slow.charged.lock().unwrap(), 4);
    assert_eq!((handle.allowed(), handle.refused()), (4, 6));
}

#[tokio::test]
async fn a_request_that_waited_is_the_one_that_came() {
    let throttle = ThrottleLayer::new(of(9)).limiter(Slow::default());
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    let answer = get(gateway, "/", "192.0.2.1", &[("x-costs", "7")]).await;
    assert_eq!(answer.header("x-cost"), ["7"], "the backend has its fields");
}
