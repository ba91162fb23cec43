//! The parameters of a query: their values, and a URI without them.
//!
//! Parameters stand between `&`. Names and values are compared and given as they were before they were encoded as a form: `+` is a
//! space, an escape its byte. What is no escape is as it is.

use std::borrow::Cow;

use http::{Uri, uri::PathAndQuery};

/// The values of all parameters called `name`, decoded, in their order. One without `=` has an empty value.
pub(super) fn values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decoded(key) == *name.as_bytes()).then(|| decoded(value))
    })
}

/// Takes out all parameters called `name`. The others stay byte for byte, and the `?` goes with the last one.
pub(super) fn remove(uri: &mut Uri, name: &str) {
    let Some(query) = uri.query() else { return };
    if values(query, name).next().is_none() {
        return;
    }
    let mut target = uri.path().to_owned();
    let others = query
        .split('&')
        .filter(|pair| values(pair, name).next().is_none());
    for (before, pair) in std::iter::once('?')
        .chain(std::iter::repeat('&'))
        .zip(others)
    {
        target.push(before);
        target.push_str(pair);
    }
    let mut parts = uri.clone().into_parts();
    // A part of a valid target is one.
    let Ok(target) = PathAndQuery::try_from(target) else {
        return;
    };
    parts.path_and_query = Some(target);
    if let Ok(changed) = Uri::from_parts(parts) {
        *uri = changed;
    }
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    decode(text, b' ')
}

/// What percent-encoding stands for; a `+` is itself.
pub(super) fn unescaped(text: &str) -> Cow<'_, [u8]> {
    decode(text, b'+')
}

fn decode(text: &str, plus: u8) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        rest = behind;
        plain.push(match (first, behind) {
            (b'+', _) => plus,
            (b'%', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    high << 4 | low
                }
                _ => b'%',
            },
            (other, _) => *other,
        });
    }
    Cow::Owned(plain)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read_and_taken_out() {
        let cases: &[(&str, &[&str], &str)] = &[
            ("/p", &[], "/p"),
            ("/p?", &[], "/p?"),
            ("/p?key=1", &["1"], "/p"),
            ("/p?key", &[""], "/p"),
            ("/p?key=", &[""], "/p"),
            ("/p?a=1&key=2&b=3", &["2"], "/p?a=1&b=3"),
            ("/p?key=1&key=2", &["1", "2"], "/p"),
            ("/p?key=1&&a", &["1"], "/p?&a"),
            ("/p?Key=1&keys=2&xkey=3", &[], "/p?Key=1&keys=2&xkey=3"),
            ("/p?%6bey=1", &["1"], "/p"),
            ("/p?%6Be%79=1&a=%20", &["1"], "/p?a=%20"),
            ("/p?key=a%2Bb+c%3D%3d=", &["a+b c==="], "/p"),
            ("/p?key=%zz%4%", &["%zz%4%"], "/p"),
            ("/p?a=key=1", &[], "/p?a=key=1"),
            ("http://h.example/p?key=1", &["1"], "http://h.example/p"),
            ("/key=1?a", &[], "/key=1?a"),
        ];
        for (text, expected, left) in cases {
            let mut uri: Uri = text.parse().unwrap();
            let query = uri.query().unwrap_or_default().to_owned();
            let found: Vec<_> = values(&query, "key")
                .map(|value| String::from_utf8(value.to_vec()).unwrap())
                .collect();
            assert_eq!(found, *expected, "{text}");
            remove(&mut uri, "key");
            assert_eq!(uri.to_string(), *left, "{text}");
        }
    }

    #[test]
    fn outside_of_a_form_a_plus_is_a_plus() {
        assert_eq!(*unescaped("a+b%2b%0A%"), *b"a+b+\n%");
    }

    proptest! {
        #[test]
        fn nothing_of_the_name_is_left_and_all_else_is(
            pairs in prop::collection::vec("(key|%6bey|ke%79|a|%|k%65)(=[a-z0-9%+]{0,4})?", 0..6),
        ) {
            let query = pairs.join("&");
            let mut uri: Uri = format!("/p?{query}").parse().unwrap();
            remove(&mut uri, "key");
            let left = uri.query().unwrap_or_default();
            prop_assert_eq!(values(left, "key").count(), 0);
            for name in ["a", "%"] {
                let before: Vec<_> = values(&query, name).collect();
                prop_assert_eq!(values(left, name).collect::<Vec<_>>(), before);
            }
        }
    }
}
