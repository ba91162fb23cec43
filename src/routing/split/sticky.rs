//! Where a request's key for a split comes from.

use crate::routing::cookie;
use http::{HeaderMap, HeaderName};

/// What of a request keeps it with one target: the value of a header or of a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyKey(Source);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Header(HeaderName),
    Cookie(String),
}

impl StickyKey {
    /// The first line of a header field.
    #[must_use]
    pub fn header(name: HeaderName) -> Self {
        Self(Source::Header(name))
    }

    /// The first cookie of this name, which is case-sensitive. The gateway sets no cookie itself.
    #[must_use]
    pub fn cookie(name: impl Into<String>) -> Self {
        Self(Source::Cookie(name.into()))
    }

    /// The request's key; `None` when it has none or an empty one, and its target is to be picked at random.
    #[must_use]
    pub fn of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let value = match &self.0 {
            Source::Header(name) => headers.get(name)?.as_bytes(),
            Source::Cookie(name) => cookie(headers, name)?,
        };
        (!value.is_empty()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_read() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-user", "7"),
            ("x-user", "8"),
            ("x-empty", ""),
            ("cookie", "a=1"),
            ("cookie", "b=2; c="),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let header = |name| StickyKey::header(HeaderName::from_static(name)).of(&headers);
        assert_eq!(header("x-user"), Some(&b"7"[..]));
        assert_eq!(header("x-empty"), None);
        assert_eq!(header("x-absent"), None);
        let cookie = |name: &str| StickyKey::cookie(name).of(&headers);
        assert_eq!(cookie("b"), Some(&b"2"[..]));
        assert_eq!(cookie("c"), None);
        assert_eq!(cookie("d"), None);
    }
}
