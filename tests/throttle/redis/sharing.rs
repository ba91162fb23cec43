//! What is shared, exactly.

use std::time::{Duration, Instant};

use tower_gateway::throttle::{Ask, Policy, RateLimiter, RedisLimiter};

use super::{
    YEAR, ask, count, decide, limiter, passes, quota,
    server::{Server, until},
};

fn gateways(server: &Server, count: usize) -> Vec<RedisLimiter> {
    (0..count).map(|_| limiter(server.url())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_share_a_limit_to_the_last_request() {
    let server = Server::start();
    for (number, policy) in [quota(500), Policy::sliding_window(500, YEAR)]
        .iter()
        .enumerate()
    {
        for gateways_count in [2, 5] {
            let policy = policy.clone().named(format!("p{number}-{gateways_count}"));
            let gateways = gateways(&server, gateways_count);
            let passed = count(&gateways, 1_000 / gateways_count, &[(policy.clone(), "k")]).await;
            assert_eq!(passed, 500, "{policy:?}");
            for gateway in &gateways {
                let decisions = decide(gateway, &[ask(&policy, "k")]).await;
                let [refused] = decisions.as_slice() else {
                    unreachable!()
                };
                assert_eq!((refused.is_allowed(), refused.remaining()), (false, 0));
            }
            assert!(passes(&gateways[0], &[ask(&policy, "other")]).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_is_shared_too() {
    let server = Server::start();
    let policy = Policy::per_second(200).burst(20);
    let begun = Instant::now();
    let tasks: Vec<_> = gateways(&server, 5)
        .into_iter()
        .map(|gateway| {
            let policy = policy.clone();
            tokio::spawn(async move {
                let mut passed = 0;
                while begun.elapsed() < Duration::from_millis(700) {
                    passed += u32::from(passes(&gateway, &[ask(&policy, "k")]).await);
                }
                passed
            })
        })
        .collect();
    let mut passed = 0;
    for task in tasks {
        passed += task.await.unwrap();
    }
    let most = 20.0 + 200.0 * begun.elapsed().as_secs_f64();
    assert!(f64::from(passed) <= most, "{passed} of {most}");
    // It took a while to connect, and a slow machine asks seldom.
    assert!(f64::from(passed) >= most / 2.0, "{passed} of {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_spent_or_nothing() {
    let server = Server::start();
    let (wide, narrow) = (
        quota(300).named("wide"),
        Policy::sliding_window(70, YEAR).named("narrow"),
    );
    let policies = [(wide.clone(), "address"), (narrow.clone(), "user")];
    let gateways = gateways(&server, 5);
    assert_eq!(count(&gateways, 100, &policies).await, 70);
    let decisions = decide(&gateways[0], &[ask(&wide, "address"), ask(&narrow, "user")]).await;
    let [here, there] = decisions.as_slice() else {
        unreachable!()
    };
    assert_eq!((here.is_allowed(), here.remaining()), (true, 230));
    assert_eq!((there.is_allowed(), there.remaining()), (false, 0));
    assert!(there.retry_after() > Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn what_is_asked_twice_has_to_be_there_twice() {
    let server = Server::start();
    let (gateway, policy) = (limiter(server.url()), quota(3));
    let (one, twice) = ([ask(&policy, "k")], [ask(&policy, "k"); 2]);
    assert!(passes(&gateway, &twice).await);
    assert!(!passes(&gateway, &twice).await);
    assert!(passes(&gateway, &one).await);
    assert!(!passes(&gateway, &one).await);
    assert!(passes(&gateway, &[]).await);
}

#[tokio::test]
async fn a_charge_may_make_a_debt() {
    let server = Server::start();
    let gateway = limiter(server.url());
    let second = Policy::rate(10, Duration::from_secs(1));
    for policy in [
        second.clone(),
        Policy::sliding_window(10, Duration::from_secs(3_600)),
    ] {
        for cost in [25, u64::MAX] {
            let key = format!("{cost}");
            let charge = Ask {
                policy: &policy,
                key: key.as_bytes(),
                cost,
            };
            gateway.charge(&[charge]).await.unwrap();
            let looks = Ask { cost: 0, ..charge };
            let decisions = decide(&gateway, &[looks]).await;
            let [decision] = decisions.as_slice() else {
                unreachable!()
            };
            assert_eq!((decision.is_allowed(), decision.remaining()), (false, 0));
        }
    }
    let debt = ask(&second, "25");
    let decisions = decide(&gateway, &[debt]).await;
    let retry = decisions.as_slice()[0].retry_after().unwrap();
    assert!(retry <= Duration::from_millis(1_600), "{retry:?}");
}

#[tokio::test]
async fn keys_go_when_all_has_come_back() {
    let server = Server::start();
    let gateway = limiter(server.url());
    let short = Policy::rate(1, Duration::from_millis(100));
    assert!(passes(&gateway, &[ask(&short, "k")]).await);
    until("it is gone", async || server.number("DBSIZE").await == 0).await;
    for (policy, most) in [
        (Policy::per_minute(60).burst(10), 1_000),
        // It is out of the window when its segment is.
        (Policy::sliding_window(20, Duration::from_secs(60)), 64_000),
    ] {
        assert!(passes(&gateway, &[ask(&policy, "k")]).await);
        let key = server.say("RANDOMKEY").await;
        let left = server.number(&format!("PTTL {key}")).await;
        assert!(
            (most - 5_000..=most + 2).contains(&left) && left > 0,
            "{left}"
        );
        server.say("FLUSHALL").await;
    }
    // Who only looks, or is refused, leaves nothing.
    let policy = quota(1);
    let ask = ask(&policy, "k");
    assert!(passes(&gateway, &[Ask { cost: 0, ..ask }]).await);
    assert!(!passes(&gateway, &[Ask { cost: 2, ..ask }]).await);
    assert_eq!(server.number("DBSIZE").await, 0);
}

#[tokio::test]
async fn a_flushed_script_costs_one_round_trip() {
    let server = Server::start();
    let (gateway, policy) = (limiter(server.url()), quota(10));
    let asks = [ask(&policy, "k")];
    for _ in 0..3 {
        assert!(passes(&gateway, &asks).await);
        assert!(passes(&gateway, &asks).await);
        assert_eq!(server.say("SCRIPT FLUSH").await, "+OK");
    }
    assert_eq!((gateway.figures().asked, gateway.figures().failed), (6, 0));
    let stats = server.say("INFO commandstats").await;
    for calls in ["cmdstat_evalsha:calls=6,", "cmdstat_eval:calls=3,"] {
        assert!(stats.contains(calls), "{stats}");
    }
    let decisions = decide(&gateway, &asks).await;
    assert_eq!(decisions.as_slice()[0].remaining(), 3);
}
