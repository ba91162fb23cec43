//! Settings that a gateway is not built with.

use std::time::Duration;

use tower_gateway::{
    Gateway, Route, Upstream,
    cache::{CacheKey, CacheLayer, MemoryStore},
};

use crate::world::layer;

fn mistakes(layer: CacheLayer) -> String {
    let builder = Gateway::builder()
        .upstream("backend", Upstream::http(["http://127.0.0.1:1"]))
        .route(Route::new("/{*rest}").to("backend").cache(layer));
    builder
        .build()
        .map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn a_wrong_setting_is_named_with_what_is_allowed() {
    let second = Duration::from_secs(1);
    let small = || CacheLayer::new(MemoryStore::new(1 << 20));
    assert_eq!(mistakes(layer()), "");
    assert_eq!(mistakes(small()), "");
    for (layer, named) in [
        (
            small().max_object(1 << 30),
            "1073741824 bytes are more than the store allows",
        ),
        (
            layer().ttl(404..404, second),
            "no status is from 404 to 403",
        ),
        (layer().ttl(404..=404, Duration::MAX), "are more than"),
        (layer().force(true), "there is no `ttl`"),
        (
            layer().key(CacheKey::new().header("not a name")),
            "\"not a name\" is no name",
        ),
        (
            layer().key(CacheKey::new().only_query(["a"]).without_query(["b"])),
            "leave out one of them",
        ),
    ] {
        let told = mistakes(layer);
        assert!(told.contains(named), "{named}: {told}");
    }
}

#[test]
fn it_stands_where_it_was_said() {
    let gateway = Gateway::builder()
        .upstream("backend", Upstream::http(["http://127.0.0.1:1"]))
        .cache_routes(layer())
        .route(Route::get("/a").to("backend"))
        .route(Route::get("/b").to("backend").uncached())
        .build()
        .unwrap();
    let plan = gateway.pipeline();
    assert!(
        plan.contains("/a (/a): CacheLayer > upstream") || plan.contains("CacheLayer"),
        "{plan}"
    );
    assert_eq!(plan.matches("CacheLayer").count(), 1, "{plan}");
}
