use crate::cache::rules::directives::FieldNames;
use proptest::prelude::*;

use super::super::directives::Directives;
use super::*;

fn read(lines: &[&str]) -> Directives {
    let fields: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
    Directives::of(&headers(&fields), None)
}

fn named(names: &[&'static str]) -> FieldNames {
    names
        .iter()
        .map(|name| HeaderName::from_static(name))
        .collect()
}

#[test]
fn numbers_are_read() {
    for (line, expected) in [
        ("max-age=3600", Some(3600)),
        ("MaX-aGe=3600", Some(3600)),
        ("foobar, max-age=3600", Some(3600)),
        (" ,, max-age=3600\t,", Some(3600)),
        ("max-age=003600", Some(3600)),
        ("max-age=\"3600\"", Some(3600)),
        ("max-age=\"3\\600\"", Some(3600)),
        ("max-age=2147483647", Some(2_147_483_647)),
        ("max-age=2147483648", Some(1 << 31)),
        ("max-age=99999999999999999999999", Some(1 << 31)),
        // What is in quotes is no directive.
        ("extension=\"max-age=3600\", max-age=1", Some(1)),
        ("max-age=1, extension=\"max-age=3600\"", Some(1)),
        ("extension=\"\\\", max-age=3600\", max-age=1", Some(1)),
        ("extension= \"max-age=3600, \", max-age=1", Some(1)),
        // What is no number is stale (section 4.2.1).
        ("max-age", Some(0)),
        ("max-age=", Some(0)),
        ("max-age=-1", Some(0)),
        ("max-age=+1", Some(0)),
        ("max-age='3600'", Some(0)),
        ("max-age=3600.0", Some(0)),
        ("max-age=a3600", Some(0)),
        ("max-age=3600a", Some(0)),
        ("max-age= 3600", Some(0)),
        ("max-age =3600", Some(0)),
        ("max-age=3600 1", Some(0)),
        ("max-age=3600;a", Some(0)),
        ("max-age=\"3600\"1", Some(0)),
        ("max-age=\" 3600\"", Some(0)),
        ("max-age=\"\"", Some(0)),
        // The first, unless one is none.
        ("max-age=1800, max-age=1", Some(1800)),
        ("max-age=1, max-age=1800", Some(1)),
        ("max-age=x, max-age=1800", Some(0)),
        ("max-age=1800, max-age", Some(0)),
        ("", None),
        ("max-ages=1", None),
        ("stale-while-revalidate-and-longer=1", None),
        ("=max-age=1", None),
        ("\"max-age=1\"", None),
    ] {
        assert_eq!(read(&[line]).max_age, expected, "{line}");
        let shared = line.to_lowercase().replace("max-age", "s-maxage");
        assert_eq!(read(&[&shared]).s_maxage, expected, "{shared}");
    }
    let lines = read(&["max-age=1800", "max-age=1"]);
    assert_eq!(lines.max_age, Some(1800));
    let both = read(&["Stale-While-Revalidate=1, stale-if-error=2"]);
    assert_eq!(both.stale_while_revalidate, Some(1));
    assert_eq!(both.stale_if_error, Some(2));
}

#[test]
fn words_are_read() {
    let all = |read: Directives| {
        [
            read.is_public,
            read.is_private,
            read.no_cache,
            read.no_store,
            read.must_revalidate,
            read.proxy_revalidate,
            read.must_understand,
            read.is_broken,
        ]
    };
    let names = [
        "Public",
        "Private",
        "No-Cache",
        "nO-StOrE",
        "Must-Revalidate",
        "Proxy-Revalidate",
        "Must-Understand",
        "a=\"",
    ];
    for (at, name) in names.into_iter().enumerate() {
        let mut expected = [false; 8];
        expected[at] = true;
        assert_eq!(all(read(&[name])), expected, "{name}");
        assert_eq!(all(read(&["x=\"y, z\"", name])), expected, "{name}");
        let more = format!("immutable, x=\"a,\\\"b\", {name}");
        assert_eq!(all(read(&[&more])), expected, "{name}");

        // What permits is what the grammar says, and what forbids needs no grammar.
        expected[at] = !matches!(name, "Public" | "Must-Understand" | "a=\"");
        for given in ["=1", "=", " x", "=\"\""] {
            let given = format!("{name}{given}");
            if !given.starts_with("Private=1") && !given.starts_with("No-Cache=1") && at != 7 {
                assert_eq!(all(read(&[&given])), expected, "{given}");
            }
        }
    }
    assert!(!read(&["x=\"no-store\", y=\", no-store, \""]).no_store);
    for broken in [
        "a=\"b, no-store",
        "a=\"b\\\"",
        "a b=\"c",
        "a=b\"",
        "max-age=1, \"",
    ] {
        assert!(read(&[broken]).is_broken, "{broken}");
    }
}

#[test]
fn names_of_fields_are_read() {
    for (given, expected) in [
        ("=\"set-cookie\"", Some(&["set-cookie"][..])),
        ("=\"A, b\"", Some(&["a", "b"])),
        ("=\" a ,, \\b\t\"", Some(&["a", "b"])),
        ("=a", Some(&["a"])),
        // All of it is meant.
        ("", None),
        ("=", None),
        ("=\"\"", None),
        ("=\" , \"", None),
        ("=\"a b\"", None),
        ("=\"a\" b", None),
        (" =\"a\"", None),
    ] {
        let private = read(&[&format!("private{given}, max-age=1")]);
        assert_eq!(private.is_private, expected.is_none(), "{given}");
        assert!(!private.no_cache);
        let no_cache = read(&[&format!("max-age=1, no-cache{given}")]);
        assert_eq!(no_cache.no_cache, expected.is_none(), "{given}");
        assert!(!no_cache.is_private);
        if let Some(names) = expected {
            assert_eq!(private.unstored, named(names), "{given}");
            assert_eq!(no_cache.unstored, named(names), "{given}");
        }
    }
    let both = read(&["private=\"a\"", "no-cache=\"b\", private"]);
    assert!(both.is_private && !both.no_cache);
    assert_eq!(both.unstored, named(&["a", "b"]));

    let list = |count| format!("private=\"{}\"", vec!["a"; count].join(","));
    assert!(!read(&[&list(32)]).is_private);
    let many = read(&[&list(33)]);
    assert!(many.is_private);
    assert_eq!(many.unstored.len(), 32);
}

proptest! {
    /// However the same is written, it says the same.
    #[test]
    fn writing_does_not_matter(
        words in prop::collection::vec((0..WORDS.len(), any::<bool>(), 0..3_usize), 0..8),
        breaks: u8,
    ) {
        const GAPS: [&str; 3] = ["", " ", ",\t "];
        let plain: Vec<_> = words.iter().map(|(word, ..)| WORDS[*word]).collect();
        let mut lines = vec![String::new()];
        for (at, (word, is_upper, gap)) in words.iter().enumerate() {
            let word = WORDS[*word];
            let word = if *is_upper { word.to_uppercase() } else { word.to_owned() };
            match breaks >> at & 1 {
                1 => lines.push(word),
                _ => {
                    let line = lines.last_mut().unwrap();
                    *line += &format!("{}{},{}", GAPS[*gap], word, GAPS[*gap]);
                }
            }
            if !lines.last().unwrap().ends_with([',', ' ']) {
                *lines.last_mut().unwrap() += ",";
            }
        }
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        prop_assert_eq!(read(&lines), read(&[&plain.join(",")]), "{:?}", lines);
    }

    #[test]
    fn nothing_breaks_it(
        bytes: Vec<u8>,
        text in "([a-z-]{0,3}|max-age|private|no-cache|[ =,\"\\\\\t;0-9]){0,20}",
    ) {
        for bytes in [&bytes[..], text.as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
            let mut headers = HeaderMap::new();
            headers.append("cache-control", value.clone());
            headers.append("cdn-cache-control", value.clone());
            headers.append("pragma", value);
            let _ = Directives::of(&headers, None);
            let _ = Asked::of(&headers);
            headers.remove("cache-control");
            headers.remove("cdn-cache-control");
            let _ = Asked::of(&headers);
        }
    }
}

const WORDS: [&str; 8] = [
    "max-age=5",
    "max-age=7",
    "s-maxage=\"3\"",
    "private=\"a, b\"",
    "no-store",
    "ext=\"x, no-cache\"",
    "public",
    "stale-if-error",
];
