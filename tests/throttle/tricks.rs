//! What clients try to have more than their share, or to spend that of others.

use axum::{Router, routing::any};
use http::HeaderName;
use tower_gateway::{
    Gateway, Route,
    throttle::{AddressList, Key, Rule, ThrottleLayer, WithoutKey},
};

use crate::{
    support::{axum_backend, request_to, send, serve, upstream},
    world::{ask, gateway, get, of},
};

fn by(key: Key) -> ThrottleLayer {
    ThrottleLayer::new(Rule::new(of(2)).by(key))
}

#[tokio::test]
async fn what_is_said_twice_is_no_share_of_its_own() {
    // Backends take the first or the last: whoever adds another one would have a new share each time.
    let session = |head: &'static str| ("cookie", head);
    let tenant = |value: &'static str| ("x-tenant", value);
    for (key, honest, tricks) in [
        (
            Key::cookie("session"),
            &[session("session=ada")][..],
            [
                vec![session("session=ada; session=1")],
                vec![session("session=2"), session("session=ada")],
                vec![session("session=ada"), session("session=")],
            ],
        ),
        (
            Key::header(HeaderName::from_static("x-tenant")),
            &[tenant("ada")][..],
            [
                vec![tenant("ada"), tenant("1")],
                vec![tenant("2"), tenant("ada")],
                vec![tenant("ada"), tenant("")],
            ],
        ),
    ] {
        for (without, expected) in [
            (WithoutKey::Refuse, [403; 3]),
            (WithoutKey::Share, [200, 200, 429]),
        ] {
            let rule = Rule::new(of(2)).by(key.clone()).without_key(without);
            let route = Route::new("/{*rest}").to("backend");
            let gateway = gateway()
                .await
                .throttle(ThrottleLayer::new(rule))
                .route(route);
            let gateway = serve(gateway.build().unwrap()).await;
            for status in [200, 200, 429] {
                assert_eq!(ask(gateway, "/", honest).await.status, status);
            }
            for (fields, status) in tricks.iter().zip(expected) {
                let answer = ask(gateway, "/", fields).await;
                assert_eq!(answer.status, status, "{fields:?}");
            }
            // It is as good as once.
            let twice = [honest, honest].concat();
            assert_eq!(ask(gateway, "/", &twice).await.status, 429);
        }
    }
}

#[tokio::test]
async fn another_spelling_is_the_same_share() {
    for (key, spellings) in [
        (
            Key::param("id"),
            [
                ("/users/ada", "t.example"),
                ("/users/%61da", "t.example"),
                ("/users//ad%61", "t.example"),
            ],
        ),
        (
            Key::host(),
            [
                ("/users/ada", "t.example"),
                ("/users/ada", "T.Example.:8080"),
                ("/users/ada", "t.EXAMPLE:80"),
            ],
        ),
    ] {
        let route = Route::new("/users/{id}").to("backend").throttle(by(key));
        let gateway = serve(gateway().await.route(route).build().unwrap()).await;
        for ((path, host), status) in spellings.into_iter().zip([200, 200, 429]) {
            let response = send(gateway, request_to(host, "GET", path)).await;
            assert_eq!(response.status(), status, "{path} {host}");
        }
    }
}

#[tokio::test]
async fn a_mapped_address_is_that_of_ipv4() {
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(by(Key::client_ip())).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    for (ip, status) in [
        ("192.0.2.1", 200),
        ("::ffff:192.0.2.1", 200),
        ("[::ffff:c000:201]:80", 429),
        ("192.0.2.1:1234", 429),
    ] {
        assert_eq!(get(gateway, "/", ip, &[]).await.status, status, "{ip}");
    }
}

#[tokio::test]
async fn an_address_behind_nat64_is_that_of_ipv4() {
    let route = Route::new("/{*rest}").to("backend");
    let blocked = AddressList::new(["203.0.113.0/24", "64:ff9b::198.51.100.1"]);
    let throttle = by(Key::client_ip()).block(blocked);
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    for (ip, status) in [
        ("192.0.2.1", 200),
        ("64:ff9b::192.0.2.1", 200),
        ("64:ff9b::c000:201", 429),
        ("192.0.2.1", 429),
        // All of IPv4 is in one /64.
        ("64:ff9b::192.0.2.2", 200),
        ("64:ff9b::203.0.113.7", 403),
        ("64:ff9b::198.51.100.1", 403),
        ("198.51.100.1", 200),
        // There are no private networks behind it: so that is none.
        ("64:ff9b::10.0.0.1", 200),
        ("64:ff9b::10.0.0.2", 200),
        ("10.0.0.1", 200),
        ("64:ff9b::10.0.0.3", 429),
        ("64:ff9b:1::192.0.2.1", 200),
    ] {
        assert_eq!(get(gateway, "/", ip, &[]).await.status, status, "{ip}");
    }
}

#[tokio::test]
async fn a_gateway_behind_a_gateway_counts_by_the_client() {
    let backend = axum_backend(Router::new().fallback(any(|| async { "served" }))).await;
    let inner = Gateway::builder()
        .upstream("backend", upstream(backend))
        .throttle(by(Key::client_ip()))
        .route(Route::new("/{*rest}").to("backend"));
    let inner = inner.trust_proxies(["127.0.0.1"]).build().unwrap();
    let outer = Gateway::builder()
        .upstream("inner", upstream(serve(inner).await))
        .throttle(ThrottleLayer::new(of(9)).legacy_headers(true))
        .trust_proxies(["127.0.0.1"])
        .route(Route::new("/{*rest}").to("inner"));
    let outer = serve(outer.build().unwrap()).await;
    for (ip, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("192.0.2.2", 200),
    ] {
        assert_eq!(get(outer, "/", ip, &[]).await.status, status, "{ip}");
    }
}

#[tokio::test]
async fn the_older_fields_are_there_once() {
    // They are no lists: of two limits it is the inner one, which has refused if one has.
    let layer = |many, key| by_many(many, key).legacy_headers(true);
    let route = Route::new("/{*rest}").to("backend");
    let route = route.throttle(layer(1, Key::constant("route")));
    let builder = gateway()
        .await
        .throttle(layer(9, Key::client_ip()))
        .route(route);
    let gateway = serve(builder.build().unwrap()).await;
    for status in [200, 429] {
        let answer = get(gateway, "/", "192.0.2.1", &[]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-ratelimit-limit"), ["1"]);
        assert_eq!(answer.header("x-ratelimit-remaining"), ["0"]);
        assert_eq!(answer.header("x-ratelimit-reset").len(), 1);
    }
}

fn by_many(many: u64, key: Key) -> ThrottleLayer {
    ThrottleLayer::new(Rule::new(of(many)).by(key))
}
