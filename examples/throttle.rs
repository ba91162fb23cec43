//! A share for everybody: by address at the door, by plan behind it, and one for what is expensive.
//!
//! ```sh
//! cargo run --example throttle
//! ```
//!
//! Each address may send 20 requests at once, whoever it is; ten more come back each hour. Behind that, keys of the free plan have 3 requests an
//! hour, those that are paid for 30, and both have three reports, of which a large one costs as much as all three. All clients together
//! have two requests to an old backend. The example prints `curl` lines to try, and what comes of each. With `-- --check` it sends itself
//! these requests, prints each with its outcome, and fails when one is not as it should be.

mod support;

use std::process::ExitCode;

use axum::{Router, routing::any};
use support::Try;
use tower_gateway::{
    BoxError, Claims, Gateway, Route, Upstream,
    auth::{ApiKey, ApiKeyLayer},
    throttle::{AddressList, Key, LocalStore, Plans, Policy, Rule, ThrottleHandle, ThrottleLayer},
};

/// A key of the free plan, and one that is paid for.
const FREE: &str = "demo_free_0e5b7c1d93";
const PAID: &str = "demo_paid_a4c8e2f716";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, BoxError> {
    let (gateway, door) = gateway().await?;
    println!("{}", gateway.pipeline());
    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(support::serve(listener, gateway));

    println!("everybody has a share; try:");
    let outcome = support::try_out(address, &tries(), server).await?;
    println!("at the door: {door:?}");
    for (policy, times) in door.violations() {
        println!("  beyond `{policy}`: {times}");
    }
    Ok(outcome)
}

async fn gateway() -> Result<(Gateway, ThrottleHandle), BoxError> {
    let backend = support::backend(Router::new().fallback(any(|| async { "served\n" }))).await?;
    // Before anybody is asked who they are: a flood costs next to nothing.
    let by_address = ThrottleLayer::new(Policy::per_hour(10).burst(20).named("address"))
        .block(AddressList::new(["203.0.113.0/24"]));
    let door = by_address.handle();

    let plans = Plans::claim("plan")
        .plan("free", Policy::per_hour(3))
        .plan("paid", Policy::per_hour(30));
    let by_plan = Rule::plans(plans).by(Key::api_key());
    // What is spent of a plan is the same wherever it is spent.
    let store = LocalStore::new();
    let for_everybody = ThrottleLayer::new(by_plan.clone()).limiter(store.clone());
    // Both have to allow it, or nothing is spent of either.
    let reports = Rule::new(Policy::per_hour(3).named("reports"))
        .by(Key::api_key())
        .cost_by(|head| {
            if head.uri.path().ends_with("/large") {
                3
            } else {
                1
            }
        });
    let for_reports = ThrottleLayer::new(by_plan).rule(reports).limiter(store);
    let for_the_old = ThrottleLayer::new(Rule::shared(Policy::per_hour(2).named("old-backend")));

    let gateway = Gateway::builder()
        .name("shop")
        // Only so that one can try to be somebody else from here.
        .trust_proxies(["127.0.0.1"])
        .upstream("backend", Upstream::http([format!("http://{backend}")]))
        .authenticate(ApiKeyLayer::new([
            ApiKey::new("free", FREE)?.with_claims(Claims::new().with("plan", "free")),
            ApiKey::new("paid", PAID)?.with_claims(Claims::new().with("plan", "paid")),
        ]))
        .throttle(by_address)
        .throttle_routes(for_everybody)
        .route(Route::get("/orders/{id}").to("backend"))
        .route(
            Route::get("/reports/{size}")
                .to("backend")
                .throttle(for_reports),
        )
        .route(Route::get("/old").to("backend").throttle(for_the_old))
        .route(
            Route::get("/healthz")
                .to("backend")
                .anonymous()
                .unthrottled(),
        )
        .build()?;
    Ok((gateway, door))
}

fn tries() -> Vec<Try> {
    let with = |key: &'static str, path: &'static str| Try::get(path).header(("X-Api-Key", key));
    let refused = |one: Try| one.gives(429, "quota-exceeded");
    let mut all = vec![
        with(FREE, "/orders/1")
            .because("the first of three")
            .gives(200, "served")
            .tells("ratelimit", "\"free\";r=2;t=2400"),
        with(FREE, "/orders/2").gives(200, "served"),
        with(FREE, "/orders/3")
            .gives(200, "served")
            .tells("ratelimit-policy", "\"free\";q=3;w=3600"),
        refused(with(FREE, "/orders/4"))
            .because("the next one is there in 20 minutes")
            .tells("retry-after", "1"),
        with(PAID, "/orders/4")
            .because("who pays has more")
            .gives(200, "served")
            .tells("ratelimit", "\"paid\";r=29;t=3480"),
        with(PAID, "/reports/small").gives(200, "served"),
        refused(with(PAID, "/reports/large"))
            .because("it costs three, and two are left; it spends nothing of the plan")
            .tells("ratelimit", "\"reports\";r=2;t=1200"),
        with(PAID, "/reports/small").gives(200, "served"),
        with(PAID, "/old").gives(200, "served"),
        with(FREE, "/old").gives(200, "served"),
        with(PAID, "/old")
            .because("all clients share it, so it is not this one's fault")
            .gives(503, "temporary-reduced-capacity"),
        Try::get("/orders/1")
            .because("a blocked address")
            .header(("X-Forwarded-For", "203.0.113.7"))
            .gives(403, "not allowed"),
    ];
    // Twelve were sent from here until now, one of them from elsewhere.
    all.extend((11..20).map(|_| Try::get("/healthz").gives(200, "served")));
    all.push(refused(Try::get("/healthz")).because("the address has none left, whoever asks"));
    all.push(
        Try::get("/healthz")
            .because("and another one has")
            .header(("X-Forwarded-For", "198.51.100.7"))
            .gives(200, "served"),
    );
    all
}
