//! Requests that try to be somebody else's, or to go where they may not.

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tower_gateway::{
    Gateway, GatewayBuilder, Route,
    auth::{
        AuthorizeLayer, IdentityHeadersLayer, Issuer, JwtLayer,
        jose::{Algorithm, KeySet, SigningKey},
    },
};

use crate::support::{Heard, Recorded, Recorder, raw_backend, read_head, say, serve, upstream};

/// A gateway that believes one key, and what its backend has heard.
struct Door {
    key: SigningKey,
    gateway: SocketAddr,
    backend: Recorder,
}

impl Door {
    async fn open(routes: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let (backend, address) = Recorder::start().await;
        let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
        let gateway = routes(builder(&key, address)).build().unwrap();
        let gateway = serve(gateway).await;
        Self {
            key,
            gateway,
            backend,
        }
    }

    /// `Authorization`, with a token that says this too.
    fn bearer(&self, claims: Value) -> String {
        format!("Authorization: Bearer {}", token(&self.key, claims))
    }

    /// The status of the answer, and what has reached the backend because of it.
    async fn ask(&self, start: &str, lines: &[&str]) -> (u16, Vec<Recorded>) {
        let before = self.backend.requests().len();
        let heard = self.hear(start, lines).await;
        let new = self.backend.requests().split_off(before);
        assert!(self.backend.malformed().is_empty());
        (heard.status().unwrap(), new)
    }

    async fn hear(&self, start: &str, lines: &[&str]) -> Heard {
        let is_said = lines.iter().any(|line| line.starts_with("Connection:"));
        let close = (!is_said).then_some("Connection: close");
        let lines: Vec<_> = lines.iter().copied().chain(close).collect();
        let head = format!(
            "{start} HTTP/1.1\r\nHost: t.example\r\n{}\r\n\r\n",
            lines.join("\r\n")
        );
        say(self.gateway, head.as_bytes()).await
    }
}

fn builder(key: &SigningKey, backend: SocketAddr) -> GatewayBuilder {
    let keys = KeySet::new([key.key()]).unwrap();
    Gateway::builder()
        .upstream("backend", upstream(backend))
        .authenticate(JwtLayer::new(Issuer::new("https://a.example", keys)).cookie("session"))
        .identity_headers(
            IdentityHeadersLayer::new()
                .header("x-user", "{claims.sub}")
                .header("x-roles", "{claims.roles}"),
        )
}

fn token(key: &SigningKey, more: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims =
        json!({"iss": "https://a.example", "sub": "alice", "exp": now.as_secs() + 600});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key.sign_claims(&claims).unwrap()
}

#[tokio::test]
async fn no_spelling_of_a_path_is_another_one() {
    let own = AuthorizeLayer::new().claim_is_param("sub", "id");
    let door = Door::open(|builder| {
        builder
            .route(Route::new("/users/{id}").to("backend").authorize(own))
            .route(Route::new("/public/{*rest}").to("backend").anonymous())
    })
    .await;
    let alice = door.bearer(json!({}));
    for (path, status) in [
        ("/users/alice", 200),
        ("/users/%61lice", 200),
        ("/users/bob/../alice", 200),
        ("//users//alice", 200),
        ("/users/./alice", 200),
        ("/public/../users/alice", 200),
        ("/users/bob", 403),
        ("/users/Alice", 403),
        ("/users/alice%20", 403),
        ("/users/alice;x=1", 403),
        ("/users/alice,bob", 403),
        ("/users/%2561lice", 403),
        ("/users/alice/../bob", 403),
        ("/users/alice/%2e%2e/bob", 403),
        ("/users/alice/.%2E/%62ob", 403),
        ("/users/alice?id=bob&id=alice", 200),
        ("/users/bob?id=alice", 403),
        ("/users/alice/", 404),
        ("/users/", 404),
        ("/USERS/alice", 404),
        ("/users/alice%2f..%2fbob", 400),
        ("/users/alice/..%2fbob", 400),
        ("/users/alice/..;/bob", 400),
        ("/users/alice%5c..%5cbob", 400),
        ("/users/alice\\..\\bob", 400),
        ("/users/alice%00", 400),
        ("/users/bob%00alice", 400),
        ("/users/alice/..%c0%afbob", 400),
        ("/../users/alice", 400),
    ] {
        let (came, seen) = door.ask(&format!("GET {path}"), &[&alice]).await;
        assert_eq!(came, status, "{path}");
        let seen: Vec<_> = seen.iter().map(Recorded::target).collect();
        match status {
            // Whatever was asked for, the backend is asked for what was checked.
            200 => assert!(matches!(seen[..], [one] if one.starts_with("/users/alice"))),
            _ => assert!(seen.is_empty(), "{path}: {seen:?}"),
        }
    }
    for (path, status) in [
        ("/public/shoes", 200),
        ("/public/../users/alice", 401),
        ("/public/%2e%2e/users/alice", 401),
        ("/public/x/../../users/alice", 401),
        ("/public/..%2fusers/alice", 400),
        ("/public/..;/users/alice", 400),
    ] {
        let (came, seen) = door.ask(&format!("GET {path}"), &[]).await;
        assert_eq!((came, seen.len()), (status, usize::from(status == 200)));
    }
}

