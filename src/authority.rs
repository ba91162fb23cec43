//! A host and an optional port, as `Host` and `:authority` carry them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A well-formed host and port, borrowed from the request. Copying it costs nothing.
///
/// Stricter than RFC 3986 §3.2.2, which allows `a,b`, `a%2eb` and `a:` as a host and port: those are read differently by
/// different servers, and no client needs them. Allowed are a name of letters, digits, `-`, `.`, `_`, an IPv4 address, an
/// IPv6 address in brackets, and then a port of 1 to 65535.
///
/// ```text
/// let at = HostPort::parse("Shop.example.:8443").ok_or("malformed")?;
/// assert_eq!((at.host(), at.port()), ("Shop.example", Some(8443)));
/// assert!(HostPort::parse("user@shop.example").is_none());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct HostPort<'a> {
    text: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// Reads `text`, or `None` when it is anything else than a host and an optional port.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = if text.starts_with('[') {
            let (host, port) = text.split_at(text.find(']')? + 1);
            host[1..host.len() - 1].parse::<Ipv6Addr>().ok()?;
            (host, port)
        } else {
            let colon = memchr::memchr(b':', text.as_bytes());
            let (host, port) = text.split_at(colon.unwrap_or(text.len()));
            (name(host)?, port)
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(parse_port(digits)?),
            None if port.is_empty() => None,
            None => return None,
        };
        Some(Self { text, host, port })
    }

    /// The whole text as it was sent, for `X-Forwarded-Host`.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// The host without port and without the dot that ends a fully qualified name, in the case it was sent (hosts
    /// compare case-insensitively). An IPv6 address keeps its brackets.
    #[cfg(test)]
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The port, if one was sent.
    #[cfg(test)]
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both name the same host and port, `default_port` standing in for a port that was left out.
    #[must_use]
    pub fn is_same(&self, other: &HostPort<'_>, default_port: u16) -> bool {
        self.text == other.text
            || self.host.eq_ignore_ascii_case(other.host)
                && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// The name without its last dot. A name whose last label is a number has to be an IPv4 address: resolvers take `127.1`
/// and `2130706433` for one too.
fn name(host: &str) -> Option<&str> {
    const LONGEST: usize = 253;
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > LONGEST {
        return None;
    }
    let (mut is_empty, mut is_number) = (true, true);
    for byte in name.bytes() {
        match byte {
            b'.' if is_empty => return None,
            b'.' => (is_empty, is_number) = (true, true),
            _ if !is_name_byte(byte) => return None,
            _ => (is_empty, is_number) = (false, is_number && byte.is_ascii_digit()),
        }
    }
    (!is_empty && (!is_number || name.parse::<Ipv4Addr>().is_ok())).then_some(name)
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn parse_port(digits: &str) -> Option<u16> {
    // `u16::from_str` takes a sign.
    let is_port = digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| is_port && *port != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn well_formed() {
        for (text, host, port) in [
            ("t.example", "t.example", None),
            ("T.example:80", "T.example", Some(80)),
            ("t.example.", "t.example", None),
            ("t.example.:1", "t.example", Some(1)),
            ("t_x-y.example:65535", "t_x-y.example", Some(65535)),
            ("localhost:08080", "localhost", Some(8080)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(443)),
            ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", None),
            ("1e100.net", "1e100.net", None),
        ] {
            let at = HostPort::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((at.as_str(), at.host(), at.port()), (text, host, port));
        }
    }

    #[test]
    fn malformed() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:99999",
            "a:+80",
            "a:-1",
            "a:x",
            "a:80:80",
            "a:000080",
            "a b",
            " a",
            "a,b",
            "a, b",
            "u@a",
            "a/x",
            "//a",
            "http://a",
            "a\\x",
            "a?x",
            "a#x",
            "a%2eb",
            "a;b",
            "a!",
            "a\0",
            "a\x01b",
            "ä",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%25e]",
            "[v1.x]",
            "[[::1]]",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "2130706433",
            "a.1",
            "01.2.3.4",
        ] {
            assert!(HostPort::parse(text).is_none(), "{text:?}");
        }
        assert!(HostPort::parse(&"a".repeat(253)).is_some());
        assert!(HostPort::parse(&"a".repeat(254)).is_none());
    }

    #[test]
    fn same_place() {
        for (a, b, same) in [
            ("a.example", "A.EXAMPLE", true),
            ("a.example", "a.example.:80", true),
            ("a.example:80", "a.example", true),
            ("a.example:81", "a.example", false),
            ("a.example", "b.example", false),
            ("[::1]:80", "[::1]", true),
        ] {
            let (a, b) = (HostPort::parse(a).unwrap(), HostPort::parse(b).unwrap());
            assert_eq!(a.is_same(&b, 80), same, "{a:?} {b:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_holds_only_host_bytes(text in prop_oneof![".*", "[a-c0-9.:\\[\\]@,]{0,12}"]) {
            if let Some(at) = HostPort::parse(&text) {
                prop_assert!(text.bytes().all(|b| is_name_byte(b) || matches!(b, b':' | b'[' | b']')));
                prop_assert!(!at.host().is_empty());
            }
        }
    }
}
