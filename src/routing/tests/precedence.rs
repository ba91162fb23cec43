//! Which of several routes wins, and which can not be told apart.

use http::Method;

use super::{found, get, route, table};
use crate::routing::{HeaderMatch, QueryMatch, RouteMatch, RouteTable, TableError};

fn header(value: &str) -> HeaderMatch {
    HeaderMatch::exact("x".parse().unwrap(), value)
}

fn host(route: RouteMatch, host: &str) -> RouteMatch {
    route.host(host.parse().unwrap())
}

/// From the most specific downwards.
fn ladder() -> Vec<RouteMatch> {
    let debug = QueryMatch::exists("debug");
    vec![
        host(route("/u/me").method(Method::GET), "a.b.example").header(header("1")),
        host(route("/u/me").method(Method::GET), "a.b.example").query(debug.clone()),
        host(route("/u/me").method(Method::GET), "a.b.example"),
        host(route("/u/me").method(Method::GET), "*.b.example"),
        host(route("/u/me").method(Method::GET), "*.example"),
        route("/u/me")
            .method(Method::GET)
            .header(header("1"))
            .header(header("2"))
            .query(debug.clone()),
        route("/u/me")
            .method(Method::GET)
            .header(header("1"))
            .header(header("2")),
        route("/u/me")
            .method(Method::GET)
            .header(header("1"))
            .query(debug.clone()),
        route("/u/me").method(Method::GET).header(header("1")),
        route("/u/me").method(Method::GET).query(debug.clone()),
        route("/u/me").method(Method::GET),
        host(route("/u/me"), "a.b.example").query(debug),
        host(route("/u/me"), "*.example").header(header("1")),
        route("/u/me"),
        route("/u/{id}").method(Method::GET),
        route("/u/{id}"),
        route("/u/{*rest}").method(Method::GET),
        route("/u/{*rest}"),
        route("/{a}/me").method(Method::GET),
        route("/{a}/{b}"),
        route("/{*rest}"),
    ]
}

#[test]
fn specificity_orders_the_ladder() {
    let ladder = ladder();
    for pair in ladder.windows(2) {
        assert!(
            pair[0].specificity() > pair[1].specificity(),
            "{} over {}",
            pair[0],
            pair[1]
        );
    }
}

#[test]
fn each_rung_wins_over_those_below() {
    let ladder = ladder();
    let asked = get("/u/me")
        .host("a.b.example")
        .query("debug=1")
        .header("x", "1")
        .header("x", "2");
    for rung in 0..ladder.len() {
        // Upside down, so that the order of declaration can not help.
        let routes = table(ladder[rung..].iter().rev().cloned());
        let wanted = (ladder.len() - rung - 1).to_string();
        let found = found(&routes, &asked);
        assert_eq!(found.split(' ').next(), Some(&*wanted), "{}", ladder[rung]);
    }
}

#[test]
fn order_is_above_specificity() {
    let routes = table([
        route("/a/b"),
        route("/a/{x}").order(-1).method(Method::POST),
        route("/{*rest}").order(-2).header(header("1")),
        route("/a/{*rest}").order(5),
        route("/c"),
        route("/c").order(1).method(Method::GET),
        host(route("/d").order(1), "a.example"),
        route("/d"),
    ]);
    assert_eq!(found(&routes, &get("/a/b")), "0");
    assert_eq!(found(&routes, &get("/a/b").method(Method::POST)), "1 x=b");
    assert_eq!(
        found(&routes, &get("/a/b").method(Method::POST).header("x", "1")),
        "2 rest=a/b"
    );
    assert_eq!(found(&routes, &get("/a/c")), "3 rest=c");
    assert_eq!(found(&routes, &get("/c")), "4");
    assert_eq!(found(&routes, &get("/d").host("a.example")), "7");
}

#[test]
fn the_first_declared_wins_what_is_left_equal() {
    let routes = [
        route("/a").header(header("1")),
        route("/a").header(header("2")),
    ];
    let asked = get("/a").header("x", "2").header("x", "1");
    assert_eq!(found(&table(routes.clone()), &asked), "0");
    assert_eq!(found(&table(routes.into_iter().rev()), &asked), "0");
}

#[test]
fn backtracks_over_literals_and_params() {
    let routes = table([
        route("/a/b/c"),
        route("/a/{x}/d"),
        route("/{w}/b/{y}/z"),
        route("/{*rest}"),
        route("/a/{*r}"),
    ]);
    let cases = [
        ("/a/b/c", "0"),
        ("/a/b/d", "1 x=b"),
        ("/a/b/q/z", "2 w=a y=q"),
        ("/a/b/q/y", "4 r=b/q/y"),
        ("/a", "4"),
        ("/q/b/q/y", "3 rest=q/b/q/y"),
    ];
    // `/a/{*r}` is closer than `/{w}/…` where both take a path: segments are compared from the left.
    for (path, wanted) in cases {
        let wanted = if path == "/a/b/q/z" {
            "4 r=b/q/z"
        } else {
            wanted
        };
        assert_eq!(found(&routes, &get(path)), wanted, "{path}");
    }
}

