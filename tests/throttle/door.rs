//! At the door: by what is known before anything is done for a request.

use http::HeaderName;
use tower_gateway::{
    Route,
    throttle::{Key, Policy, Rule, ThrottleLayer, WithoutKey},
};

use crate::{
    support::{connect_http2, request, serve},
    world::{ask, gateway, get, of, statuses},
};

fn all() -> Route {
    Route::new("/{*rest}").to("backend")
}

#[tokio::test]
async fn each_client_has_its_own_share_and_is_told_what_is_left() {
    let throttle = ThrottleLayer::new(of(2).named("burst"));
    let handle = throttle.handle();
    let gateway = gateway().await.throttle(throttle).route(all());
    let gateway = serve(gateway.build().unwrap()).await;

    let first = get(gateway, "/", "192.0.2.1", &[]).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), ["\"burst\";q=2;w=7200"]);
    assert_eq!(first.header("ratelimit"), ["\"burst\";r=1;t=3600"]);
    assert_eq!(first.header("x-ratelimit-limit"), [""; 0]);
    assert_eq!(get(gateway, "/", "192.0.2.1", &[]).await.status, 200);

    let refused = get(gateway, "/", "192.0.2.1", &[]).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after")[0].parse().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
    assert_eq!(refused.header("cache-control"), ["no-store"]);
    assert_eq!(refused.header("ratelimit-policy"), ["\"burst\";q=2;w=7200"]);
    let told = refused.header("ratelimit")[0];
    assert!(told.starts_with("\"burst\";r=0;t="), "{told}");
    let problem = refused.problem();
    assert_eq!(problem["status"], 429);
    assert_eq!(problem["violated-policies"][0], "burst");
    let kind = problem["type"].as_str().unwrap();
    assert!(kind.ends_with("#quota-exceeded"), "{kind}");

    assert_eq!(get(gateway, "/", "192.0.2.2", &[]).await.status, 200);
    assert_eq!(statuses(gateway, "2001:db8::1", 2).await, [200, 200]);
    assert_eq!(
        statuses(gateway, "2001:db8::2", 1).await,
        [429],
        "the same /64"
    );
    assert_eq!(statuses(gateway, "2001:db8:0:1::1", 1).await, [200]);
    assert_eq!((handle.allowed(), handle.refused()), (6, 2));
    assert_eq!(handle.violations().collect::<Vec<_>>(), [("burst", 2)]);
}

#[tokio::test]
async fn a_request_that_one_policy_refuses_spends_nothing_of_the_others() {
    let throttle = ThrottleLayer::new(of(2).named("address")).rule(
        Rule::new(of(3).named("tenant")).by(Key::header(HeaderName::from_static("x-tenant"))),
    );
    let gateway = gateway().await.throttle(throttle).route(all());
    let gateway = serve(gateway.build().unwrap()).await;
    let tenant = &[("x-tenant", "acme")][..];
    for status in [200, 200, 429, 429, 429] {
        assert_eq!(get(gateway, "/", "192.0.2.1", tenant).await.status, status);
    }
    let other = get(gateway, "/", "192.0.2.2", tenant).await;
    assert_eq!(other.status, 200, "the tenant has one left");
    assert_eq!(other.header("ratelimit")[0].matches("r=").count(), 2);
    let refused = get(gateway, "/", "192.0.2.2", tenant).await;
    assert_eq!(
        refused.problem()["violated-policies"],
        serde_json::json!(["tenant"])
    );
    let fresh = get(gateway, "/", "192.0.2.2", &[("x-tenant", "other")]).await;
    assert_eq!(fresh.status, 200, "the address had one left");
}

#[tokio::test]
async fn without_a_key_it_is_as_was_chosen() {
    for (what, expected) in [
        (WithoutKey::Refuse, [403, 403, 403]),
        (WithoutKey::Pass, [200, 200, 200]),
        (WithoutKey::Share, [200, 200, 429]),
    ] {
        let key = Key::header(HeaderName::from_static("x-tenant"));
        let throttle = ThrottleLayer::new(Rule::new(of(2)).by(key).without_key(what));
        let handle = throttle.handle();
        let gateway = gateway().await.throttle(throttle).route(all());
        let gateway = serve(gateway.build().unwrap()).await;
        assert_eq!(
            statuses(gateway, "192.0.2.1", 3).await,
            expected,
            "{what:?}"
        );
        let with = get(gateway, "/", "192.0.2.1", &[("x-tenant", "acme")]).await;
        assert_eq!(with.status, 200, "{what:?}: it has a share of its own");
        let refused = if what == WithoutKey::Refuse { 3 } else { 0 };
        assert_eq!(handle.without_key(), refused);
    }
}

