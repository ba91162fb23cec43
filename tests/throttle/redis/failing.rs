//! A Redis that is away, silent or slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tower_gateway::{
    redis::{Redis, RedisError, RedisStatus},
    throttle::{RateLimiter, RedisLimiter},
};

use super::{
    LONG, ask, is_connected, passes, patient,
    proxy::Proxy,
    quota,
    server::{Server, until},
};
use crate::support::{raw_backend, refusing};

/// What a slow machine adds.
const LITTLE: Duration = Duration::from_secs(2);

async fn fails(limiter: &RedisLimiter) -> (RedisError, Duration) {
    let (policy, begun) = (quota(1_000_000), Instant::now());
    let error = limiter.acquire(&[ask(&policy, "k")]).await.unwrap_err();
    let error = error.downcast_ref::<RedisError>().unwrap();
    (error.clone(), begun.elapsed())
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_known_at_once() {
    let (_socket, nobody) = refusing();
    let redis = patient(Redis::new(format!("redis://{nobody}"))).reconnect_delay(LONG, LONG);
    let limiter = RedisLimiter::new(redis.clone()).timeout(LONG);
    for _ in 0..100 {
        let (error, time) = fails(&limiter).await;
        assert!(matches!(error, RedisError::Unavailable(_)) && time < LITTLE);
        assert!(error.to_string().contains(&nobody.to_string()), "{error}");
    }
    assert!(matches!(redis.status()[0].status, RedisStatus::Down { .. }));
    let figures = limiter.figures();
    assert_eq!((figures.asked, figures.failed, figures.late), (100, 100, 0));
}

#[tokio::test]
async fn layers_on_one_redis_share_what_stands_in_for_it() {
    use tower_gateway::{
        Route,
        throttle::{Policy, ThrottleLayer},
    };

    use crate::world::{gateway, get};

    let (_socket, nobody) = refusing();
    let limiter = RedisLimiter::new(Redis::new(format!("redis://{nobody}")));
    // One of two gateways has two of four.
    let layer = || ThrottleLayer::new(Policy::per_hour(1).burst(4)).limiter(limiter.clone());
    let gateway = gateway()
        .await
        .route(Route::new("/a").to("backend").throttle(layer()))
        .route(Route::new("/b").to("backend").throttle(layer()));
    let gateway = crate::support::serve(gateway.build().unwrap()).await;
    for (path, expected) in [("/a", 200), ("/b", 200), ("/a", 429), ("/b", 429)] {
        let answer = get(gateway, path, "192.0.2.1", &[]).await;
        assert_eq!(answer.status, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_killed_and_comes_back_under_load() {
    let mut server = Server::start();
    let redis = patient(Redis::new(server.url()));
    let limiter = RedisLimiter::new(redis.clone()).timeout(LONG);
    let is_over = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (limiter, is_over) = (limiter.clone(), is_over.clone());
            tokio::spawn(async move {
                let (policy, mut longest) = (quota(1_000_000), Duration::ZERO);
                while !is_over.load(SeqCst) {
                    let begun = Instant::now();
                    let _ = limiter.acquire(&[ask(&policy, "k")]).await;
                    longest = longest.max(begun.elapsed());
                    tokio::task::yield_now().await;
                }
                longest
            })
        })
        .collect();
    for _ in 0..5 {
        let answered = || {
            let figures = limiter.figures();
            figures.asked - figures.failed
        };
        let before = answered();
        until("it answers", async || answered() > before + 50).await;
        // A call that failed with the old connection may be counted after the new one is there.
        until("it is connected", async || is_connected(&redis)).await;
        let failed = limiter.figures().failed;
        server.stop();
        until("it fails", async || limiter.figures().failed > failed + 50).await;
        server.start_again();
    }
    until("it is back", async || is_connected(&redis)).await;
    is_over.store(true, SeqCst);
    for task in load {
        let longest = task.await.unwrap();
        assert!(longest < LITTLE, "{longest:?}");
    }
}

#[tokio::test]
async fn a_slow_redis_costs_each_call_its_deadline_and_no_more() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let redis = patient(Redis::new(proxy.url()));
    let policy = quota(1_000_000);
    let calm = RedisLimiter::new(redis.clone()).timeout(LONG);
    assert!(passes(&calm, &[ask(&policy, "k")]).await);
    proxy.block(true);
    // Its own deadline: that of the clone that connected is longer.
    let limiter = RedisLimiter::new(redis);
    for late in 1..=20 {
        let (error, time) = fails(&limiter).await;
        let deadline = Duration::from_millis(5);
        match error {
            RedisError::TimedOut(told) if told == deadline => {
                assert!(deadline <= time, "{time:?}");
            }
            // It is left alone for a moment.
            _ => {
                until("it is tried again", async || {
                    fails(&limiter).await;
                    limiter.figures().late == late
                })
                .await
            }
        }
        assert!(time < LITTLE, "{time:?}");
        assert_eq!(limiter.figures().late, late);
    }
    proxy.block(false);
    // What was asked for is done, though late, and nothing was asked twice.
    until("all is done", async || {
        server
            .say("INFO commandstats")
            .await
            .contains("evalsha:calls=21,")
    })
    .await;
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn a_silent_redis_is_left_alone() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let stall = Duration::from_millis(60);
    let redis = patient(Redis::new(proxy.url()))
        .stall_timeout(stall)
        .reconnect_delay(LONG, LONG);
    let policy = quota(1_000_000);
    let calm = RedisLimiter::new(redis.clone()).timeout(LONG);
    assert!(passes(&calm, &[ask(&policy, "k")]).await);
    proxy.block(true);
    // Two of them are silence, before three of them are late.
    let limiter = RedisLimiter::new(redis.clone()).timeout(Duration::from_millis(40));
    let begun = Instant::now();
    while let RedisError::TimedOut(_) = fails(&limiter).await.0 {}
    assert!(begun.elapsed() >= stall);
    assert!(matches!(redis.status()[0].status, RedisStatus::Down { .. }));
    let (late, begun) = (limiter.figures().late, Instant::now());
    for _ in 0..1_000 {
        fails(&limiter).await;
    }
    assert!(begun.elapsed() < LITTLE, "none of them has waited");
    assert_eq!(limiter.figures().late, late);
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn nobody_waits_for_a_connection_longer_than_the_deadline() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    proxy.block(true);
    let redis = patient(Redis::new(proxy.url()));
    let limiter = RedisLimiter::new(redis.clone());
    for _ in 0..3 {
        let (error, time) = fails(&limiter).await;
        assert!(
            matches!(error, RedisError::TimedOut(_)) && time < LITTLE,
            "{error}"
        );
        assert!(matches!(redis.status()[0].status, RedisStatus::Connecting));
    }
    proxy.block(false);
    until("it is connected meanwhile", async || is_connected(&redis)).await;
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn an_answer_that_is_an_error_is_one() {
    let server = Server::start();
    let redis = patient(Redis::new(server.url()));
    let limiter = RedisLimiter::new(redis.clone()).timeout(LONG);
    let policy = quota(9);
    assert!(passes(&limiter, &[ask(&policy, "k")]).await);
    server.say("CONFIG SET maxmemory 1").await;
    let error = limiter.acquire(&[ask(&policy, "k")]).await.unwrap_err();
    assert!(error.to_string().contains("OOM"), "{error}");
    server.say("CONFIG SET maxmemory 0").await;
    // A replica, as after a failover that the name has not followed.
    let (_socket, nobody) = refusing();
    server
        .say(&format!("REPLICAOF 127.0.0.1 {}", nobody.port()))
        .await;
    let error = limiter.acquire(&[ask(&policy, "k")]).await.unwrap_err();
    assert!(
        error.to_string().contains("READONLY") || error.to_string().contains("read only"),
        "{error}"
    );
    let [node] = &redis.status()[..] else {
        panic!("one server")
    };
    let RedisStatus::Down { reason, .. } = &node.status else {
        panic!("{node:?}")
    };
    assert!(reason.to_string().contains("replica"), "{reason}");
    server.say("REPLICAOF NO ONE").await;
    until("it is asked again", async || {
        limiter.acquire(&[ask(&policy, "k")]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_is_out_of_step_is_left() {
    let server = Server::start();
    let redis = patient(Redis::new(server.url())).reconnect_delay(LONG, LONG);
    let limiter = RedisLimiter::new(redis.clone()).timeout(LONG);
    let policy = quota(9);
    assert!(passes(&limiter, &[ask(&policy, "k")]).await);
    let (_socket, nobody) = refusing();
    let port = nobody.port();
    server.say("CONFIG SET replica-serve-stale-data no").await;
    server.say(&format!("REPLICAOF 127.0.0.1 {port}")).await;
    let error = limiter.acquire(&[ask(&policy, "k")]).await.unwrap_err();
    assert!(error.to_string().contains("MASTER is down"), "{error}");
    let status = &redis.status()[0].status;
    assert!(matches!(status, RedisStatus::Down { .. }), "{status:?}");
}

/// Before version 7, what a script is refused is an error of the script.
#[tokio::test]
async fn a_replica_is_left_whatever_its_version() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let address = raw_backend(|_, mut client| async move {
        let mut asked = [0; 65_536];
        while let Ok(count @ 1..) = client.read(&mut asked).await {
            let asked = String::from_utf8_lossy(&asked[..count]).into_owned();
            let said = match asked.contains("PING") {
                true => "+PONG\r\n",
                false => {
                    "-ERR Error running script (call to f_0): @user_script:200: @user_script: 200: \
                     -READONLY You can't write against a read only replica.\r\n"
                }
            };
            if client.write_all(said.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let redis = patient(Redis::new(format!("redis://{address}"))).reconnect_delay(LONG, LONG);
    let limiter = RedisLimiter::new(redis.clone()).timeout(LONG);
    let (error, _) = fails(&limiter).await;
    assert!(error.to_string().contains("read only"), "{error}");
    let status = &redis.status()[0].status;
    assert!(matches!(status, RedisStatus::Down { .. }), "{status:?}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn what_the_system_trusts_is_not_read_in_a_call() {
    let (_socket, nobody) = refusing();
    let redis = Redis::new(format!("rediss://{nobody}"));
    let limiter = RedisLimiter::new(redis);
    let policy = quota(1);
    let asks = [ask(&policy, "k")];
    let mut asking = std::pin::pin!(limiter.acquire(&asks));
    let begun = Instant::now();
    assert!(futures_util::poll!(&mut asking).is_pending());
    tokio::task::yield_now().await;
    let time = begun.elapsed();
    assert!(time < Duration::from_millis(20), "{time:?}");
    assert!(asking.await.is_err());
}
