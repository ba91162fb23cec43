//! Patterns as APIs have them, and requests for them.

#![allow(dead_code, reason = "each bench uses some of it")]

/// `count` patterns, ten for each resource: with and without params, up to six segments.
pub fn patterns(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| pattern(at, &|name| format!("{{{name}}}")))
        .collect()
}

/// The same in the syntax of wayfind.
pub fn wayfind_patterns(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| pattern(at, &|name| format!("<{name}>")))
        .collect()
}

/// Paths that are taken, each by a pattern anywhere in the list.
pub fn hits(count: usize, paths: usize) -> Vec<String> {
    spread(count, paths)
        .map(|(at, id)| pattern(at, &|_| format!("{:08x}", id)))
        .collect()
}

/// Paths that nothing takes: a wrong start, a wrong name in the middle, a segment too many.
pub fn misses(count: usize, paths: usize) -> Vec<String> {
    let paths = hits(count, paths).into_iter().enumerate();
    let miss = |(at, path): (usize, String)| match at % 3 {
        0 => format!("/internal{path}"),
        1 => path.replace("/v", "/w"),
        _ => format!("{path}/unknown/thing"),
    };
    paths.map(miss).collect()
}

fn spread(count: usize, paths: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..paths).map(move |path| {
        let id = path.wrapping_mul(0x9e37_79b9);
        (id % count, id)
    })
}

fn pattern(at: usize, param: &dyn Fn(&str) -> String) -> String {
    const NAMES: [&str; 12] = [
        "users",
        "orders",
        "invoices",
        "products",
        "carts",
        "payments",
        "shipments",
        "reviews",
        "tickets",
        "accounts",
        "devices",
        "reports",
    ];
    let resource = at / 10;
    let name = NAMES[resource % NAMES.len()];
    let team = resource / NAMES.len();
    let base = match team {
        0 => format!("/api/v1/{name}"),
        _ => format!("/api/team-{team}/v{}/{name}", team % 3 + 1),
    };
    let (id, sub) = (param("id"), param("sub"));
    match at % 10 {
        0 => base,
        1 => format!("{base}/{id}"),
        2 => format!("{base}/search"),
        3 => format!("{base}/{id}/items"),
        4 => format!("{base}/{id}/items/{sub}"),
        5 => format!("{base}/{id}/history"),
        6 => format!("{base}/{id}/permissions/{sub}"),
        7 => format!("{base}/export/csv"),
        8 => format!("{base}/{id}/comments"),
        _ => format!("{base}/{id}/comments/{sub}/replies"),
    }
}
