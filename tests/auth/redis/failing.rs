//! A Redis that is away, silent, slow, somebody else, or wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_gateway::{auth::RedisRevocation, redis::RedisError};

use super::{
    HOUR, LONG, later, layer,
    proxy::Proxy,
    reason, redis,
    server::{Server, until},
};
use crate::{
    jwt::{ask, key, status, token},
    support::{raw_backend, refusing},
};

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
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let address = raw_backend(move |number, mut stream| {
        count.store(number + 1, Ordering::SeqCst);
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
    let accepted = accepted.load(Ordering::SeqCst);
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
