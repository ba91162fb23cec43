//! What was taken back, in a real Redis that several gateways share, and that fails.

mod server;

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_gateway::{
    Gateway, Rejection,
    auth::{JwtLayer, RedisRevocation, jose::SigningKey},
    redis::{Redis, RedisError},
};

use crate::{
    jwt::{ask, issuer, key, keys, now, status, token},
    support::{raw_backend, refusing},
};
use server::{Proxy, Server, until};

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
        let grace = 300_000;
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
async fn a_redis_that_has_stopped_is_a_503_and_its_return_is_noticed() {
    let (mut server, key) = (Server::start(), key("a"));
    let redis = redis(server.url()).reconnect_delay(Duration::from_millis(1), HOUR);
    let layer = layer(&key, RedisRevocation::new(redis));
    let token = token(&key, json!({"jti": "1"}));
    assert_eq!(status(&layer, &token).await, 200);
    // The delay would be a minute in the end, if it was not forgotten each time.
    for _ in 0..16 {
        server.stop();
        for _ in 0..50 {
            assert_eq!(status(&layer, &token).await, 503);
        }
        server.start_again();
        until("it is back", async || status(&layer, &token).await == 200).await;
    }
}

#[tokio::test]
async fn a_gateway_starts_without_redis() {
    let (_socket, nobody) = refusing();
    let key = key("a");
    let url = format!("redis://{nobody}");
    let (closed, token) = (
        layer(&key, RedisRevocation::new(redis(&*url))),
        token(&key, json!({"jti": "1"})),
    );
    let why = reason(&closed, &token).await;
    assert!(why.contains(&nobody.to_string()), "{why}");
    let open = layer(&key, RedisRevocation::new(redis(&*url)).fail_open(true));
    assert_eq!(status(&open, &token).await, 200);
}

#[tokio::test]
async fn a_silent_redis_costs_one_call_its_time() {
    let (server, key) = (Server::start(), key("a"));
    let proxy = Proxy::to(server.address()).await;
    let time = Duration::from_millis(500);
    let redis = redis(proxy.url())
        .stall_timeout(time)
        .reconnect_delay(LONG, LONG);
    let ready = RedisRevocation::new(redis.clone());
    let layer = layer(&key, RedisRevocation::new(redis.timeout(time)));
    let token = token(&key, json!({"jti": "1"}));
    // A slow machine has all the time that it takes to connect.
    ready.restore("1").await.unwrap();

    proxy.block(true);
    let begun = Instant::now();
    let why = reason(&layer, &token).await;
    assert!(
        begun.elapsed() >= time && why.contains("within 500ms"),
        "{why}"
    );
    let why = reason(&layer, &token).await;
    assert!(why.contains("has said nothing"), "{why}");
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(status(&layer, &token).await, 503);
    }
    assert!(begun.elapsed() < LONG, "and not 200 times that");
    assert_eq!(proxy.accepted(), 1, "it is left alone");
}

#[tokio::test]
async fn a_silent_redis_is_tried_again_by_itself() {
    let (server, key) = (Server::start(), key("a"));
    let proxy = Proxy::to(server.address()).await;
    let time = Duration::from_millis(20);
    let redis = redis(proxy.url())
        .stall_timeout(time)
        .connect_timeout(time)
        .timeout(time);
    let (layer, token) = (
        layer(&key, RedisRevocation::new(redis)),
        token(&key, json!({"jti": "1"})),
    );
    until("it is there", async || status(&layer, &token).await == 200).await;
    proxy.block(true);
    let before = proxy.accepted();
    until("it is tried again", async || {
        assert_eq!(status(&layer, &token).await, 503);
        proxy.accepted() > before + 2
    })
    .await;
    proxy.block(false);
    until("it is back", async || status(&layer, &token).await == 200).await;
}

#[tokio::test]
async fn who_leaves_disturbs_nobody() {
    let (server, key) = (Server::start(), key("a"));
    let proxy = Proxy::to(server.address()).await;
    let revocation = RedisRevocation::new(redis(proxy.url()));
    let (layer, token) = (
        layer(&key, revocation.clone()),
        token(&key, json!({"jti": "1"})),
    );
    for is_first in [true, false] {
        proxy.block(true);
        let mut leaving = Box::pin(ask(&layer, &token));
        let mut other = Box::pin(status(&layer, &token));
        // Both have begun, and one goes away.
        assert!(futures_util::poll!(&mut leaving).is_pending(), "{is_first}");
        assert!(futures_util::poll!(&mut other).is_pending(), "{is_first}");
        drop(leaving);
        proxy.block(false);
        assert_eq!(other.await, 200);
        revocation.revoke("2", later()).await.unwrap();
    }
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn who_finds_it_dead_tells_all_others() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let time = Duration::from_millis(50);
    let patient = redis(proxy.url())
        .stall_timeout(time)
        .reconnect_delay(LONG, LONG);
    let hasty = RedisRevocation::new(patient.clone().timeout(time));
    let patient = RedisRevocation::new(patient);
    patient.restore("1").await.unwrap();
    proxy.block(true);
    let (begun, mut waiting) = (Instant::now(), Box::pin(patient.restore("1")));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let error = hasty.restore("1").await.unwrap_err();
    assert!(
        matches!(error, RedisError::TimedOut(told) if told == time),
        "{error}"
    );
    let error = waiting.await.unwrap_err();
    assert!(
        matches!(error, RedisError::Unavailable(_)) && begun.elapsed() < LONG,
        "{error}"
    );
}

