//! What was taken back, in a real Redis that several gateways share, and that fails.

mod failing;
#[path = "../servers/proxy.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod proxy;
#[path = "../servers/redis.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod server;

use std::time::{Duration, SystemTime};

use serde_json::json;
use tower_gateway::{
    Gateway, Rejection,
    auth::{JwtLayer, RedisRevocation, jose::SigningKey},
    redis::{Redis, RedisError},
};

use crate::jwt::{ask, issuer, key, keys, now, status, token};
use server::Server;

const HOUR: Duration = Duration::from_secs(3_600);
const LONG: Duration = Duration::from_secs(20);

/// One that waits for a slow machine, and tries again soon.
fn redis(url: impl Into<Box<str>>) -> Redis {
    Redis::new(url)
        .timeout(LONG)
        .connect_timeout(LONG)
        .stall_timeout(LONG)
        .reconnect_delay(Duration::from_millis(1), Duration::from_millis(20))
}

fn layer(key: &SigningKey, revocation: RedisRevocation) -> JwtLayer {
    JwtLayer::new(issuer(keys(&[key]))).revocation(revocation)
}

fn later() -> SystemTime {
    SystemTime::now() + HOUR
}

/// Why the request was not let in, for the log.
async fn reason(layer: &JwtLayer, token: &str) -> String {
    let answer = ask(layer, token).await;
    assert_eq!(answer.status(), 503);
    let Rejection(error) = answer.extensions().get().unwrap();
    std::error::Error::source(error).unwrap().to_string()
}

#[tokio::test]
async fn what_is_taken_back_at_one_gateway_is_so_at_the_other_at_once() {
    let (server, key) = (Server::start(), key("a"));
    let one = RedisRevocation::new(redis(server.url()));
    let (here, there) = (
        layer(&key, one.clone()),
        layer(&key, RedisRevocation::new(redis(server.url()))),
    );
    let old = now() - 60;
    let tokens = [
        token(&key, json!({"sub": "alice", "jti": "1"})),
        token(&key, json!({"sub": "alice", "jti": "2"})),
        token(&key, json!({"sub": "mallory", "jti": "3", "iat": old})),
        token(&key, json!({"sub": "mallory", "iat": null})),
        token(&key, json!({"sub": "mallory", "iat": now() + 30})),
        token(&key, json!({"sub": null, "jti": null})),
    ];
    let both = async |expected: [u16; 6]| {
        for (token, expected) in tokens.iter().zip(expected) {
            assert_eq!(
                [status(&here, token).await, status(&there, token).await],
                [expected; 2],
                "{token}"
            );
        }
    };
    both([200; 6]).await;
    one.revoke("1", later()).await.unwrap();
    both([401, 200, 200, 200, 200, 200]).await;
    one.revoke_subject("mallory", later()).await.unwrap();
    both([401, 200, 401, 401, 200, 200]).await;
    one.restore("1").await.unwrap();
    one.restore_subject("mallory").await.unwrap();
    both([200; 6]).await;
}

#[tokio::test]
async fn entries_go_by_themselves_and_are_where_others_find_them() {
    let (server, key) = (Server::start(), key("a"));
    let revocation = RedisRevocation::new(redis(server.url()).key_prefix("shop:"));
    revocation.revoke("7", later()).await.unwrap();
    revocation.revoke_subject("mallory", later()).await.unwrap();
    for entry in ["shop:revoked:jti:7", "shop:revoked:sub:mallory"] {
        let left = server.number(&format!("PTTL {entry}")).await;
        let grace = 3_600_000;
        assert!(
            (3_540_000 + grace..=3_600_000 + grace).contains(&left),
            "{entry}: {left} ms"
        );
    }
    revocation
        .revoke("over", SystemTime::now() - HOUR)
        .await
        .unwrap();
    revocation
        .revoke(
            "for ever",
            SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 62),
        )
        .await
        .unwrap();
    assert_eq!(server.number("DBSIZE").await, 3);

    let layer = layer(&key, revocation);
    let written = token(&key, json!({"sub": "bob", "jti": "8", "iat": now() - 10}));
    for (entry, value, expected) in [
        ("shop:revoked:jti:8", "x".to_owned(), 401),
        ("tower-gateway:revoked:jti:8", "x".to_owned(), 200),
        ("shop:revoked:sub:bob", format!("{}000", now() - 5), 401),
        ("shop:revoked:sub:bob", format!("{}000", now() - 15), 200),
        ("shop:revoked:sub:bob", "all".to_owned(), 401),
    ] {
        assert_eq!(server.say(&format!("SET {entry} {value}")).await, "+OK");
        assert_eq!(status(&layer, &written).await, expected, "{entry} {value}");
        server.number(&format!("DEL {entry}")).await;
    }
}

