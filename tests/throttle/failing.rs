//! A limiter that can not tell.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tower_gateway::{
    BoxError, Route,
    throttle::{Ask, Decisions, LocalStore, OnFailure, RateLimiter, Rule, ThrottleLayer},
};

use crate::{
    support::serve,
    world::{gateway, get, of, statuses},
};

/// Fails when it is told to.
#[derive(Clone, Default)]
struct Fickle {
    store: LocalStore,
    is_away: Arc<AtomicBool>,
    is_wrong: Arc<AtomicBool>,
    /// For charges alone.
    charges_nothing: Arc<AtomicBool>,
    fallback: LocalStore,
}

impl RateLimiter for Fickle {
    async fn acquire(&self, asks: &[Ask<'_>]) -> Result<Decisions, BoxError> {
        if self.is_away.load(Relaxed) {
            return Err("it is away".into());
        }
        if self.is_wrong.load(Relaxed) {
            return Ok(Decisions::default());
        }
        self.store.acquire(asks).await
    }

    async fn charge(&self, asks: &[Ask<'_>]) -> Result<(), BoxError> {
        if self.charges_nothing.load(Relaxed) {
            tokio::task::yield_now().await;
            return Err("it is away".into());
        }
        RateLimiter::charge(&self.store, asks).await
    }

    fn fallback(&self) -> Option<LocalStore> {
        Some(self.fallback.clone())
    }
}

#[tokio::test]
async fn what_is_done_meanwhile_is_as_was_chosen() {
    for (what, expected) in [
        (OnFailure::Local { gateways: 2 }, [200, 200, 429]),
        (OnFailure::Local { gateways: 4 }, [200, 429, 429]),
        (OnFailure::Local { gateways: 100 }, [200, 429, 429]),
        (OnFailure::Open, [200, 200, 200]),
        (OnFailure::Closed, [503, 503, 503]),
    ] {
        let fickle = Fickle::default();
        let throttle = ThrottleLayer::new(of(4).named("four"))
            .limiter(fickle.clone())
            .on_failure(what);
        let handle = throttle.handle();
        let route = Route::new("/{*rest}").to("backend");
        let gateway = gateway().await.throttle(throttle).route(route);
        let gateway = serve(gateway.build().unwrap()).await;
        assert_eq!(
            statuses(gateway, "192.0.2.1", 2).await,
            [200; 2],
            "{what:?}"
        );
        assert!(!handle.is_failing());

        fickle.is_away.store(true, Relaxed);
        assert_eq!(
            statuses(gateway, "192.0.2.1", 3).await,
            expected,
            "{what:?}"
        );
        assert_eq!((handle.failures(), handle.is_failing()), (3, true));
        let answer = get(gateway, "/", "192.0.2.2", &[]).await;
        let told = answer.header("ratelimit-policy");
        if matches!(what, OnFailure::Local { .. }) {
            assert_eq!(told, ["\"four\";q=4;w=14400"], "the policy is what it was");
        }

        fickle.is_away.store(false, Relaxed);
        assert_eq!(statuses(gateway, "192.0.2.1", 3).await, [200, 200, 429]);
        assert!(
            !handle.is_failing(),
            "it is back, and knows what was spent before"
        );

        fickle.is_wrong.store(true, Relaxed);
        get(gateway, "/", "192.0.2.1", &[]).await;
        assert!(handle.is_failing(), "less was decided than was asked");
    }
}

#[tokio::test]
async fn what_is_charged_meanwhile_is_charged_where_it_was_decided() {
    let fickle = Fickle::default();
    fickle.is_away.store(true, Relaxed);
    let rule = Rule::new(of(8)).cost(0).charge(|_| 5);
    let throttle = ThrottleLayer::new(rule).limiter(fickle.clone());
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(
        statuses(gateway, "192.0.2.1", 2).await,
        [200, 429],
        "half of eight"
    );
    fickle.is_away.store(false, Relaxed);
    assert_eq!(statuses(gateway, "192.0.2.1", 3).await, [200, 200, 429]);
}

#[tokio::test]
async fn a_cost_is_worth_no_less_meanwhile() {
    for (cost, expected) in [(4, [200, 429]), (5, [429, 429])] {
        let fickle = Fickle::default();
        fickle.is_away.store(true, Relaxed);
        let throttle = ThrottleLayer::new(Rule::new(of(4)).cost_by(move |_| cost)).limiter(fickle);
        let route = Route::new("/{*rest}").to("backend");
        let gateway = gateway().await.throttle(throttle).route(route);
        let gateway = serve(gateway.build().unwrap()).await;
        assert_eq!(statuses(gateway, "192.0.2.1", 2).await, expected, "{cost}");
        let refused = get(gateway, "/", "192.0.2.1", &[]).await;
        let wait = refused
            .header("retry-after")
            .first()
            .map(|wait| wait.parse::<u64>().unwrap());
        match cost {
            // Half the rate: one in two hours, and all four have to come back.
            4 => assert!(
                wait.is_some_and(|wait| (28_790..=28_800).contains(&wait)),
                "{wait:?}"
            ),
            _ => assert_eq!(wait, None, "it is never allowed"),
        }
    }
}

#[tokio::test]
async fn each_rule_is_charged_for_itself() {
    for (is_away, expected, beyond) in [(false, [200, 200, 429], 1), (true, [200, 429, 429], 2)] {
        let fickle = Fickle::default();
        fickle.is_away.store(is_away, Relaxed);
        let rule = |policy| Rule::new(policy).cost(0);
        let throttle = ThrottleLayer::new(rule(of(8).named("wide")).charge(|_| 0))
            .rule(rule(of(4).named("narrow")).charge(|_| 3))
            .limiter(fickle);
        let handle = throttle.handle();
        let route = Route::new("/{*rest}").to("backend");
        let gateway = gateway().await.throttle(throttle).route(route);
        let gateway = serve(gateway.build().unwrap()).await;
        let statuses = statuses(gateway, "192.0.2.1", 3).await;
        assert_eq!(statuses, expected, "{is_away}");
        let violations: Vec<_> = handle.violations().collect();
        assert_eq!(violations, [("wide", 0), ("narrow", beyond)]);
    }
}

#[tokio::test]
async fn what_could_not_be_charged_is_told_and_known_meanwhile() {
    let fickle = Fickle::default();
    fickle.charges_nothing.store(true, Relaxed);
    let rule = Rule::new(of(8)).cost(0).charge(|_| 5);
    let throttle = ThrottleLayer::new(rule).limiter(fickle.clone());
    let handle = throttle.handle();
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [200]);
    let counted = async {
        while handle.failures() < 1 {
            tokio::task::yield_now().await;
        }
    };
    let second = std::time::Duration::from_secs(1);
    tokio::time::timeout(second, counted).await.unwrap();
    assert!(handle.is_failing());
    fickle.is_away.store(true, Relaxed);
    assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [429]);
}

