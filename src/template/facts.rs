//! What a template can read of a request, and how it is named.

use super::encode;
use crate::{claims::Claims, cookie::cookie, json::Value};
use http::{HeaderMap, HeaderName, Method, Uri};
use std::{borrow::Cow, net::IpAddr};

/// One request, as a [`Template`](super::Template) reads it: before any rewriting, after the path was made canonical.
///
/// A fact that is `None` is missing, which is not the same as empty; the template's place decides what follows.
pub trait Facts {
    /// A path param in the canonical path's own spelling, still percent-encoded. `None` also for a catch-all that matched nothing.
    fn param(&self, name: &str) -> Option<&str>;

    /// The method.
    fn method(&self) -> &Method;

    /// The target, with the canonical path.
    fn uri(&self) -> &Uri;

    /// The header fields.
    fn headers(&self) -> &HeaderMap;

    /// The host that the client named, in lower case and without a port.
    fn host(&self) -> Option<&str>;

    /// The scheme that the client used.
    fn scheme(&self) -> Option<&str>;

    /// The client's address, behind trusted proxies only what these say.
    fn client_ip(&self) -> Option<IpAddr>;

    /// The request's id.
    fn request_id(&self) -> Option<&str>;

    /// What is known of whoever sends the request.
    fn claims(&self) -> Option<&Claims> {
        None
    }
}

/// Where a placeholder takes its value from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Param {
        name: String,
        rest: bool,
    },
    Header(HeaderName),
    Query(String),
    Cookie(String),
    /// By its path.
    Claim(String),
    Request(Fact),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Host,
    ClientIp,
    Id,
    Method,
    Scheme,
    Path,
    Query,
}

/// A value as it was found.
pub(super) enum Found<'a> {
    /// Text of the canonical path: its escapes are part of it.
    Encoded(&'a str),
    /// Bytes that mean themselves.
    Raw(Cow<'a, [u8]>),
    Claim(Value<'a>),
}

const FACTS: [(&str, Fact); 7] = [
    ("host", Fact::Host),
    ("client_ip", Fact::ClientIp),
    ("id", Fact::Id),
    ("method", Fact::Method),
    ("scheme", Fact::Scheme),
    ("path", Fact::Path),
    ("query", Fact::Query),
];

impl Source {
    /// Reads the inside of a placeholder's braces.
    pub(super) fn parse(inside: &str) -> Result<Self, &'static str> {
        let Some((space, name)) = inside.split_once('.') else {
            let (name, rest) = match inside.strip_prefix('*') {
                Some(name) => (name, true),
                None => (inside, false),
            };
            if name.is_empty() || !name.bytes().all(is_name_byte) {
                return Err(
                    "a path param is `{name}` or `{*name}`, of letters, digits, `_` and `-`",
                );
            }
            let name = name.to_owned();
            return Ok(Self::Param { name, rest });
        };
        match space {
            "header" => (HeaderName::from_bytes(name.as_bytes()).map(Self::Header))
                .map_err(|_| "`{header.NAME}` takes the name of a header field"),
            "query" if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            "query" => Err("`{query.NAME}` takes the name of a query param"),
            // A cookie's name is a token, and so is a field's (RFC 6265 §4.1.1).
            "cookie" if HeaderName::from_bytes(name.as_bytes()).is_ok() => {
                Ok(Self::Cookie(name.to_owned()))
            }
            "cookie" => Err("`{cookie.NAME}` takes the name of a cookie"),
            "claims" if !name.is_empty() => Ok(Self::Claim(name.to_owned())),
            "claims" => Err("`{claims.PATH}` takes the name of a claim, or names joined by dots"),
            "request" => (FACTS.iter().find(|fact| fact.0 == name))
                .map(|fact| Self::Request(fact.1))
                .ok_or(
                    "of the request there are `host`, `client_ip`, `id`, `method`, `scheme`, `path` and `query`",
                ),
            _ => Err(
                "a placeholder is `{param}`, `{*param}`, `{header.NAME}`, `{query.NAME}`, `{cookie.NAME}`, `{claims.PATH}` or `{request.FACT}`",
            ),
        }
    }

    pub(super) fn read<'a>(&self, facts: &'a dyn Facts) -> Option<Found<'a>> {
        let raw = match self {
            Self::Param { name, .. } => return facts.param(name).map(Found::Encoded),
            Self::Header(name) => header(facts.headers(), name)?,
            Self::Query(name) => query(facts.uri().query()?, name)?,
            Self::Claim(path) => {
                let claim = facts.claims()?.get(path)?;
                let is_empty = claim.is_null()
                    || claim.as_str() == Some("")
                    || claim
                        .items()
                        .is_some_and(|mut items| items.next().is_none());
                return (!is_empty).then_some(Found::Claim(claim));
            }
            Self::Cookie(name) => cookie(facts.headers(), name)?.into(),
            Self::Request(fact) => match fact {
                Fact::Host => facts.host()?.as_bytes().into(),
                Fact::ClientIp => Cow::Owned(facts.client_ip()?.to_string().into_bytes()),
                Fact::Id => facts.request_id()?.as_bytes().into(),
                Fact::Method => facts.method().as_str().as_bytes().into(),
                Fact::Scheme => facts.scheme()?.as_bytes().into(),
                Fact::Path => facts.uri().path().as_bytes().into(),
                Fact::Query => facts.uri().query()?.as_bytes().into(),
            },
        };
        Some(Found::Raw(raw))
    }
}

/// Whether a param's name is also that of a fact, which somebody may have meant.
pub(super) fn is_fact(name: &str) -> bool {
    FACTS.iter().any(|fact| fact.0 == name)
}

/// A field's value. Several lines are one list (RFC 9110 §5.3), so that nobody is shown one of them while somebody else acts on another.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?.as_bytes();
    let mut value = Cow::Borrowed(first);
    for line in lines {
        let value = value.to_mut();
        value.extend_from_slice(b", ");
        value.extend_from_slice(line.as_bytes());
    }
    Some(value)
}

/// The first value of a query param, decoded as form data.
fn query<'a>(query: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        encode::reads_as(key.as_bytes(), name).then(|| encode::decode_form(value.as_bytes()))
    })
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
