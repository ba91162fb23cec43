//! Which route takes a request, as clients and backends see it.

use std::net::SocketAddr;

use axum::{Router, extract::Request};
use http::{HeaderName, Method};
use tower_gateway::{Gateway, HeaderMatch, QueryMatch, Route};

use crate::support::{
    axum_backend, request, request_to, request_with, send, serve, text, upstream,
};

/// A gateway whose backend says which route was taken, by which method and with what path.
async fn desk(routes: impl IntoIterator<Item = (&'static str, Route)>) -> SocketAddr {
    let says = Router::new().fallback(|request: Request| async move {
        let route = request.headers()["x-route"].to_str().unwrap().to_owned();
        let taken = format!("{} {route} {}", request.method(), request.uri());
        ([("x-taken", taken.clone())], taken)
    });
    let mut gateway = Gateway::builder().upstream("desk", upstream(axum_backend(says).await));
    for (name, route) in routes {
        let route = route.name(name).to("desk");
        gateway = gateway.route(route.rewrite(|to| to.request_header_set("x-route", name)));
    }
    serve(gateway.build().unwrap()).await
}

/// The route that takes a request; its status when none does.
async fn taken<B>(desk: SocketAddr, request: http::Request<B>) -> String
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<tower_gateway::BoxError>,
{
    let response = send(desk, request).await;
    if response.status() != 200 {
        return response.status().as_str().to_owned();
    }
    let taken = text(response).await;
    taken.split(' ').nth(1).unwrap().to_owned()
}

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

#[tokio::test]
async fn hosts_are_exact_or_below_a_suffix_or_any() {
    let desk = desk([
        ("any", Route::new("/a")),
        ("exact", Route::new("/a").host("shop.example.com")),
        ("below", Route::new("/a").host("*.example.com")),
        ("deeper", Route::new("/a").host("*.eu.example.com")),
        ("address", Route::new("/a").host("192.0.2.1")),
        ("v6", Route::new("/a").host("[2001:db8::1]")),
        (
            "only",
            Route::new("/only").host("one.example").host("two.example"),
        ),
    ])
    .await;
    for (host, path, route) in [
        ("shop.example.com", "/a", "exact"),
        ("SHOP.Example.COM", "/a", "exact"),
        ("shop.example.com:8443", "/a", "exact"),
        ("Shop.example.com.:80", "/a", "exact"),
        ("www.example.com", "/a", "below"),
        ("a.b.example.com:1", "/a", "below"),
        ("x.EU.example.com", "/a", "deeper"),
        ("eu.example.com", "/a", "below"),
        ("example.com", "/a", "any"),
        ("badexample.com", "/a", "any"),
        ("shop.example.com.evil.test", "/a", "any"),
        ("192.0.2.1:9", "/a", "address"),
        ("[2001:DB8:0:0::1]:9", "/a", "v6"),
        ("one.example", "/only", "only"),
        ("two.example:80", "/only", "only"),
        ("three.example", "/only", "404"),
    ] {
        assert_eq!(
            taken(desk, request_to(host, "GET", path)).await,
            route,
            "{host}{path}"
        );
    }
}

#[tokio::test]
async fn of_all_paths_the_most_specific_one_is_taken() {
    let told =
        |route: Route, params| route.rewrite(|to| to.response_header_set("x-params", params));
    let desk = desk([
        ("root", Route::new("/")),
        ("users", Route::new("/users")),
        ("slash", Route::new("/users/")),
        ("me", Route::new("/u/me")),
        ("id", told(Route::new("/u/{id}"), "{id}")),
        ("rest", told(Route::new("/u/{*rest}"), "{*rest}")),
        (
            "middle",
            told(Route::new("/a/{x}/b/{*rest}"), "{x}+{*rest}"),
        ),
        ("two", told(Route::new("/a/{x}/{y}"), "{x}+{y}")),
        ("cafe", told(Route::new("/café/{id}"), "{id}")),
    ])
    .await;
    for (path, route, params) in [
        ("/", "root", ""),
        ("/users", "users", ""),
        ("/users/", "slash", ""),
        ("/users/x", "404", ""),
        ("/u/me", "me", ""),
        ("/u/m%65", "me", ""),
        ("/u/./me", "me", ""),
        ("/u/Me", "id", "Me"),
        ("/u/me2", "id", "me2"),
        ("/u/a%20b", "id", "a b"),
        ("/u/me/", "rest", "me/"),
        ("/u/7/posts/1", "rest", "7/posts/1"),
        ("/u", "rest", ""),
        ("/u/", "rest", ""),
        ("/a/1/b/c/d", "middle", "1+c/d"),
        ("/a/1/b/", "middle", "1+"),
        ("/a/1/b", "middle", ""),
        ("/a/1/c", "two", "1+c"),
        ("/a//1//c", "two", "1+c"),
        ("/a/1/c/d", "404", ""),
        ("/caf%c3%a9/1", "cafe", "1"),
    ] {
        let response = send(desk, request("GET", path)).await;
        if route == "404" {
            assert_eq!(response.status(), 404, "{path}");
            continue;
        }
        assert_eq!(response.status(), 200, "{path}");
        let told = response
            .headers()
            .get("x-params")
            .map(|told| told.to_str().unwrap().to_owned());
        assert_eq!(told.unwrap_or_default(), params, "{path}");
        let taken = text(response).await;
        assert!(
            taken.starts_with(&format!("GET {route} ")),
            "{path}: {taken}"
        );
    }
}

#[tokio::test]
async fn header_predicates_and_their_negations() {
    let env = || name("x-env");
    type Lines = &'static [(&'static str, &'static str)];
    // Each with the requests that meet it, and those that do not.
    let cases: [(HeaderMatch, &[Lines], &[Lines]); 7] = [
        (
            HeaderMatch::exact(env(), "canary"),
            &[
                &[("x-env", "canary")],
                &[("X-ENV", "canary")],
                &[("x-env", "beta"), ("x-env", "canary")],
                &[("x-env", "beta, canary")],
            ],
            &[
                &[],
                &[("x-env", "Canary")],
                &[("x-env", "canary2")],
                &[("x-env", "")],
                &[("x-other", "canary")],
            ],
        ),
        (
            HeaderMatch::exact(env(), "canary").or("beta").ignore_case(),
            &[&[("x-env", "BETA")], &[("x-env", "Canary")]],
            &[&[], &[("x-env", "alpha")]],
        ),
        (
            HeaderMatch::prefix(name("accept"), "application/"),
            &[
                &[("accept", "text/html, application/json;q=0.9")],
                &[("accept", "application/")],
            ],
            &[&[], &[("accept", "text/application/")]],
        ),
        (
            HeaderMatch::contains(name("user-agent"), "Mobile"),
            &[&[("user-agent", "Mozilla/5.0 (Mobile; rv:1)")]],
            &[&[], &[("user-agent", "mobile")]],
        ),
        (
            HeaderMatch::exists(env()),
            &[&[("x-env", "any")]],
            &[&[], &[("x-env", "")]],
        ),
        (
            HeaderMatch::exact(name("cookie"), "beta=1"),
            &[&[("cookie", "a=2; beta=1")], &[("cookie", "beta=1")]],
            &[&[("cookie", "beta=12")], &[]],
        ),
        (
            HeaderMatch::exists(name("x-empty-or-not")),
            &[&[("x-empty-or-not", ""), ("x-empty-or-not", "x")]],
            &[&[]],
        ),
    ];
    for (predicate, met, unmet) in cases {
        let what = predicate.to_string();
        let yes = desk([
            ("special", Route::new("/a").header(predicate.clone())),
            ("plain", Route::new("/a")),
        ])
        .await;
        let no = desk([
            ("special", Route::new("/a").header(!predicate)),
            ("plain", Route::new("/a")),
        ])
        .await;
        for (lines, holds) in met
            .iter()
            .map(|lines| (lines, true))
            .chain(unmet.iter().map(|lines| (lines, false)))
        {
            let routes = if holds {
                ("special", "plain")
            } else {
                ("plain", "special")
            };
            assert_eq!(
                taken(yes, request_with("/a", lines)).await,
                routes.0,
                "{what}: {lines:?}"
            );
            assert_eq!(
                taken(no, request_with("/a", lines)).await,
                routes.1,
                "not {what}: {lines:?}"
            );
        }
    }
}

#[tokio::test]
async fn query_predicates_and_their_negations() {
    let cases: [(QueryMatch, &[&str], &[&str]); 5] = [
        (
            QueryMatch::exact("v", "2"),
            &["?v=2", "?a=1&v=2", "?v=1&v=2", "?%76=2", "?v=%32"],
            &["", "?", "?v", "?v=", "?v=22", "?V=2", "?w=2", "?v=%2532"],
        ),
        (
            QueryMatch::prefix("q", "rust "),
            &["?q=rust+lang", "?q=rust%20lang"],
            &["?q=rust", "?q=a+rust+b"],
        ),
        (
            QueryMatch::contains("q", "a&b"),
            &["?q=xa%26by"],
            &["?q=a&b", "?q=ab"],
        ),
        (
            QueryMatch::exists("debug"),
            &["?debug", "?debug=", "?debug=0&x=1"],
            &["", "?nodebug=1", "?x=debug"],
        ),
        (
            QueryMatch::exact("l", "de").or("FR").ignore_case(),
            &["?l=DE", "?l=fr"],
            &["?l=en", "?L=de"],
        ),
    ];
    for (predicate, met, unmet) in cases {
        let what = predicate.to_string();
        let yes = desk([
            ("special", Route::new("/a").query(predicate.clone())),
            ("plain", Route::new("/a")),
        ])
        .await;
        let no = desk([
            ("special", Route::new("/a").query(!predicate)),
            ("plain", Route::new("/a")),
        ])
        .await;
        for (query, holds) in met
            .iter()
            .map(|query| (query, true))
            .chain(unmet.iter().map(|query| (query, false)))
        {
            let routes = if holds {
                ("special", "plain")
            } else {
                ("plain", "special")
            };
            let asked = || request("GET", &format!("/a{query}"));
            assert_eq!(taken(yes, asked()).await, routes.0, "{what}: {query}");
            assert_eq!(taken(no, asked()).await, routes.1, "not {what}: {query}");
        }
    }
}

#[tokio::test]
async fn a_predicate_that_fails_goes_on_to_the_next_best_route() {
    let desk = desk([
        (
            "exact",
            Route::new("/a/b").header(HeaderMatch::exists(name("x-one"))),
        ),
        ("method", Route::post("/a/{x}")),
        (
            "host",
            Route::new("/a/{x}")
                .host("t.example")
                .header(HeaderMatch::exists(name("x-host"))),
        ),
        ("query", Route::new("/a/{x}").query(QueryMatch::exists("q"))),
        (
            "rest",
            Route::new("/a/{*rest}").header(!HeaderMatch::exists(name("x-none"))),
        ),
    ])
    .await;
    for (path, lines, route) in [
        ("/a/b?q", &[("x-one", "1"), ("x-host", "1")][..], "exact"),
        ("/a/b?q", &[("x-host", "1")], "host"),
        ("/a/b?q", &[], "query"),
        ("/a/b", &[], "rest"),
        ("/a/b", &[("x-none", "1")], "404"),
    ] {
        let asked = request_with(path, lines);
        // A path that some route has for another method is a 405, if all else fits.
        let route = if route == "404" { "405" } else { route };
        assert_eq!(taken(desk, asked).await, route, "{path} {lines:?}");
    }
    let mut post = request_with("/a/b?q", &[("x-host", "1")]);
    *post.method_mut() = Method::POST;
    assert_eq!(
        taken(desk, post).await,
        "method",
        "the method comes before the host"
    );
}

#[tokio::test]
async fn a_lower_order_comes_before_any_specificity() {
    let desk = desk([
        ("specific", Route::get("/a/b").host("t.example")),
        (
            "early",
            Route::new("/a/{*rest}")
                .order(-1)
                .header(HeaderMatch::exists(name("x-early"))),
        ),
        ("late", Route::get("/a/c").order(1)),
        ("catch", Route::new("/{*rest}")),
    ])
    .await;
    for (path, lines, route) in [
        ("/a/b", &[][..], "specific"),
        ("/a/b", &[("x-early", "1")], "early"),
        ("/a/c", &[], "catch"),
    ] {
        assert_eq!(
            taken(desk, request_with(path, lines)).await,
            route,
            "{path} {lines:?}"
        );
    }
}

#[tokio::test]
async fn head_is_served_by_get_unless_a_route_names_it() {
    let desk = desk([
        ("get", Route::get("/a")),
        ("get", Route::get("/b")),
        ("head", Route::head("/b")),
        ("post", Route::post("/c")),
        ("any", Route::new("/d")),
    ])
    .await;
    for (path, taken) in [
        ("/a", "HEAD get /a"),
        ("/b", "HEAD head /b"),
        ("/d", "HEAD any /d"),
    ] {
        let response = send(desk, request("HEAD", path)).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["x-taken"], taken);
        assert_eq!(
            response.headers()["content-length"],
            taken.len().to_string()
        );
        assert_eq!(text(response).await, "");
    }
    assert_eq!(taken(desk, request("GET", "/b")).await, "get");
    let refused = send(desk, request("HEAD", "/c")).await;
    assert_eq!(refused.status(), 405);
    assert_eq!(text(refused).await, "");
}