#[tokio::test]
async fn what_all_share_is_nobodys_fault() {
    let throttle = ThrottleLayer::new(of(9).named("client"))
        .rule(Rule::shared(of(2).named("backend")))
        .rule(Rule::shared(of(9).named("more")));
    let gateway = gateway().await.throttle(throttle).route(all());
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [200]);
    assert_eq!(statuses(gateway, "192.0.2.2", 1).await, [200]);
    let refused = get(gateway, "/", "192.0.2.3", &[]).await;
    assert_eq!(refused.status, 503);
    let problem = refused.problem();
    assert!(
        problem["type"]
            .as_str()
            .unwrap()
            .ends_with("#temporary-reduced-capacity")
    );
    assert_eq!(problem["violated-policies"], serde_json::json!(["backend"]));
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test]
async fn the_older_fields_are_there_when_they_are_asked_for() {
    let throttle = ThrottleLayer::new(of(5).named("wide"))
        .rule(Rule::new(of(2).named("narrow")).by(Key::constant("x")))
        .headers(false)
        .legacy_headers(true);
    let gateway = gateway().await.throttle(throttle).route(all());
    let gateway = serve(gateway.build().unwrap()).await;
    let answer = get(gateway, "/", "192.0.2.1", &[]).await;
    assert_eq!(answer.header("x-ratelimit-limit"), ["2"]);
    assert_eq!(answer.header("x-ratelimit-remaining"), ["1"]);
    assert_eq!(answer.header("x-ratelimit-reset"), ["3600"]);
    assert_eq!(answer.header("ratelimit"), [""; 0]);
    assert_eq!(answer.header("ratelimit-policy"), [""; 0]);
}

#[tokio::test]
async fn what_several_throttles_say_is_in_one_list() {
    let layer = |many, name| ThrottleLayer::new(of(many).named(name));
    let route = all().throttle(layer(2, "route"));
    let gateway = gateway().await.throttle(layer(3, "door")).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    let answer = get(gateway, "/", "192.0.2.1", &[]).await;
    let told = ["\"route\";q=2;w=7200", "\"door\";q=3;w=10800"];
    assert_eq!(answer.header("ratelimit-policy"), told);
    assert_eq!(answer.header("ratelimit").len(), 2);
}

#[tokio::test]
async fn a_refusal_says_of_those_that_refuse_what_is_left() {
    let layer = |many, name| ThrottleLayer::new(of(many).named(name));
    let backend = axum::Router::new()
        .route(
            "/refuses",
            axum::routing::any(async || {
                let fields = [("ratelimit", "\"own\";r=0;t=5"), ("retry-after", "5")];
                (http::StatusCode::TOO_MANY_REQUESTS, fields, "")
            }),
        )
        .route(
            "/busy",
            axum::routing::any(async || (http::StatusCode::TOO_MANY_REQUESTS, "")),
        );
    let backend = crate::support::upstream(crate::support::axum_backend(backend).await);
    let builder = gateway()
        .await
        .throttle(layer(9, "door"))
        .upstream("own", backend)
        .route(Route::new("/refuses").to("own"))
        .route(Route::new("/busy").to("own"))
        .route(all().throttle(layer(1, "route")))
        .route(
            Route::new("/all")
                .to("backend")
                .throttle(ThrottleLayer::new(Rule::shared(of(1).named("shared")))),
        );
    let gateway = serve(builder.build().unwrap()).await;
    for (path, status, policies, left) in [
        (
            "/",
            200,
            &["\"route\"", "\"door\""][..],
            &["\"route\"", "\"door\""][..],
        ),
        ("/", 429, &["\"route\"", "\"door\""], &["\"route\""]),
        (
            "/all",
            200,
            &["\"shared\"", "\"door\""],
            &["\"shared\"", "\"door\""],
        ),
        ("/all", 503, &["\"shared\"", "\"door\""], &["\"shared\""]),
        ("/refuses", 429, &["\"door\""], &["\"own\""]),
        // Of a backend that does not say it, nothing is known.
        ("/busy", 429, &["\"door\""], &["\"door\""]),
    ] {
        let answer = get(gateway, path, "192.0.2.1", &[]).await;
        assert_eq!(answer.status, status, "{path}");
        let names = |name| -> Vec<_> {
            let said = answer.header(name).into_iter();
            said.map(|said| said.split(';').next().unwrap()).collect()
        };
        assert_eq!(names("ratelimit-policy"), policies, "{path} {status}");
        assert_eq!(names("ratelimit"), left, "{path} {status}");
    }
}

