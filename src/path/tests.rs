use std::borrow::Cow;

use http::Uri;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn form(path: &str) -> Result<String, &'static str> {
    form_with(path, PathPolicy::new())
}

fn form_with(path: &str, policy: PathPolicy) -> Result<String, &'static str> {
    canonicalize(path, policy)
        .map(Cow::into_owned)
        .map_err(|error| error.code())
}

#[test]
fn one_form() {
    for (path, expected) in [
        ("/", "/"),
        ("//", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/%61%2D%2e%5F%7e", "/a-._~"),
        ("/a%3ab%c3%a9", "/a%3Ab%C3%A9"),
        ("/%40%3B@;", "/%40%3B@;"),
        ("/a/%2e/b/.%2E/c", "/a/c"),
        ("/a//../b", "/b"),
        ("/a///b//", "/a/b/"),
        ("/a/...", "/a/..."),
        ("/.a/..b/.well-known/", "/.a/..b/.well-known/"),
        ("/%252e%252E/%2525", "/%252e%252E/%2525"),
        ("/a|b[c]{d}^`\"<>", "/a%7Cb%5Bc%5D%7Bd%7D%5E%60%22%3C%3E"),
        ("/müller/你", "/m%C3%BCller/%E4%BD%A0"),
        ("/%E0%A4%85/%F0%9F%98%80/%e9", "/%E0%A4%85/%F0%9F%98%80/%E9"),
        ("/a;v=1/b;c", "/a;v=1/b;c"),
        ("/a/..%20/b", "/a/..%20/b"),
    ] {
        assert_eq!(form(path).as_deref(), Ok(expected), "{path}");
    }
}

#[test]
fn refused() {
    for (path, code) in [
        ("", "path-not-absolute"),
        ("a/b", "path-not-absolute"),
        ("*", "path-not-absolute"),
        ("\\admin", "path-not-absolute"),
        ("/%", "path-bad-escape"),
        ("/%4", "path-bad-escape"),
        ("/%4/", "path-bad-escape"),
        ("/%zz", "path-bad-escape"),
        ("/%+1", "path-bad-escape"),
        ("/%u002e", "path-bad-escape"),
        ("/%%0000", "path-bad-escape"),
        ("/%é1", "path-bad-escape"),
        ("/a%2fb", "path-encoded-slash"),
        ("/a%2Fb", "path-encoded-slash"),
        ("/a%5cb", "path-encoded-backslash"),
        ("/a%00", "path-encoded-control"),
        ("/%0d%0aX:%20y", "path-encoded-control"),
        ("/%09", "path-encoded-control"),
        ("/%7f", "path-encoded-control"),
        ("/\0", "path-control"),
        ("/a\tb", "path-control"),
        ("/a\r\nb", "path-control"),
        ("/\x7f", "path-control"),
        ("/a\\b", "path-backslash"),
        ("/a b", "path-foreign"),
        ("/a?b", "path-foreign"),
        ("/a#b", "path-foreign"),
        ("/..", "path-above-root"),
        ("/a/../..", "path-above-root"),
        ("/%2e%2E/x", "path-above-root"),
        ("//../x", "path-above-root"),
        ("/x/..;/admin", "path-ambiguous"),
        ("/x/..;a=b/admin", "path-ambiguous"),
        ("/x/%2e.%3b/admin", "path-ambiguous"),
        ("/x/..%3B/admin", "path-ambiguous"),
        ("/x/.%3B/admin", "path-ambiguous"),
        ("/x/.;/admin", "path-ambiguous"),
        ("/;/admin", "path-ambiguous"),
        ("/%3Bx/admin", "path-ambiguous"),
        ("/x/..%c0%af/admin", "path-overlong"),
        ("/%C1%81", "path-overlong"),
        ("/%e0%80%af", "path-overlong"),
        ("/%F0%80%80%AF", "path-overlong"),
        ("/%F8%80%80%80%AF", "path-overlong"),
        ("/%FC%80%80%80%80%AF", "path-overlong"),
    ] {
        assert_eq!(form(path), Err(code), "{path:?}");
    }
}

#[test]
fn the_error_says_where() {
    let error = canonicalize("/a/../..", PathPolicy::new()).unwrap_err();
    assert_eq!(error, PathError::AboveRoot { at: 6 });
    assert_eq!(error.to_string(), "`..` at byte 6 climbs above the root");
    let error = canonicalize("/ok/%zz", PathPolicy::new()).unwrap_err();
    assert_eq!(error, PathError::BadEscape { at: 4 });
}

#[test]
fn slashes_kept() {
    let policy = PathPolicy::new().merge_slashes(false);
    for (path, expected) in [
        ("//", Ok("//")),
        ("/a//b", Ok("/a//b")),
        ("/a//../b", Ok("/a/b")),
        ("/a//..", Ok("/a/")),
        ("/a//./b", Ok("/a//b")),
        ("/a/..//b", Ok("//b")),
        ("//..", Ok("/")),
        ("//../..", Err("path-above-root")),
    ] {
        assert_eq!(
            form_with(path, policy).as_deref(),
            expected.as_ref().map(|p| *p),
            "{path}"
        );
    }
}

#[test]
fn encoded_slash_is_data() {
    let policy = PathPolicy::new().allow_encoded_slash(true);
    for (path, expected) in [
        ("/a%2fb", Ok("/a%2Fb")),
        ("/a/b%2Fc/../d", Ok("/a/d")),
        ("/http:%2f%2fx", Ok("/http:%2F%2Fx")),
        ("/x/..%2fadmin", Err("path-ambiguous")),
        ("/x%2F%2e%2e%2Fadmin", Err("path-ambiguous")),
        ("/x%2F.", Err("path-ambiguous")),
        ("/x%2F..;y", Err("path-ambiguous")),
        ("/x%2F...", Ok("/x%2F...")),
        ("/x%5c", Err("path-encoded-backslash")),
    ] {
        assert_eq!(
            form_with(path, policy).as_deref(),
            expected.as_ref().map(|p| *p),
            "{path}"
        );
    }
    assert!(matches!(
        canonicalize("/a%2Fb", policy),
        Ok(Cow::Borrowed(_))
    ));
}

#[test]
fn parameters_refused() {
    let policy = PathPolicy::new().allow_parameters(false);
    for path in ["/admin;x", "/admin%3bx", "/admin%3Bx", "/;"] {
        assert_eq!(form_with(path, policy), Err("path-parameters"), "{path}");
    }
}

#[test]
fn canonical_is_borrowed() {
    for path in [
        "/",
        "/orders/7/items",
        "/a%20b/%C3%A9/%E0%A4%85",
        "/a;b/...",
        "/.well-known/x",
    ] {
        assert!(is_canonical(path.as_bytes(), PathPolicy::new()), "{path}");
        assert!(matches!(
            canonicalize(path, PathPolicy::new()),
            Ok(Cow::Borrowed(_))
        ));
    }
}

#[test]
fn uri_is_rebuilt_only_when_it_changes() {
    for (uri, expected) in [
        ("/a/b?x=%2e%2e/../%zz", None),
        ("/a/./b?x=%2e%2e/../%zz", Some("/a/b?x=%2e%2e/../%zz")),
        ("/a//b?", Some("/a/b?")),
        ("*", None),
        (
            "http://t.example:80/a/%2e?q",
            Some("http://t.example:80/a/?q"),
        ),
        ("http://t.example", None),
        ("http://t.example?q", Some("http://t.example/?q")),
    ] {
        let parsed: Uri = uri.parse().unwrap();
        let new = canonicalize_uri(&parsed, PathPolicy::new()).unwrap();
        assert_eq!(new.map(|uri| uri.to_string()).as_deref(), expected, "{uri}");
    }
    let authority: Uri = "t.example:80".parse().unwrap();
    assert_eq!(
        canonicalize_uri(&authority, PathPolicy::new()),
        Err(PathError::NotAbsolute)
    );
    // Each `|` takes three bytes when it is escaped.
    let long: Uri = format!("/{}", "|".repeat(30_000)).parse().unwrap();
    assert_eq!(
        canonicalize_uri(&long, PathPolicy::new()),
        Err(PathError::TooLong)
    );
}

fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What the most lenient server makes of a path: decodes once (overlong UTF-8 too), turns `\` into `/`, strips
/// parameters, merges slashes, resolves dots, and stops at the root.
fn lenient(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match decode(bytes, at).filter(|_| bytes[at] == b'%') {
            Some(0xaf) if decoded.last() == Some(&0xc0) => {
                decoded.pop();
                decoded.push(b'/');
                at += 3;
            }
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    let text = String::from_utf8_lossy(&decoded).replace('\\', "/");
    let mut segments = Vec::new();
    for segment in text.split('/').map(|s| s.split(';').next().unwrap()) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name.to_owned()),
        }
    }
    format!("/{}", segments.join("/"))
}

fn is_under(path: &str, guard: &str) -> bool {
    path.strip_prefix(guard)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[test]
fn public_cases() {
    let cases = data("path-normalisation.json");
    for case in cases["cases"].as_array().unwrap() {
        let raw = case["in"].as_str().unwrap();
        let (path, query) = raw
            .split_once('?')
            .map_or((raw, None), |(p, q)| (p, Some(q)));
        let got = form(path);
        if let Some(expected) = case.get("remove_dot_segments") {
            let got = form_with(path, PathPolicy::new().merge_slashes(false));
            match got {
                // The RFC stops at the root where we refuse.
                Err(code) => assert_eq!((raw, code), ("/../g", "path-above-root")),
                Ok(path) => assert_eq!(path, expected.as_str().unwrap(), "{raw}"),
            }
        } else if let Some(expected) = case.get("envoy_normalize") {
            match (got, expected.as_str()) {
                (Ok(path), Some(expected)) => assert_eq!(path, expected, "{raw}"),
                (Ok(path), None) => panic!("{raw} gave {path}"),
                (Err(_), None) => {}
                // Envoy lets these through.
                (Err(code), Some(_)) => assert!(
                    [
                        ("/a/b/../../../../c", "path-above-root"),
                        ("/../a/b", "path-above-root"),
                        ("/a/..\\c", "path-backslash"),
                        ("/%c0%af", "path-overlong"),
                        ("/%5c%25", "path-encoded-backslash"),
                        ("/a/%2F%2f/c", "path-encoded-slash"),
                    ]
                    .contains(&(raw, code)),
                    "{raw}: {code}"
                ),
            }
        } else if let Some(expected) = case.get("merge_slashes") {
            let mut path = got.unwrap();
            if let Some(query) = query {
                path = format!("{path}?{query}");
            }
            assert_eq!(path, expected.as_str().unwrap(), "{raw}");
        } else {
            let guard = case["guard"].as_str().unwrap();
            let strict = PathPolicy::new().allow_parameters(false);
            let Ok(path) = form_with(path, strict) else {
                continue;
            };
            assert_eq!(
                is_under(&path, guard),
                is_under(&lenient(&path), guard),
                "{raw} → {path}"
            );
        }
    }
}

/// Every path of up to four pieces, so that nothing depends on luck.
#[test]
fn nothing_slips_past_a_guard() {
    const PIECES: [&str; 15] = [
        "/", ".", "..", "%2e", ";", "%3b", "%3B", "%2f", "%5c", "\\", "%25", "%", "%c0%af", "%61",
        "admin",
    ];
    let strict = PathPolicy::new().allow_parameters(false);
    let mut under = 0;
    for length in 0..=4 {
        for number in 0..PIECES.len().pow(length) {
            let digit = |n| number / PIECES.len().pow(n) % PIECES.len();
            let path: String = (0..length).map(|n| PIECES[digit(n)]).collect();
            let path = format!("/{path}");
            if let Ok(path) = form_with(&path, strict) {
                let is_guarded = is_under(&path, "/admin");
                assert_eq!(is_guarded, is_under(&lenient(&path), "/admin"), "{path}");
                under += u32::from(is_guarded);
            }
            // With parameters, `/admin;x` is another path, but still one that begins so.
            if let Ok(path) = form(&path) {
                let is_reached = is_under(&lenient(&path), "/admin");
                assert!(!is_reached || path.starts_with("/admin"), "{path}");
            }
        }
    }
    assert!(under > 60, "{under}");
}

/// Pieces out of which an attacker builds a path.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/"), 2 => Just("."), 1 => Just(".."), 1 => Just("%2e"), 1 => Just("%2E"), 1 => Just(";"),
        1 => Just("%3b"),
        1 => Just("%3B"),
        1 => Just("%2F"), 1 => Just("%2f"), 1 => Just("%5c"), 1 => Just("%25"), 1 => Just("%"), 1 => Just("%c3%a9"),
        1 => Just("%c0%af"), 1 => Just("admin"), 1 => Just("%61"), 1 => Just("é"), 1 => Just("|"), 1 => Just("\\"),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn policies() -> impl Strategy<Value = PathPolicy> {
    any::<(bool, bool, bool)>().prop_map(|(merge, slash, parameters)| {
        PathPolicy::new()
            .merge_slashes(merge)
            .allow_encoded_slash(slash)
            .allow_parameters(parameters)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_refused_or_canonical(path in prop_oneof![hostile(), ".*", "/[ -~]{0,20}"], policy in policies()) {
        let Ok(once) = form_with(&path, policy) else { return Ok(()) };
        prop_assert_eq!(form_with(&once, policy), Ok(once.clone()));
        prop_assert!(once.starts_with('/') && once.is_ascii());
        prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
        prop_assert!(!policy.merge_slashes || !once.contains("//"));
        prop_assert!(policy.parameters || !once.contains(';'));
        prop_assert!(policy.encoded_slash || !once.contains("%2F"));
        for (at, _) in once.match_indices('%') {
            let hex = &once[at + 1..at + 3];
            prop_assert!(hex.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)), "{}", once);
        }
    }

    #[test]
    fn the_hot_scan_agrees_with_the_rebuild(path in prop_oneof![hostile(), "/[ -~]{0,20}"], policy in policies()) {
        if is_canonical(path.as_bytes(), policy) {
            prop_assert_eq!(rebuild(path.as_bytes(), policy).ok(), Some(path));
        }
    }
}
