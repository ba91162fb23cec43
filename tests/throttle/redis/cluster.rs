//! A cluster of three.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_gateway::{
    redis::{Redis, RedisError, RedisStatus},
    throttle::{Ask, RateLimiter, RedisLimiter},
};

use super::{
    LONG, ask, count, decide,
    nodes::Cluster,
    passes, patient, quota,
    server::{Server, until},
};
use crate::support::raw_backend;

fn limiter(seed: &Server) -> RedisLimiter {
    RedisLimiter::new(patient(Redis::cluster([seed.url()]))).timeout(LONG)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_shared_to_the_last_request() {
    let cluster = Cluster::start().await;
    let seeds = &cluster.nodes;
    let together = [limiter(&seeds[0]), limiter(&seeds[1])];
    let (one, other) = (quota(200).named("one"), quota(300).named("other"));
    let policies = [(one.clone(), "address"), (other.clone(), "user")];
    assert_eq!(count(&together, 200, &policies).await, 200);
    let of = |decisions: tower_gateway::throttle::Decisions| -> Vec<_> {
        let decisions = decisions.as_slice().iter();
        decisions.map(|decision| decision.remaining()).collect()
    };
    let asks = [ask(&one, "address"), ask(&other, "user")];
    assert_eq!(of(decide(&together[0], &asks).await), [0, 100]);
    let mut keys = Vec::new();
    for node in &cluster.nodes {
        keys.push(node.number("DBSIZE").await);
    }
    keys.sort_unstable();
    assert_eq!(keys, [0, 0, 2], "all are in one slot");

    // Spread, what is refused is given back.
    let spread = [
        limiter(&seeds[2]).spread_keys(),
        limiter(&seeds[1]).spread_keys(),
    ];
    assert_eq!(count(&spread, 200, &policies[..1]).await, 200);
    let asks = [
        ask(&other, "user"),
        ask(&other, "user"),
        ask(&one, "address"),
    ];
    for _ in 0..20 {
        assert!(!passes(&spread[0], &asks).await);
    }
    until("all is there again", async || {
        of(decide(&spread[1], &asks).await)[0] == 300
    })
    .await;
    assert_eq!(count(&spread, 400, &policies[1..]).await, 300);
    for number in 0..60 {
        assert!(passes(&spread[0], &[ask(&one, &number.to_string())]).await);
    }
    for node in &cluster.nodes {
        assert!(node.number("DBSIZE").await > 5, "they are everywhere");
    }
}

#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start().await;
    let limiters = [limiter(&cluster.nodes[0]), limiter(&cluster.nodes[2])];
    let policy = quota(100);
    let asks = [ask(&policy, "k")];
    for limiter in &limiters {
        assert!(passes(limiter, &asks).await);
    }
    let mut key = String::new();
    for node in &cluster.nodes {
        if node.number("DBSIZE").await > 0 {
            key = node.say("RANDOMKEY").await;
        }
    }
    let (from, slot) = cluster.owner(&key).await;
    let to = (from + 1) % 3;
    cluster
        .give(slot, from, to, &key, async || {
            // The one that had it sends us to the other one for this once.
            for limiter in &limiters {
                assert!(passes(limiter, &asks).await);
            }
        })
        .await;
    for limiter in &limiters {
        for _ in 0..5 {
            assert!(passes(limiter, &asks).await);
        }
    }
    let decisions = decide(&limiters[0], &asks).await;
    assert_eq!(decisions.as_slice()[0].remaining(), 100 - 2 - 2 - 10 - 1);
    assert_eq!(limiters[0].figures().failed, 0);
    assert_eq!(cluster.nodes[to].number("DBSIZE").await, 1);
    // The new place is learnt: the old node is asked no more.
    let calls = async || {
        let stats = cluster.nodes[from].say("INFO commandstats").await;
        let (_, stats) = stats.split_once("cmdstat_evalsha:").unwrap();
        let (_, calls) = stats.split_once("rejected_calls=").unwrap();
        calls.split(',').next().unwrap().to_owned()
    };
    assert_ne!(calls().await, "0");
    until("it is learnt", async || {
        let before = calls().await;
        assert!(passes(&limiters[0], &[ask(&policy, "other")]).await);
        calls().await == before
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_gone_takes_its_keys_alone() {
    let mut cluster = Cluster::start().await;
    let redis = patient(Redis::cluster(cluster.nodes.iter().map(Server::url)));
    let limiter = RedisLimiter::new(redis.clone()).timeout(LONG).spread_keys();
    let policy = quota(100);
    let keys: Vec<_> = (0..60).map(|number| number.to_string()).collect();
    for key in &keys {
        assert!(passes(&limiter, &[ask(&policy, key)]).await);
    }
    let is_up = |status: &RedisStatus| matches!(status, RedisStatus::Connected);
    let up = || {
        redis
            .status()
            .iter()
            .filter(|node| is_up(&node.status))
            .count()
    };
    assert_eq!((up(), redis.status().len()), (3, 3));
    cluster.nodes[1].stop();
    let mut failed = 0;
    for key in &keys {
        match limiter.acquire(&[ask(&policy, key)]).await {
            Ok(decisions) => assert!(decisions.is_allowed()),
            Err(error) => {
                assert!(error.is::<RedisError>(), "{error}");
                failed += 1;
            }
        }
    }
    assert!((5..55).contains(&failed), "{failed}");
    assert_eq!(up(), 2);
}

/// Two keys of the policy, of which the first is on this node and the second is not.
async fn apart(cluster: &Cluster, node: usize, limiter: &RedisLimiter) -> (String, String) {
    let (mut here, mut there) = (None, None);
    let probe = quota(1).named("probe");
    for number in 0.. {
        let key = number.to_string();
        let before = cluster.nodes[node].number("DBSIZE").await;
        assert!(passes(limiter, &[ask(&probe, &key)]).await);
        match cluster.nodes[node].number("DBSIZE").await > before {
            true => here = here.or(Some(key)),
            false => there = there.or(Some(key)),
        }
        if here.is_some() && there.is_some() {
            break;
        }
    }
    (here.unwrap(), there.unwrap())
}

#[tokio::test]
async fn a_node_that_is_gone_keeps_no_charge_from_the_others() {
    let mut cluster = Cluster::start().await;
    let limiter = limiter(&cluster.nodes[0]).spread_keys();
    let (gone, there) = apart(&cluster, 1, &limiter).await;
    cluster.nodes[1].stop();
    let policy = quota(100);
    let (gone, there) = (ask(&policy, &gone), ask(&policy, &there));
    assert!(limiter.acquire(&[gone]).await.is_err());
    for _ in 0..10 {
        assert!(limiter.charge(&[gone, there]).await.is_err());
    }
    let decisions = decide(&limiter, &[there]).await;
    assert_eq!(decisions.as_slice()[0].remaining(), 89);
}

#[tokio::test]
async fn a_node_that_is_gone_drains_no_lease_of_the_others() {
    let mut cluster = Cluster::start().await;
    let direct = limiter(&cluster.nodes[0]).spread_keys();
    let leasing = direct.clone().lease(100).lease_time(LONG);
    let (gone, there) = apart(&cluster, 1, &direct).await;
    let policy = quota(10_000);
    let (gone, there) = (ask(&policy, &gone), ask(&policy, &there));
    assert!(passes(&leasing, &[gone, there]).await);
    cluster.nodes[1].stop();
    for _ in 0..20 {
        assert!(leasing.acquire(&[gone, there]).await.is_err());
    }
    until("all is there again", async || {
        let decisions = decide(&direct, &[Ask { cost: 0, ..there }]).await;
        decisions.as_slice()[0].remaining() == 9_999
    })
    .await;
}

#[tokio::test]
async fn what_is_no_cluster_is_told() {
    let server = Server::start();
    let redis = patient(Redis::cluster([server.url()])).reconnect_delay(LONG, LONG);
    let limiter = RedisLimiter::new(redis).timeout(LONG);
    let policy = quota(1);
    for _ in 0..2 {
        let error = limiter.acquire(&[ask(&policy, "k")]).await.unwrap_err();
        assert!(
            error.to_string().contains("cluster support disabled"),
            "{error}"
        );
    }
    let other = format!("redis://:word@127.0.0.1:{}", server.port);
    for (urls, said) in [
        (vec![], "at least one URL"),
        (vec![server.url(), other], "do not agree in password"),
        (
            vec![server.url(), "redis://localhost/x".to_owned()],
            "a URL of Redis is",
        ),
        (
            vec![server.url(), format!("{}/1", server.url())],
            "one database",
        ),
    ] {
        let none = RedisLimiter::new(Redis::cluster(urls)).timeout(LONG);
        let told = none.mistakes(&[]);
        assert!(told.len() == 1 && told[0].contains(said), "{told:?}");
        let error = none.acquire(&[ask(&policy, "k")]).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// Answers the question for slots as the only node, and all others in this way.
async fn lonely(
    answer: impl Fn(usize) -> String + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let slots = Arc::new(AtomicUsize::new(0));
    let (count, asked) = (slots.clone(), AtomicUsize::new(0));
    let all = Arc::new((answer, asked));
    let address = raw_backend(move |_, mut client| {
        let (count, all) = (count.clone(), all.clone());
        async move {
            let port = client.local_addr().unwrap().port();
            let mut said = [0; 65_536];
            while let Ok(length @ 1..) = client.read(&mut said).await {
                let said = String::from_utf8_lossy(&said[..length]).into_owned();
                let answer = if said.contains("PING") {
                    "+PONG\r\n".to_owned()
                } else if said.contains("SLOTS") {
                    count.fetch_add(1, SeqCst);
                    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
                } else {
                    (all.0)(all.1.fetch_add(1, SeqCst))
                };
                if client.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (address, slots)
}

#[tokio::test]
async fn a_node_that_has_lost_its_primary_is_a_reason_to_ask_who_has_its_slots() {
    for error in [
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-CLUSTERDOWN The cluster is down\r\n",
        "-READONLY You can't write against a read only replica.\r\n",
        "-ERR Error running script (call to f_0): @user_script:9: -MASTERDOWN Link is down.\r\n",
    ] {
        let allowed = "*4\r\n:1\r\n:1700000000000000\r\n$-1\r\n:0\r\n";
        let answer = move |asked| if asked < 3 { allowed } else { error }.to_owned();
        let (address, slots) = lonely(answer).await;
        let redis = patient(Redis::cluster([format!("redis://{address}")]))
            .reconnect_delay(std::time::Duration::from_nanos(1), LONG);
        let limiter = RedisLimiter::new(redis).timeout(LONG);
        let policy = quota(9);
        for _ in 0..3 {
            assert!(passes(&limiter, &[ask(&policy, "k")]).await);
        }
        assert_eq!(slots.load(SeqCst), 1);
        assert!(limiter.acquire(&[ask(&policy, "k")]).await.is_err());
        until("it is asked", async || slots.load(SeqCst) > 1).await;
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn nodes_are_greeted_over_tls_as_the_first_one_is() {
    use super::server::free_port;

    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    let port = free_port().to_string();
    let server = Server::with(|folder| {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let chain = write("chain.pem", &certified.cert.pem());
        let key = write("key.pem", &certified.signing_key.serialize_pem());
        let settings = [
            ["--cluster-enabled", "yes"],
            ["--cluster-port", &free_port().to_string()],
            ["--tls-port", &port],
            ["--tls-auth-clients", "no"],
            ["--tls-cert-file", &chain],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &chain],
            ["--requirepass", "secret"],
            ["--tls-cluster", "yes"],
            ["--cluster-announce-ip", "127.0.0.1"],
        ];
        settings
            .concat()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect()
    });
    // Until it has slots it is no cluster, and that is found out again.
    let seed = format!("rediss://:secret@localhost:{port}");
    let redis = patient(Redis::cluster([seed])).tls_authority(certified.cert.pem());
    let limiter = RedisLimiter::new(redis.clone()).timeout(LONG);
    let policy = quota(2);
    let error = limiter.acquire(&[ask(&policy, "k")]).await.unwrap_err();
    assert!(error.to_string().contains("slots"), "{error}");
    let said = server
        .say_after("AUTH secret", "CLUSTER ADDSLOTSRANGE 0 16383")
        .await;
    assert_eq!(said, "+OK");
    until("it has slots", async || {
        let decisions = limiter.acquire(&[ask(&policy, "k")]).await;
        decisions.is_ok_and(|decisions| decisions.is_allowed())
    })
    .await;
    assert!(passes(&limiter, &[ask(&policy, "k")]).await);
    assert!(!passes(&limiter, &[ask(&policy, "k")]).await);
    let nodes: Vec<_> = redis
        .status()
        .into_iter()
        .map(|node| node.address)
        .collect();
    let expected = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    assert_eq!(nodes, expected.map(String::into_boxed_str));
}

#[cfg(feature = "auth")]
#[tokio::test]
async fn revocations_are_kept_in_a_cluster_too() {
    use std::time::{Duration, SystemTime};
    use tower_gateway::auth::RedisRevocation;

    let cluster = Cluster::start().await;
    let redis = patient(Redis::cluster([cluster.nodes[0].url()])).timeout(LONG);
    let revocation = RedisRevocation::new(redis);
    let until = SystemTime::now() + Duration::from_secs(60);
    let kept = async || {
        let mut kept = 0;
        for node in &cluster.nodes {
            kept += node.number("DBSIZE").await;
        }
        kept
    };
    for number in 0..20 {
        revocation.revoke(&number.to_string(), until).await.unwrap();
    }
    assert_eq!(kept().await, 20);
    for number in 0..20 {
        revocation.restore(&number.to_string()).await.unwrap();
    }
    assert_eq!(kept().await, 0);
}
