//! What throttling takes: nothing for a client that is known, and no more than was said for a flood of those that are not.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use tower_gateway::throttle::{Ask, LocalStore, Policy};

use crate::counting;

/// Set where a test is alone in its process.
const ALONE: &str = "TOWER_GATEWAY_TEST_ALONE";
/// Without optimisation it would take minutes; `cargo test --release` has all of them, and so has the bench.
const FLOOD: u64 = if cfg!(debug_assertions) {
    4_000_000
} else {
    50_000_000
};
/// A million places of 16 bytes, three quarters of which can be used, and what growing leaves behind in the allocator.
const CEILING: u64 = 1_000_000 * 16 * 4 / 3 + (6 << 20);

#[test]
fn a_check_of_a_known_key_allocates_nothing_and_neither_does_a_refusal() {
    let store = LocalStore::new().max_keys(100);
    let now = Instant::now();
    let hour = Duration::from_secs(3_600);
    let policies = [
        Policy::per_hour(9),
        Policy::per_minute(7),
        Policy::sliding_window(8, hour),
    ];
    for key in 0..200_u64 {
        store.check_all(&asks(&policies, &key.to_ne_bytes()), now);
    }
    let before = counting::calls();
    let mut allowed = 0;
    for _ in 0..10 {
        for key in 0..250_u64 {
            let key = key.to_ne_bytes();
            let asks = asks(&policies, &key);
            allowed += usize::from(store.check_all(&asks, now).is_allowed());
            store.peek(&asks[0], now);
            allowed += usize::from(store.check(&asks[0], now).is_allowed());
            store.charge(&Ask { cost: 0, ..asks[0] }, now);
        }
    }
    assert_eq!(counting::calls() - before, 0);
    assert!(allowed > 500, "{allowed}");
    assert!(store.figures().overflows > 0, "some have no place");
}

fn asks<'a>(policies: &'a [Policy; 3], key: &'a [u8]) -> [Ask<'a>; 3] {
    let cost = 1;
    policies.each_ref().map(|policy| Ask { policy, key, cost })
}

#[test]
fn a_flood_of_made_up_keys_takes_no_more_memory_than_was_said() {
    if std::env::var_os(ALONE).is_some() {
        return flood();
    }
    let name = "throttle::a_flood_of_made_up_keys_takes_no_more_memory_than_was_said";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "")
        .output()
        .unwrap();
    let [said, failed] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{failed}"
    );
}

fn flood() {
    let store = LocalStore::new();
    let policy = Policy::per_hour(10);
    let now = Instant::now();
    let spend = |key: u64, cost| {
        let key = &key.to_ne_bytes();
        let ask = Ask {
            policy: &policy,
            key,
            cost,
        };
        store.check(&ask, now).is_allowed()
    };
    // A thousand who were there before, and have one left.
    let known = u64::MAX - 1_000..u64::MAX;
    assert!(known.clone().all(|key| spend(key, 9)));
    let before = memory("VmRSS:");
    let allowed = (0..FLOOD).filter(|key| spend(*key, 1)).count() as u64;
    let grown = memory("VmHWM:")
        .zip(before)
        .map_or(0, |(peak, before)| peak - before);
    assert!(grown < CEILING, "memory grew by {grown}");
    let figures = store.figures();
    assert!(
        figures.keys <= 1_000_000 && figures.evictions == 0,
        "{figures:?}"
    );
    assert_eq!(figures.keys as u64 - 1_000 + figures.overflows, FLOOD);
    let shards = 1_000_000_u64.div_ceil(4_096);
    assert!(
        allowed <= figures.keys as u64 + shards * 10,
        "{allowed} {figures:?}"
    );
    for left in [true, false] {
        assert!(
            known.clone().all(|key| spend(key, 1) == left),
            "they have what they had"
        );
    }
}

/// The memory of this process in bytes, as Linux tells it: what is held (`VmRSS:`), or the most that was (`VmHWM:`).
fn memory(name: &str) -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    Some(kib.parse::<u64>().unwrap() << 10)
}
