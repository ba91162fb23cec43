use proptest::prelude::*;

use super::*;

fn written(name: &str, status: CacheStatus<'_>) -> String {
    let mut headers = HeaderMap::new();
    status.append(&CacheName::new(name).unwrap(), &mut headers);
    headers["cache-status"].to_str().unwrap().to_owned()
}

#[test]
fn all_parts_are_written() {
    let fwd = |fwd| CacheStatus {
        fwd: Some(fwd),
        ..CacheStatus::default()
    };
    for (status, expected) in [
        (CacheStatus::default(), "gw; hit"),
        (
            CacheStatus {
                ttl: Some(376),
                ..CacheStatus::default()
            },
            "gw; hit; ttl=376",
        ),
        (
            CacheStatus {
                ttl: Some(-412),
                ..CacheStatus::default()
            },
            "gw; hit; ttl=-412",
        ),
        (
            CacheStatus {
                ttl: Some(i64::MIN),
                ..CacheStatus::default()
            },
            "gw; hit; ttl=-999999999999999",
        ),
        (
            CacheStatus {
                ttl: Some(i64::MAX),
                ..CacheStatus::default()
            },
            "gw; hit; ttl=999999999999999",
        ),
        (fwd(Fwd::Bypass), "gw; fwd=bypass"),
        (fwd(Fwd::Method), "gw; fwd=method"),
        (fwd(Fwd::UriMiss), "gw; fwd=uri-miss"),
        (fwd(Fwd::VaryMiss), "gw; fwd=vary-miss"),
        (fwd(Fwd::Miss), "gw; fwd=miss"),
        (fwd(Fwd::Request), "gw; fwd=request"),
        (fwd(Fwd::Stale), "gw; fwd=stale"),
        (
            CacheStatus {
                fwd_status: Some(StatusCode::NOT_MODIFIED),
                is_stored: true,
                is_collapsed: true,
                ttl: Some(9),
                key: Some(b"GET https://a/\xc3\xbc?\"\\\n"),
                detail: Some(NotStored::NoStore.as_str()),
                ..fwd(Fwd::Stale)
            },
            "gw; fwd=stale; fwd-status=304; stored; collapsed; ttl=9; key=\"GET https://a/%C3%BC?\\\"\\\\%0A\"; detail=no-store",
        ),
        (
            CacheStatus {
                detail: Some("two words"),
                ..CacheStatus::default()
            },
            "gw; hit; detail=\"two words\"",
        ),
        (
            CacheStatus {
                detail: Some(""),
                ..CacheStatus::default()
            },
            "gw; hit; detail=\"\"",
        ),
    ] {
        assert_eq!(written("gw", status), expected);
    }
}

#[test]
fn names_are_tokens_or_strings() {
    for (name, expected) in [
        ("ExampleCache", "ExampleCache; hit"),
        ("*a/b:c", "*a/b:c; hit"),
        ("1st", "\"1st\"; hit"),
        ("my \"cache\"", "\"my \\\"cache\\\"\"; hit"),
    ] {
        assert_eq!(written(name, CacheStatus::default()), expected);
    }
    for name in ["", "a\n", "caf\u{e9}", "\u{7f}"] {
        assert!(CacheName::new(name).is_none(), "{name:?}");
    }
}

#[test]
fn what_other_caches_said_stays_before_it() {
    let mut headers = headers(&[
        ("cache-status", "Origin; hit"),
        ("cache-status", "Cdn; fwd=miss"),
    ]);
    CacheStatus::default().append(&CacheName::new("gw").unwrap(), &mut headers);
    let lines: Vec<_> = headers.get_all("cache-status").iter().collect();
    assert_eq!(lines, ["Origin; hit", "Cdn; fwd=miss", "gw; hit"]);
}

proptest! {
    #[test]
    fn nothing_breaks_it(name: String, key: Vec<u8>, detail: String, ttl: i64) {
        let name = CacheName::new(&name).unwrap_or_else(|| CacheName::new("gw").unwrap());
        let status = CacheStatus { ttl: Some(ttl), key: Some(&key), detail: Some(&detail), ..CacheStatus::default() };
        let mut headers = HeaderMap::new();
        status.append(&name, &mut headers);
        let written = headers["cache-status"].to_str().unwrap();
        prop_assert!(written.contains("; hit; ttl=") && written.contains("; detail="));
    }
}
