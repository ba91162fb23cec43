use proptest::prelude::*;

use super::super::directives::Directives;
use super::*;

/// What `Cache-Control` says here, as a sign that no other field counts.
const FALLBACK: u32 = 77;

fn read(fields: &[(&str, &str)]) -> Directives {
    let mut fields = fields.to_vec();
    fields.push(("cache-control", "max-age=77"));
    let target = HeaderName::from_static("gateway-cache-control");
    Directives::of(&headers(&fields), Some(&target))
}

#[test]
fn the_first_target_that_says_something_counts() {
    let own = "gateway-cache-control";
    for (fields, expected) in [
        (&[("cdn-cache-control", "max-age=1")][..], 1),
        (&[("cdn-cache-control", "max-age=1"), (own, "max-age=2")], 2),
        (&[("cdn-cache-control", "max-age=1"), (own, "")], 1),
        (
            &[("cdn-cache-control", "max-age=1"), (own, "max-age=2,")],
            1,
        ),
        (&[("cdn-cache-control", ""), (own, "&")], FALLBACK),
        (&[("other-cache-control", "max-age=1")], FALLBACK),
        (&[], FALLBACK),
    ] {
        let read = read(fields);
        assert_eq!(read.max_age, Some(expected), "{fields:?}");
        assert_eq!(read.is_targeted, expected != FALLBACK, "{fields:?}");
    }
    // A word that means nothing is a policy, too (section 3.1).
    let none = read(&[("cdn-cache-control", "none")]);
    assert!(none.is_targeted && none.max_age.is_none());
    let without = Directives::of(&headers(&[(own, "max-age=1")]), None);
    assert!(!without.is_targeted);
}

#[test]
fn dictionaries_are_valid_or_not_there() {
    for (line, expected) in [
        ("max-age=5", Some(5)),
        (" max-age=5 ", Some(5)),
        ("a,max-age=5\t ,\tb", Some(5)),
        ("max-age=2147483648", Some(1 << 31)),
        ("max-age=99999999999", Some(1 << 31)),
        ("max-age=999999999999999", Some(1 << 31)),
        ("max-age=5;a;b=1; c=\"x\"", Some(5)),
        ("max-age=1, max-age=5", Some(5)),
        ("max-age=x, max-age=5", Some(5)),
        ("max-age=5, max-age=x", Some(0)),
        ("max-age=-0", Some(0)),
        // Of another type: it says nothing, and so is stale.
        ("max-age", Some(0)),
        ("max-age=\"5\"", Some(0)),
        ("max-age=5.0", Some(0)),
        ("max-age=-5", Some(0)),
        ("max-age=(5)", Some(0)),
        ("max-age=@5", Some(0)),
        // All types are read over.
        ("a=1.125, max-age=5", Some(5)),
        ("a=\"x, \\\" \\\\\", max-age=5", Some(5)),
        ("a=tok:en/*, *b=*, max-age=5", Some(5)),
        ("a=:aGk=:, max-age=5", Some(5)),
        ("a=?1, b=?0, max-age=5", Some(5)),
        ("a=@-5, max-age=5", Some(5)),
        ("a=%\"f%c3%bcr \", max-age=5", Some(5)),
        ("a=(), b=( 1 \"x\";y z;q=1.0 );r, max-age=5", Some(5)),
        ("a;b=:aa:, max-age=5", Some(5)),
        // Not valid.
        ("MaX-aGe=5", None),
        ("max-age =5", None),
        ("max-age= 5", None),
        ("max-age=", None),
        ("max-age=5,", None),
        ("max-age=5,,a", None),
        (",max-age=5", None),
        ("\tmax-age=5", None),
        ("max-age=5 a", None),
        ("max-age=5;", None),
        ("max-age=5 ;a", None),
        ("max-age=5;A", None),
        ("max-age=5, &&&&&", None),
        ("max-age=5, a=1000000000000000", None),
        ("max-age=5, a=1000000000000.1", None),
        ("max-age=5, a=1.1234", None),
        ("max-age=5, a=1.", None),
        ("max-age=5, a=-", None),
        ("max-age=5, a=--1", None),
        ("max-age=5, a=\"x", None),
        ("max-age=5, a=\"\\x\"", None),
        ("max-age=5, a=\"\u{fc}\"", None),
        ("max-age=5, a=?2", None),
        ("max-age=5, a=?", None),
        ("max-age=5, a=@1.0", None),
        ("max-age=5, a=@", None),
        ("max-age=5, a=:a", None),
        ("max-age=5, a=:-:", None),
        ("max-age=5, a=(1", None),
        ("max-age=5, a=(1,2)", None),
        ("max-age=5, a=(1\"x\")", None),
        ("max-age=5, a=((1))", None),
        ("max-age=5, a=%\"%C3%BC\"", None),
        ("max-age=5, a=%\"%c3\"", None),
        ("max-age=5, a=%\"x", None),
        ("max-age=5, a=%x", None),
        ("max-age=5, a={}", None),
        ("", None),
        ("  ", None),
    ] {
        let read = read(&[("cdn-cache-control", line)]);
        assert_eq!(read.is_targeted, expected.is_some(), "{line}");
        assert_eq!(read.max_age, Some(expected.unwrap_or(FALLBACK)), "{line}");
    }
}

#[test]
fn lines_are_one_dictionary() {
    let two = |first, second| read(&[("cdn-cache-control", first), ("cdn-cache-control", second)]);
    let read = two("max-age=1, no-store", "max-age=5");
    assert!(read.is_targeted && read.no_store);
    assert_eq!(read.max_age, Some(5));
    assert!(!two("max-age=5", "").is_targeted);
    assert!(!two("max-age=5", "B").is_targeted);
}

#[test]
fn words_and_names_have_their_types() {
    let read = |line| read(&[("cdn-cache-control", line)]);
    let named = read("private=\"a, B\", no-cache=\"c\", public, must-revalidate=?1");
    assert!(!named.is_private && !named.no_cache && named.is_public && named.must_revalidate);
    assert_eq!(named.unstored.as_slice(), ["a", "b", "c"]);
    // What forbids is not lost by its type, unless it says that it is not meant.
    let wrong = read("private=a, no-cache=1, no-store=(), public=1, must-understand=a");
    assert!(wrong.is_private && wrong.no_cache && wrong.no_store);
    assert!(!wrong.is_public && !wrong.must_understand);
    let not =
        read("private=?0, no-cache=?0, no-store=?0, public=?0, must-revalidate=?0, max-age=?0");
    assert_eq!(
        not,
        Directives {
            is_targeted: true,
            ..Directives::default()
        }
    );
}

proptest! {
    #[test]
    fn nothing_breaks_it(bytes: Vec<u8>, text in "[a-z=,;:?@%*\"()\\\\ .0-9-]{0,40}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
            let mut headers = HeaderMap::new();
            headers.append("cdn-cache-control", value);
            let _ = Directives::of(&headers, None);
        }
    }
}
