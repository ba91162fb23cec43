//! Host patterns, and the form in which hosts are compared.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use thiserror::Error;

/// Longest host name, in bytes (RFC 1035 section 2.3.4).
pub(super) const MAX_LEN: usize = 253;

/// A host, a family of hosts, or any.
///
/// | written | takes |
/// |---|---|
/// | `example.com` | that host |
/// | `*.example.com` | hosts with one label or more in front, not `example.com` itself; the longest suffix wins |
/// | `[::1]`, `192.0.2.1` | that address, however it is spelled |
/// | `*` | any host, and requests without one |
///
/// Case, the request's port and a dot at its end are ignored. A pattern has no port, and names are ASCII: write
/// internationalised names in their `xn--` form.
///
/// ```
/// use tower_gateway::routing::HostPattern;
///
/// assert_eq!("Example.COM".parse::<HostPattern>()?.to_string(), "example.com");
/// assert!("example.com:8080".parse::<HostPattern>().is_err());
/// # Ok::<(), tower_gateway::routing::HostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Any,
    /// The suffix without `*.`
    Wildcard(Box<str>),
    Exact(Box<str>),
}

impl HostPattern {
    /// Any host, and requests without one. The same as naming no host at all.
    pub const ANY: Self = Self(Kind::Any);

    /// The name or suffix to be looked up and whether it is a suffix; `None` for any.
    pub(super) fn key(&self) -> Option<(&str, bool)> {
        match &self.0 {
            Kind::Any => None,
            Kind::Wildcard(suffix) => Some((suffix, true)),
            Kind::Exact(name) => Some((name, false)),
        }
    }

    pub(super) fn rank(&self) -> u16 {
        match &self.0 {
            Kind::Any => 0,
            Kind::Wildcard(suffix) => u16::try_from(suffix.len()).unwrap_or(u16::MAX - 1),
            Kind::Exact(_) => u16::MAX,
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let error = |problem| HostError {
            host: text.chars().take(MAX_LEN + 10).collect(),
            problem,
        };
        if text == "*" {
            return Ok(Self::ANY);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner
                .strip_suffix(']')
                .and_then(|inner| inner.parse::<Ipv6Addr>().ok());
            let address = address.ok_or_else(|| error(Problem::Address))?;
            return Ok(Self(Kind::Exact(format!("[{address}]").into())));
        }
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(suffix) => name(suffix).map(|()| Self(Kind::Wildcard(suffix.into()))),
            None => name(&lower).map(|()| Self(Kind::Exact(lower.into()))),
        }
        .map_err(error)
    }
}

impl TryFrom<&str> for HostPattern {
    type Error = HostError;

    fn try_from(text: &str) -> Result<Self, HostError> {
        text.parse()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Any => f.write_str("*"),
            Kind::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Kind::Exact(name) => f.write_str(name),
        }
    }
}

/// A text that is no host pattern: names it, what is wrong in it, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("host pattern `{host}`: {problem}")]
pub struct HostError {
    host: Box<str>,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum Problem {
    #[error("must be an IPv6 address in brackets, without a port or zone")]
    Address,
    #[error(
        "ports are not matched, leave `:` and what follows away; an IPv6 address stands in brackets"
    )]
    Port,
    #[error("`*` may only be the whole first label (`*.example.com`), or stand alone for any host")]
    Wildcard,
    #[error("must be labels of 1 to 63 characters with dots between, at most {MAX_LEN} in all")]
    Length,
    #[error(
        "{0:?} may not appear; labels have ASCII letters, digits, `-` and `_`, other names their `xn--` form"
    )]
    Character(char),
}

fn name(name: &str) -> Result<(), Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.chars().find(|c| !allowed(*c)) {
        Some(':') => return Err(Problem::Port),
        Some('*') => return Err(Problem::Wildcard),
        Some(c) => return Err(Problem::Character(c)),
        None => {}
    }
    if name.len() > MAX_LEN
        || name
            .split('.')
            .any(|label| label.is_empty() || label.len() > 63)
    {
        return Err(Problem::Length);
    }
    Ok(())
}

/// The host of a request without port and final dot, `None` when no pattern but "any" can take it. Case is left as
/// it is, the table compares without it.
pub(super) fn request_host(host: &str) -> Option<Cow<'_, str>> {
    if let Some(rest) = host.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        if !is_port(port.strip_prefix(':').unwrap_or(port)) {
            return None;
        }
        let address: Ipv6Addr = inner.parse().ok()?;
        return Some(format!("[{address}]").into());
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty() && name.len() <= MAX_LEN).then_some(Cow::Borrowed(name))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}
