//! Names of header fields: those that a backend may take for one another, and those that nobody but the proxy writes.
//!
//! CGI and its heirs write `-` as `_`, so that to them `X_User` and `X-User` are one.

use http::{HeaderMap, HeaderName};

/// Equality in which `_` and `-` are one.
pub(crate) fn is_alias(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| fold(*a) == fold(*b))
}

/// Removes whatever a backend may take for `name`; the field itself stays.
pub(crate) fn remove_aliases(headers: &mut HeaderMap, name: &HeaderName) {
    let is_other = |other: &&HeaderName| {
        is_alias(other.as_str().as_bytes(), name.as_str().as_bytes()) && *other != name
    };
    while let Some(alias) = headers.keys().find(is_other).cloned() {
        headers.remove(alias);
    }
}

/// Removes the field, and whatever a backend may take for it.
#[cfg(feature = "auth")]
pub(crate) fn remove(headers: &mut HeaderMap, name: &HeaderName) {
    remove_aliases(headers, name);
    headers.remove(name);
}

/// Whether a field frames the message or belongs to one connection (RFC 9110, section 7.6.1), so that the proxy alone writes it.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [&str; 11] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let mut reserved = RESERVED.iter();
    reserved.any(|reserved| is_alias(reserved.as_bytes(), name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "auth")]
    use http::HeaderValue;

    #[test]
    fn only_underscores_are_folded() {
        for (a, b, expected) in [
            ("x-user-id", "x_user-id", true),
            ("x_user_id", "x-user-id", true),
            ("x-user-id", "x-user-id", true),
            ("x-user-id", "x.user.id", false),
            ("x-user-id", "xuserid", false),
            ("x-user", "x-user-", false),
        ] {
            assert_eq!(is_alias(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_name_itself_stays() {
        let mut headers = HeaderMap::new();
        for name in ["x-user-id", "x_user_id", "x-user_id", "x-user"] {
            headers.append(HeaderName::from_static(name), name.parse().unwrap());
        }
        remove_aliases(&mut headers, &HeaderName::from_static("x-user-id"));
        assert_eq!(headers.len(), 2);
        assert!(headers.contains_key("x-user-id") && headers.contains_key("x-user"));
        #[cfg(feature = "auth")]
        {
            headers.append("x_user_id", HeaderValue::from_static("1"));
            headers.append("x-user-id", HeaderValue::from_static("2"));
            remove(&mut headers, &HeaderName::from_static("x-user-id"));
            assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-user"]);
        }
    }
}
