//! Keys that somebody else has written, or that are of another time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_gateway::throttle::{Ask, Policy, RateLimiter, RedisLimiter};

use super::{ask, decide, limiter, passes, server::Server};

const QUOTA: u64 = 5;
/// All of it is there again after so long, and a segment of a window.
const PERIOD: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_millis(1_300);

fn policies() -> [Policy; 3] {
    [
        Policy::rate(QUOTA, PERIOD),
        // Not of whole microseconds.
        Policy::rate(QUOTA, PERIOD + Duration::from_nanos(1)),
        Policy::sliding_window(QUOTA, PERIOD),
    ]
}

/// What is of no key of ours, of none of this policy, or of a time to come.
fn poisons() -> Vec<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let micros = now.as_micros();
    let numbers = [
        "18446744073709551615".to_owned(),
        "99999999999999999999999999".to_owned(),
        "9007199254740993".to_owned(),
        "9007199254740991".to_owned(),
        "1e400".to_owned(),
        "1e9".to_owned(),
        "0x10".to_owned(),
        "nan".to_owned(),
        "-1".to_owned(),
        "+1".to_owned(),
        "01".to_owned(),
        "1.5".to_owned(),
        // A day from now; segments of a fifteenth of a second.
        (micros + 86_400_000_000).to_string(),
    ];
    let mut poisons: Vec<_> = [
        "",
        " ",
        "x",
        "/",
        "@",
        "5/",
        "/5",
        "5@",
        "@5",
        "5/0",
        "5/1/1",
        "5@5@5",
        "5 ",
        " 5",
        "5  1",
        "5 x",
        "5 -3",
        "5 0",
        "\\xff",
        "\\x00",
        "1099511627776 1",
        "1099511627775 1",
        "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    ]
    .map(ToOwned::to_owned)
    .into();
    let segment = micros / 71_429;
    for number in numbers {
        poisons.extend([
            number.clone(),
            format!("1/{number}"),
            format!("9007199254740991/{number}"),
            format!("{micros}@{number}"),
            format!("9007199254740991@{number}"),
            format!("1 {number} {number}"),
            format!("{segment} {number}"),
            format!("{} 1", segment + 1_000_000),
        ]);
    }
    // That is a debt as a charge makes it, though a large one: it can not be told from others.
    let debt = format!("9007199254740991@{}", micros + 86_400_000_000);
    poisons.retain(|poison| *poison != debt);
    poisons
}

async fn poison(server: &Server, key: &str, value: &str) {
    server.say(&format!("DEL {key}")).await;
    let said = match value {
        "list" => server.say(&format!("LPUSH {key} x")).await,
        "hash" => server.say(&format!("HSET {key} x y")).await,
        _ => server.say(&format!("SET {key} \"{value}\"")).await,
    };
    assert!(said == "+OK" || said == ":1", "{said}");
}

/// What there is to spend, and until when at most it is gone.
async fn look(limiter: &RedisLimiter, policy: &Policy) -> (u64, Duration) {
    let ask = Ask {
        cost: 0,
        ..ask(policy, "k")
    };
    let decisions = decide(limiter, &[ask]).await;
    let decision = decisions.as_slice()[0];
    (decision.remaining(), decision.reset_after())
}

#[tokio::test]
async fn what_is_not_of_ours_counts_as_all_and_is_written_anew() {
    let server = Server::start();
    let limiter = limiter(server.url());
    for policy in policies() {
        let asks = [ask(&policy, "k")];
        assert!(passes(&limiter, &asks).await);
        let key = server.say("RANDOMKEY").await;
        let mut values = poisons();
        values.extend(["list".to_owned(), "hash".to_owned()]);
        for value in values {
            poison(&server, &key, &value).await;
            let (left, reset) = look(&limiter, &policy).await;
            assert!(
                left <= QUOTA && reset <= LONGEST,
                "{value}: {left} {reset:?}"
            );
            // Nobody finds it again, whoever looked first.
            let kind = server.say(&format!("TYPE {key}")).await;
            assert!(kind == "+string" || kind == "+none", "{value}: {kind}");
            if kind == "+string" {
                let kept = server.say(&format!("GET {key}")).await;
                let longest = i64::try_from(LONGEST.as_millis()).unwrap();
                let time = server.number(&format!("PTTL {key}")).await;
                assert!(kept != value || left == QUOTA, "{value}");
                assert!(
                    time <= longest && time != -1 || left == QUOTA,
                    "{value}: {time}"
                );
            }
            limiter.charge(&asks).await.unwrap();
            limiter.acquire(&asks).await.unwrap();
        }
        server.say("FLUSHALL").await;
    }
}

#[tokio::test]
async fn all_is_spent_at_most_and_comes_back() {
    let server = Server::start();
    let limiter = limiter(server.url());
    for policy in policies() {
        let asks = [ask(&policy, "k")];
        assert!(passes(&limiter, &asks).await);
        let key = server.say("RANDOMKEY").await;
        for value in ["x", "list", "-1", "9007199254740991", "1099511627775 1 5"] {
            poison(&server, &key, value).await;
            let begun = std::time::Instant::now();
            let mut passed = 0;
            while begun.elapsed() < LONGEST {
                passed += u64::from(passes(&limiter, &asks).await);
            }
            let most = QUOTA as f64 * begun.elapsed().as_secs_f64() / PERIOD.as_secs_f64();
            assert!(
                (1..=most as u64).contains(&passed),
                "{value}: {passed} of {most}"
            );
        }
        server.say("FLUSHALL").await;
    }
}

#[tokio::test]
async fn a_debt_stays_one() {
    let server = Server::start();
    let limiter = limiter(server.url());
    // Of a window, it is what a count can say.
    for (policy, least) in policies()
        .into_iter()
        .zip([PERIOD * 3 / 2, PERIOD * 3 / 2, PERIOD / 2])
    {
        let charge = Ask {
            cost: 20,
            ..ask(&policy, "k")
        };
        limiter.charge(&[charge]).await.unwrap();
        let (left, reset) = look(&limiter, &policy).await;
        assert!(left == 0 && reset > least, "{policy:?}: {reset:?}");
        server.say("FLUSHALL").await;
    }
}
