//! The same endpoint for the same key, over sockets.

use std::collections::HashSet;

use http::HeaderName;
use tower_gateway::{Balance, Endpoint, Route, StickyKey, Upstream};

use crate::{
    backend::Backend,
    support::{one_route, request, request_with, send, serve, text},
};

#[tokio::test]
async fn a_key_stays_and_keys_spread() {
    let backends = Backend::three().await;
    let header = StickyKey::header(HeaderName::from_static("x-user"));
    for (key, route) in [
        (header, "/{*rest}"),
        (StickyKey::cookie("user"), "/{*rest}"),
        (StickyKey::param("user"), "/{user}"),
    ] {
        // Two gateways agree.
        let mut gateways = Vec::new();
        for _ in 0..2 {
            let upstream = Upstream::http(&backends).balance(Balance::hash(key.clone()));
            gateways.push(serve(one_route(Route::new(route), upstream)).await);
        }
        let mut used = HashSet::new();
        for user in 0..20 {
            let mut seen = HashSet::new();
            for gateway in gateways.iter().chain(&gateways) {
                let (name, cookie) = (format!("user-{user}"), format!("user=user-{user}"));
                let lines = [("x-user", &*name), ("cookie", &*cookie)];
                let request = request_with(&format!("/{name}"), &lines);
                seen.insert(text(send(*gateway, request).await).await);
            }
            assert_eq!(seen.len(), 1, "{key:?} {user}");
            used.extend(seen);
        }
        assert_eq!(used.len(), 3, "{key:?}");
    }
}

#[tokio::test]
async fn a_client_stays() {
    let backends = Backend::three().await;
    let upstream = Upstream::http(&backends).balance(Balance::hash(StickyKey::client_ip()));
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let mut seen = HashSet::new();
    for _ in 0..10 {
        seen.insert(text(send(gateway, request("GET", "/")).await).await);
    }
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn weights_and_functions_decide() {
    let [a, b, c] = Backend::three().await;
    let weighed = [
        Endpoint::from(&a).weight(3),
        Endpoint::from(&b),
        Endpoint::from(&c).weight(0),
    ];
    let upstream = Upstream::http(weighed).balance(Balance::round_robin());
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for _ in 0..20 {
        assert_eq!(send(gateway, request("GET", "/")).await.status(), 200);
    }
    assert_eq!([a.taken(), b.taken(), c.taken()], [15, 5, 0]);

    let url = c.url();
    let pick = move |candidates: tower_gateway::Candidates<'_>| {
        (0..candidates.len())
            .find(|at| candidates.url(*at) == url)
            .unwrap_or(0)
    };
    let upstream = Upstream::http([&a, &b, &c]).balance(Balance::custom(pick));
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for _ in 0..10 {
        assert_eq!(text(send(gateway, request("GET", "/")).await).await, "c");
    }
}
