//! What backends are told about the client: `X-Forwarded-For`, `-Proto`, `-Host`, `-Prefix` and `Forwarded` (RFC 7239).
//!
//! ```text
//! let facts = Facts {
//!     client: Some("203.0.113.7".parse()?),
//!     scheme: "https",
//!     host: Some(&HeaderValue::from_static("shop.example")),
//!     ..Facts::default()
//! };
//! let mut headers = HeaderMap::new();
//! ForwardHeaders::new().apply(&mut headers, &facts);
//! assert_eq!(headers["x-forwarded-for"], "203.0.113.7");
//! assert_eq!(headers["x-forwarded-proto"], "https");
//! ```

use std::fmt::{self, Display, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What happens to one forwarded field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Replaced by what the gateway knows; removed when it knows nothing.
    Set,
    /// What is there stays, the gateway's value follows in a line of its own. Only sensible when the lines of untrusted
    /// peers have been removed.
    Append,
    /// Removed.
    Remove,
    /// Left as it is.
    Off,
}

/// Which forwarded fields are written, and how. Default: the four `X-Forwarded` fields are set, `Forwarded` is off. What
/// an untrusted peer sent under these names is removed before, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardHeaders {
    client: Action,
    proto: Action,
    host: Action,
    prefix: Action,
    forwarded: Action,
}

impl ForwardHeaders {
    /// The four `X-Forwarded` fields set, `Forwarded` off.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            client: Action::Set,
            proto: Action::Set,
            host: Action::Set,
            prefix: Action::Set,
            forwarded: Action::Off,
        }
    }

    /// `X-Forwarded-For`. Set writes the client's address, append adds the peer's, as each proxy on the way does.
    /// Default: [`Action::Set`].
    #[must_use]
    pub const fn x_forwarded_for(self, client: Action) -> Self {
        Self { client, ..self }
    }

    /// `X-Forwarded-Proto`, the scheme: `http` or `https`. Default: [`Action::Set`].
    #[must_use]
    pub const fn x_forwarded_proto(self, proto: Action) -> Self {
        Self { proto, ..self }
    }

    /// `X-Forwarded-Host`, the host and port that the client asked for. Default: [`Action::Set`].
    #[must_use]
    pub const fn x_forwarded_host(self, host: Action) -> Self {
        Self { host, ..self }
    }

    /// `X-Forwarded-Prefix`, the part of the path that was taken off. Default: [`Action::Set`].
    #[must_use]
    pub const fn x_forwarded_prefix(self, prefix: Action) -> Self {
        Self { prefix, ..self }
    }

    /// `Forwarded` (RFC 7239), with scheme, host and `for`. Default: [`Action::Off`].
    #[must_use]
    pub const fn forwarded(self, forwarded: Action) -> Self {
        Self { forwarded, ..self }
    }

    /// Writes the prefix that a route took off, once the route is known.
    pub(crate) fn apply_prefix(&self, headers: &mut HeaderMap, prefix: &str) {
        write(headers, X_FORWARDED_PREFIX, self.prefix, |_| token(prefix));
    }

    /// Writes the fields for one request.
    pub fn apply(&self, headers: &mut HeaderMap, facts: &Facts<'_>) {
        write(headers, X_FORWARDED_FOR, self.client, |action| match facts
            .sender(action)?
            .to_canonical()
        {
            IpAddr::V4(address) => dotted(address),
            IpAddr::V6(address) => text(address),
        });
        write(headers, X_FORWARDED_PROTO, self.proto, |_| {
            match facts.scheme {
                "https" => Some(HeaderValue::from_static("https")),
                "http" => Some(HeaderValue::from_static("http")),
                other => token(other),
            }
        });
        let host = facts.host.filter(|host| !host.is_empty());
        write(headers, X_FORWARDED_HOST, self.host, |_| host.cloned());
        write(headers, X_FORWARDED_PREFIX, self.prefix, |_| {
            token(facts.prefix?)
        });
        write(headers, header::FORWARDED, self.forwarded, |action| {
            let element = Element {
                proto: Some(facts.scheme).filter(|scheme| !scheme.is_empty()),
                host: facts.host.and_then(|host| host.to_str().ok()),
                sender: Some(facts.sender(action).map_or(Node::UNKNOWN, Node::from)),
                by: facts.by,
            };
            text(element)
        });
    }
}

impl Default for ForwardHeaders {
    fn default() -> Self {
        Self::new()
    }
}

/// What is known of one request. Empty means unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The client's address, as trusted proxies report it.
    pub client: Option<IpAddr>,
    /// The address of the connection's other end, the same as the client's when no proxy is trusted.
    pub peer: Option<IpAddr>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port that the client asked for.
    pub host: Option<&'a HeaderValue>,
    /// The part of the (canonical) path that a route takes off.
    pub prefix: Option<&'a str>,
    /// How `Forwarded` names this gateway.
    pub by: Option<Node<'a>>,
}