#[tokio::test]
async fn many_share_one_connection() {
    let (server, key) = (Server::start(), key("a"));
    let layer = layer(&key, RedisRevocation::new(redis(server.url())));
    let all = (0..500).map(|jti| {
        let (layer, token) = (layer.clone(), token(&key, json!({"jti": jti.to_string()})));
        tokio::spawn(async move { status(&layer, &token).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), 200);
    }
    let clients = server.say("INFO clients").await;
    assert!(
        clients.contains("connected_clients:2\r"),
        "the layer's, and that of who asks: {clients}"
    );
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_told() {
    let server = Server::with(|_| vec!["--requirepass".to_owned(), "pass#word".to_owned()]);
    let at = format!("127.0.0.1:{}", server.port);
    let right = RedisRevocation::new(redis(format!("redis://:pass%23word@{at}/3")));
    right.revoke("1", later()).await.unwrap();
    for (wrong, said) in [
        (format!("redis://:hunter2@{at}"), "authentication failed"),
        (
            format!("redis://alice:hunter2@{at}"),
            "authentication failed",
        ),
        (format!("redis://{at}"), "NOAUTH"),
        (format!("redis://:pass%23word@{at}/99"), "DB index"),
    ] {
        let redis = redis(wrong);
        let revocation = RedisRevocation::new(redis.clone());
        let error = revocation.revoke("1", later()).await.unwrap_err();
        let shown = format!("{error} {error:?} {revocation:?}");
        assert!(
            matches!(error, RedisError::Unavailable(_)) && shown.contains(said),
            "{shown}"
        );
        assert!(
            shown.contains(&at) && !shown.contains("hunter2") && !shown.contains("pass#word"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let server = Server::with(|folder| {
        let socket = folder.join("redis.sock").display().to_string();
        vec!["--unixsocket".to_owned(), socket]
    });
    let socket = server.folder().join("redis.sock");
    let revocation = RedisRevocation::new(redis(format!("unix://{}?db=2", socket.display())));
    revocation.revoke("1", later()).await.unwrap();
    let kept = server.say("INFO keyspace").await;
    assert!(kept.contains("db2:keys=1,"), "{kept}");
    revocation.restore("1").await.unwrap();
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_is_checked() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = certified.signing_key.serialize_pem();
    let server = Server::over_tls(&certified.cert.pem(), &key);
    let at = |scheme: &str, host: &str| format!("{scheme}://{host}:{}", server.port);
    let good = redis(at("rediss", "localhost")).tls_authority(certified.cert.pem());
    RedisRevocation::new(good)
        .revoke("1", later())
        .await
        .unwrap();
    for (what, wrong) in [
        (
            "another authority",
            redis(at("rediss", "localhost")).tls_authority(other.cert.pem()),
        ),
        ("the system's authorities", redis(at("rediss", "localhost"))),
        (
            "another name",
            redis(at("rediss", "127.0.0.1")).tls_authority(certified.cert.pem()),
        ),
        ("no TLS", redis(at("redis", "localhost"))),
    ] {
        let error = RedisRevocation::new(wrong)
            .revoke("1", later())
            .await
            .unwrap_err();
        assert!(
            matches!(error, RedisError::Unavailable(_)),
            "{what}: {error}"
        );
    }
}

#[tokio::test]
async fn mistakes_are_told_when_a_gateway_is_built() {
    let key = key("a");
    let redis = Redis::new("http://:hunter2@localhost").timeout(Duration::ZERO);
    let layer = layer(&key, RedisRevocation::new(redis.clone()));
    let wrong = Gateway::builder()
        .authenticate(layer.clone())
        .build()
        .unwrap_err()
        .to_string();
    for named in [
        "jwt: redis: a URL of Redis is redis://",
        "jwt: redis: timeout is 0",
    ] {
        assert!(
            wrong.contains(named) && !wrong.contains("hunter2"),
            "{wrong}"
        );
    }
    let why = reason(&layer, &token(&key, json!({"jti": "1"}))).await;
    assert!(why.contains("redis://") || why.contains("within"), "{why}");
}