#[tokio::test]
async fn a_late_answer_after_a_long_rest_is_one_calls_affair() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let redis = redis(proxy.url());
    let hasty = RedisRevocation::new(redis.clone().timeout(Duration::from_millis(20)));
    let patient = RedisRevocation::new(redis);
    patient.restore("1").await.unwrap();
    tokio::time::pause();
    tokio::time::advance(HOUR).await;
    tokio::time::resume();
    proxy.block(true);
    let error = hasty.restore("1").await.unwrap_err();
    assert!(matches!(error, RedisError::TimedOut(_)), "{error}");
    proxy.block(false);
    patient.restore("1").await.unwrap();
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn a_connection_outlives_no_runtime_and_a_redis_does() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let (server, outer) = (Server::start(), runtime());
    let proxy = outer.block_on(Proxy::to(server.address()));
    let revocation = RedisRevocation::new(redis(proxy.url()));
    proxy.block(true);
    // It ends while it connects, and then when it has a connection.
    runtime().block_on(async {
        let mut connecting = Box::pin(revocation.restore("1"));
        assert!(futures_util::poll!(&mut connecting).is_pending());
        tokio::task::yield_now().await;
    });
    proxy.block(false);
    outer.block_on(revocation.restore("1")).unwrap();
    let direct = RedisRevocation::new(redis(server.url()));
    for _ in 0..3 {
        runtime().block_on(direct.restore("1")).unwrap();
    }
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
async fn what_is_not_redis_is_not_believed() {
    for (answer, said) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "127.0.0.1"),
        ("+HELLO\r\n", "not Redis"),
        ("-ERR unknown command `PING`\r\n", "unknown command"),
        (
            "-LOADING Redis is loading the dataset in memory\r\n",
            "loading",
        ),
        ("$99999999999999\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let address = raw_backend(move |_, mut stream| async move {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let revocation = RedisRevocation::new(redis(format!("redis://{address}")));
        let error = revocation.revoke("1", later()).await.unwrap_err();
        assert!(
            matches!(error, RedisError::Unavailable(_)) && error.to_string().contains(said),
            "{answer}: {error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_repeats_the_password_is_not_quoted() {
    let address = raw_backend(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(b"-ERR what is `hunter2`?\r\n").await;
    })
    .await;
    let url = format!("redis://:hunter2@{address}?protocol=resp3");
    let revocation = RedisRevocation::new(redis(url));
    let error = revocation.revoke("1", later()).await.unwrap_err();
    assert!(error.to_string().contains("what is `…`?"), "{error}");
}

#[tokio::test]
async fn one_that_ends_each_connection_is_not_asked_over_and_over() {
    let accepted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = accepted.clone();
    let address = raw_backend(move |number, mut stream| {
        count.store(number + 1, std::sync::atomic::Ordering::SeqCst);
        async move {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(b"+PONG\r\n").await;
            let _ = stream.read(&mut [0; 64]).await;
        }
    })
    .await;
    let redis = redis(format!("redis://{address}")).reconnect_delay(LONG, LONG);
    let revocation = RedisRevocation::new(redis);
    for _ in 0..50 {
        let error = revocation.revoke("1", later()).await.unwrap_err();
        assert!(matches!(error, RedisError::Unavailable(_)), "{error}");
        tokio::task::yield_now().await;
    }
    let accepted = accepted.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn an_error_is_an_answer() {
    let (server, key) = (Server::start(), key("a"));
    let revocation = RedisRevocation::new(redis(server.url()));
    server.number("LPUSH tower-gateway:revoked:jti:1 x").await;
    let layer = layer(&key, revocation.clone());
    let why = reason(&layer, &token(&key, json!({"jti": "1"}))).await;
    assert!(why.contains("WRONGTYPE"), "{why}");
    assert_eq!(
        status(&layer, &token(&key, json!({"jti": "2"}))).await,
        200,
        "the others are asked for"
    );
    server.say("CONFIG SET maxmemory 1").await;
    let error = revocation.revoke("3", later()).await.unwrap_err();
    assert!(
        matches!(&error, RedisError::Answer(said) if said.contains("OOM")),
        "{error}"
    );
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
    let server = Server::with(|folder| {
        let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        std::fs::write(&chain, certified.cert.pem()).unwrap();
        std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        let path = |path: std::path::PathBuf| path.display().to_string();
        [
            "--port",
            "0",
            "--tls-port",
            "{port}",
            "--tls-auth-clients",
            "no",
            "--tls-cert-file",
            &path(chain.clone()),
            "--tls-key-file",
            &path(key),
            "--tls-ca-cert-file",
            &path(chain),
        ]
        .map(ToOwned::to_owned)
        .to_vec()
    });
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