#[tokio::test]
async fn what_is_never_allowed_is_not_allowed_meanwhile() {
    let fickle = Fickle::default();
    let rule = Rule::new(of(4)).cost_by(|head| match head.uri.path() {
        "/all" => 4,
        _ => 5,
    });
    let throttle = ThrottleLayer::new(rule).limiter(fickle.clone());
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    for is_away in [false, true] {
        fickle.is_away.store(is_away, Relaxed);
        let answer = get(gateway, "/", "192.0.2.1", &[]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, vec![]));
        // All that there is, is all that there is of a share.
        let all = async || get(gateway, "/all", "192.0.2.1", &[]).await.status;
        assert_eq!([all().await, all().await], [200, 429]);
    }
}

#[tokio::test]
async fn what_a_part_has_left_is_told_by_the_time_of_the_part() {
    for (gateways, said) in [
        // Two of four, one in two hours.
        (2, ["\"four\";r=1;t=7200", "\"four\";r=0;t=7200"]),
        // One of four, one in three hours.
        (3, ["\"four\";r=0;t=10800", ""]),
    ] {
        let fickle = Fickle::default();
        fickle.is_away.store(true, Relaxed);
        let throttle = ThrottleLayer::new(of(4).named("four")).limiter(fickle);
        let throttle = throttle.on_failure(OnFailure::Local { gateways });
        let route = Route::new("/{*rest}").to("backend");
        let gateway = gateway().await.throttle(throttle).route(route);
        let gateway = serve(gateway.build().unwrap()).await;
        for said in said.iter().filter(|said| !said.is_empty()) {
            let answer = get(gateway, "/", "192.0.2.1", &[]).await;
            assert_eq!(answer.header("ratelimit"), [*said], "{gateways}");
            let told = answer.header("ratelimit-policy");
            assert_eq!(told, ["\"four\";q=4;w=14400"]);
        }
        let refused = get(gateway, "/", "192.0.2.1", &[]).await;
        let wait = refused.header("retry-after")[0];
        let told = format!("\"four\";r=0;t={wait}");
        assert_eq!(refused.header("ratelimit"), [told]);
    }
}

#[tokio::test]
async fn layers_that_share_a_limiter_share_what_stands_in_for_it() {
    let fickle = Fickle::default();
    fickle.is_away.store(true, Relaxed);
    let layer = || ThrottleLayer::new(of(4).named("four")).limiter(fickle.clone());
    let builder = gateway()
        .await
        .route(Route::new("/a").to("backend").throttle(layer()))
        .route(Route::new("/b").to("backend").throttle(layer()));
    let gateway = serve(builder.build().unwrap()).await;
    for (path, status) in [("/a", 200), ("/b", 200), ("/a", 429), ("/b", 429)] {
        let answer = get(gateway, path, "192.0.2.1", &[]).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_part_owes_what_the_whole_limit_has() {
    let fickle = Fickle::default();
    fickle.is_away.store(true, Relaxed);
    let throttle = ThrottleLayer::new(Rule::new(of(4)).cost(4)).limiter(fickle);
    let throttle = throttle.on_failure(OnFailure::Local { gateways: 4 });
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(statuses(gateway, "192.0.2.1", 2).await, [200, 429]);
    let refused = get(gateway, "/", "192.0.2.1", &[]).await;
    let wait: u64 = refused.header("retry-after")[0].parse().unwrap();
    // One in four hours, and all four have to come back: one burst of a part is but one.
    assert!((57_590..=57_600).contains(&wait), "{wait}");
}
