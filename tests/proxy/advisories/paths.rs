//! Advisories about spellings of paths.

use axum::Router;
use http::StatusCode;
use tower_gateway::{Gateway, PathPolicy, Route, Upstream};

use crate::support::{Recorder, say, serve, upstream};

/// What a lenient backend makes of a path: it decodes, takes backslashes for slashes, merges those and resolves dots,
/// with parameters on them; when asked, it takes parameters off every segment.
fn leniently(path: &str, parameters: bool) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escape = behind
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match escape
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|_| *first == b'%')
        {
            Some(byte) => (bytes.push(byte), rest = &behind[2..]).1,
            None => (bytes.push(*first), rest = behind).1,
        }
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut segments = Vec::new();
    for segment in text.split('/') {
        let name = segment.split(';').next().unwrap();
        let segment = if parameters || matches!(name, "" | "." | "..") {
            name
        } else {
            segment
        };
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// CVE-2025-66490 (Traefik), CVE-2021-29492 (Envoy): another spelling of a path gets past the policy for it.
#[tokio::test]
async fn cve_2025_66490_cve_2021_29492_no_spelling_gets_past_a_policy() {
    let spellings = [
        "/admin",
        "/admin/",
        "/admin/x",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/.%2E/admin",
        "/%61dmin",
        "/%61%64%6d%69%6e/x",
        "/admin%2fx",
        "/admin%2Fx",
        "/x%2f..%2fadmin",
        "/x/..%2fadmin",
        "/x%5c..%5cadmin",
        r"/x\..\admin",
        "/%5cadmin",
        r"/\admin",
        "/%2fadmin",
        "/x//..//admin",
        "/admin?x",
        "/admin#x",
        "/admin%00",
        "/%c0%afadmin",
        "/x/..;/admin",
        "/;/admin",
        "/.;x/admin",
        "http://t.example/admin",
        "http://t.example//admin",
        "/x/../../admin",
        "/admin%3bx",
        "/admin;x",
        "/admin;x/y",
        "/admin%3Bx/y",
    ];
    let refuses = Router::new().fallback(|| async { StatusCode::FORBIDDEN });
    for parameters in [true, false] {
        let (recorder, backend) = Recorder::start().await;
        let gateway = Gateway::builder()
            .path_policy(PathPolicy::new().allow_parameters(parameters))
            .upstream("refuses", Upstream::service(refuses.clone()))
            .upstream("backend", upstream(backend))
            .route(Route::new("/admin/{*rest}").to("refuses"))
            .route(Route::new("/{*rest}").to("backend"));
        let gateway = serve(gateway.build().unwrap()).await;
        for spelling in spellings {
            let text =
                format!("GET {spelling} HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n");
            let status = say(gateway, text.as_bytes()).await.status();
            assert!(
                matches!(status, Some(200 | 400 | 403)),
                "{spelling}: {status:?}"
            );
        }
        let plain = b"GET /x HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n";
        assert_eq!(say(gateway, plain).await.status(), Some(200));
        assert!(recorder.malformed().is_empty());
        for seen in recorder.requests() {
            // Where parameters are allowed, a backend that strips them is not to be put behind the gateway.
            let path = leniently(seen.target().split('?').next().unwrap(), !parameters);
            assert!(
                path != "/admin" && !path.starts_with("/admin/"),
                "{}",
                seen.target()
            );
        }
    }
}

/// CVE-2026-40912, CVE-2026-48020 (Traefik): the prefix is taken off another spelling than was matched, or `..` appears
/// once it is off.
#[tokio::test]
async fn cve_2026_40912_cve_2026_48020_a_stripped_path_is_the_one_that_was_matched() {
    for (policy, cases) in [
        (
            PathPolicy::new(),
            &[
                ("/api/x", Some("/x")),
                ("/%61pi/x", Some("/x")),
                ("//api//x", Some("/x")),
                ("/y/../api/x", Some("/x")),
                ("/api/%252e%252e/admin", Some("/%252e%252e/admin")),
                ("/api//evil.example/x", Some("/evil.example/x")),
                ("/api/../admin", None),
                ("/api/%2e%2e/admin", None),
                ("/api/x/..%2f..%2fadmin", None),
                ("/api%2fx", None),
                ("/api%2f..%2fadmin", None),
                ("/api/..;/admin", None),
                ("/api/.;/admin", None),
                (r"/api\..\admin", None),
                ("/api../admin", None),
            ][..],
        ),
        (
            PathPolicy::new()
                .merge_slashes(false)
                .allow_encoded_slash(true),
            &[
                ("/api//evil.example/x", Some("/evil.example/x")),
                ("/api///x", Some("/x")),
                ("/api/a%2fb", Some("/a%2Fb")),
                ("/api/..%2fadmin", None),
                ("/api/a%2f..%2f..%2fadmin", None),
            ],
        ),
    ] {
        let (recorder, backend) = Recorder::start().await;
        let gateway = Gateway::builder()
            .path_policy(policy)
            .upstream("backend", upstream(backend))
            .route(
                Route::new("/api/{*rest}")
                    .strip_prefix("/api")
                    .to("backend"),
            );
        let gateway = serve(gateway.build().unwrap()).await;
        for (path, expected) in cases {
            let text =
                format!("GET {path} HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n");
            let status = say(gateway, text.as_bytes()).await.status();
            match expected {
                Some(expected) => assert_eq!(recorder.take().target(), *expected, "{path}"),
                None => assert!(matches!(status, Some(400 | 404)), "{path}: {status:?}"),
            }
        }
        assert!(recorder.requests().is_empty() && recorder.malformed().is_empty());
    }
}

/// What the policy's docs warn of: two spellings are one path for both sides, or two for both.
#[tokio::test]
async fn slashes_in_a_row_are_one_unless_the_policy_says_otherwise() {
    let refuses = Router::new().fallback(|| async { StatusCode::FORBIDDEN });
    // Each with what the backend gets, unless the other route takes it.
    for (policy, cases) in [
        (
            PathPolicy::new(),
            [
                ("/admin", None),
                ("//admin", None),
                ("///admin", None),
                ("/.//admin", None),
                ("//x//admin", Some("/x/admin")),
            ],
        ),
        (
            PathPolicy::new().merge_slashes(false),
            [
                ("/admin", None),
                ("//admin", Some("//admin")),
                ("///admin", Some("///admin")),
                ("/.//admin", Some("//admin")),
                ("//x//admin", Some("//x//admin")),
            ],
        ),
    ] {
        let (recorder, backend) = Recorder::start().await;
        let gateway = Gateway::builder()
            .path_policy(policy)
            .upstream("refuses", Upstream::service(refuses.clone()))
            .upstream("backend", upstream(backend))
            .route(Route::new("/admin").to("refuses"))
            .route(Route::new("/{*rest}").to("backend"));
        let gateway = serve(gateway.build().unwrap()).await;
        for (path, expected) in cases {
            let text =
                format!("GET {path} HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n");
            let status = say(gateway, text.as_bytes()).await.status();
            match expected {
                Some(target) => assert_eq!(recorder.take().target(), target, "{policy:?} {path}"),
                None => assert_eq!(status, Some(403), "{policy:?} {path}"),
            }
        }
        assert!(recorder.requests().is_empty() && recorder.malformed().is_empty());
    }
}
