//! What a route changes on the way to its backend and back, and what a hostile client can not make of it.

use std::net::SocketAddr;

use axum::Router;
use tower_gateway::{Gateway, PathPolicy, Route};

use crate::support::{
    Recorder, axum_backend, one_route, request, request_to, request_with, send, serve, upstream,
};

type Lines = &'static [(&'static str, &'static str)];

/// A served gateway with this route to a recorder.
async fn recorded(route: Route) -> (Recorder, SocketAddr) {
    let (recorder, backend) = Recorder::start().await;
    (recorder, serve(one_route(route, upstream(backend))).await)
}

/// A tenant has one spelling, whatever a client writes.
#[tokio::test]
async fn the_host_in_a_template_has_one_spelling() {
    let (recorder, backend) = Recorder::start().await;
    let route = Route::new("/{*rest}").add_prefix("/t/{request.host}");
    let gateway = serve(one_route(route, upstream(backend))).await;
    for host in ["t.example", "T.Example", "t.EXAMPLE.:80"] {
        let answer = send(gateway, request_to(host, "GET", "/a")).await;
        assert_eq!(answer.status(), 200, "{host}");
        assert_eq!(recorder.take().target(), "/t/t.example/a", "{host}");
    }
}

#[tokio::test]
async fn prefixes_are_stripped_and_added() {
    let api = || Route::new("/api/{*rest}").strip_prefix("/api");
    let all = || Route::new("/{*rest}");
    for (route, sent, expected, told) in [
        (api(), "/api/orders/1?a=b", "/orders/1?a=b", Some("/api")),
        (api(), "/api", "/", Some("/api")),
        (api(), "/api/", "/", Some("/api")),
        (api(), "/api?x", "/?x", Some("/api")),
        (api(), "/%61pi//a/../b", "/b", Some("/api")),
        (all().strip_prefix("/api/"), "/apix/a", "/apix/a", None),
        (all().strip_prefix("/a/b"), "/a/b/c", "/c", Some("/a/b")),
        (all().add_prefix("/v2"), "/a?x=1", "/v2/a?x=1", None),
        (all().add_prefix("/v2/"), "/", "/v2/", None),
        (api().add_prefix("/v2"), "/api/a", "/v2/a", Some("/api")),
        (api().add_prefix("/v2"), "/api", "/v2", Some("/api")),
        (
            all().add_prefix("/t/{request.host}"),
            "/a",
            "/t/t.example/a",
            None,
        ),
    ] {
        let what = format!("{route:?} {sent}");
        let (recorder, gateway) = recorded(route).await;
        assert_eq!(
            send(gateway, request("GET", sent)).await.status(),
            200,
            "{what}"
        );
        let seen = recorder.take();
        assert_eq!(seen.target(), expected, "{what}");
        assert_eq!(seen.header("x-forwarded-prefix"), told.as_slice(), "{what}");
    }
}

#[tokio::test]
async fn a_path_is_written_anew_from_its_params() {
    for (pattern, template, sent, expected) in [
        (
            "/u/{id}/{*rest}",
            "/v2/{id}/{*rest}",
            "/u/7/a/b?x=1",
            "/v2/7/a/b?x=1",
        ),
        ("/u/{id}/{*rest}", "/v2/{id}/{*rest}", "/u/7/", "/v2/7/"),
        ("/u/{id}/{*rest}", "/v2/{id}/{*rest}", "/u/7", "/v2/7"),
        ("/{a}/{b}", "/{b}/x/{a}", "/1/2", "/2/x/1"),
        ("/{a}/{b}", "/fixed", "/1/2?q", "/fixed?q"),
        ("/{a}", "/%7B{a}%7D", "/1", "/%7B1%7D"),
        ("/{a}", "/{a}.json", "/x%20y", "/x%20y.json"),
    ] {
        let (recorder, gateway) = recorded(Route::new(pattern).rewrite_path(template)).await;
        let status = send(gateway, request("GET", sent)).await.status();
        assert_eq!(status, 200, "{pattern} {sent}");
        assert_eq!(recorder.take().target(), expected, "{pattern} {sent}");
    }
}

