//! Reading one cookie of a request (RFC 6265 §5.4), and taking it out.

#[cfg(feature = "auth")]
use http::HeaderValue;
use http::{HeaderMap, header};

/// The value of the first cookie called `name`, byte for byte; `None` when there is none. As [`cookies`] in all else.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    cookies(headers, name).next()
}

/// The values of all cookies called `name`, byte for byte, in their order.
///
/// All `Cookie` fields are read, since HTTP/2 may send one field for each pair (RFC 9113 §8.2.3). Names are case-sensitive. Quotes
/// belong to the value. A pair without `=` is no cookie, and harms none of its neighbours.
///
/// ```text
/// let mut headers = http::HeaderMap::new();
/// headers.append("cookie", "theme=dark; session=a=b".parse()?);
/// assert_eq!(cookie(&headers, "session"), Some(&b"a=b"[..]));
/// ```
pub fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|&byte| byte == b';'))
        .filter_map(|pair| value(pair, name))
}

/// Takes out all cookies called `name`. The others stay as they are, in one field.
#[cfg(feature = "auth")]
pub fn remove_cookie(headers: &mut HeaderMap, name: &str) {
    if cookie(headers, name).is_none() {
        return;
    }
    let rest: Vec<_> = headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|&byte| byte == b';'))
        .filter(|pair| value(pair, name).is_none())
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .collect();
    // Parts of valid values make a valid one.
    match HeaderValue::from_bytes(&rest.join(&b"; "[..])) {
        Ok(rest) if !rest.is_empty() => drop(headers.insert(header::COOKIE, rest)),
        _ => drop(headers.remove(header::COOKIE)),
    }
}

/// The value of this pair, if it is called `name`.
fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    let (key, value) = pair.split_at_checked(equals)?;
    (key.trim_ascii() == name.as_bytes()).then(|| value.get(1..).unwrap_or_default().trim_ascii())
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

    #[cfg(feature = "auth")]
    #[test]
    fn a_cookie_is_taken_out_and_its_neighbours_stay() {
        let cases: &[(&[&str], Option<&str>)] = &[
            (&["a=1"], None),
            (&["a=1", "a=2"], None),
            (&["a=1;"], None),
            (&["b=2; a=1; c=\"3\""], Some("b=2; c=\"3\"")),
            (&["b=2", " a = 1;d", "c=3"], Some("b=2; d; c=3")),
            (&["b=2;c=3"], Some("b=2;c=3")),
            (&["A=1; aa=2"], Some("A=1; aa=2")),
        ];
        for (fields, expected) in cases {
            let mut headers = HeaderMap::new();
            for field in *fields {
                headers.append(header::COOKIE, field.parse().unwrap());
            }
            remove_cookie(&mut headers, "a");
            let left = headers
                .get(header::COOKIE)
                .map(|left| left.to_str().unwrap());
            assert_eq!(left, *expected, "{fields:?}");
            assert!(headers.get_all(header::COOKIE).iter().count() <= 1);
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
