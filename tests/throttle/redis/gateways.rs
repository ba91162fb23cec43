//! Gateways over sockets, with one limit in Redis.

use std::net::SocketAddr;

use tower_gateway::{
    Route,
    redis::Redis,
    throttle::{OnFailure, RedisLimiter, ThrottleHandle, ThrottleLayer},
};

use super::{
    limiter, patient, quota,
    server::{Server, until},
};
use crate::{
    support::serve,
    world::{gateway, get, statuses},
};

async fn with(limiter: RedisLimiter, what: OnFailure) -> (SocketAddr, ThrottleHandle) {
    let throttle = ThrottleLayer::new(quota(6).named("six"))
        .limiter(limiter)
        .on_failure(what);
    let handle = throttle.handle();
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    (serve(gateway.build().unwrap()).await, handle)
}

#[tokio::test]
async fn a_client_has_one_share_wherever_it_asks() {
    let server = Server::start();
    let (one, _) = with(limiter(server.url()), OnFailure::Closed).await;
    let (other, _) = with(limiter(server.url()), OnFailure::Closed).await;
    assert_eq!(statuses(one, "192.0.2.1", 3).await, [200; 3]);
    let answer = get(other, "/", "192.0.2.1", &[]).await;
    let told = answer.header("ratelimit")[0];
    assert!(told.starts_with("\"six\";r=2;"), "{told}");
    assert_eq!(statuses(other, "192.0.2.1", 3).await, [200, 200, 429]);
    let refused = get(one, "/", "192.0.2.1", &[]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.problem()["violated-policies"][0], "six");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(statuses(one, "192.0.2.2", 1).await, [200]);
}

#[tokio::test]
async fn without_redis_each_gateway_goes_on_and_comes_back_by_itself() {
    for (what, meanwhile) in [
        (OnFailure::Local { gateways: 3 }, [200, 200, 429]),
        (OnFailure::Open, [200; 3]),
        (OnFailure::Closed, [503; 3]),
    ] {
        let mut server = Server::start();
        let redis = patient(Redis::new(server.url()));
        let limiter = RedisLimiter::new(redis).timeout(super::LONG);
        let (gateway, handle) = with(limiter.clone(), what).await;
        assert_eq!(statuses(gateway, "192.0.2.1", 2).await, [200; 2]);
        server.stop();
        assert_eq!(
            statuses(gateway, "192.0.2.1", 3).await,
            meanwhile,
            "{what:?}"
        );
        assert!(handle.is_failing() && handle.failures() == 3, "{handle:?}");
        assert!(limiter.figures().failed >= 3, "{:?}", limiter.figures());

        server.start_again();
        until("it is asked again", async || {
            get(gateway, "/", "192.0.2.2", &[]).await;
            !handle.is_failing()
        })
        .await;
        // The new one knows of nothing.
        let again = statuses(gateway, "192.0.2.1", 7).await;
        assert_eq!(again, [200, 200, 200, 200, 200, 200, 429], "{what:?}");
    }
}

#[tokio::test]
async fn a_redis_that_is_away_from_the_beginning_keeps_no_gateway_from_it() {
    let port = super::server::free_port();
    let redis = Redis::new(format!("redis://127.0.0.1:{port}"));
    let (gateway, handle) = with(RedisLimiter::new(redis), OnFailure::Local { gateways: 1 }).await;
    let all = statuses(gateway, "192.0.2.1", 7).await;
    assert_eq!(all, [200, 200, 200, 200, 200, 200, 429]);
    assert!(handle.is_failing());
}

#[tokio::test]
async fn a_key_that_fails_fills_no_log() {
    let server = Server::start();
    let log = crate::logging::Log::start();
    let redis = patient(Redis::new(server.url()));
    let limiter = RedisLimiter::new(redis).timeout(super::LONG);
    let (gateway, _) = with(limiter, OnFailure::Open).await;
    assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [200]);
    // Nobody may touch it from now on; those of others are as before.
    let key = server.say("RANDOMKEY").await;
    statuses(gateway, "192.0.2.2", 1).await;
    let mut other = key.clone();
    while other == key {
        other = server.say("RANDOMKEY").await;
    }
    let allowed = server
        .say(&format!("ACL SETUSER default resetkeys ~{other}"))
        .await;
    assert_eq!(allowed, "+OK");
    for _ in 0..50 {
        statuses(gateway, "192.0.2.1", 1).await;
        statuses(gateway, "192.0.2.2", 1).await;
    }
    let mentions = |what: &str| log.kept().all.matches(what).count();
    // A slow machine takes longer than it may be silent.
    let times = mentions("the limiter fails");
    assert!((1..10).contains(&times), "{times}");
    assert_eq!(mentions("the limiter is back"), times);
}
