//! One file reads the clock, and cores take what they need as arguments.

use std::collections::BTreeSet;

use crate::{mentions::Mentions, names::Names, source::Source};

/// What decides, and does nothing else: tested by tables, properties and fuzzing, without a runtime.
const CORES: &[&str] = &[
    "auth::api_key::key",
    "field",
    "auth::bearer",
    "auth::client_cert::certificate",
    "auth::client_cert::der",
    "auth::client_cert::header",
    "auth::client_cert::x509",
    "auth::forward::exchange",
    "auth::introspection::answer",
    "auth::jose",
    "auth::keys::discovery",
    "auth::keys::freshness",
    "auth::keys::schedule",
    "auth::query",
    "authority",
    "breaker::circuit",
    "claims",
    "json",
    "client::address",
    "client::http1::decoder",
    "client::http1::head",
    "cache::condition",
    "cache::invalidation",
    "cache::key",
    "cache::purge",
    "cache::range",
    "cache::rules",
    "cache::tags",
    "cache::validation",
    "cache::vary",
    "cookie",
    "date",
    "deadline::wire",
    "gateway::door::request",
    "gateway::door::trusted",
    "load::adaptive",
    "load::limit",
    "load::priority",
    "load::queue",
    "networks",
    "observe::hex",
    "observe::log::redact",
    "observe::log::text",
    "observe::request_id",
    "observe::trace_context",
    "path",
    "problem",
    "redis::circuit",
    "redis::slots",
    "redis::target",
    "rendezvous",
    "retry::backoff",
    "retry::budget",
    "retry::latencies",
    "retry::policy",
    "routing",
    "sticky",
    "template",
    "throttle::algorithm",
    "throttle::decision",
    "throttle::gcra",
    "throttle::headers",
    "throttle::key::bytes",
    "throttle::policy",
    "throttle::redis::lease",
    "throttle::redis::limit",
    "throttle::redis::rate",
    "throttle::store::limiter",
    "throttle::store::stripe",
    "throttle::store::table",
    "throttle::window",
    "upstream::balance",
    "upstream::forwarded",
    "upstream::hygiene",
    "upstream::max_forwards",
    "upstream::outlier",
    "upstream::owned",
    "upstream::via",
];

/// Runtimes, timers, I/O, services, chance and time.
const NOT_IN_CORES: [&str; 20] = [
    "crate::client::connect",
    "crate::client::io",
    "crate::client::pool",
    "crate::clock",
    "crate::random",
    "futures_util",
    "hyper::client",
    "hyper_util",
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "tokio",
    "tower",
    "tracing",
];

fn reads_of_a_clock(source: &Source) -> BTreeSet<String> {
    let names = Names::new(source);
    let mut wrong = BTreeSet::new();
    for (path, module) in &source.modules {
        if path.join("::") == "clock" {
            continue;
        }
        let named = Mentions::of(&module.items);
        for words in named.paths.iter().filter(|words| words.len() > 1) {
            let last = &*words[words.len() - 1];
            let is_read = last == "now" || last.starts_with("now_") || last == "elapsed";
            let is_ours = || {
                names
                    .trail(path, words)
                    .iter()
                    .any(|stop| stop.join("::") == "crate::clock::now")
            };
            if is_read && !is_ours() {
                wrong.insert(format!("{}: {}", module.file, words.join("::")));
            }
        }
        if named.methods.iter().any(|method| method == "elapsed") {
            wrong.insert(format!("{}: .elapsed()", module.file));
        }
    }
    wrong
}

