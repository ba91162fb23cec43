use http::{HeaderValue, header};
use proptest::prelude::*;

use super::*;

/// 2024-06-01 00:00.
const NOW: u64 = 1_717_200_000_000;

const EARLIER: &str = "Sat, 25 May 2024 10:00:00 GMT";
const SAME: &str = "Sun, 26 May 2024 10:00:00 GMT";
const LATER: &str = "Mon, 27 May 2024 10:00:00 GMT";

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn judge(status: u16, request: &[(&str, &str)], stored: &[(&str, &str)]) -> Condition {
    let stored = map(stored);
    let held = Held {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &stored,
        // SAME.
        answered_at: 1_716_717_600_000,
    };
    evaluate(&Method::GET, &map(request), held, NOW)
}

#[test]
fn a_tag_decides() {
    for (asked, stored, expected) in [
        (r#""a""#, Some(r#""a""#), true),
        (r#""a""#, Some(r#""b""#), false),
        (r#""a""#, Some(r#""A""#), false),
        (r#""a""#, Some(r#"W/"a""#), true),
        (r#"W/"a""#, Some(r#""a""#), true),
        (r#"W/"a""#, Some(r#"W/"a""#), true),
        (r#""a", "b""#, Some(r#""b""#), true),
        (r#" "a" ,, W/"b",	"c""#, Some(r#""c""#), true),
        (r#""a,b""#, Some(r#""a,b""#), true),
        (r#""a,b", "c""#, Some(r#""c""#), true),
        (r#""x", "a,b""#, Some(r#""b""#), false),
        (r#""a\", "b""#, Some(r#""b""#), true),
        (r#""""#, Some(r#""""#), true),
        (r#""ü""#, Some(r#""ü""#), true),
        ("*", Some(r#""a""#), true),
        ("*", None, true),
        (r#""a""#, None, false),
        (r#""*""#, Some(r#""a""#), false),
        (r#"*, "b""#, Some(r#""a""#), false),
        ("", Some(r#""a""#), false),
        // What is no tag is the same only as it came.
        ("a", Some("a"), true),
        ("a", Some(r#""a""#), false),
        (r#""a""#, Some("a"), false),
        (r#"w/"a""#, Some(r#"w/"a""#), true),
        (r#"w/"a""#, Some(r#"W/"a""#), false),
        (r#"W\"a""#, Some(r#"W\"a""#), true),
        (r#"W"a""#, Some(r#"W"a""#), true),
        (r#""a"#, Some(r#""a""#), false),
    ] {
        let stored: Vec<_> = stored.into_iter().map(|tag| ("etag", tag)).collect();
        let expected = match expected {
            true => Condition::NotModified,
            false => Condition::Whole,
        };
        let found = judge(200, &[("if-none-match", asked)], &stored);
        assert_eq!(found, expected, "{asked} {stored:?}");
    }
    let lines = [("if-none-match", r#""x""#), ("if-none-match", r#""a""#)];
    let stored = [("etag", r#""a""#)];
    assert_eq!(judge(200, &lines, &stored), Condition::NotModified);
    // Which of two tags is the answer's?
    let two = [("etag", r#""a""#), ("etag", r#""b""#)];
    assert_eq!(judge(200, &lines, &two), Condition::Whole);
}

#[test]
fn a_date_decides() {
    let modified = ("last-modified", SAME);
    for (since, stored, expected) in [
        (SAME, &[modified][..], true),
        (LATER, &[modified], true),
        (EARLIER, &[modified], false),
        ("Sunday, 26-May-24 10:00:00 GMT", &[modified], true),
        ("Sun May 26 10:00:00 2024", &[modified], true),
        ("Sun May 26 09:59:59 2024", &[modified], false),
        ("yesterday", &[modified], false),
        ("", &[modified], false),
        // Without `Last-Modified` it is `Date`, and without that the time at which it came.
        (SAME, &[("date", SAME)], true),
        (EARLIER, &[("date", SAME)], false),
        (LATER, &[("date", EARLIER)], true),
        (SAME, &[], true),
        (EARLIER, &[], false),
        (SAME, &[("last-modified", "soon"), ("date", LATER)], false),
        (SAME, &[("last-modified", EARLIER), ("date", LATER)], true),
    ] {
        let expected = match expected {
            true => Condition::NotModified,
            false => Condition::Whole,
        };
        let found = judge(200, &[("if-modified-since", since)], stored);
        assert_eq!(found, expected, "{since} {stored:?}");
    }
    let two = [("if-modified-since", LATER), ("if-modified-since", LATER)];
    assert_eq!(judge(200, &two, &[modified]), Condition::Whole);
}

#[test]
fn conditions_have_an_order() {
    let stored = [("etag", r#""a""#), ("last-modified", SAME)];
    for (status, request, expected) in [
        (200, &[][..], Condition::Whole),
        (
            200,
            &[("if-none-match", r#""a""#), ("if-modified-since", EARLIER)],
            Condition::NotModified,
        ),
        (
            200,
            &[("if-none-match", r#""b""#), ("if-modified-since", LATER)],
            Condition::Whole,
        ),
        (200, &[("if-match", r#""a""#)], Condition::Forward),
        (200, &[("if-unmodified-since", LATER)], Condition::Forward),
        (
            200,
            &[("if-none-match", "*"), ("if-match", "*")],
            Condition::Forward,
        ),
        (203, &[("if-none-match", r#""a""#)], Condition::NotModified),
        (404, &[("if-none-match", "*")], Condition::Whole),
        (301, &[("if-modified-since", LATER)], Condition::Whole),
    ] {
        let found = judge(status, request, &stored);
        assert_eq!(found, expected, "{status} {request:?}");
    }
    let stored = map(&stored);
    let held = Held {
        status: StatusCode::OK,
        headers: &stored,
        answered_at: 0,
    };
    let request = map(&[("if-modified-since", LATER)]);
    for (method, expected) in [
        (Method::HEAD, Condition::NotModified),
        (Method::POST, Condition::Whole),
    ] {
        assert_eq!(evaluate(&method, &request, held, NOW), expected);
    }
}

#[test]
fn tags_are_strong_by_their_form() {
    let is_strong = |one: &[u8], other: &[u8]| {
        ETag::read(one)
            .unwrap()
            .is_strongly(&ETag::read(other).unwrap())
    };
    for (one, other, expected) in [
        (r#""a""#, r#""a""#, true),
        (r#""a""#, r#""b""#, false),
        (r#"W/"a""#, r#""a""#, false),
        (r#""a""#, r#"W/"a""#, false),
        (r#"W/"a""#, r#"W/"a""#, false),
        ("a", "a", false),
        (r#""a b""#, r#""a b""#, false),
        (r#"""#, r#"""#, false),
    ] {
        assert_eq!(
            is_strong(one.as_bytes(), other.as_bytes()),
            expected,
            "{one} {other}"
        );
    }
    assert!(ETag::read(b" \t").is_none());
}

#[test]
fn a_304_has_what_clients_update() {
    let whole = [
        ("cache-control", "max-age=60"),
        ("content-location", "/a"),
        ("date", SAME),
        ("etag", r#""a""#),
        ("expires", LATER),
        ("vary", "accept"),
        ("access-control-allow-origin", "*"),
        ("content-security-policy", "default-src 'self'"),
    ];
    let mut headers = map(&whole);
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-length", "3"),
        ("content-encoding", "gzip"),
        ("content-language", "de"),
        ("last-modified", SAME),
        ("content-md5", "x"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    trim_to_not_modified(&mut headers);
    assert_eq!(headers, map(&whole));

    let mut headers = map(&[("last-modified", SAME), ("content-type", "text/plain")]);
    trim_to_not_modified(&mut headers);
    assert!(headers.contains_key(header::LAST_MODIFIED));
    assert!(!headers.contains_key(header::CONTENT_TYPE));
}

proptest! {
    #[test]
    fn no_bytes_break_it(
        asked in "[\"W/,* a-z\u{80}-\u{ff}\t]{0,24}",
        tag in "[\"W/,* a-z\u{80}-\u{ff}\t]{0,8}",
        since in "[A-Za-z0-9:, ]{0,32}",
    ) {
        let stored = [("etag", &*tag), ("last-modified", &*since)];
        judge(200, &[("if-none-match", &*asked), ("if-modified-since", &*since)], &stored);
        judge(200, &[("if-modified-since", &*since)], &stored);
    }

    /// What a client has from here is not sent again.
    #[test]
    fn a_tag_that_was_given_is_known(
        tag in "(W/)?\"[!#-~]{0,8}\"",
        before in proptest::collection::vec("(W/)?\"[!#-~]{0,8}\"", 0..4),
    ) {
        let asked = before.iter().chain([&tag]).cloned().collect::<Vec<_>>().join(", ");
        let found = judge(200, &[("if-none-match", &*asked)], &[("etag", &*tag)]);
        prop_assert_eq!(found, Condition::NotModified);

        let known = before.iter().any(|other| other.trim_start_matches("W/") == tag.trim_start_matches("W/"));
        if !known && !before.is_empty() {
            let found = judge(200, &[("if-none-match", &*before.join(","))], &[("etag", &*tag)]);
            prop_assert_eq!(found, Condition::Whole);
        }
    }
}
