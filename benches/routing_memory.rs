//! Memory that tables of 100,000 routes take, and allocations of a search.

#![expect(clippy::expect_used, reason = "a bench that can not begin has to stop")]

use std::sync::atomic::Ordering::Relaxed;

use http::{HeaderMap, Method};
use tower_gateway::routing::{Facts, Outcome, RouteMatch, RouteTable};

#[path = "support/counting.rs"]
mod counting;
#[path = "support/routes.rs"]
mod routes;

use counting::{BYTES, CALLS};

const COUNT: usize = 100_000;

fn main() {
    let patterns = routes::patterns(COUNT);
    let theirs = routes::wayfind_patterns(COUNT);
    let (ours, table) = held(|| {
        RouteTable::build(patterns.iter().zip(0_u32..).map(|(pattern, value)| {
            (
                RouteMatch::new(pattern.parse().expect("a pattern")).method(Method::GET),
                value,
            )
        }))
        .expect("a table")
    });
    let (matchit, _router) = held(|| {
        let mut router = matchit::Router::new();
        for (pattern, value) in patterns.iter().zip(0_u32..) {
            router.insert(pattern, value).expect("a pattern");
        }
        router
    });
    let (wayfind, _router) = held(|| {
        let mut router = wayfind::RouterBuilder::new();
        for (pattern, value) in theirs.iter().zip(0_u32..) {
            router.insert(pattern, value).expect("a pattern");
        }
        router.build()
    });
    for (name, bytes) in [
        ("tower-gateway", ours),
        ("matchit", matchit),
        ("wayfind", wayfind),
    ] {
        let share = bytes as f64 / matchit as f64;
        println!(
            "{name:<14}{:>8.1} MiB {:>6} bytes a route {share:>7.3} of matchit",
            bytes as f64 / 1048576.0,
            bytes / COUNT
        );
    }

    let headers = HeaderMap::new();
    let paths = routes::hits(COUNT, 1000);
    let before = CALLS.load(Relaxed);
    for path in &paths {
        let facts = Facts {
            method: &Method::GET,
            host: Some("a.example"),
            path,
            query: None,
            headers: &headers,
        };
        assert!(matches!(table.find(&facts), Outcome::Found(_)));
    }
    println!(
        "{} allocations in {} searches",
        CALLS.load(Relaxed) - before,
        paths.len()
    );
}

/// What is left allocated by making a value.
fn held<T>(make: impl FnOnce() -> T) -> (usize, T) {
    let before = BYTES.load(Relaxed);
    let made = make();
    (BYTES.load(Relaxed) - before, made)
}