#[tokio::test]
async fn a_query_gets_and_loses_parameters() {
    let route = |change: fn(tower_gateway::routing::Rewrite) -> tower_gateway::routing::Rewrite| {
        Route::new("/a/{id}").rewrite(change)
    };
    for (route, sent, expected) in [
        (route(|to| to.query_set("v", "2")), "/a/1", "/a/1?v=2"),
        (
            route(|to| to.query_set("v", "2")),
            "/a/1?x=1&v=1&y&%76=3",
            "/a/1?x=1&v=2&y",
        ),
        (
            route(|to| to.query_append("v", "2")),
            "/a/1?v=1",
            "/a/1?v=1&v=2",
        ),
        (
            route(|to| to.query_remove("v")),
            "/a/1?v=1&x=%20+&v",
            "/a/1?x=%20+",
        ),
        (route(|to| to.query_remove("v")), "/a/1?v=1", "/a/1"),
        (
            route(|to| {
                to.query_set("id", "{id}")
                    .query_set("m", "{request.method}")
            }),
            "/a/7",
            "/a/7?id=7&m=GET",
        ),
        (
            route(|to| to.query_set("t", "{header.x-absent}")),
            "/a/1?t=mine&x",
            "/a/1?x",
        ),
        (
            route(|to| to.query_append("was", "{query.a}")),
            "/a/1?a=b+c",
            "/a/1?a=b+c&was=b%20c",
        ),
    ] {
        let (recorder, gateway) = recorded(route).await;
        assert_eq!(
            send(gateway, request("GET", sent)).await.status(),
            200,
            "{sent}"
        );
        assert_eq!(recorder.take().target(), expected, "{sent}");
    }
}

#[tokio::test]
async fn request_headers_are_set_appended_and_removed() {
    let route = Route::new("/u/{id}/{*rest}").rewrite(|to| {
        to.request_header_set("x-id", "{id}")
            .request_header_set("x-rest", "{*rest}")
            .request_header_set("x-tenant", "{header.x-org}/{cookie.team}")
            .request_header_set("x-absent", "{query.nothing}")
            .request_header_append("x-list", "ours")
            .request_header_remove("x-debug")
            .request_header_set(
                "x-facts",
                "{request.method} {request.scheme} {request.host} {request.client_ip} {request.path} {request.query}",
            )
            .request_header_set("x-same-id", "{request.id}")
    });
    let (recorder, gateway) = recorded(route).await;
    let lines: Lines = &[
        ("x-id", "forged"),
        ("x_id", "forged"),
        ("x-absent", "forged"),
        ("x-list", "theirs"),
        ("x-debug", "1"),
        ("x_debug", "1"),
        ("x-org", "acme"),
        ("x-org", "inc"),
        ("cookie", "a=1; team=red"),
        ("x-kept", "yes"),
    ];
    let asked = request_with("/u/a%20b/c/d%2ce?q=1", lines);
    assert_eq!(send(gateway, asked).await.status(), 200);
    let seen = recorder.take();
    for (name, values) in [
        ("x-id", &["a b"][..]),
        ("x_id", &[]),
        ("x-rest", &["c/d,e"]),
        ("x-tenant", &["acme, inc/red"]),
        ("x-absent", &[]),
        ("x-list", &["theirs", "ours"]),
        ("x-debug", &[]),
        ("x_debug", &[]),
        (
            "x-facts",
            &["GET http t.example 127.0.0.1 /u/a%20b/c/d%2Ce q=1"],
        ),
        ("x-kept", &["yes"]),
    ] {
        assert_eq!(seen.header(name), values, "{name} in {}", seen.head);
    }
    assert_eq!(seen.header("x-same-id"), seen.header("x-request-id"));
    assert_eq!(seen.header("x-same-id").len(), 1);
}