#[test]
fn told_apart_or_not() {
    let on = |methods: &str| {
        methods.split(',').fold(route("/a"), |route, method| {
            route.method(method.parse().unwrap())
        })
    };
    let hosts = |hosts: &str| hosts.split(',').fold(route("/a"), host);
    let debug = QueryMatch::exists("debug");
    let conflicts = [
        (route("/a"), route("/a"), "any method on any host"),
        (route("/{x}"), route("/{y}"), "any method on any host"),
        (route("/x/{*a}"), route("/x/{*b}"), "any method on any host"),
        (
            route("/caf%c3%a9"),
            route("/café"),
            "any method on any host",
        ),
        (on("GET,POST"), on("POST,PUT"), "POST on any host"),
        (on("GET,HEAD"), on("HEAD"), "HEAD on any host"),
        (on("PURGE"), on("PURGE"), "PURGE on any host"),
        (
            hosts("a.example,b.example"),
            hosts("c.example,B.EXAMPLE."),
            "any method on b.example",
        ),
        (
            hosts("*.example"),
            hosts("*.example,a.example"),
            "any method on *.example",
        ),
        (hosts("*"), route("/a"), "any method on any host"),
        (
            hosts("[::1]"),
            hosts("[0:0:0:0:0:0:0:1]"),
            "any method on [::1]",
        ),
        (
            route("/a").header(header("1")),
            route("/a").header(header("1")),
            "any method on any host",
        ),
        (
            route("/a").header(header("1").or("2")).query(debug.clone()),
            route("/a").query(debug.clone()).header(header("2").or("1")),
            "any method on any host",
        ),
        (
            route("/a").header(header("1")).header(header("2")),
            route("/a").header(header("2")).header(header("1")),
            "any method on any host",
        ),
        (
            route("/a").order(3),
            route("/a").order(3),
            "any method on any host",
        ),
    ];
    for (a, b, shared) in conflicts {
        let wanted = format!("route 0 `{a}` and route 1 `{b}` can not be told apart for {shared}");
        let error = RouteTable::build([(a, 0), (b, 1)]).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
    let fine = [
        (route("/a"), route("/a/")),
        (route("/{x}"), route("/{*x}")),
        (route("/a"), route("/a").order(1)),
        (on("GET"), on("POST")),
        (on("GET"), on("HEAD")),
        (on("GET"), route("/a")),
        (hosts("a.example"), hosts("*.example")),
        (hosts("a.example"), route("/a")),
        (
            route("/a").header(header("1")),
            route("/a").header(header("2")),
        ),
        (
            route("/a").header(header("1")),
            route("/a").header(!header("1")),
        ),
        (
            route("/a").header(header("a|b")),
            route("/a").header(header("a").or("b")),
        ),
        (route("/a").header(header("1")), route("/a").query(debug)),
    ];
    for (a, b) in fine {
        RouteTable::build([(a, 0), (b, 1)]).unwrap();
    }
}

#[test]
fn all_conflicts_at_once() {
    let routes = [
        route("/a"),
        route("/b"),
        route("/{x}"),
        route("/b"),
        route("/{y}"),
        route("/{z}"),
    ];
    let TableError::Conflicts(conflicts) =
        RouteTable::build(routes.into_iter().zip(0..)).unwrap_err()
    else {
        panic!("another error");
    };
    let pairs: Vec<_> = conflicts
        .iter()
        .map(|conflict| (conflict.first, conflict.second))
        .collect();
    assert_eq!(pairs, [(1, 3), (2, 4), (2, 5)]);
}

#[test]
fn too_large() {
    let methods = (0..4097).fold(route("/a"), |route, n| {
        route.method(format!("M{n}").parse().unwrap())
    });
    let both = (0..4097).fold(methods, |route, n| host(route, &format!("h{n}")));
    assert_eq!(
        RouteTable::build([(both, 0)]).unwrap_err(),
        TableError::TooLarge
    );
}

#[test]
fn what_is_said_twice_is_no_conflict() {
    let twice = host(
        host(
            route("/a").method(Method::GET).method(Method::GET),
            "a.example",
        ),
        "a.example",
    );
    assert_eq!(found(&table([twice]), &get("/a").host("a.example")), "0");
}
