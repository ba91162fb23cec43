//! One of the things that a key is made of, and where it is found.

use std::{fmt, net::IpAddr, sync::Arc};

use http::{HeaderName, header, request::Parts};

use super::{
    bytes::{self, KeyBytes, Kind},
    extractor::Extract,
};
use crate::{authority::HostPort, context::RequestContext, cookie::cookies, identity::Identity};

#[derive(Clone)]
pub(super) enum Part {
    Network { v4: u8, v6: u8 },
    Header(HeaderName),
    Cookie(Arc<str>),
    Subject,
    Claim(Arc<str>),
    ApiKey,
    Route,
    Host,
    Method,
    Param(Arc<str>),
    Constant(Arc<str>),
    Function(Arc<Function>),
    Extractor(Arc<dyn Extract>),
}

type Function = dyn Fn(&Parts) -> Option<Vec<u8>> + Send + Sync;

/// Whether a part was written.
pub(super) enum Written<'a> {
    Yes,
    Missing,
    /// It has to be asked for.
    By(&'a dyn Extract),
}

impl Part {
    /// Appends it.
    pub(super) fn write(
        &self,
        head: &Parts,
        client: Option<IpAddr>,
        out: &mut KeyBytes,
    ) -> Written<'_> {
        let written = match self {
            Self::Extractor(extractor) => return Written::By(&**extractor),
            Self::Network { v4, v6 } => {
                client.map(|address| bytes::network(out, address, *v4, *v6))
            }
            Self::Header(name) => {
                let values = head.headers.get_all(name).iter();
                let value = only(values.map(|value| value.as_bytes()));
                value.map(|value| bytes::two(out, Kind::Header, name.as_str().as_bytes(), value))
            }
            Self::Cookie(name) => {
                let value = only(cookies(&head.headers, name));
                value.map(|value| bytes::two(out, Kind::Cookie, name.as_bytes(), value))
            }
            Self::Subject => identity(head).and_then(|identity| subject(identity, out)),
            Self::Claim(path) => identity(head).and_then(|identity| claim(identity, path, out)),
            Self::ApiKey => identity(head).and_then(|identity| api_key(identity, out)),
            Self::Route => context(head)
                .and_then(RequestContext::route)
                .map(|name| bytes::one(out, Kind::Route, name.as_bytes())),
            Self::Host => host(head).map(|name| bytes::host(out, name)),
            Self::Method => {
                bytes::one(out, Kind::Method, head.method.as_str().as_bytes());
                Some(())
            }
            Self::Param(name) => context(head)
                .and_then(|context| context.param(name))
                .filter(|value| !value.is_empty())
                .map(|value| bytes::two(out, Kind::Param, name.as_bytes(), value.as_bytes())),
            Self::Constant(text) => {
                bytes::one(out, Kind::Constant, text.as_bytes());
                Some(())
            }
            Self::Function(function) => {
                function(head).map(|value| bytes::one(out, Kind::Function, &value))
            }
        };
        match written {
            Some(()) => Written::Yes,
            None => Written::Missing,
        }
    }

    /// What is wrong, each with what is allowed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        match self {
            Self::Network { v4, v6 } => {
                if *v4 > 32 {
                    mistakes.push(format!("the IPv4 prefix is {v4}; it is from 0 to 32 bits"));
                }
                if *v6 > 128 {
                    mistakes.push(format!("the IPv6 prefix is {v6}; it is from 0 to 128 bits"));
                }
            }
            // The names of both are tokens (RFC 6265 section 4.1.1, RFC 9110 section 5.1); of those a header has upper case too.
            Self::Cookie(name) if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                mistakes.push(format!(
                    "{name:?} is no name of a cookie; it has letters, digits and some of `!#$%&'*+-.^_|~`"
                ));
            }
            Self::Claim(path) if path.is_empty() => {
                mistakes.push("the path of the claim is empty".to_owned());
            }
            Self::Param(name) if name.is_empty() => {
                mistakes.push("the name of the path param is empty".to_owned());
            }
            Self::Extractor(extractor) => mistakes = extractor.mistakes(),
            _ => {}
        }
        mistakes
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { v4: 32, v6: 64 } => f.write_str("client address"),
            Self::Network { v4, v6 } => write!(f, "client network (/{v4}, IPv6 /{v6})"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Subject => f.write_str("subject"),
            Self::Claim(path) => write!(f, "claim {path}"),
            Self::ApiKey => f.write_str("API key"),
            Self::Route => f.write_str("route"),
            Self::Host => f.write_str("host"),
            Self::Method => f.write_str("method"),
            Self::Param(name) => write!(f, "param {name}"),
            Self::Constant(text) => write!(f, "constant {text:?}"),
            Self::Function(_) => f.write_str("function"),
            Self::Extractor(_) => f.write_str("extractor"),
        }
    }
}

/// The value, if all are the same, and it is not empty. Which one of several a backend takes is not known: if each of them made another key, a client
/// would have a new share for each that it adds.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let first = values.next().filter(|first| !first.is_empty())?;
    values.all(|value| value == first).then_some(first)
}

fn context(head: &Parts) -> Option<&RequestContext> {
    head.extensions.get()
}

fn identity(head: &Parts) -> Option<&Identity> {
    context(head)?.identity()
}

fn subject(identity: &Identity, out: &mut KeyBytes) -> Option<()> {
    let subject = identity.subject().filter(|subject| !subject.is_empty())?;
    let (kind, space) = match identity.claims().issuer() {
        Some(issuer) => (Kind::IssuedSubject, issuer),
        None => (Kind::Subject, identity.method()),
    };
    bytes::two(out, kind, space.as_bytes(), subject.as_bytes());
    Some(())
}

fn claim(identity: &Identity, path: &str, out: &mut KeyBytes) -> Option<()> {
    let value = identity.claims().get(path)?;
    let (kind, text) = match value.as_str() {
        Some(text) => (Kind::TextClaim, text),
        None if value.is_null() => return None,
        None => (Kind::JsonClaim, value.json()),
    };
    if text.is_empty() {
        return None;
    }
    bytes::two(out, kind, path.as_bytes(), text.as_bytes());
    Some(())
}

fn api_key(identity: &Identity, out: &mut KeyBytes) -> Option<()> {
    let some = |text: &&str| !text.is_empty();
    if identity.method() != "api-key" {
        return None;
    }
    let owner = identity.subject().filter(some);
    let id = identity.claims().get("key_id");
    match id.and_then(|id| id.as_str()).filter(some) {
        // An identifier need not be unique: it is what stands in front of the first dot.
        Some(id) => {
            let owner = owner.unwrap_or_default();
            bytes::two(out, Kind::NamedApiKey, id.as_bytes(), owner.as_bytes());
        }
        None => bytes::one(out, Kind::ApiKey, owner?.as_bytes()),
    }
    Some(())
}

/// The host without its port and the dot at its end.
fn host(head: &Parts) -> Option<&str> {
    let authority = match context(head).and_then(RequestContext::authority) {
        Some(authority) => authority,
        None => asked_of(head)?,
    };
    let host = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => authority.get(..colon)?,
        _ => authority,
    };
    Some(host.strip_suffix('.').unwrap_or(host))
}

/// What a request without a gateway names, if it names one host.
fn asked_of(head: &Parts) -> Option<&str> {
    let text = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => {
            let mut hosts = head.headers.get_all(header::HOST).iter();
            let host = hosts.next().filter(|_| hosts.next().is_none())?;
            host.to_str().ok()?
        }
    };
    HostPort::parse(text).map(|host| host.as_str())
}
