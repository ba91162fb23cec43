//! A route's requests shared among upstreams: by weight, and by a key that stays with one of them.

use std::{collections::HashMap, net::SocketAddr};

use axum::Router;
use http::HeaderName;
use tower_gateway::{Gateway, Route, StickyKey, Upstream};

use crate::support::{axum_backend, connect, request_with, serve, text, upstream};

/// Three backends that say their names.
async fn backends() -> Vec<(&'static str, SocketAddr)> {
    let mut backends = Vec::new();
    for name in ["stable", "canary", "old"] {
        let says = Router::new().fallback(move || async move { name });
        backends.push((name, axum_backend(says).await));
    }
    backends
}

async fn gateway(backends: &[(&'static str, SocketAddr)], route: Route) -> SocketAddr {
    let gateway = backends
        .iter()
        .fold(Gateway::builder(), |gateway, (name, at)| {
            gateway.upstream(*name, upstream(*at))
        });
    serve(gateway.route(route).build().unwrap()).await
}

/// Who answers requests with these header lines, one after another.
async fn answers(
    gateway: SocketAddr,
    lines: impl IntoIterator<Item = Vec<(&'static str, String)>>,
) -> Vec<String> {
    let mut connection = connect(gateway).await;
    let mut answers = Vec::new();
    for lines in lines {
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let response = connection
            .send_request(request_with("/a", &lines))
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        answers.push(text(response).await);
    }
    answers
}

fn counts(answers: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.as_str()).or_insert(0) += 1;
    }
    counts
}

const WEIGHTS: [(&str, u32); 3] = [("stable", 3), ("canary", 1), ("old", 0)];

#[tokio::test]
async fn requests_are_shared_by_weight() {
    let backends = backends().await;
    let gateway = gateway(&backends, Route::new("/a").split(WEIGHTS)).await;
    let answers = answers(gateway, (0..600).map(|_| Vec::new())).await;
    let counts = counts(&answers);
    // 150 are expected, with a deviation of 10.6: seven of them are far out of reach for chance.
    assert!((76..=224).contains(&counts["canary"]), "{counts:?}");
    assert_eq!(counts["stable"] + counts["canary"], 600);
}

#[tokio::test]
async fn a_split_with_one_weight_goes_one_way() {
    let backends = backends().await;
    let route = Route::new("/a").split([("stable", 0), ("canary", 7), ("old", 0)]);
    let answers = answers(gateway(&backends, route).await, (0..50).map(|_| Vec::new())).await;
    assert_eq!(counts(&answers), HashMap::from([("canary", 50)]));
}

#[tokio::test]
async fn the_same_key_goes_the_same_way_through_every_gateway() {
    let user = || StickyKey::header(HeaderName::from_static("x-user"));
    let cookie = || StickyKey::cookie("sid");
    type Key = fn(usize) -> Vec<(&'static str, String)>;
    let by_header: Key = |user| vec![("x-user", format!("user-{user}"))];
    let by_cookie: Key = |user| {
        // Its place among others, and on other lines, is no matter.
        if user.is_multiple_of(2) {
            vec![("cookie", format!("a=1; sid=user-{user}; b={user}"))]
        } else {
            vec![
                ("cookie", "sidx=1".into()),
                ("cookie", format!("sid=user-{user}")),
            ]
        }
    };
    let backends = backends().await;
    let mut ways = Vec::new();
    for (sticky, key) in [(user(), by_header), (cookie(), by_cookie)] {
        let one = gateway(
            &backends,
            Route::new("/a").split(WEIGHTS).sticky(sticky.clone()),
        )
        .await;
        // Another instance, whose upstreams are written down in another order.
        let turned = WEIGHTS.into_iter().rev();
        let two = gateway(&backends, Route::new("/a").split(turned).sticky(sticky)).await;
        let first = answers(one, (0..200).map(key)).await;
        let again = answers(one, (0..200).map(key)).await;
        let second = answers(two, (0..200).map(key)).await;
        assert_eq!(first, again);
        assert_eq!(first, second);
        let counts = counts(&first);
        // The keys are fixed, and so is the hash: 50 of 200 are expected.
        assert!((30..=70).contains(&counts["canary"]), "{counts:?}");
        assert!(!counts.contains_key("old"), "{counts:?}");
        ways.push(first);
    }
    assert_eq!(
        ways[0], ways[1],
        "it is the key that decides, not where it stands"
    );
}

#[tokio::test]
async fn a_key_moves_only_to_a_weight_that_was_raised() {
    let backends = backends().await;
    let key = |user| vec![("x-user", format!("user-{user}"))];
    let sticky = || StickyKey::header(HeaderName::from_static("x-user"));
    let mut before: Option<Vec<String>> = None;
    for canary in [1, 3, 9] {
        let route = Route::new("/a").split([("stable", 9), ("canary", canary)]);
        let now = answers(
            gateway(&backends, route.sticky(sticky())).await,
            (0..150).map(key),
        )
        .await;
        if let Some(before) = before {
            let moved = before
                .iter()
                .zip(&now)
                .filter(|(before, now)| before != now);
            let moved: Vec<_> = moved.map(|(_, now)| now.as_str()).collect();
            assert!(
                !moved.is_empty() && moved.iter().all(|to| *to == "canary"),
                "{moved:?}"
            );
        }
        before = Some(now);
    }
}

#[tokio::test]
async fn without_a_key_a_request_goes_by_chance() {
    let backends = backends().await;
    let sticky = StickyKey::header(HeaderName::from_static("x-user"));
    let route = Route::new("/a")
        .split([("stable", 1), ("canary", 1)])
        .sticky(sticky);
    let gateway = gateway(&backends, route).await;
    for lines in [Vec::new(), vec![("x-user", String::new())]] {
        let answers = answers(gateway, vec![lines; 200]).await;
        let counts = counts(&answers);
        // 100 are expected, with a deviation of 7.
        assert!((45..=155).contains(&counts["canary"]), "{counts:?}");
    }
}

#[tokio::test]
async fn services_in_this_process_share_too() {
    let says =
        |name: &'static str| Upstream::service(Router::new().fallback(move || async move { name }));
    let gateway = Gateway::builder()
        .upstream("far", upstream(backends().await[0].1))
        .upstream("near", says("near"))
        .route(Route::new("/a").split([("far", 1), ("near", 1)]))
        .build()
        .unwrap();
    let answers = answers(serve(gateway).await, (0..100).map(|_| Vec::new())).await;
    let counts = counts(&answers);
    assert!(counts["near"] > 10 && counts["stable"] > 10, "{counts:?}");
}
