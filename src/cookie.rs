//! Reading one cookie of a request (RFC 6265 §5.4).

use http::{HeaderMap, header};

/// The value of the first cookie called `name`, byte for byte; `None` when there is none.
///
/// All `Cookie` fields are read, since HTTP/2 may send one field for each pair (RFC 9113 §8.2.3). Names are case-sensitive. Quotes
/// belong to the value. A pair without `=` is no cookie, and harms none of its neighbours.
///
/// ```text
/// let mut headers = http::HeaderMap::new();
/// headers.append("cookie", "theme=dark; session=a=b".parse()?);
/// assert_eq!(cookie(&headers, "session"), Some(&b"a=b"[..]));
/// ```
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|&byte| byte == b';'))
        .filter_map(|pair| {
            let equals = pair.iter().position(|&byte| byte == b'=')?;
            let (key, value) = pair.split_at_checked(equals)?;
            Some((key.trim_ascii(), value.get(1..)?.trim_ascii()))
        })
        .find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_pair() {
        let cases: &[(&[&str], &str, Option<&str>)] = &[
            (&[], "a", None),
            (&["a=1"], "a", Some("1")),
            (&["b=2;a=1"], "a", Some("1")),
            (&["b=2 ;\t a = 1 "], "a", Some("1")),
            (&["a=1; a=2"], "a", Some("1")),
            (&["b=2", "a=1"], "a", Some("1")),
            (&["a="], "a", Some("")),
            (&["a=x=y"], "a", Some("x=y")),
            (&["a=\"q\""], "a", Some("\"q\"")),
            (&["A=1"], "a", None),
            (&["xa=1; ax=2"], "a", None),
            (&["a; =9; a=1"], "a", Some("1")),
            (&["; ;;a=1;"], "a", Some("1")),
        ];
        for (fields, name, expected) in cases {
            let mut headers = HeaderMap::new();
            for field in *fields {
                headers.append(header::COOKIE, field.parse().unwrap());
            }
            assert_eq!(
                cookie(&headers, name),
                expected.map(str::as_bytes),
                "{fields:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_field_is_survived(field in "[ -~\u{80}-\u{ff}]{0,60}", name in "[a-z]{0,2}") {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, field.parse().unwrap());
            if let Some(value) = cookie(&headers, &name) {
                prop_assert!(!value.contains(&b';'));
            }
        }
    }
}
