//! Time to find a route among 10, 1,000 and 100,000, beside matchit and wayfind.
//!
//! Ours looks at method, host, headers and query as well; the others at the path alone. Read ratios within one run.

#![expect(clippy::expect_used, reason = "a bench that can not begin has to stop")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use tower_gateway::routing::{Facts, Outcome, RouteMatch, RouteTable};

#[path = "support/routes.rs"]
mod routes;

const SIZES: [usize; 3] = [10, 1_000, 100_000];
/// A power of two, and more than the caches of one core hold together with the routes.
const PATHS: usize = 4096;

fn routing(criterion: &mut Criterion) {
    for count in SIZES {
        let patterns = routes::patterns(count);
        let table = RouteTable::build(patterns.iter().zip(0_u32..).map(|(pattern, value)| {
            (
                RouteMatch::new(pattern.parse().expect("a pattern")).method(Method::GET),
                value,
            )
        }))
        .expect("a table");
        let mut matchit = matchit::Router::new();
        let mut wayfind = wayfind::RouterBuilder::new();
        for ((pattern, theirs), value) in patterns
            .iter()
            .zip(routes::wayfind_patterns(count))
            .zip(0_u32..)
        {
            matchit.insert(pattern, value).expect("a pattern");
            wayfind.insert(&theirs, value).expect("a pattern");
        }
        let wayfind = wayfind.build();
        let headers = HeaderMap::new();
        for (kind, paths) in [
            ("hit", routes::hits(count, PATHS)),
            ("miss", routes::misses(count, PATHS)),
        ] {
            let mut group = criterion.benchmark_group(format!("route_{kind}"));
            let mut next = paths.iter().cycle();
            group.bench_function(BenchmarkId::new("tower-gateway", count), |bencher| {
                bencher.iter(|| {
                    let path = next.next().expect("endless");
                    let host = Some("api.example.com");
                    let facts = Facts {
                        method: &Method::GET,
                        host,
                        path,
                        query: None,
                        headers: &headers,
                    };
                    let outcome = table.find(black_box(&facts));
                    assert_eq!(matches!(outcome, Outcome::Found(_)), kind == "hit");
                    black_box(outcome);
                });
            });
            group.bench_function(BenchmarkId::new("matchit", count), |bencher| {
                bencher.iter(|| {
                    let found = matchit.at(black_box(next.next().expect("endless")));
                    assert_eq!(found.is_ok(), kind == "hit");
                    black_box(found.is_ok_and(|found| black_box(found).params.len() > 9));
                });
            });
            group.bench_function(BenchmarkId::new("wayfind", count), |bencher| {
                bencher.iter(|| {
                    let found = wayfind.search(black_box(next.next().expect("endless")));
                    assert_eq!(found.is_some(), kind == "hit");
                    black_box(found);
                });
            });
            group.finish();
        }
    }
}

/// One path for all routes, told apart by host. The others know no hosts.
fn hosts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route_host");
    for count in SIZES {
        let name = |at: usize| format!("tenant-{at}.shops.example.com");
        let table = RouteTable::build((0..count).map(|at| {
            let route = RouteMatch::new("/{*rest}".parse().expect("a pattern"));
            (route.host(name(at).parse().expect("a host")), at)
        }))
        .expect("a table");
        let headers = HeaderMap::new();
        let hosts: Vec<_> = (0..PATHS)
            .map(|at| name(at.wrapping_mul(0x9e37_79b9) % count))
            .collect();
        let mut next = hosts.iter().cycle();
        group.bench_function(BenchmarkId::new("tower-gateway", count), |bencher| {
            bencher.iter(|| {
                let host = next.next().map(|host| &**host);
                let path = "/carts/17/items";
                let facts = Facts {
                    method: &Method::GET,
                    host,
                    path,
                    query: None,
                    headers: &headers,
                };
                let outcome = table.find(black_box(&facts));
                assert!(matches!(outcome, Outcome::Found(_)));
                black_box(outcome);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).without_plots();
    targets = routing, hosts
}
criterion_main!(benches);
