use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

#[test]
fn two_fields_have_tags() {
    for (fields, expected) in [
        (&[][..], &[][..]),
        (&[("cache-tag", "")], &[]),
        (&[("cache-tag", "a")], &["a"]),
        (&[("cache-tag", "a,b , c d,, ,a")], &["a", "b", "c d"]),
        (&[("cache-tag", "a"), ("cache-tag", "b")], &["a", "b"]),
        (&[("surrogate-key", "a b,c  d\te")], &["a", "b,c", "d", "e"]),
        (
            &[("surrogate-key", "b a"), ("cache-tag", "a,A,ü")],
            &["a", "A", "ü", "b"],
        ),
        (&[("edge-cache-tag", "a")], &[]),
    ] {
        let found = tags(&map(fields)).unwrap();
        assert!(
            found.iter().map(|tag| &**tag).eq(expected.iter().copied()),
            "{fields:?} {found:?}"
        );
    }
}

#[test]
fn they_are_bounded() {
    let list = |count: u32| {
        (0..count)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        tags(&map(&[("surrogate-key", &list(256))])).unwrap().len(),
        256
    );
    let again = [("cache-tag", "1,2,3"), ("surrogate-key", &*list(256))];
    assert_eq!(tags(&map(&again)).unwrap().len(), 256);
    assert_eq!(
        tags(&map(&[("surrogate-key", &list(257))])),
        Err(TooManyTags)
    );
    assert!(tags(&map(&[("cache-tag", &"a".repeat(1024))])).is_ok());
    assert_eq!(
        tags(&map(&[("cache-tag", &"a".repeat(1025))])),
        Err(TooManyTags)
    );
}

proptest! {
    #[test]
    fn what_is_joined_is_read(names in proptest::collection::btree_set("[!-+\\--~]{1,8}", 0..20)) {
        let names: Vec<String> = names.into_iter().collect();
        for (name, separator) in [("cache-tag", ", "), ("surrogate-key", " ")] {
            let found = tags(&map(&[(name, &names.join(separator))])).unwrap();
            prop_assert!(found.iter().map(|tag| &**tag).eq(names.iter().map(|name| &**name)));
        }
    }
}