#[tokio::test]
async fn what_no_rule_concerns_is_counted_as_allowed() {
    let key = Key::header(HeaderName::from_static("x-tenant"));
    let rule = Rule::new(of(1)).by(key).without_key(WithoutKey::Pass);
    let throttle = ThrottleLayer::new(rule);
    let handle = throttle.handle();
    let gateway = gateway().await.throttle(throttle).route(all());
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(statuses(gateway, "192.0.2.1", 3).await, [200; 3]);
    assert_eq!((handle.allowed(), handle.refused()), (3, 0));
}

#[tokio::test]
async fn a_dry_run_refuses_nobody_and_says_whom_it_would() {
    let throttle = ThrottleLayer::new(of(2)).dry_run(true);
    let handle = throttle.handle();
    let gateway = gateway().await.throttle(throttle).route(all());
    let gateway = serve(gateway.build().unwrap()).await;
    for _ in 0..5 {
        let answer = get(gateway, "/", "192.0.2.1", &[]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit"), [""; 0]);
    }
    assert_eq!(
        (handle.allowed(), handle.refused(), handle.would_refuse()),
        (2, 0, 3)
    );
    assert_eq!(handle.violations().collect::<Vec<_>>(), [("default", 3)]);
}

#[tokio::test]
async fn a_window_does_not_let_twice_as_much_through() {
    let day = std::time::Duration::from_secs(86_400);
    let throttle = ThrottleLayer::new(Policy::sliding_window(3, day).named("daily"));
    let gateway = gateway().await.throttle(throttle).route(all());
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(
        statuses(gateway, "192.0.2.1", 4).await,
        [200, 200, 200, 429]
    );
    let refused = get(gateway, "/", "192.0.2.1", &[]).await;
    assert_eq!(
        refused.header("ratelimit-policy"),
        ["\"daily\";q=3;w=86400"]
    );
}

#[tokio::test]
async fn grpc_is_told_in_its_own_terms() {
    let throttle = ThrottleLayer::new(Rule::new(of(1)).by(Key::constant("x")));
    let gateway = gateway().await.throttle(throttle).route(all());
    let gateway = serve(gateway.build().unwrap()).await;
    let mut client = connect_http2(gateway).await;
    let mut heard = Vec::new();
    for _ in 0..2 {
        let mut request = request("POST", "/shop.Orders/List");
        *request.uri_mut() = "http://t.example/shop.Orders/List".parse().unwrap();
        request.headers_mut().remove("host");
        let kind = http::HeaderValue::from_static("application/grpc");
        request.headers_mut().insert("content-type", kind);
        let response = client.send_request(request).await.unwrap();
        let status = response.headers().get("grpc-status");
        heard.push((
            response.status().as_u16(),
            status.map(|status| status.to_str().unwrap().to_owned()),
        ));
    }
    assert_eq!(heard, [(200, None), (200, Some("8".to_owned()))]);
}

#[tokio::test]
async fn what_no_route_takes_is_counted_too() {
    let throttle = ThrottleLayer::new(of(1));
    let route = Route::get("/known").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(get(gateway, "/other", "192.0.2.1", &[]).await.status, 404);
    assert_eq!(get(gateway, "/other", "192.0.2.1", &[]).await.status, 429);
}

#[tokio::test]
async fn what_a_client_says_of_its_address_is_believed_of_nobody_but_a_proxy() {
    let gateway = gateway()
        .await
        .throttle(ThrottleLayer::new(of(1)))
        .route(all());
    let gateway = serve(gateway.build().unwrap()).await;
    // The last hop is trusted; what stands before what it saw is the client's own invention.
    let said = |made_up: &str| vec![("x-forwarded-for", format!("{made_up}, 192.0.2.1"))];
    for (made_up, status) in [("198.51.100.1", 200), ("198.51.100.2", 429)] {
        let said = said(made_up);
        let said: Vec<_> = said.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(ask(gateway, "/", &said).await.status, status);
    }
}
