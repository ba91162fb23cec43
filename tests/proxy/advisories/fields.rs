//! Advisories about header fields that the gateway sets or judges by.

use http::{HeaderName, HeaderValue, Request};
use tower::util::MapRequestLayer;
use tower_gateway::{Body, Gateway, HeaderMatch, Route};

use crate::support::{Recorder, in_front_of, request_with, say, send, serve, upstream};

/// CVE-2021-32813, CVE-2024-45410 (Traefik): `Connection` names what the gateway has set, and so deletes it.
#[tokio::test]
async fn cve_2021_32813_cve_2024_45410_connection_deletes_nothing_of_the_gateways() {
    let (recorder, backend) = Recorder::start().await;
    let identify = |mut request: Request<Body>| {
        request
            .headers_mut()
            .insert("x-user-id", HeaderValue::from_static("7"));
        request
    };
    let route = Route::new("/api/{*rest}")
        .strip_prefix("/api")
        .to("backend");
    let gateway = Gateway::builder()
        .upstream("backend", upstream(backend))
        .own_header(HeaderName::from_static("x-user-id"))
        .layer(MapRequestLayer::new(identify))
        .route(route.rewrite(|to| to.request_header_set("x-tenant", "acme")));
    let gateway = serve(gateway.build().unwrap()).await;
    let names = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "via",
        "host",
        "x-request-id",
        "traceparent",
        "x-user-id",
        "x-tenant",
        "authorization",
        "cookie",
        "content-type",
    ];
    let mut asked = request_with(
        "/api/a",
        &[
            ("authorization", "a"),
            ("cookie", "b=1"),
            ("content-type", "c/d"),
        ],
    );
    for spelled in [str::to_owned, str::to_ascii_uppercase] {
        for name in names {
            asked
                .headers_mut()
                .append("connection", spelled(name).parse().unwrap());
        }
    }
    asked
        .headers_mut()
        .append("connection", names.join(" ,\t").parse().unwrap());
    assert_eq!(send(gateway, asked).await.status(), 200);
    let seen = recorder.take();
    for name in names {
        assert_eq!(seen.header(name).len(), 1, "{name} in {}", seen.head);
    }
}

/// Every way to write some of a name's `-` as `_`, and some letters large.
fn spellings(name: &str) -> Vec<String> {
    let dashes: Vec<_> = name.match_indices('-').map(|(at, _)| at).collect();
    (0..1 << dashes.len())
        .flat_map(|bits: usize| {
            let mut spelled = name.to_owned();
            for (bit, at) in dashes
                .iter()
                .enumerate()
                .filter(|(bit, _)| bits & 1 << bit != 0)
            {
                let _ = bit;
                spelled.replace_range(at..&(at + 1), "_");
            }
            [spelled.to_uppercase(), spelled]
        })
        .collect()
}

/// CVE-2026-39858 (Traefik), CVE-2026-30851 and CVE-2026-52845 (Caddy): a field of the gateway's comes from the client
/// under an alias, or under its own name when the gateway has nothing to say.
#[tokio::test]
async fn cve_2026_39858_cve_2026_30851_cve_2026_52845_no_alias_of_an_owned_field_comes_through() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = |trusted: Option<&str>| {
        Gateway::builder()
            .upstream("backend", upstream(backend))
            .own_header(HeaderName::from_static("x-user-id"))
            .trust_proxies(trusted)
            .route(Route::new("/a").to("backend"))
            .build()
            .unwrap()
    };
    for trusted in [None, Some("127.0.0.1")] {
        let gateway = serve(gateway(trusted)).await;
        for owned in [
            "x-user-id",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-request-id",
            "x-real-ip",
        ] {
            for spelled in spellings(owned) {
                // A trusted proxy may say all but who the user is, under the true name.
                if trusted.is_some() && owned != "x-user-id" && !spelled.contains('_') {
                    continue;
                }
                let text = format!(
                    "GET /a HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n{spelled}: forged\r\n\r\n"
                );
                assert_eq!(
                    say(gateway, text.as_bytes()).await.status(),
                    Some(200),
                    "{spelled}"
                );
                let head = recorder.take().head;
                assert!(
                    !head.contains("forged"),
                    "{spelled}, trusted {trusted:?}: {head}"
                );
            }
        }
    }
}

/// CVE-2026-26308 (Envoy): of several values of a field a policy sees one.
#[tokio::test]
async fn cve_2026_26308_a_policy_sees_every_value() {
    let role = || HeaderName::from_static("x-role");
    let (recorder, backend) = Recorder::start().await;
    let route = |route: Route| {
        route
            .to("backend")
            .rewrite(|to| to.request_header_set("x-was", "{header.x-role}"))
    };
    let gateway = Gateway::builder()
        .upstream("backend", upstream(backend))
        .route(route(
            Route::new("/a")
                .name("all but admins")
                .header(!HeaderMatch::exact(role(), "admin")),
        ));
    let gateway = serve(gateway.build().unwrap()).await;
    for (lines, status) in [
        (&["user"][..], 200),
        (&["admin"], 404),
        (&["user", "admin"], 404),
        (&["admin", "user"], 404),
        (&["user, admin"], 404),
        (&["user", "x,admin ,y"], 404),
        (&["user", "\"admin\""], 404),
    ] {
        let lines: Vec<_> = lines.iter().map(|value| ("x-role", *value)).collect();
        assert_eq!(
            send(gateway, request_with("/a", &lines)).await.status(),
            status,
            "{lines:?}"
        );
    }
    let lines = [("x-role", "a"), ("x-role", "b")];
    recorder.take();
    assert_eq!(
        send(gateway, request_with("/a", &lines)).await.status(),
        200
    );
    assert_eq!(recorder.take().header("x-was"), ["a, b"]);
}

/// CVE-2025-41235 (Spring Cloud Gateway): forwarded fields are believed from anybody.
#[tokio::test]
async fn cve_2025_41235_nobody_is_believed_by_default() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = in_front_of(backend).await;
    let names = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-by",
        "x-real-ip",
        "x-request-id",
    ];
    let lines = names.map(|name| (name, "forged"));
    assert_eq!(
        send(gateway, request_with("/a", &lines)).await.status(),
        200
    );
    let seen = recorder.take();
    assert!(!seen.head.contains("forged"), "{}", seen.head);
    assert_eq!(seen.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-host"), ["t.example"]);
    assert_eq!(seen.header("x-forwarded-proto"), ["http"]);
}
