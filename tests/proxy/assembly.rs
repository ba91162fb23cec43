//! What `build` says of an assembly: every mistake of a bad one, the order of the stages of a good one.

use std::time::Duration;

use tower::timeout::TimeoutLayer;
use tower_gateway::{Gateway, HostHeader, Route, RouterLayer, Upstream};

#[test]
fn every_mistake_of_an_assembly_is_listed() {
    let error = Gateway::builder()
        .name("not a token")
        .upstream(
            "a",
            Upstream::http(["ftp://x", "http://y:0", "http://127.0.0.1:1"])
                .max_connections(0)
                .timeout(Duration::ZERO),
        )
        .upstream("b", Upstream::http(["http://127.0.0.1:1"]))
        .upstream("b", Upstream::http(["http://127.0.0.1:2"]))
        .upstream("none", Upstream::http([""; 0]))
        .route(Route::new("/x").to("nobody"))
        .route(Route::new("no-slash").to("b"))
        .route(Route::new("/p/{id}").to("b").rewrite_path("/q/{other}"))
        .route(Route::new("/bad").to("b").rewrite_path("/q/{"))
        .route(Route::new("/late").to("b").timeout(Duration::ZERO))
        .route(Route::new("/h").host("*.*.test").to("b"))
        .route(Route::new("/split").split([("b", 0)]))
        .route(Route::new("/nowhere"))
        .route(Route::get("/u/{id}").to("b"))
        .route(Route::get("/u/{name}").to("b"))
        .trust_proxies(["everybody", "10.0.0.0/8", "somebody"])
        .build()
        .unwrap_err();
    let mistakes: Vec<_> = error.mistakes().collect();
    let expected: [&[&str]; 17] = [
        &["upstream `a`", "max_connections is 0"],
        &["upstream `a`", "timeout is 0"],
        &["upstream `a`", "`ftp://x`"],
        &["upstream `a`", "`http://y:0`"],
        &["upstream `b` is there twice"],
        &["upstream `none`", "no endpoint"],
        &["route `/x`", "there is no upstream `nobody`"],
        &["route `no-slash`"],
        &["route `/p/{id}`", "`other`"],
        &["route `/bad`"],
        &["route `/late`", "timeout is 0"],
        &["route `/h`", "*.*.test"],
        &["route `/split`"],
        &["route `/nowhere`", "it leads nowhere"],
        &["/u/{id}", "/u/{name}"],
        &["`everybody`"],
        &["`somebody`"],
    ];
    for parts in expected {
        let of_these = |mistake: &&&str| parts.iter().all(|part| mistake.contains(part));
        assert_eq!(
            mistakes.iter().filter(of_these).count(),
            1,
            "{parts:?} in {mistakes:#?}"
        );
    }
    assert!(mistakes.last().unwrap().contains("`not a token`"));
    assert_eq!(mistakes.len(), expected.len() + 1, "{mistakes:#?}");
}

/// What `build` says of these routes, of which those to `b` lead somewhere.
fn mistakes_of(routes: impl IntoIterator<Item = Route>) -> Vec<String> {
    let gateway = Gateway::builder().upstream("b", Upstream::http(["http://127.0.0.1:1"]));
    let gateway = routes
        .into_iter()
        .fold(gateway, |it, route| it.route(route));
    let error = gateway.build().unwrap_err();
    error.mistakes().map(str::to_owned).collect()
}

#[test]
fn each_conflict_is_a_mistake_that_names_both_routes() {
    let to_b = |path: &str| Route::get(path).to("b");
    let mistakes = mistakes_of([
        to_b("no-slash"),
        to_b("/u/{id}").name("users"),
        to_b("/u/{name}").name("people"),
        to_b("/u/{x}").host("t.test"),
        to_b("/u/{y}").host("s.test").host("t.test"),
        to_b("/a"),
        to_b("/a"),
        to_b("/a").order(1),
    ]);
    assert_eq!(
        mistakes[1..],
        [
            "route `people`: it can not be told apart from route `users` for GET on any host",
            "route `/u/{y}`: it can not be told apart from route `/u/{x}` for GET on t.test",
            "route `/a`: it can not be told apart from route `/a` for GET on any host",
        ]
    );
    assert!(
        mistakes[0].starts_with("route `no-slash`: "),
        "{mistakes:?}"
    );
}