#[tokio::test]
async fn no_method_goes_around_a_rule() {
    let door = Door::open(|builder| {
        let may = |scope: &str| AuthorizeLayer::new().all_scopes([scope]);
        builder
            .route(Route::get("/a").to("backend").authorize(may("read")))
            .route(Route::post("/a").to("backend").authorize(may("write")))
    })
    .await;
    let reader = door.bearer(json!({"scope": "read"}));
    let other = "X-HTTP-Method-Override: GET";
    for (start, lines, status) in [
        ("GET /a", &[&*reader][..], 200),
        ("HEAD /a", &[&reader], 200),
        ("GET /a", &[], 401),
        ("HEAD /a", &[], 401),
        ("POST /a", &[&reader, other], 403),
        ("POST /a?_method=GET", &[&reader], 403),
        ("post /a", &[&reader], 405),
        ("PUT /a", &[&reader], 405),
        ("OPTIONS /a", &[&reader], 405),
        ("TRACE /a", &[&reader], 501),
    ] {
        let (came, seen) = door.ask(start, lines).await;
        assert_eq!((came, seen.len()), (status, usize::from(status == 200)));
    }
}

#[tokio::test]
async fn no_claim_writes_another_line() {
    let door = Door::open(|builder| builder.route(Route::new("/").to("backend"))).await;
    for (claims, user, roles) in [
        (
            json!({"sub": "a\r\nx-admin: 1"}),
            Some("a%0D%0Ax-admin: 1"),
            None,
        ),
        (json!({"sub": "a, root"}), Some("a%2C root"), None),
        (
            json!({"roles": ["staff,admin", "x"]}),
            Some("alice"),
            Some("staff%2Cadmin,x"),
        ),
        (json!({"sub": "%61lice"}), Some("%2561lice"), None),
        (json!({"sub": " root "}), Some("%20root%20"), None),
        (json!({"sub": "zo\u{eb}\0"}), Some("zo%C3%AB%00"), None),
        (json!({"sub": null}), None, None),
    ] {
        // A subject is text.
        let status = if claims["sub"].is_null() && claims.get("sub").is_some() {
            401
        } else {
            200
        };
        let bearer = door.bearer(claims.clone());
        let lines = [&*bearer, "x-user: root", "X_Roles: admin", "x_user: root"];
        let (came, seen) = door.ask("GET /", &lines).await;
        assert_eq!(came, status, "{claims}");
        let Some(seen) = seen.first() else { continue };
        assert_eq!(seen.header("x-user"), Vec::from_iter(user), "{claims}");
        assert_eq!(seen.header("x-roles"), Vec::from_iter(roles), "{claims}");
        for forged in ["x-admin", "x_user", "x_roles"] {
            assert!(seen.header(forged).is_empty(), "{}", seen.head);
        }
    }
}

#[tokio::test]
async fn a_connection_header_deletes_no_proof_and_adds_none() {
    let door = Door::open(|builder| builder.route(Route::new("/").to("backend"))).await;
    let alice = door.bearer(json!({}));
    for name in ["x-user", "x-roles", "x_user", "authorization", "cookie"] {
        let connection = format!("Connection: {name}, close");
        let lines = [&*alice, &connection, "x-user: root"];
        let (came, seen) = door.ask("GET /", &lines).await;
        assert_eq!((came, seen.len()), (200, 1), "{name}");
        assert_eq!(seen[0].header("x-user"), ["alice"], "{name}");
    }
}

