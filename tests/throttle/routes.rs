//! On routes: by who sends a request, and what they have paid for.

use http::{HeaderName, HeaderValue, request::Parts};
use tower_gateway::{
    Claims, GatewayBuilder, Identity, Route,
    auth::{Authenticator, Denied},
    throttle::{Key, Plans, Rule, ThrottleLayer, WithoutKey},
};

use crate::{
    support::serve,
    world::{gateway, get, of},
};

/// Whoever says `x-pass: name plan` is believed.
struct Pass;

impl Authenticator for Pass {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        let Some(pass) = head.headers.get("x-pass") else {
            return Err(Denied::missing().with_challenge(HeaderValue::from_static("Pass")));
        };
        let (name, plan) = pass.to_str().unwrap().split_once(' ').unwrap();
        let claims = Claims::new().with("sub", name).with("plan", plan);
        Ok(Identity::new("pass", claims))
    }

    fn strip(&self, head: &mut Parts) {
        head.headers.remove("x-pass");
    }

    fn owned(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

fn orders() -> Route {
    Route::get("/orders/{id}").to("backend")
}

async fn statuses(builder: GatewayBuilder, asked: &[(&str, &str, u16)]) {
    let gateway = serve(builder.build().unwrap()).await;
    for (at, (path, pass, status)) in asked.iter().enumerate() {
        let fields = [("x-pass", *pass)];
        let fields = if pass.is_empty() { &[][..] } else { &fields };
        let answer = get(gateway, path, "192.0.2.1", fields).await;
        assert_eq!(
            answer.status, *status,
            "{at}: {path} of {pass:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn by_user_and_by_plan() {
    let plans = Plans::claim("plan").plan("free", of(1)).plan("paid", of(3));
    let layer = ThrottleLayer::new(Rule::plans(plans).by(Key::subject()));
    let builder = gateway().await.authenticate(Pass).throttle_routes(layer);
    statuses(
        builder
            .route(orders())
            .route(Route::get("/users").to("backend")),
        &[
            ("/orders/1", "", 401),
            ("/orders/1", "ada free", 200),
            ("/users", "ada free", 429),
            ("/orders/1", "eve paid", 200),
            ("/users", "eve paid", 200),
            ("/users", "eve paid", 200),
            ("/orders/2", "eve paid", 429),
            ("/orders/2", "bob unknown", 200),
            ("/orders/2", "bob unknown", 429),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_route_has_its_own_and_one_is_left_out() {
    let by = |many, key| ThrottleLayer::new(Rule::new(of(many)).by(key));
    let builder = gateway()
        .await
        .authenticate(Pass)
        .throttle_routes(by(1, Key::subject()))
        .route(orders().throttle(by(2, Key::param("id"))))
        .route(
            Route::get("/healthz")
                .to("backend")
                .anonymous()
                .unthrottled(),
        )
        .route(Route::get("/a").to("backend"))
        .route(Route::get("/b").to("backend"));
    statuses(
        builder,
        &[
            ("/a", "ada x", 200),
            ("/b", "ada x", 429),
            ("/orders/1", "ada x", 200),
            ("/orders/1", "eve x", 200),
            ("/orders/1", "bob x", 429),
            ("/orders/2", "bob x", 200),
            ("/healthz", "", 200),
            ("/healthz", "", 200),
        ],
    )
    .await;
}

#[tokio::test]
async fn who_may_not_spends_nothing() {
    use tower_gateway::auth::AuthorizeLayer;
    let layer = ThrottleLayer::new(of(1));
    let handle = layer.handle();
    let route = orders().throttle(layer);
    let route = route.authorize(AuthorizeLayer::new().any_of("plan", ["paid"]));
    statuses(
        gateway().await.authenticate(Pass).route(route),
        &[
            ("/orders/1", "", 401),
            ("/orders/1", "ada free", 403),
            ("/orders/1", "eve paid", 200),
            ("/orders/1", "eve paid", 429),
        ],
    )
    .await;
    assert_eq!((handle.allowed(), handle.refused()), (1, 1));
}

#[tokio::test]
async fn anonymous_clients_can_have_a_share_by_address() {
    let layer = ThrottleLayer::new(
        Rule::new(of(3).named("user"))
            .by(Key::subject())
            .without_key(WithoutKey::Pass),
    )
    .rule(of(2).named("address"));
    let auth = tower_gateway::auth::AuthenticateLayer::new(Pass).optional();
    let builder = gateway()
        .await
        .authenticate(auth)
        .route(orders().throttle(layer));
    statuses(
        builder,
        &[
            ("/orders/1", "", 200),
            ("/orders/1", "ada x", 200),
            ("/orders/1", "", 429),
            ("/orders/1", "ada x", 429),
        ],
    )
    .await;
}

#[tokio::test]
async fn guesses_are_counted() {
    let rule = Rule::new(of(2).named("guesses"))
        .cost(0)
        .charge(|answer| answer.map_or(0, |head| u64::from(head.status == 401)));
    let builder = gateway().await.authenticate(Pass).route(orders());
    statuses(
        builder.throttle(ThrottleLayer::new(rule)),
        &[
            ("/orders/1", "ada x", 200),
            ("/orders/1", "", 401),
            ("/orders/1", "ada x", 200),
            ("/orders/1", "", 401),
            ("/orders/1", "", 401),
            // Now there is a debt, and it does not matter any more who asks.
            ("/orders/1", "", 429),
            ("/orders/1", "ada x", 429),
        ],
    )
    .await;
}

#[tokio::test]
async fn by_claim_route_and_host() {
    let by = |key| ThrottleLayer::new(Rule::new(of(1)).by(key));
    for (key, asked) in [
        (
            Key::claim("plan"),
            [
                ("/orders/1", "ada x", 200),
                ("/orders/2", "eve x", 429),
                ("/orders/1", "ada y", 200),
            ],
        ),
        (
            Key::route(),
            [
                ("/orders/1", "ada x", 200),
                ("/orders/2", "eve x", 429),
                ("/users", "ada x", 200),
            ],
        ),
        (
            Key::host(),
            [
                ("/orders/1", "ada x", 200),
                ("/users", "eve x", 429),
                ("/orders/1", "ada y", 429),
            ],
        ),
        (
            Key::all([Key::subject(), Key::route()]),
            [
                ("/orders/1", "ada x", 200),
                ("/users", "ada x", 200),
                ("/orders/2", "ada x", 429),
            ],
        ),
        (
            Key::from_fn(|head| head.uri.path().chars().last().map(String::from)),
            [
                ("/orders/1", "ada x", 200),
                ("/orders/2", "ada x", 200),
                ("/orders/1", "eve x", 429),
            ],
        ),
    ] {
        let builder = gateway()
            .await
            .authenticate(Pass)
            .throttle_routes(by(key.clone()));
        let builder = builder
            .route(orders())
            .route(Route::get("/users").to("backend"));
        statuses(builder, &asked).await;
    }
}