#[tokio::test]
async fn response_headers_are_set_appended_and_removed() {
    let backend = Router::new().fallback(|| async {
        let mut headers = http::HeaderMap::new();
        for (name, value) in [
            ("server", "secret/1.0"),
            ("x-served-by", "backend"),
            ("x-served-by", "again"),
            ("vary", "accept"),
            ("x-kept", "yes"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        headers
    });
    let route = Route::new("/u/{id}").rewrite(|to| {
        to.response_header_remove("server")
            .response_header_set("x-served-by", "{request.host} for {id}")
            .response_header_set("x-absent", "{header.x-absent}")
            .response_header_append("vary", "x-org")
            // Filled from the request as the client sent it, whatever else is changed.
            .request_header_set("x-org", "changed")
            .response_header_set("x-org", "{header.x-org}")
    });
    let gateway = serve(one_route(route, upstream(axum_backend(backend).await))).await;
    let response = send(gateway, request_with("/u/7", &[("x-org", "acme")])).await;
    let values = |name| {
        let all = response.headers().get_all(name);
        all.iter()
            .map(|value| value.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    for (name, expected) in [
        ("server", &[][..]),
        ("x-served-by", &["t.example for 7"]),
        ("x-absent", &[]),
        ("vary", &["accept", "x-org"]),
        ("x-org", &["acme"]),
        ("x-kept", &["yes"]),
    ] {
        assert_eq!(values(name), expected, "{name}");
    }
}

/// Sends one request, and says what the backend was asked for; nothing when the gateway refused with 400.
async fn target(
    recorder: &Recorder,
    gateway: SocketAddr,
    path: &str,
    lines: Lines,
) -> Option<String> {
    let status = send(gateway, request_with(path, lines)).await.status();
    if status == 400 {
        assert!(recorder.requests().is_empty() && recorder.malformed().is_empty());
        return None;
    }
    assert_eq!(status, 200, "{path} {lines:?}");
    Some(recorder.take().target().to_owned())
}

#[tokio::test]
async fn a_hostile_value_in_a_path_stays_one_segment() {
    let (recorder, gateway) =
        recorded(Route::new("/a").rewrite_path("/t/{header.x-org}/end")).await;
    for (value, expected) in [
        ("acme", Some("/t/acme/end")),
        ("a/b", Some("/t/a%2Fb/end")),
        ("a%2Fb", Some("/t/a%252Fb/end")),
        ("a?b#c", Some("/t/a%3Fb%23c/end")),
        ("a b;c", Some("/t/a%20b%3Bc/end")),
        ("é", Some("/t/%C3%A9/end")),
        ("..", None),
        (".", None),
        ("../../admin", None),
        ("..;x", None),
        ("x/..", None),
        (r"a\b", None),
        ("", None),
    ] {
        let lines: Lines = Box::leak(Box::new([("x-org", value)]));
        let got = target(&recorder, gateway, "/a", lines).await;
        assert_eq!(got.as_deref(), expected, "{value:?}");
    }
    assert_eq!(
        target(&recorder, gateway, "/a", &[]).await,
        None,
        "the value is missing"
    );

    let (recorder, gateway) = recorded(Route::new("/a").rewrite_path("/t/{query.x}/end")).await;
    for (query, expected) in [
        ("x=%2F..%2Fadmin", None),
        ("x=%2e%2e", None),
        ("x=a%0d%0ab", None),
        ("x=%00", None),
        ("x=a%5cb", None),
        ("x=a%2Fb", Some("/t/a%2Fb/end?x=a%2Fb")),
        ("x=a%3Fb", Some("/t/a%3Fb/end?x=a%3Fb")),
        ("x=%252e%252e", Some("/t/%252e%252e/end?x=%252e%252e")),
    ] {
        let got = target(&recorder, gateway, &format!("/a?{query}"), &[]).await;
        assert_eq!(got.as_deref(), expected, "{query:?}");
    }
}

#[tokio::test]
async fn a_hostile_param_keeps_its_spelling() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = |policy| {
        Gateway::builder()
            .upstream("backend", upstream(backend))
            .route(
                Route::new("/u/{id}")
                    .rewrite_path("/v2/{id}/x")
                    .to("backend"),
            )
            .path_policy(policy)
            .build()
            .unwrap()
    };
    let strict = serve(gateway(PathPolicy::new())).await;
    let lenient = serve(gateway(PathPolicy::new().allow_encoded_slash(true))).await;
    for (gateway, sent, expected) in [
        (strict, "/u/a%3fb%23c", Some("/v2/a%3Fb%23c/x")),
        (strict, "/u/a%252Fb", Some("/v2/a%252Fb/x")),
        (strict, "/u/a%26b=c", Some("/v2/a%26b=c/x")),
        (strict, "/u/a%2Fb", None),
        (strict, "/u/a%5Cb", None),
        (strict, "/u/a%0d%0ab", None),
        (strict, "/u/..;x", None),
        (lenient, "/u/a%2fb", Some("/v2/a%2Fb/x")),
        (lenient, "/u/..%2fadmin", None),
        (lenient, "/u/a%2f..%2f..", None),
    ] {
        let got = target(&recorder, gateway, sent, &[]).await;
        assert_eq!(got.as_deref(), expected, "{sent:?}");
    }
}

#[tokio::test]
async fn a_hostile_value_in_a_query_stays_one_value() {
    let route = Route::new("/u/{id}").rewrite(|to| {
        to.query_set("id", "{id}")
            .query_set("org", "{header.x-org}")
    });
    let (recorder, gateway) = recorded(route).await;
    for (path, value, expected) in [
        ("/u/1", "acme", "/u/1?id=1&org=acme"),
        ("/u/1", "a&admin=1", "/u/1?id=1&org=a%26admin%3D1"),
        ("/u/1", "a#b?c/../d", "/u/1?id=1&org=a%23b%3Fc%2F..%2Fd"),
        ("/u/1", "a%26b;c+d", "/u/1?id=1&org=a%2526b%3Bc%2Bd"),
        ("/u/1&admin=1", "x", "/u/1&admin=1?id=1%26admin%3D1&org=x"),
        ("/u/1%26a?id=forged", "x", "/u/1%26a?id=1%26a&org=x"),
    ] {
        let lines: Lines = Box::leak(Box::new([("x-org", value)]));
        let got = target(&recorder, gateway, path, lines).await;
        assert_eq!(got.as_deref(), Some(expected), "{path} {value:?}");
    }
}

#[tokio::test]
async fn a_hostile_value_in_a_header_stays_one_line() {
    let route = Route::new("/a").rewrite(|to| {
        to.request_header_set("x-q", "{query.q}")
            .response_header_set("x-q", "{query.q}")
    });
    let (recorder, gateway) = recorded(route).await;
    for (query, expected) in [
        ("q=a%0d%0ax-admin:%201", None),
        ("q=a%0ab", None),
        ("q=a%00b", None),
        ("q=a%7f", None),
        ("q=%20a%09b%20", Some("a\tb")),
        ("q=a,b;c%22%3f%23/../%25", Some("a,b;c\"?#/../%")),
        ("q=a%250d%250ax:1", Some("a%0d%0ax:1")),
    ] {
        let path = format!("/a?{query}");
        let response = send(gateway, request("GET", &path)).await;
        let Some(expected) = expected else {
            assert_eq!(response.status(), 400, "{query}");
            assert!(recorder.requests().is_empty(), "{query}");
            continue;
        };
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(response.headers()["x-q"], expected);
        let seen = recorder.take();
        assert_eq!(seen.header("x-q"), [expected], "{query}");
        assert!(seen.header("x-admin").is_empty());
    }
    assert!(recorder.malformed().is_empty());
}
