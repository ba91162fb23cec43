use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn selecting(vary: &str, request: &[(&str, &str)]) -> Selecting {
    let vary = Vary::of(&map(&[("vary", vary)]));
    vary.selecting(&map(request)).unwrap()
}

fn normal(name: &str, lines: &[&str]) -> String {
    let mut out = Vec::new();
    let lines = lines.iter().map(|line| line.as_bytes());
    write_normal(&name.parse().unwrap(), lines, |byte| out.push(byte));
    String::from_utf8(out).unwrap()
}

#[test]
fn vary_is_read() {
    for (lines, expected) in [
        (&[][..], Some(&[][..])),
        (&[""], Some(&[])),
        (&[", ,"], Some(&[])),
        (&["Foo"], Some(&["foo"])),
        (&["foo, Bar,baz"], Some(&["bar", "baz", "foo"])),
        (&["foo", "bar", "FOO"], Some(&["bar", "foo"])),
        (&["*"], None),
        (&["*, *"], None),
        (&["*", "*"], None),
        (&[", *"], None),
        (&["", "*"], None),
        (&["*, foo"], None),
        (&["foo, *"], None),
        (&["foo", "bar,*"], None),
        // No names: what they mean is not known.
        (&["foo bar"], None),
        (&["\"foo\""], None),
        (&["foo", "b\u{fc}r"], None),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
        let expected = match expected {
            Some(names) => Vary::Fields(names.iter().map(|name| name.parse().unwrap()).collect()),
            None => Vary::Any,
        };
        assert_eq!(Vary::of(&map(&lines)), expected, "{lines:?}");
    }
    let list = |count: usize| {
        (0..count)
            .map(|n| format!("a{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_ne!(Vary::of(&map(&[("vary", &list(32))])), Vary::Any);
    assert_eq!(Vary::of(&map(&[("vary", &list(33))])), Vary::Any);
    assert_eq!(Vary::Any.selecting(&map(&[])), None);
}

#[test]
fn requests_are_alike_or_not() {
    let both = [("foo", "1"), ("bar", "abc")];
    for (vary, one, other, expected) in [
        ("", &[][..], &[("foo", "1")][..], true),
        (
            "foo",
            &[("foo", "1")],
            &[("foo", "1"), ("other", "2")],
            true,
        ),
        ("foo", &[("foo", "1")], &[("foo", "2")], false),
        ("foo", &[("foo", "1")], &[("foo", "12")], false),
        ("foo", &[("foo", "12")], &[("foo", "1")], false),
        ("foo", &[], &[("foo", "1")], false),
        ("foo", &[("foo", "1")], &[], false),
        ("foo", &[], &[], true),
        // Empty is not absent.
        ("foo", &[("foo", "")], &[], false),
        ("foo", &[], &[("foo", "")], false),
        ("foo", &[("foo", "")], &[("foo", "")], true),
        ("foo, bar", &both, &both, true),
        ("bar, foo", &both, &[("bar", "abc"), ("foo", "1")], true),
        ("foo, bar", &both, &[("foo", "1"), ("bar", "abcde")], false),
        ("foo, bar", &both, &[("foo", "1")], false),
        ("foo, bar", &[("foo", "1")], &[("foo", "1")], true),
        // Spellings.
        (
            "foo",
            &[("foo", "1, 2")],
            &[("foo", "1"), ("foo", "2")],
            true,
        ),
        (
            "foo",
            &[("foo", "1"), ("foo", "2")],
            &[("foo", "1,2")],
            true,
        ),
        (
            "foo",
            &[("foo", "1, 2")],
            &[("foo", "2"), ("foo", "1")],
            false,
        ),
        ("foo", &[("foo", "a")], &[("foo", "A")], false),
        (
            "accept-language",
            &[("accept-language", "en, de")],
            &[("accept-language", " eN ,   De")],
            true,
        ),
        (
            "accept-language",
            &[("accept-language", "en, de")],
            &[("accept-language", "de"), ("accept-language", "en")],
            true,
        ),
        (
            "accept-language",
            &[("accept-language", "en, de")],
            &[("accept-language", "en, de;q=0.5")],
            false,
        ),
        (
            "accept-encoding",
            &[("accept-encoding", "gzip, br")],
            &[("accept-encoding", "br,gzip")],
            true,
        ),
        ("accept-encoding", &[("accept-encoding", "")], &[], false),
        (
            "cookie",
            &[("cookie", "a=1,2")],
            &[("cookie", "a=1, 2")],
            false,
        ),
    ] {
        let stored = selecting(vary, one);
        assert_eq!(
            matches(&stored, &map(other)),
            expected,
            "{vary}: {one:?} {other:?}"
        );
        assert_eq!(
            stored == selecting(vary, other),
            expected,
            "{vary}: {one:?} {other:?}"
        );
    }
}

#[test]
fn a_field_has_a_normal_form() {
    for (name, lines, expected) in [
        ("foo", &["1,2 ,	3"][..], "1, 2, 3"),
        ("foo", &["1", "", "2,"], "1, 2"),
        ("foo", &[" a  b "], "a  b"),
        ("foo", &[r#""a,b" ,c"#], r#""a,b", c"#),
        ("foo", &[r#""a\",b",c"#], r#""a\",b", c"#),
        ("foo", &[r#"a\",b",c"#], r#"a\",b", c"#),
        ("foo", &[r#""a,b"#, "c,d"], r#""a,b, c,d"#),
        ("accept", &["text/html;q=1,*/*"], "text/html;q=1, */*"),
        ("accept-language", &["en; Q=0.5 ,, de"], "de, en;q=0.5"),
        ("accept-language", &["*", "DE-at"], "*, de-at"),
        (
            "accept-encoding",
            &["gzip, deflate, br, zstd"],
            "br, deflate, gzip, zstd",
        ),
        ("user-agent", &["a (b,c)"], "a (b,c)"),
        ("cookie", &["a=1,b", "", " c=2 "], "a=1,b, c=2"),
        ("if-modified-since", &["Sun,06 Nov"], "Sun,06 Nov"),
    ] {
        assert_eq!(normal(name, lines), expected, "{name}: {lines:?}");
    }
}

#[test]
fn the_most_recent_match_is_taken() {
    let request = map(&[("foo", "1"), ("bar", "2")]);
    let all: Vec<_> = [
        ("", vec![]),
        ("foo", vec![("foo", "1")]),
        ("foo", vec![("foo", "2")]),
        ("foo, bar", vec![("foo", "1"), ("bar", "2")]),
    ]
    .iter()
    .map(|(vary, request)| selecting(vary, request))
    .collect();
    for (variants, expected) in [
        (&[][..], None),
        (&[(2, 9)], None),
        (&[(0, 1)], Some(0)),
        (&[(1, 1), (2, 9)], Some(0)),
        (&[(1, 1), (3, 9)], Some(1)),
        (&[(1, 9), (3, 1)], Some(0)),
        // Of one second it is the one that came last.
        (&[(3, 5), (1, 5)], Some(1)),
        (&[(1, 5), (3, 5)], Some(1)),
        // One without `Vary` only where there is no other.
        (&[(0, 9), (1, 1)], Some(1)),
        (&[(1, 1), (0, 9)], Some(0)),
        (&[(2, 1), (0, 9)], Some(1)),
        (&[(0, 1), (0, 9), (0, 5)], Some(1)),
    ] {
        let given = variants
            .iter()
            .map(|(which, date)| (&all[*which][..], *date));
        assert_eq!(choose(given, &request), expected, "{variants:?}");
    }
    let names = names(all.iter().map(|selecting| &selecting[..]));
    assert_eq!(names[..], ["bar", "foo"]);
}

fn fields() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let name = proptest::sample::select(vec!["foo", "bar", "accept-language", "cookie"]);
    proptest::collection::vec((name, "[ab, \"\\\\;=q1\u{e9}]{0,8}"), 0..4)
}

fn request(fields: &[(&'static str, String)]) -> HeaderMap {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.trim()))
        .collect();
    map(&fields)
}

proptest! {
    #[test]
    fn a_normal_form_is_its_own(
        name in proptest::sample::select(vec!["foo", "accept-language", "cookie"]),
        lines in proptest::collection::vec("[abA, \t\"\\\\;]{0,12}", 1..4),
    ) {
        let lines: Vec<_> = lines.iter().map(|line| &**line).collect();
        let once = normal(name, &lines);
        prop_assert_eq!(normal(name, &[&once]), &*once);
    }

    /// The comparison without copies is that of what is stored, and so is the one of those who wait.
    #[test]
    fn comparisons_agree(one in fields(), other in fields()) {
        let vary = Vary::of(&map(&[("vary", "foo, accept-language, cookie")]));
        let Vary::Fields(names) = &vary else { unreachable!() };
        let (one, other) = (request(&one), request(&other));
        let stored = vary.selecting(&one).unwrap();
        prop_assert!(matches(&stored, &one));
        let is_same = stored == vary.selecting(&other).unwrap();
        prop_assert_eq!(matches(&stored, &other), is_same);

        let written = |request| {
            let mut out = SmallVec::new();
            write_variant(names, request, &mut out);
            out
        };
        prop_assert_eq!(written(&one) == written(&other), is_same);
    }

    #[test]
    fn no_bytes_break_it(vary in "[*a-z, \"\u{80}-\u{ff}]{0,24}", fields in fields()) {
        if let Some(stored) = Vary::of(&map(&[("vary", &*vary)])).selecting(&request(&fields)) {
            prop_assert!(matches(&stored, &request(&fields)));
        }
    }
}
