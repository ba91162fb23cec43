//! Predicates beyond the cases of the fixture.

use http::HeaderMap;
use http::header::{COOKIE, HeaderName, HeaderValue};

use crate::routing::{HeaderMatch, QueryMatch};

const NAME: HeaderName = HeaderName::from_static("x");

fn lines(name: &HeaderName, lines: &[&[u8]]) -> HeaderMap {
    let lines = lines
        .iter()
        .map(|line| (name.clone(), HeaderValue::from_bytes(line).unwrap()));
    lines.collect()
}

#[test]
fn headers() {
    let exact = |value| HeaderMatch::exact(NAME, value);
    let cases: [(HeaderMatch, &[&[u8]], bool); 24] = [
        (exact("a"), &[b"b", b"a"], true),
        (!exact("a"), &[b"b", b"a"], false),
        (!exact("a"), &[b"b", b"c"], true),
        (!exact("a"), &[], true),
        (!!exact("a"), &[b"a"], true),
        (!exact("a"), &[b"b, a"], false),
        (!HeaderMatch::prefix(NAME, "a"), &[b"b", b"c, ab"], false),
        (!HeaderMatch::exists(NAME), &[b"", b" "], true),
        (HeaderMatch::exists(NAME), &[b"", b"a"], true),
        (HeaderMatch::exists(NAME).or("a"), &[b"b"], true),
        // A value that has the separator in it.
        (exact("a, b"), &[b"a, b"], true),
        (exact("a, b"), &[b"a,b"], false),
        (HeaderMatch::prefix(NAME, "a, b"), &[b"a, bc"], true),
        // Quoted pairs (RFC 9110 section 5.6.4).
        (exact("a"), &[br#""\", a, ""#], false),
        (exact("a"), &[br#""\"", a"#], true),
        (exact(r#"a"b\"#), &[br#""a\"b\\""#], true),
        (exact(r"\"), &[br#""\"#], false),
        // Neither has to be UTF-8.
        (exact("a"), &[b"\xff, a"], true),
        (HeaderMatch::contains(NAME, "é"), &[b"caf\xc3\xa9"], true),
        (HeaderMatch::contains(NAME, "é"), &[b"caf\xe9"], false),
        (exact("É").ignore_case(), &["é".as_bytes()], false),
        (HeaderMatch::contains(NAME, ""), &[b"a"], true),
        (HeaderMatch::contains(NAME, ""), &[b""], false),
        (HeaderMatch::prefix(NAME, "abc"), &[b"ab"], false),
    ];
    for (wanted, sent, met) in cases {
        assert_eq!(wanted.holds(&lines(&NAME, sent)), met, "{wanted} {sent:?}");
    }
    let crumbs = lines(&COOKIE, &[b"a=1; b=2", b"c=3"]);
    for (crumb, met) in [
        ("b=2", true),
        ("c=3", true),
        ("a=1; b=2", true),
        ("b=2, c=3", false),
    ] {
        assert_eq!(
            HeaderMatch::exact(COOKIE, crumb).holds(&crumbs),
            met,
            "{crumb}"
        );
    }
}

#[test]
fn queries() {
    let exact = |name: &str, value: &str| QueryMatch::exact(name, value);
    let cases = [
        (exact("a", "b c"), "a=b+c", true),
        (exact("a", "b c"), "a=b%20c", true),
        (exact("a", "b+c"), "a=b%2bc", true),
        (exact("a", "b+c"), "a=b+c", false),
        (exact("é ", "ü"), "%C3%A9+=%C3%BC", true),
        (exact("a", "%zz%"), "a=%zz%", true),
        (exact("a", "%4"), "a=%4", true),
        (exact("a", "="), "a==", true),
        (exact("a", "b"), "a=c&a=b", true),
        (!exact("a", "b"), "a=c&a=b", false),
        (!exact("a", "b"), "a=c", true),
        (exact("a", "b"), "a=b;c=d", false),
        (exact("a", "b"), "A=b", false),
        (exact("a", "b").ignore_case(), "a=B", true),
        (exact("a", "b").ignore_case(), "A=b", false),
        (exact("a", ""), "a", true),
        (exact("a", ""), "b&&=", false),
        (exact("", ""), "&&", false),
        (QueryMatch::exists("a"), "a=", true),
        (QueryMatch::exists("a"), "b&a", true),
        (QueryMatch::exists("a"), "b=a", false),
        (QueryMatch::exists("a"), "", false),
        // Bytes that are not UTF-8 are compared as they are.
        (exact("a", "\u{fffd}"), "a=%ff", false),
        (QueryMatch::contains("a", "b"), "a=%ffb%fe", true),
        (!QueryMatch::prefix("a", "b"), "a=%ffb", true),
    ];
    for (wanted, query, met) in cases {
        assert_eq!(wanted.holds(Some(query)), met, "{wanted} in {query}");
    }
    assert!((!exact("a", "b")).holds(None));
}