impl Facts<'_> {
    fn sender(&self, action: Action) -> Option<IpAddr> {
        match action {
            Action::Append => self.peer.or(self.client),
            _ => self.client.or(self.peer),
        }
    }
}

/// A name for a party in `Forwarded` (RFC 7239 §6). An IPv4-mapped IPv6 address is shown as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    name: Name<'a>,
    port: Option<Port<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name<'a> {
    Unknown,
    Ip(IpAddr),
    Obfuscated(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port<'a> {
    Number(u16),
    Obfuscated(&'a str),
}

impl<'a> Node<'a> {
    /// `unknown`.
    pub const UNKNOWN: Self = Self {
        name: Name::Unknown,
        port: None,
    };

    /// A name that hides the address, such as `_front`: an underscore, then letters, digits, `.`, `_`, `-`. Otherwise
    /// `None`.
    #[must_use]
    pub fn obfuscated(name: &'a str) -> Option<Self> {
        is_obfuscated(name).then_some(Self {
            name: Name::Obfuscated(name),
            port: None,
        })
    }

    /// With a port; 0 is no port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        let port = (port != 0).then_some(Port::Number(port));
        Self { port, ..self }
    }

    /// With a name that hides the port, of the form that [`Node::obfuscated`] takes. Otherwise `None`.
    #[must_use]
    pub fn with_obfuscated_port(self, port: &'a str) -> Option<Self> {
        let port = Some(is_obfuscated(port).then_some(Port::Obfuscated(port))?);
        Some(Self { port, ..self })
    }
}

impl From<IpAddr> for Node<'_> {
    fn from(address: IpAddr) -> Self {
        Self {
            name: Name::Ip(address.to_canonical()),
            port: None,
        }
    }
}

impl From<SocketAddr> for Node<'_> {
    fn from(address: SocketAddr) -> Self {
        Self::from(address.ip()).with_port(address.port())
    }
}

impl Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Name::Unknown => f.write_str("unknown"),
            Name::Ip(IpAddr::V4(address)) => address.fmt(f),
            Name::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Name::Obfuscated(name) => f.write_str(name),
        }?;
        match self.port {
            None => Ok(()),
            Some(Port::Number(port)) => write!(f, ":{port}"),
            Some(Port::Obfuscated(port)) => write!(f, ":{port}"),
        }
    }
}

fn is_obfuscated(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_part))
}

/// One element of `Forwarded`.
struct Element<'a> {
    proto: Option<&'a str>,
    host: Option<&'a str>,
    sender: Option<Node<'a>>,
    by: Option<Node<'a>>,
}

impl Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut divider = "";
        if let Some(proto) = self.proto {
            write!(f, "proto={proto}")?;
            divider = ";";
        }
        if let Some(host) = self.host {
            write!(f, "{divider}host=\"")?;
            for char in host.chars() {
                if matches!(char, '"' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(char)?;
            }
            f.write_char('"')?;
            divider = ";";
        }
        for (name, node) in [("for", self.sender), ("by", self.by)] {
            let Some(node) = node else { continue };
            // Brackets and colons are no token characters (RFC 7239 §6).
            let is_token = node.port.is_none() && !matches!(node.name, Name::Ip(IpAddr::V6(_)));
            let quote = if is_token { "" } else { "\"" };
            write!(f, "{divider}{name}={quote}{node}{quote}")?;
            divider = ";";
        }
        Ok(())
    }
}

fn write(
    headers: &mut HeaderMap,
    name: HeaderName,
    action: Action,
    value: impl FnOnce(Action) -> Option<HeaderValue>,
) {
    match action {
        Action::Off => {}
        Action::Remove => {
            headers.remove(name);
        }
        Action::Set => match value(action) {
            Some(value) => {
                headers.insert(name, value);
            }
            None => {
                headers.remove(name);
            }
        },
        Action::Append => {
            if let Some(value) = value(action) {
                headers.append(name, value);
            }
        }
    }
}

/// A value as it is; nothing when it is empty or cannot stand in a field.
fn token(value: &str) -> Option<HeaderValue> {
    (!value.is_empty())
        .then(|| HeaderValue::from_str(value).ok())
        .flatten()
}

/// An address without the detour through [`Display`], which costs as much as the rest of the fields together.
fn dotted(address: Ipv4Addr) -> Option<HeaderValue> {
    let mut text = [b'.'; 16];
    let mut at = 0;
    for octet in address.octets() {
        for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
            if octet >= least {
                text[at] = b'0' + digit;
                at += 1;
            }
        }
        // The dot behind it is there already.
        at += 1;
    }
    HeaderValue::from_bytes(&text[..at - 1]).ok()
}

fn text(value: impl Display) -> Option<HeaderValue> {
    let mut text = String::with_capacity(48);
    write!(text, "{value}").ok()?;
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

#[cfg(test)]
mod tests;
