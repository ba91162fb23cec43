//! Methods, 405 and `HEAD`.

use http::Method;

use super::{found, get, route, table};
use crate::routing::{HeaderMatch, QueryMatch, RouteMatch};

fn on(path: &str, methods: &[&str]) -> RouteMatch {
    methods.iter().fold(route(path), |route, method| {
        route.method(method.parse().unwrap())
    })
}

fn header(value: &str) -> HeaderMatch {
    HeaderMatch::exact("x-env".parse().unwrap(), value)
}

#[test]
fn outcomes() {
    let cases: [(&[RouteMatch], &str, &str); 18] = [
        (&[on("/", &["GET"])], "GET", "0"),
        (&[on("/", &["GET"])], "HEAD", "0"),
        (&[on("/", &["GET"])], "POST", "405 GET,HEAD"),
        (&[on("/", &["POST"])], "HEAD", "405 POST"),
        (
            &[on("/", &["POST", "GET", "DELETE"])],
            "PUT",
            "405 DELETE,GET,HEAD,POST",
        ),
        (
            &[on("/", &["GET"]), on("/", &["PUT"])],
            "POST",
            "405 GET,HEAD,PUT",
        ),
        (&[on("/", &["GET"]), on("/", &["HEAD"])], "HEAD", "1"),
        (&[on("/", &["HEAD"]), on("/", &["GET"])], "GET", "1"),
        (&[on("/", &["HEAD"])], "GET", "405 HEAD"),
        (&[on("/", &["GET"]), on("/", &[])], "POST", "1"),
        (&[on("/", &["GET"]), on("/", &[])], "HEAD", "0"),
        (&[on("/", &["PROPFIND"])], "PROPFIND", "0"),
        (&[on("/", &["PROPFIND"])], "propfind", "405 PROPFIND"),
        (
            &[on("/", &["PROPFIND", "GET"])],
            "REPORT",
            "405 GET,HEAD,PROPFIND",
        ),
        (
            &[on("/", &["PROPFIND"]), on("/", &["REPORT"])],
            "REPORT",
            "1",
        ),
        (&[on("/", &[])], "REPORT", "0"),
        // An empty table, and a path that no route takes.
        (&[], "GET", "404"),
        (&[on("/a", &["POST"])], "GET", "404"),
    ];
    for (routes, method, wanted) in cases {
        let asked = get("/").method(method.parse().unwrap());
        assert_eq!(
            found(&table(routes.iter().cloned()), &asked),
            wanted,
            "{routes:?} {method}"
        );
    }
}

#[test]
fn falls_through_to_less_specific_paths() {
    let routes = table([
        on("/u/me", &["POST"]),
        on("/u/{id}", &["GET"]),
        on("/u/{*rest}", &["PUT"]),
    ]);
    for (method, wanted) in [
        ("POST", "0"),
        ("GET", "1 id=me"),
        ("PUT", "2 rest=me"),
        ("DELETE", "405 GET,HEAD,POST,PUT"),
    ] {
        assert_eq!(
            found(&routes, &get("/u/me").method(method.parse().unwrap())),
            wanted
        );
    }
    assert_eq!(found(&routes, &get("/u").method(Method::POST)), "405 PUT");
}

#[test]
fn not_allowed_only_where_all_else_is_met() {
    let routes = table([
        on("/a", &["POST"]).header(header("canary")),
        on("/a", &["PUT"]).query(QueryMatch::exists("debug")),
        on("/a", &["PATCH"]).host("a.example".parse().unwrap()),
    ]);
    assert_eq!(found(&routes, &get("/a")), "404");
    assert_eq!(
        found(&routes, &get("/a").header("x-env", "canary")),
        "405 POST"
    );
    assert_eq!(found(&routes, &get("/a").query("debug")), "405 PUT");
    assert_eq!(
        found(&routes, &get("/a").query("debug").host("a.example")),
        "405 PATCH,PUT"
    );
    assert_eq!(
        found(&routes, &get("/a").method(Method::POST).host("a.example")),
        "405 PATCH"
    );
}

#[test]
fn head_prefers_its_own_route_at_equal_specificity_only() {
    let (a, b) = (header("a"), header("b"));
    let asked = get("/")
        .method(Method::HEAD)
        .header("x-env", "a")
        .header("x-env", "b");
    let get_first = table([
        on("/", &["GET"]).header(a.clone()),
        on("/", &["HEAD"]).header(b.clone()),
    ]);
    assert_eq!(found(&get_first, &asked), "1");
    let closer_get = table([on("/", &["GET"]).header(a.clone()), on("/", &["HEAD"])]);
    assert_eq!(found(&closer_get, &asked), "0");
    // What HEAD prefers is not preferred for GET.
    let both = table([
        on("/", &["GET"]).header(a),
        on("/", &["GET", "HEAD"]).header(b),
    ]);
    assert_eq!(found(&both, &asked), "1");
    let asked = get("/").header("x-env", "a").header("x-env", "b");
    assert_eq!(found(&both, &asked), "0");
}
