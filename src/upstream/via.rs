//! The `Via` field (RFC 9110 §7.6.3): each gateway on a request's way adds itself, and finds itself when the way is a
//! circle.

use http::Version;
use http::header::{self, HeaderMap, HeaderValue};

/// This gateway's entry in `Via`. Built once, cheap to clone.
///
/// ```text
/// let via = Via::new("front").ok_or("not a token")?;
/// let mut headers = HeaderMap::new();
/// assert!(!via.is_loop(&headers));
/// via.append(&mut headers, Version::HTTP_11);
/// assert_eq!(headers["via"], "1.1 front");
/// assert!(via.is_loop(&headers));
/// ```
#[derive(Debug, Clone)]
pub struct Via {
    http1_0: HeaderValue,
    http1: HeaderValue,
    http2: HeaderValue,
    http3: HeaderValue,
}

impl Via {
    /// `pseudonym` stands for this gateway, and has to differ from that of every other gateway on the way: requests
    /// that carry it are loops.
    ///
    /// `None` when it is not a token (letters, digits and ``!#$%&'*+-.^_`|~``).
    #[must_use]
    pub fn new(pseudonym: &str) -> Option<Self> {
        if pseudonym.is_empty() || !pseudonym.bytes().all(is_token_byte) {
            return None;
        }
        let entry = |version| HeaderValue::try_from(format!("{version} {pseudonym}")).ok();
        Some(Self {
            http1_0: entry("1.0")?,
            http1: entry("1.1")?,
            http2: entry("2")?,
            http3: entry("3")?,
        })
    }

    /// Adds the entry for a message that came in `received`.
    pub fn append(&self, headers: &mut HeaderMap, received: Version) {
        let entry = match received {
            Version::HTTP_2 => &self.http2,
            Version::HTTP_3 => &self.http3,
            Version::HTTP_11 => &self.http1,
            _ => &self.http1_0,
        };
        headers.append(header::VIA, entry.clone());
    }

    /// Whether the request has been here before: the pseudonym stands in some element of some line. A gateway answers
    /// `508`.
    #[must_use]
    pub fn is_loop(&self, headers: &HeaderMap) -> bool {
        let pseudonym = &self.http2.as_bytes()[2..];
        headers
            .get_all(header::VIA)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .filter_map(received_by)
            .any(|by| by.eq_ignore_ascii_case(pseudonym))
    }
}

/// The second word of `1.1 name (comment)`.
fn received_by(element: &[u8]) -> Option<&[u8]> {
    element
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
        .nth(1)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_and_element_is_looked_at() {
        let via = Via::new("front").unwrap();
        for (lines, found) in [
            (&["1.1 front"][..], true),
            (&["1.1 FRONT"], true),
            (
                &["1.1 a, 2 b", "1.0 c,\tHTTP/1.1   front (x, y) , 1.1 d"],
                true,
            ),
            (&["1.1 a", "2 front"], true),
            (&["1.1 front-2", "1.1 a.front", "1.1 front:80"], false),
            (&["front", "1.1", ",,", "1.1 a (front)"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("via", line.parse().unwrap());
            }
            assert_eq!(via.is_loop(&headers), found, "{lines:?}");
        }
    }

    #[test]
    fn each_version_is_named() {
        let via = Via::new("front").unwrap();
        let mut headers = HeaderMap::new();
        for version in [
            Version::HTTP_10,
            Version::HTTP_11,
            Version::HTTP_2,
            Version::HTTP_3,
        ] {
            via.append(&mut headers, version);
        }
        let lines: Vec<_> = headers.get_all("via").iter().collect();
        assert_eq!(lines, ["1.0 front", "1.1 front", "2 front", "3 front"]);
    }

    #[test]
    fn only_a_token_is_a_pseudonym() {
        for bad in ["", "a b", "a,b", "a(b", "a\r\nb", "ä"] {
            assert!(Via::new(bad).is_none(), "{bad:?}");
        }
    }
}
