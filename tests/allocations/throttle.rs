//! What throttling takes: nothing for a client that is known, and no more than was said for a flood of those that are not.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tower_gateway::throttle::{Ask, LocalStore, Policy};

use crate::counting;

/// Set where a test is alone in its process.
const ALONE: &str = "TOWER_GATEWAY_TEST_ALONE";
/// Fifty million keys take minutes without optimisation. They are all there where this is set, as in `.ci/run`, and in a release build.
const WHOLE: &str = "TOWER_GATEWAY_WHOLE_FLOOD";
const THREADS: u64 = 2;
const PLACES: u64 = 1_500_000;
/// 16 bytes for a place, and what is beside them: the beginnings of pages, the locks, and what the allocator needs.
const CEILING: u64 = PLACES * 16 + (1 << 20);

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
    let is_whole = !cfg!(debug_assertions) || std::env::var_os(WHOLE).is_some();
    let size: u64 = if is_whole { 50_000_000 } else { 4_000_000 };
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
    let flood = &|thread| {
        let keys = (0..size).skip(thread).step_by(THREADS as usize);
        keys.filter(|key| spend(*key, 1)).count() as u64
    };
    let allowed: u64 = thread::scope(|scope| {
        let others: Vec<_> = (0..THREADS as usize)
            .map(|thread| scope.spawn(move || flood(thread)))
            .collect();
        others.into_iter().map(|other| other.join().unwrap()).sum()
    });
    let grown = memory("VmHWM:")
        .zip(before)
        .map_or(0, |(peak, before)| peak - before);
    assert!(grown < CEILING, "memory grew by {grown}");
    let figures = store.figures();
    assert!(
        figures.keys as u64 <= PLACES && figures.evictions == 0,
        "{figures:?}"
    );
    assert_eq!(figures.keys as u64 - 1_000 + figures.overflows, size);
    let buckets = PLACES.div_ceil(4_096) + 1;
    assert!(
        allowed <= figures.keys as u64 + buckets * 10,
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
