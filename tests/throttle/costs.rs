//! What a request costs: before, and when its answer is there.

use tower_gateway::{
    Route,
    throttle::{Policy, Rule, ThrottleLayer},
};

use crate::{
    support::serve,
    world::{gateway, get, of},
};

#[tokio::test]
async fn a_route_and_a_closure_have_costs_of_their_own() {
    let rule = Rule::new(of(10).named("units"))
        .cost_on("reports", 6)
        .cost_by(|head| if head.method == "GET" { 2 } else { 20 });
    let layer = ThrottleLayer::new(rule);
    let gateway = gateway()
        .await
        .throttle_routes(layer)
        .route(Route::new("/{*rest}").to("backend"))
        .route(Route::get("/reports/{id}").name("reports").to("backend"));
    let gateway = serve(gateway.build().unwrap()).await;
    let left = |answer: &crate::world::Answer| answer.header("ratelimit")[0].to_owned();
    let answer = get(gateway, "/", "192.0.2.1", &[]).await;
    assert!(left(&answer).contains(";r=8;"), "{answer:?}");
    let answer = get(gateway, "/reports/7", "192.0.2.1", &[]).await;
    assert!(left(&answer).contains(";r=2;"), "{answer:?}");
    let answer = get(gateway, "/reports/8", "192.0.2.1", &[]).await;
    assert_eq!(answer.status, 429);
    assert!(
        left(&answer).contains(";r=2;"),
        "nothing was spent: {answer:?}"
    );
    assert_eq!(get(gateway, "/", "192.0.2.1", &[]).await.status, 200);
}

#[tokio::test]
async fn what_costs_more_than_there_ever_is_is_not_to_be_tried_again() {
    let layer = ThrottleLayer::new(Rule::new(of(3)).cost_by(|_| 4));
    let route = Route::new("/{*rest}").to("backend").throttle(layer);
    let gateway = serve(gateway().await.route(route).build().unwrap()).await;
    let answer = get(gateway, "/", "192.0.2.1", &[]).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), [""; 0]);
}

#[tokio::test]
async fn what_an_answer_says_is_charged_and_a_debt_has_to_come_back() {
    for policy in [
        of(10),
        Policy::sliding_window(10, std::time::Duration::from_secs(3_600)),
    ] {
        let rule = Rule::new(policy.named("work")).cost(0).charge(|answer| {
            let cost = answer.unwrap().headers.get("x-cost").unwrap();
            cost.to_str().unwrap().parse().unwrap()
        });
        let route = Route::new("/{*rest}").to("backend");
        let gateway = gateway()
            .await
            .throttle(ThrottleLayer::new(rule))
            .route(route);
        let gateway = serve(gateway.build().unwrap()).await;
        // Nothing is known before the first; after it there is nothing left, and after the second a debt.
        for (cost, status) in [("10", 200), ("7", 200), ("1", 429)] {
            let answer = get(gateway, "/", "192.0.2.1", &[("x-costs", cost)]).await;
            assert_eq!(answer.status, status, "{cost}");
        }
    }
}