fn impurities(source: &Source, cores: &[&str]) -> BTreeSet<String> {
    let names = Names::new(source);
    let mut wrong = BTreeSet::new();
    for core in cores {
        let is_in = |path: &str| path == *core || path.starts_with(&format!("{core}::"));
        let mut modules = source
            .modules
            .iter()
            .filter(|(path, _)| is_in(&path.join("::")))
            .peekable();
        if modules.peek().is_none() {
            wrong.insert(format!("there is no core {core}"));
        }
        for (path, module) in modules {
            let named = Mentions::of(&module.items).paths;
            for stop in named.iter().flat_map(|named| names.trail(path, named)) {
                let stop = stop.join("::");
                if NOT_IN_CORES
                    .iter()
                    .any(|not| stop == *not || stop.starts_with(&format!("{not}::")))
                {
                    wrong.insert(format!("{}: {stop} in a core", module.file));
                }
            }
        }
    }
    wrong
}

#[test]
fn one_file_reads_the_clock() {
    let wrong = reads_of_a_clock(&Source::library());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn cores_are_pure() {
    let wrong = impurities(&Source::library(), CORES);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_read_of_a_clock_is_found() {
    let is_wrong = |text: &str| {
        let files = [
            ("lib.rs", "mod clock; mod a;"),
            (
                "clock.rs",
                "pub fn now() -> u8 { tokio::time::Instant::now().elapsed() }",
            ),
            ("a.rs", text),
        ];
        !reads_of_a_clock(&Source::sample(&files)).is_empty()
    };
    for text in [
        "fn f() { Instant::now() }",
        "fn f() { tokio::time::Instant::now() }",
        "use std::time::SystemTime as S; fn f() { S::now() }",
        "fn f() { UNIX_EPOCH.elapsed() }",
        "fn f(since: Instant) { since\n.elapsed() }",
        "fn f(since: Instant) { Instant::elapsed(&since) }",
        "fn f(since: Option<Instant>) { since.unwrap_or_else(Instant::now) }",
        "fn f(since: Instant) { info!(took = since.elapsed()) }",
        "macro_rules! f { () => { std::time::Instant::now() } }",
        "fn f() { chrono::Utc::now_utc() }",
        "use std::time::Instant as clock; fn f() { clock::now() }",
    ] {
        assert!(is_wrong(text), "{text}");
    }
    for text in [
        "use crate::clock; fn f() { clock::now() }",
        "use super::clock::now; fn f() { now() }",
        "fn f(now: Instant, since: Instant) { crate::clock::now() - now.duration_since(since) }",
        "fn f() { log!(at = crate::clock::now()) }",
        "use tokio::time::error::Elapsed; // Instant::now()",
        "#[cfg(test)] mod tests { fn f() { Instant::now() } } const A: &str = \"Instant::now()\";",
    ] {
        assert!(!is_wrong(text), "{text}");
    }
}

#[test]
fn what_a_core_may_not_have_is_found() {
    let is_wrong = |text: &str| {
        let files = [
            ("lib.rs", "mod clock; mod core; mod shell;"),
            ("clock.rs", "pub fn now() {}"),
            ("shell.rs", "pub use tokio::time;"),
            ("core/mod.rs", "mod inner;"),
            ("core/inner.rs", text),
        ];
        !impurities(&Source::sample(&files), &["core"]).is_empty()
    };
    for text in [
        "use tokio::time::{self, sleep};",
        "async fn f() { tokio::time::timeout(a, b).await }",
        "use crate::shell::time; fn f() { time::sleep(a) }",
        "use super::super::clock; fn f() -> u8 { clock::now() }",
        "use {std::{fs, fmt}};",
        "fn f() { t!(crate::clock::now()) }",
        "fn f<S: tower::Service<u8>>(_: S) {}",
    ] {
        assert!(is_wrong(text), "{text}");
    }
    for text in [
        "use std::{net::IpAddr, time::Instant}; fn f(now: Instant) {}",
        "#[cfg(test)] mod tests { use tokio::time; }",
    ] {
        assert!(!is_wrong(text), "{text}");
    }
    assert!(
        !impurities(&Source::sample(&[("lib.rs", "")]), &["core"]).is_empty(),
        "a core that is gone"
    );
}