#[tokio::test]
async fn every_line_of_a_header_and_its_aliases_say_what_the_claim_does() {
    let rule = AuthorizeLayer::new().claim_is_header("tenant", "X-Tenant");
    let route = Route::new("/").to("backend").authorize(rule);
    let door = Door::open(|builder| builder.route(route)).await;
    let alice = door.bearer(json!({"tenant": ["acme", "own"]}));
    for (lines, status) in [
        (&["x-tenant: acme"][..], 200),
        (&["X-TENANT: acme", "x-tenant: own"], 200),
        (&[], 403),
        (&["x-tenant: globex"], 403),
        (&["x-tenant: acme", "x-tenant: globex"], 403),
        (&["x-tenant: globex", "x-tenant: acme"], 403),
        (&["x-tenant: acme, globex"], 403),
        // Some backends read it as the same field.
        (&["x-tenant: acme", "X_Tenant: globex"], 403),
        (&["X_Tenant: acme"], 403),
    ] {
        let lines = [&[&*alice], lines].concat();
        let (came, seen) = door.ask("GET /", &lines).await;
        assert_eq!(
            (came, seen.len()),
            (status, usize::from(status == 200)),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn an_upgrade_is_let_in_as_any_other_request() {
    let door = Door::open(|builder| builder.route(Route::get("/chat").to("backend"))).await;
    let upgrade = [
        "Connection: upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let heard = door.hear("GET /chat", &upgrade).await;
    assert_eq!(heard.status(), Some(401));
    assert!(door.backend.requests().is_empty());
}

#[tokio::test]
async fn who_is_not_let_in_is_not_asked_for_a_body() {
    let door = Door::open(|builder| builder.route(Route::post("/a").to("backend"))).await;
    let lines = ["Expect: 100-continue", "Content-Length: 1000000"];
    let heard = door.hear("POST /a", &lines).await;
    let text = String::from_utf8(heard.bytes).unwrap();
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    assert!(door.backend.requests().is_empty());
}

#[tokio::test]
async fn trailers_do_not_say_who_it_is() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let backend = raw_backend(move |_, mut stream| {
        let tell = tell.clone();
        async move {
            let mut all = read_head(&mut stream).await.into_bytes();
            while !all.ends_with(b"x-sum: 1\r\n\r\n") {
                all.push(stream.read_u8().await.unwrap());
            }
            tell.send(String::from_utf8(all).unwrap()).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let gateway = builder(&key, backend).route(Route::new("/").to("backend"));
    let gateway = serve(gateway.build().unwrap()).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Trailer: x-user, x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nx-user: root\r\nx_user: root\r\nX-Roles: admin\r\nauthorization: Bearer x\r\nx-sum: 1\r\n\r\n",
        token(&key, json!({}))
    );
    assert_eq!(say(gateway, request.as_bytes()).await.status(), Some(200));
    let told = told.recv().await.unwrap();
    assert!(told.contains("x-user: alice\r\n"), "{told}");
    for forged in ["root", "admin", "Bearer"] {
        assert!(!told.contains(forged), "{told}");
    }
}

#[cfg(feature = "cors")]
#[tokio::test]
async fn a_preflight_is_answered_and_opens_nothing() {
    use tower_http::cors::CorsLayer;

    let door = Door::open(|builder| {
        let origin = "https://app.example".parse().unwrap();
        let cors = CorsLayer::new().allow_origin([origin]);
        let cors = cors.allow_headers([http::header::AUTHORIZATION]);
        builder.cors(cors).route(Route::new("/a").to("backend"))
    })
    .await;
    let preflight = [
        "Origin: https://app.example",
        "Access-Control-Request-Method: GET",
    ];
    for (start, status) in [("OPTIONS /a", 200), ("GET /a", 401), ("POST /a", 401)] {
        let heard = door.hear(start, &preflight).await;
        assert_eq!(heard.status(), Some(status), "{start}");
        let text = String::from_utf8(heard.bytes).unwrap();
        // A page may read why it was refused.
        assert!(text.contains("access-control-allow-origin: https://app.example"));
    }
    assert_eq!(
        door.hear("OPTIONS /a", &[]).await.status(),
        Some(401),
        "it is no preflight"
    );
    assert!(door.backend.requests().is_empty());
}
