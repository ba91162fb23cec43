//! What is wrong is said when a gateway is built.

use std::time::Duration;

use tower_gateway::{
    BoxError, Gateway, GatewayBuilder, Route, Upstream,
    throttle::{
        Ask, Decisions, Key, LocalStore, OnFailure, PlanLookup, Plans, Policy, RateLimiter, Rule,
        ThrottleLayer,
    },
};

use crate::world::of;

fn builder() -> GatewayBuilder {
    Gateway::builder().upstream("backend", Upstream::http(["http://127.0.0.1:1"]))
}

fn route() -> Route {
    Route::get("/users/{id}").to("backend")
}

fn mistakes(builder: GatewayBuilder) -> Vec<String> {
    match builder.build() {
        Ok(_) => Vec::new(),
        Err(error) => error.mistakes().map(ToString::to_string).collect(),
    }
}

struct Wrong;

impl RateLimiter for Wrong {
    async fn acquire(&self, _: &[Ask<'_>]) -> Result<Decisions, BoxError> {
        Ok(Decisions::default())
    }

    async fn charge(&self, _: &[Ask<'_>]) -> Result<(), BoxError> {
        Ok(())
    }

    fn mistakes(&self, policies: &[Policy]) -> Vec<String> {
        vec![format!("no room for {}", policies[0].name())]
    }
}

struct Nowhere;

impl PlanLookup for Nowhere {
    async fn plan(&self, _: &http::request::Parts) -> Result<Option<String>, BoxError> {
        Ok(None)
    }

    fn mistakes(&self) -> Vec<String> {
        vec!["no database is named".to_owned()]
    }
}

#[test]
fn a_wrong_setting_is_named_with_what_is_allowed() {
    let many = (0..17).map(|at| Rule::new(of(1).named(format!("p{at}"))));
    let many = many.fold(None, |layer: Option<ThrottleLayer>, rule| {
        Some(match layer {
            None => ThrottleLayer::new(rule),
            Some(layer) => layer.rule(rule),
        })
    });
    for (layer, named) in [
        (ThrottleLayer::new(Policy::per_second(0)), "limit 0"),
        (
            ThrottleLayer::new(Policy::rate(5, Duration::ZERO)),
            "period 0ns",
        ),
        (ThrottleLayer::new(of(1).burst(0)), "burst 0"),
        (
            ThrottleLayer::new(Rule::new(of(2)).cost(3)),
            "cost 3 is more than there ever is, 2",
        ),
        (
            ThrottleLayer::new(Rule::new(of(2)).cost_on("/users/{id}", 3)),
            "cost 3 on route `/users/{id}` is more than there ever is, 2",
        ),
        (
            ThrottleLayer::new(of(1)).on_failure(OnFailure::Local { gateways: 1_001 }),
            "1001 gateways are not from 1 to 1000",
        ),
        (
            ThrottleLayer::new(of(2)).rule(of(3)),
            "\"default\" is there twice",
        ),
        (many.unwrap(), "17 rules are more than 16"),
        (
            ThrottleLayer::new(Plans::from_fn(|_| None)),
            "there is no plan",
        ),
        (
            ThrottleLayer::new(Plans::from_fn(|_| None).plan("a", of(1)).plan("a", of(2))),
            "plan `a` is there twice",
        ),
        (
            ThrottleLayer::new(Rule::new(of(1)).cost(0)),
            "cost 0, and nothing spends of it",
        ),
        (
            ThrottleLayer::new(Rule::new(of(1)).cost(0).cost_on("/users/{id}", 0)),
            "cost 0, and nothing spends of it",
        ),
        (
            ThrottleLayer::new(Plans::lookup(Nowhere).plan("a", of(1))),
            "throttle plans: no database is named",
        ),
        (
            ThrottleLayer::new(of(1).named("x")).limiter(std::sync::Arc::new(Wrong)),
            "no room for x",
        ),
        (
            ThrottleLayer::new(Plans::claim("").plan("a", of(1))),
            "the path of the claim is empty",
        ),
        (
            ThrottleLayer::new(Rule::new(of(3)).cost_on("a", 2).cost_on("a", 3)),
            "route `a` has two costs",
        ),
        (
            ThrottleLayer::new(of(1)).on_failure(OnFailure::Local { gateways: 0 }),
            "0 gateways are not from 1",
        ),
        (
            ThrottleLayer::new(of(1).named("x")).limiter(Wrong),
            "no room for x",
        ),
        (
            ThrottleLayer::new(Rule::new(of(1)).by(Key::client_network(33, 64))),
            "33",
        ),
    ] {
        for wrong in [
            builder().throttle(layer.clone()).route(route()),
            builder().throttle_routes(layer.clone()).route(route()),
            builder().route(route().throttle(layer.clone())),
        ] {
            let told = mistakes(wrong);
            assert!(
                told.iter().any(|told| told.contains(named)),
                "{named}: {told:?}"
            );
        }
    }
}

#[test]
fn what_is_not_known_yet_can_not_be_counted_by() {
    let by = |key| ThrottleLayer::new(Rule::new(of(1)).by(key));
    let plans = Plans::claim("plan").plan("free", of(1));
    for (layer, door, on_route) in [
        (by(Key::client_ip()), None, None),
        (
            by(Key::subject()),
            Some("who sends a request"),
            Some("nobody is authenticated"),
        ),
        (
            by(Key::all([Key::client_ip(), Key::claim("org")])),
            Some("who sends a request"),
            Some("nobody is authenticated"),
        ),
        (
            ThrottleLayer::new(plans),
            Some("who sends a request"),
            Some("nobody is authenticated"),
        ),
        (by(Key::route()), Some("the route"), None),
        (
            ThrottleLayer::new(Rule::new(of(2)).cost_on("/users/{id}", 2)),
            Some("the route"),
            None,
        ),
        (by(Key::param("id")), Some("a path param"), None),
        (
            by(Key::param("name")),
            Some("a path param"),
            Some("no param `name`"),
        ),
    ] {
        let at_door = mistakes(builder().throttle(layer.clone()).route(route()));
        let on_this = mistakes(builder().route(route().throttle(layer.clone())));
        let on_all = mistakes(builder().throttle_routes(layer).route(route()));
        for (told, expected) in [(at_door, door), (on_this, on_route), (on_all, on_route)] {
            match expected {
                None => assert_eq!(told, Vec::<String>::new()),
                Some(expected) => {
                    assert!(
                        told.len() == 1 && told[0].contains(expected),
                        "{expected}: {told:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn it_stands_where_it_was_said() {
    let layer = || ThrottleLayer::new(of(1));
    let gateway = builder()
        .throttle(layer())
        .throttle_routes(layer())
        .route(route())
        .route(Route::get("/free").to("backend").unthrottled())
        .build()
        .unwrap();
    let plan = gateway.pipeline();
    let line = |begins: &str| {
        let line = plan.lines().find(|line| line.starts_with(begins));
        line.unwrap_or_else(|| panic!("{plan}"))
    };
    assert!(
        line("door").contains("own headers > ThrottleLayer > match"),
        "{plan}"
    );
    assert!(line("route GET /users").contains("ThrottleLayer"), "{plan}");
    assert!(!line("route GET /free").contains("ThrottleLayer"), "{plan}");
    let both = builder().route(route().throttle(layer()).unthrottled());
    assert!(mistakes(both)[0].contains("`unthrottled` and has `throttle`"));
}

#[test]
fn a_cost_on_a_route_that_is_not_there_is_a_mistake() {
    let rule = Rule::new(of(9)).cost_on("users", 2).cost_on("reprots", 5);
    let layer = || ThrottleLayer::new(rule.clone());
    let users = || route().name("users");
    for wrong in [
        builder().throttle_routes(layer()).route(users()),
        builder().route(users().throttle(layer())),
    ] {
        let told = mistakes(wrong);
        assert!(
            told.len() == 1 && told[0].contains("no route `reprots`"),
            "{told:?}"
        );
    }
    let reports = Route::get("/reports").name("reprots").to("backend");
    let right = builder().throttle_routes(layer()).route(users());
    assert_eq!(mistakes(right.route(reports)), Vec::<String>::new());
}

#[test]
fn what_gateways_have_for_all_routes_may_leave_some_out() {
    use tower_gateway::throttle::WithoutKey;
    let by = |key, without| ThrottleLayer::new(Rule::new(of(1)).by(key).without_key(without));
    for key in [Key::subject(), Key::param("name")] {
        for (without, on_all) in [
            (WithoutKey::Refuse, 1),
            (WithoutKey::Pass, 0),
            (WithoutKey::Share, 0),
        ] {
            let layer = by(key.clone(), without);
            let all = builder().throttle_routes(layer.clone()).route(route());
            assert_eq!(mistakes(all).len(), on_all, "{key:?} {without:?}");
            // For one route it was meant.
            let one = builder().route(route().throttle(layer));
            assert_eq!(mistakes(one).len(), 1, "{key:?} {without:?}");
        }
    }
}

#[test]
fn what_is_allowed_at_most_is_no_mistake() {
    for rule in [
        Rule::new(of(2)).cost(2).cost_on("/users/{id}", 2),
        // The closure has the last word.
        Rule::new(of(2)).cost(3).cost_by(|_| 1),
        // Something spends.
        Rule::new(of(2)).cost(0).charge(|_| 1),
        Rule::new(of(2)).cost(0).cost_on("/users/{id}", 1),
        Rule::new(of(2)).cost(0).cost_by(|_| 1),
    ] {
        let layer = ThrottleLayer::new(rule).on_failure(OnFailure::Local { gateways: 1_000 });
        let right = builder().route(route().throttle(layer));
        assert_eq!(mistakes(right), Vec::<String>::new());
    }
}

#[test]
fn what_would_be_spent_twice_is_a_mistake() {
    let store = LocalStore::new();
    let on = |store: &LocalStore, rule: Rule| ThrottleLayer::new(rule).limiter(store.clone());
    let rule = || Rule::new(of(5).named("five"));
    let one = ThrottleLayer::new(rule());
    let plans = || Plans::from_fn(|_| None).plan("five", of(5));
    let function = Key::from_fn(|_| Some("all"));
    let other_function = Key::from_fn(|_| Some("all"));
    for (door, own, is_twice) in [
        (one.clone(), one.clone(), true),
        // A setting leaves the store.
        (one.clone(), one.clone().headers(false), true),
        (on(&store, rule()), on(&store, rule()), true),
        (on(&store, rule()), on(&store, Rule::plans(plans())), true),
        (
            on(&store, rule().by(function.clone())),
            on(&store, rule().by(function.clone())),
            true,
        ),
        (
            ThrottleLayer::new(rule()),
            ThrottleLayer::new(rule()),
            false,
        ),
        (on(&store, rule()), on(&LocalStore::new(), rule()), false),
        (
            on(&store, rule()),
            on(&store, Rule::new(of(6).named("five"))),
            false,
        ),
        (
            on(&store, rule()),
            on(&store, rule().by(Key::host())),
            false,
        ),
        (
            on(&store, rule().by(function)),
            on(&store, rule().by(other_function)),
            false,
        ),
        // At one of both it only has to have no debt.
        (
            on(&store, rule().cost(0).charge(|_| 1)),
            on(&store, rule()),
            false,
        ),
    ] {
        let told = [
            mistakes(
                builder()
                    .throttle(door.clone())
                    .throttle_routes(own.clone())
                    .route(route()),
            ),
            mistakes(builder().throttle(door).route(route().throttle(own))),
        ];
        for told in told {
            let is_told = told.len() == 1 && told[0].contains("would spend twice");
            assert_eq!(is_told, is_twice, "{told:?}");
            assert!(is_twice || told.is_empty(), "{told:?}");
        }
    }
}