#[tokio::test]
async fn what_no_route_takes_is_404_or_405_with_its_methods() {
    let desk = desk([
        ("list", Route::get("/orders")),
        ("make", Route::post("/orders")),
        (
            "purge",
            Route::new("/orders").method("PURGE".parse().unwrap()),
        ),
        ("one", Route::put("/orders/{id}").host("t.example")),
        (
            "beta",
            Route::patch("/beta").header(HeaderMatch::exists(name("x-beta"))),
        ),
    ])
    .await;
    for (method, host, path, lines, status, allow) in [
        (
            "DELETE",
            "t.example",
            "/orders",
            &[][..],
            405,
            &["GET", "HEAD", "POST", "PURGE"][..],
        ),
        (
            "OPTIONS",
            "t.example",
            "/orders",
            &[],
            405,
            &["GET", "HEAD", "POST", "PURGE"],
        ),
        ("PURGE", "t.example", "/orders", &[], 200, &[]),
        ("GET", "t.example", "/orders/1", &[], 405, &["PUT"]),
        ("GET", "other.example", "/orders/1", &[], 404, &[]),
        ("GET", "t.example", "/orders/1/2", &[], 404, &[]),
        ("PATCH", "t.example", "/beta", &[], 404, &[]),
        (
            "GET",
            "t.example",
            "/beta",
            &[("x-beta", "1")],
            405,
            &["PATCH"],
        ),
    ] {
        let mut asked = request_to(host, method, path);
        for (name, value) in lines {
            asked.headers_mut().insert(*name, value.parse().unwrap());
        }
        let response = send(desk, asked).await;
        assert_eq!(response.status(), status, "{method} {host}{path}");
        let told = response
            .headers()
            .get("allow")
            .map(|told| told.to_str().unwrap().to_owned());
        let mut methods: Vec<_> = told.iter().flat_map(|told| told.split(", ")).collect();
        methods.sort_unstable();
        assert_eq!(methods, allow, "{method} {host}{path}");
        if status != 200 {
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
            let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
            assert_eq!(problem["status"], status);
        }
    }
}
