mod properties;

use super::*;
use crate::template::{RenderError, tests::Request};
use http::{HeaderMap, HeaderValue, Uri};

const PATTERN: [Param<'static>; 2] = [
    Param {
        name: "id",
        rest: false,
    },
    Param {
        name: "rest",
        rest: true,
    },
];

fn plan(rewrite: &Rewrite, request: &Request) -> Result<Plan, RenderError> {
    rewrite.compile(Some(&PATTERN)).unwrap().plan(request)
}

/// The target after a rewrite.
fn target(rewrite: &Rewrite, request: &Request) -> String {
    let (mut uri, mut headers) = (request.uri.clone(), request.headers.clone());
    plan(rewrite, request)
        .unwrap()
        .apply_request(&mut uri, &mut headers)
        .unwrap();
    uri.to_string()
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let line = |(name, value): (&http::HeaderName, &HeaderValue)| {
        format!("{name}: {}", value.to_str().unwrap())
    };
    let mut lines: Vec<_> = headers.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn prefixes() {
    let strip = || Rewrite::new().strip_prefix("/api");
    let cases = [
        (strip(), "/api/x", "/x", Some("/api")),
        (strip(), "/api", "/", Some("/api")),
        (strip(), "/api/", "/", Some("/api")),
        (strip(), "/api?q=1", "/?q=1", Some("/api")),
        (strip(), "/apix", "/apix", None),
        (strip(), "/API/x", "/API/x", None),
        (strip(), "/x/api", "/x/api", None),
        (strip(), "/api%2Fx", "/api%2Fx", None),
        // With merging of slashes turned off.
        (
            strip(),
            "/api//evil.example/x",
            "/evil.example/x",
            Some("/api"),
        ),
        (strip().add_prefix("/v2"), "/api//x", "/v2//x", Some("/api")),
        (strip().add_prefix("/v2"), "/api", "/v2", Some("/api")),
        (strip().add_prefix("/v2"), "/api/", "/v2/", Some("/api")),
        (strip().add_prefix("/v2"), "/apix/y", "/v2/apix/y", None),
        (
            Rewrite::new().strip_prefix("/a/b/"),
            "/a/b/c",
            "/c",
            Some("/a/b"),
        ),
        (
            Rewrite::new().strip_prefix("/caf%C3%A9"),
            "/caf%C3%A9/x",
            "/x",
            Some("/caf%C3%A9"),
        ),
        (Rewrite::new().add_prefix("/v2/"), "/", "/v2/", None),
        (
            Rewrite::new().add_prefix("/t/{request.host}/{id}"),
            "/x",
            "/t/shop.example/a%20b/x",
            None,
        ),
        (
            strip(),
            "http://shop.example/api/x?q",
            "http://shop.example/x?q",
            Some("/api"),
        ),
        (strip(), "http://shop.example", "http://shop.example/", None),
        (strip(), "*", "*", None),
        (
            Rewrite::new().add_prefix("/v2").query_set("a", "1"),
            "*",
            "*",
            None,
        ),
        (
            Rewrite::new().query_set("a", "1").add_prefix("/v2"),
            "shop.example:443",
            "shop.example:443",
            None,
        ),
    ];
    for (rewrite, path, expected, stripped) in cases {
        let request = Request::new(path).param("id", "a%20b");
        assert_eq!(target(&rewrite, &request), expected, "{path}: {rewrite:?}");
        assert_eq!(
            plan(&rewrite, &request).unwrap().stripped(),
            stripped,
            "{path}"
        );
    }
}

/// Should a path ever come here that the door has not made canonical, its dots do not go on to the backend.
#[test]
fn a_path_that_climbs_is_refused() {
    for path in [
        "/api/../admin",
        "/api/%2e%2E/admin",
        "/api/..;x/admin",
        "/api/.",
    ] {
        for rewrite in [
            Rewrite::new().strip_prefix("/api"),
            Rewrite::new().add_prefix("/v2"),
        ] {
            let refused = plan(&rewrite, &Request::new(path)).unwrap_err();
            assert_eq!(refused, RenderError::DotSegment, "{path}");
        }
    }
}

#[test]
fn an_overlong_value_makes_no_path() {
    let mut request = Request::new("/a?x=%C0%AE%C0%AE%C0%AFadmin");
    let raw = HeaderValue::from_bytes(b"\xC0\xAE\xC0\xAE\xC0\xAFadmin").unwrap();
    request.headers.insert("x-o", raw);
    for template in ["/t/{query.x}/end", "/t/{header.x-o}/end"] {
        let refused = plan(&Rewrite::new().path(template), &request).unwrap_err();
        assert_eq!(refused, RenderError::TwoReadings, "{template}");
    }
}

#[test]
fn path_templates() {
    for (template, rest, expected) in [
        ("/v2/{id}/{*rest}", Some("x/y"), "/v2/caf%C3%A9/x/y?q=1"),
        ("/v2/{id}/{*rest}", Some(""), "/v2/caf%C3%A9/?q=1"),
        ("/v2/{id}/{*rest}", None, "/v2/caf%C3%A9?q=1"),
        ("/{*rest}", None, "/?q=1"),
        ("/{*rest}", Some("/x"), "/x?q=1"),
        ("/fixed", None, "/fixed?q=1"),
    ] {
        let mut request = Request::new("/files?q=1").param("id", "caf%C3%A9");
        if let Some(rest) = rest {
            request = request.param("rest", rest);
        }
        assert_eq!(
            target(&Rewrite::new().path(template), &request),
            expected,
            "{template} {rest:?}"
        );
    }
}

/// Facts of the tests of YARP (MIT): path transforms.
#[test]
fn path_transforms_of_a_peer() {
    for (rewrite, path, expected) in [
        (Rewrite::new().path("/value"), "/foo", "/value"),
        (Rewrite::new().add_prefix("/value"), "/foo", "/value/foo"),
        (Rewrite::new().strip_prefix("/value"), "/value/foo", "/foo"),
    ] {
        assert_eq!(target(&rewrite, &Request::new(path)), expected);
    }
    // The peer drops `{d}`, which its pattern has not; here that is a mistake, unless it is an absent rest.
    let params = ["a", "b", "c"].map(|name| Param { name, rest: false });
    for (template, expected) in [
        ("/{a}/{b}/{c}", "/6/7/8"),
        ("/{a}/foo/{b}/{c}/{*d}", "/6/foo/7/8"),
        ("/{a}/foo/{b}", "/6/foo/7"),
    ] {
        let request = Request::new("/")
            .param("a", "6")
            .param("b", "7")
            .param("c", "8");
        let pattern = [
            &params[..],
            &[Param {
                name: "d",
                rest: true,
            }],
        ]
        .concat();
        let rewriter = Rewrite::new()
            .path(template)
            .compile(Some(&pattern))
            .unwrap();
        let plan = rewriter.plan(&request).unwrap();
        let mut uri = request.uri.clone();
        plan.apply_request(&mut uri, &mut HeaderMap::new()).unwrap();
        assert_eq!(uri, expected);
    }
}

#[test]
fn queries() {
    let new = Rewrite::new;
    let cases = [
        (new().query_append("b", "x y&z"), "/", "/?b=x%20y%26z"),
        (new().query_append("b", "2"), "/?", "/?b=2"),
        (new().query_append("b", "2"), "/?b=1&&c", "/?b=1&&c&b=2"),
        (new().query_append("b", "{query.absent}"), "/?a", "/?a"),
        (
            new().query_set("a b", "{query.c}"),
            "/?x=%7e&a+b=1&c=%C3%A9+&a%20b=2&y",
            "/?x=%7e&a%20b=%C3%A9%20&c=%C3%A9+&y",
        ),
        (new().query_set("a", "1"), "/?b='", "/?b='&a=1"),
        (new().query_set("a", "{query.absent}"), "/?a=1&b", "/?b"),
        (new().query_set("a", "{id}"), "/?%61=0", "/?a=a%20b"),
        (new().query_remove("a"), "/?a=1&b=2&%61&a", "/?b=2"),
        (new().query_remove("a"), "/?a=1", "/"),
        (new().query_remove("a"), "/?a=1&", "/?"),
        (new().query_remove("a"), "/?A=1&aa&b=a", "/?A=1&aa&b=a"),
        (new().query_remove("a"), "/?", "/?"),
        (
            new().query_remove("a").query_set("b", "{query.a}"),
            "/x?a=1",
            "/x?b=1",
        ),
        (new().query_set("a", "1").strip_prefix("/x"), "/x", "/?a=1"),
    ];
    for (rewrite, path, expected) in cases {
        let request = Request::new(path).param("id", "a%20b");
        assert_eq!(target(&rewrite, &request), expected, "{path}: {rewrite:?}");
    }
}

#[test]
fn request_headers() {
    let request = || {
        Request::new("/?evil=a%0D%0Ab&n=5")
            .header("x-tenant", "client")
            .header("x_tenant", "alias")
            .header("x-user_id", "alias")
            .header("x-trace", "1")
    };
    let new = Rewrite::new;
    let cases: [(Rewrite, &[&str]); 7] = [
        (
            new(),
            &[
                "x-tenant: client",
                "x-trace: 1",
                "x-user_id: alias",
                "x_tenant: alias",
            ],
        ),
        (
            new().request_header_set("X-Tenant", "{query.n}/{header.x-tenant}"),
            &["x-tenant: 5/client", "x-trace: 1", "x-user_id: alias"],
        ),
        (
            new().request_header_set("x-tenant", "{query.absent}"),
            &["x-trace: 1", "x-user_id: alias"],
        ),
        (
            new().request_header_append("x-tenant", "2"),
            &[
                "x-tenant: 2",
                "x-tenant: client",
                "x-trace: 1",
                "x-user_id: alias",
                "x_tenant: alias",
            ],
        ),
        (
            new().request_header_append("x-trace", "{id}"),
            &[
                "x-tenant: client",
                "x-trace: 1",
                "x-user_id: alias",
                "x_tenant: alias",
            ],
        ),
        (
            new()
                .request_header_remove("x-user-id")
                .request_header_remove("x_tenant"),
            &["x-tenant: client", "x-trace: 1"],
        ),
        // What the client sent goes first, so no change takes away what another one set.
        (
            new()
                .request_header_set("x_trace", "a")
                .request_header_set("x-user-id", "b"),
            &[
                "x-tenant: client",
                "x-trace: 1",
                "x-user-id: b",
                "x_tenant: alias",
                "x_trace: a",
            ],
        ),
    ];
    for (rewrite, expected) in cases {
        let request = request();
        let (mut uri, mut headers) = (request.uri.clone(), request.headers.clone());
        plan(&rewrite, &request)
            .unwrap()
            .apply_request(&mut uri, &mut headers)
            .unwrap();
        assert_eq!(uri, request.uri);
        assert_eq!(lines(&headers), expected, "{rewrite:?}");
    }
    let split = new().request_header_set("x-a", "{query.evil}");
    assert!(plan(&split, &request()).is_err());
}

#[test]
fn response_headers_are_filled_from_the_request() {
    let rewrite = Rewrite::new()
        .response_header_set("x-tenant", "{header.x-tenant}")
        .response_header_append("vary", "x-tenant")
        .response_header_remove("server")
        .response_header_set("x-gone", "{query.absent}");
    let plan = plan(&rewrite, &Request::new("/").header("x-tenant", "t1")).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("server", "s"),
        ("vary", "origin"),
        ("x-tenant", "up"),
        ("x-gone", "up"),
        ("x_tenant", "up"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    plan.apply_response(&mut headers).unwrap();
    assert_eq!(
        lines(&headers),
        [
            "vary: origin",
            "vary: x-tenant",
            "x-tenant: t1",
            "x_tenant: up"
        ]
    );
}

#[test]
fn nothing_asked_is_nothing_done() {
    for rewrite in [
        Rewrite::new(),
        Rewrite::new().strip_prefix("/api"),
        Rewrite::new().query_remove("a"),
    ] {
        let plan = plan(&rewrite, &Request::new("/x/%C3%A9?b=%7e&&c")).unwrap();
        assert!(plan.uri.is_none() && plan.stripped().is_none());
        assert_eq!((plan.request.capacity(), plan.response.capacity()), (0, 0));
    }
}

#[test]
fn every_mistake_is_listed() {
    let rewrite = Rewrite::new()
        .strip_prefix("/")
        .strip_prefix("api")
        .add_prefix("/v2/{oid}")
        .add_prefix("/{*rest}")
        .path("/v2/{id")
        .path("/{rest}")
        .query_set("", "{id}")
        .query_set("q", "{env.X}")
        .request_header_set("Host", "x")
        .request_header_remove("content_length")
        .response_header_append("a b", "{nope}")
        .response_header_set("x-a", "a\nb")
        .response_header_remove("Transfer-Encoding");
    let errors: Vec<String> = rewrite
        .compile(Some(&PATTERN))
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        "strip_prefix `/`: there is nothing to strip",
        "strip_prefix `api`: a prefix begins with `/`",
        "strip_prefix `api`: is given twice",
        "add_prefix: template `/v2/{oid}`, byte 4: the route's pattern has no param `oid`",
        "add_prefix `/{*rest}`: is given twice",
        "add_prefix `/{*rest}`: a prefix can not end in `{*name}`",
        "path: template `/v2/{id`, byte 4: `{` is not closed; `{{` stands for a brace",
        "path `/v2/{id`: `path` replaces the whole path",
        "path: template `/{rest}`, byte 1: `rest` is the rest of a path here",
        "path `/{rest}`: `path` replaces the whole path",
        "query_set ``: a query param has a name",
        "query_set `q`: template `{env.X}`, byte 0: a placeholder is",
        "request_header_set `Host`: the host that a backend sees",
        "request_header_remove `content_length`: this field frames the message",
        "response_header_append `a b`: a field's name is a token",
        "response_header_append `a b`: template `{nope}`, byte 0: the route's pattern has no param `nope`",
        "response_header_set `x-a`: template `a\nb`, byte 1: a header value has no control characters",
        "response_header_remove `Transfer-Encoding`: this field frames the message",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}\nis not: {expected}");
    }
}

#[test]
fn a_target_is_never_longer_than_a_uri() {
    let request = Request::new("/?a=1").header("x", &"/".repeat(2_000));
    let mut rewrite = Rewrite::new();
    for _ in 0..20 {
        rewrite = rewrite.query_append("b", "{header.x}");
    }
    assert_eq!(plan(&rewrite, &request).unwrap_err(), RenderError::TooLong);
}
