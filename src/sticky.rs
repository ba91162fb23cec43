//! What keeps a request with one target.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderName};

use crate::{context::RequestContext, cookie::cookie};

/// What of a request keeps it with one target: an upstream of a [split](crate::Route::sticky), or an endpoint of an
/// upstream that [balances by it](crate::Balance::hash). The same key gives the same target in every process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyKey(Source);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Header(HeaderName),
    Cookie(String),
    ClientIp,
    Param(String),
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

    /// The client's address, as [`RequestContext::client_ip`] has it; an IPv6 address by its network of 64 bits, which is
    /// what one client has.
    #[must_use]
    pub fn client_ip() -> Self {
        Self(Source::ClientIp)
    }

    /// A parameter of the route's path.
    #[must_use]
    pub fn param(name: impl Into<String>) -> Self {
        Self(Source::Param(name.into()))
    }

    /// The request's key; `None` when it has none or an empty one, and its target is to be picked as if there were no key.
    #[must_use]
    pub fn of<'a>(
        &self,
        headers: &'a HeaderMap,
        context: Option<&'a RequestContext>,
    ) -> Option<Cow<'a, [u8]>> {
        let value: Cow<'a, [u8]> = match &self.0 {
            Source::Header(name) => headers.get(name)?.as_bytes().into(),
            Source::Cookie(name) => cookie(headers, name)?.into(),
            Source::ClientIp => match context?.client_ip()? {
                IpAddr::V4(ip) => ip.octets().to_vec().into(),
                IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                    Some(ip) => ip.octets().to_vec().into(),
                    None => ip.octets()[..8].to_vec().into(),
                },
            },
            Source::Param(name) => context?.param(name)?.as_bytes().into(),
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
        let header = |name| StickyKey::header(HeaderName::from_static(name)).of(&headers, None);
        assert_eq!(header("x-user").as_deref(), Some(&b"7"[..]));
        assert_eq!(header("x-empty"), None);
        assert_eq!(header("x-absent"), None);
        let cookie = |name: &str| StickyKey::cookie(name).of(&headers, None);
        assert_eq!(cookie("b").as_deref(), Some(&b"2"[..]));
        assert_eq!(cookie("c"), None);
        assert_eq!(cookie("d"), None);
    }
    #[test]
    fn a_client_is_its_network() {
        let key = |ip: &str| {
            let mut context = RequestContext::new();
            context.client_ip = Some(ip.parse().unwrap());
            let headers = HeaderMap::new();
            let key = StickyKey::client_ip().of(&headers, Some(&context));
            key.unwrap().into_owned()
        };
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(StickyKey::client_ip().of(&HeaderMap::new(), None), None);
    }
}