#[test]
fn a_route_with_another_mistake_is_in_conflict_too() {
    let mistakes = mistakes_of([
        Route::get("/u/{id}").to("nobody"),
        Route::get("/u/{name}").to("b").timeout(Duration::ZERO),
        Route::get("/v").to("b").host("*.*.test").host("v.test"),
        Route::get("/v").to("b").host("v.test"),
        // What its only host was meant to be is not known.
        Route::get("/w").to("b").host("*.*.test"),
        Route::get("/w").to("b"),
    ]);
    let host = "host pattern `*.*.test`: ";
    for (mistake, expected) in mistakes.iter().zip([
        "route `/u/{id}`: there is no upstream `nobody`",
        "route `/u/{name}`: timeout is 0; leave it out for no limit",
        &format!("route `/v`: {host}"),
        &format!("route `/w`: {host}"),
        "route `/u/{name}`: it can not be told apart from route `/u/{id}` for GET on any host",
        "route `/v`: it can not be told apart from route `/v` for GET on v.test",
    ]) {
        assert!(mistake.starts_with(expected), "{mistake} {expected}");
    }
    assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
}

#[test]
fn a_bad_path_is_one_mistake() {
    let mistakes = mistakes_of([
        Route::new("/p/{id").to("b").rewrite_path("/q/{id}"),
        Route::new("/p/{id").to("b").rewrite_path("/q/{"),
    ]);
    let bad = "route `/p/{id`: path pattern `/p/{id`: ";
    assert!(mistakes[0].starts_with(bad), "{mistakes:#?}");
    assert!(mistakes[1].starts_with(bad), "{mistakes:#?}");
    assert!(mistakes[2].contains("is not closed"), "{mistakes:#?}");
    assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
}

#[test]
fn a_router_and_an_upstream_by_themselves_list_their_mistakes_too() {
    let bad = || Upstream::http(["ftp://x", "http://y:0"]).max_connections(0);
    assert_eq!(bad().check().unwrap_err().mistakes().len(), 3);
    let router = RouterLayer::builder()
        .upstream("a", bad())
        .route(Route::new("/x").to("a"))
        .build();
    assert_eq!(router.unwrap_err().mistakes().len(), 3);
    let fixed = |host: &'static str| {
        let host = HostHeader::Fixed(http::HeaderValue::from_static(host));
        Upstream::http(["http://y:1"]).host(host).check()
    };
    assert!(fixed("shop.test:80").is_ok());
    let mistake = fixed("shop.test/a").unwrap_err().to_string();
    assert!(mistake.contains("`shop.test/a`"), "{mistake}");
}

#[test]
fn the_order_of_the_stages_is_printed() {
    let layer = || TimeoutLayer::new(Duration::from_secs(9));
    let again = tower::layer::layer_fn(|inner: tower_gateway::Next| inner);
    let service = tower::service_fn(|_: http::Request<tower_gateway::Body>| async {
        Ok::<_, tower_gateway::BoxError>(http::Response::new(tower_gateway::Body::empty()))
    });
    let gateway = Gateway::builder()
        .upstream(
            "orders",
            Upstream::http(["http://10.0.0.1:8080", "https://orders/v1"]).layer(layer()),
        )
        .upstream("app", Upstream::service(service))
        .route(
            Route::get("/orders/{*rest}")
                .name("orders")
                .host("shop.test")
                .host("*.shop.test")
                .split([("orders", 9), ("app", 1)])
                .timeout(Duration::from_secs(2))
                .layer(layer())
                .layer(again)
                .strip_prefix("/orders"),
        )
        .route(Route::new("/app").to("app").body_limit(u64::MAX))
        .body_limit(1000)
        .layer(again)
        .layer(layer());
    #[cfg(feature = "cors")]
    let gateway = gateway.cors(tower_http::cors::CorsLayer::new());
    #[cfg(feature = "catch-panic")]
    let gateway = gateway.catch_panic();
    #[cfg(feature = "sensitive-headers")]
    let gateway = gateway.sensitive_headers([http::header::COOKIE]);
    #[cfg(feature = "compression")]
    let gateway = gateway.compression(tower_http::compression::CompressionLayer::new());
    #[cfg(feature = "decompression")]
    let gateway =
        gateway.decompression(tower_http::decompression::RequestDecompressionLayer::new());
    let outer = [
        (cfg!(feature = "cors"), "cors > "),
        (cfg!(feature = "catch-panic"), "rescue > "),
        (cfg!(feature = "compression"), "compression > "),
        (cfg!(feature = "sensitive-headers"), "sensitive headers > "),
        (cfg!(feature = "decompression"), "decompression > "),
    ];
    let outer: String = outer
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, name)| *name)
        .collect();
    let expected = format!(
        "\
door: client address > observe > checks > loop > {outer}canonical path > own headers > LayerFn > TimeoutLayer > match
route GET shop.test/orders/{{*rest}}|*.shop.test/orders/{{*rest}} (orders): body limit 1000 > timeout 2s > TimeoutLayer > \
LayerFn > split > rewrite > upstream orders (weight 9) | upstream app (weight 1)
route /app: upstream app
upstream orders: TimeoutLayer > Max-Forwards > endpoint > Host > connection to http://10.0.0.1:8080 | https://orders/v1
upstream app: service in this process
"
    );
    assert_eq!(gateway.build().unwrap().pipeline(), expected);
}
