//! What a proxy in front of the gateway says about the client, and when it is believed.
//!
//! Anyone can write `X-Forwarded-For`. Only what trusted proxies wrote is true, and they write at the right end: so the
//! list is read from the right, and only as far as each hop is trusted. An untrusted peer is the client, whatever its
//! fields say.
//!
//! ```text
//! let trusted = TrustedProxies::new(["10.0.0.0/8"])?;
//! let mut headers = HeaderMap::new();
//! headers.insert("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.0.0.2".parse()?);
//! assert_eq!(trusted.client_addr("10.0.0.1".parse()?, &headers).to_string(), "203.0.113.7");
//! assert_eq!(trusted.client_addr("192.0.2.9".parse()?, &headers).to_string(), "192.0.2.9");
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName};
use thiserror::Error;

use crate::{
    authority::HostPort,
    networks::{Networks, network},
};

mod element;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no trusted proxy; give an IP address or a network such as `10.0.0.0/8` or `fd00::/8`"
)]
pub struct TrustedProxyError(String);

/// The proxies whose word is taken, and the field it is read from. Default: none. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Arc<Networks>,
    forwarded: bool,
}

impl TrustedProxies {
    /// The most elements that are looked at, from the right. Longer ways do not exist; longer lists are attacks.
    pub const MAX_HOPS: usize = 32;

    /// Trusts these addresses and networks.
    ///
    /// # Errors
    /// Every text that is neither.
    pub fn new<T: AsRef<str>>(
        networks: impl IntoIterator<Item = T>,
    ) -> Result<Self, Vec<TrustedProxyError>> {
        let mut known = Vec::new();
        let mut errors = Vec::new();
        for text in networks {
            match network(text.as_ref()) {
                Some(network) => known.push(network),
                None => errors.push(TrustedProxyError(text.as_ref().into())),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            networks: Arc::new(known.into_iter().collect()),
            forwarded: false,
        })
    }

    /// Whether `Forwarded` (RFC 7239) is read. Default: `false`, the `X-Forwarded` fields are. Never both: a proxy writes
    /// one kind and lets the client's other kind through.
    #[must_use]
    pub fn read_forwarded(self, forwarded: bool) -> Self {
        Self { forwarded, ..self }
    }

    /// Whether `address` is trusted. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.contains(address)
    }

    /// The client's address: the first one from the right that is not trusted. The walk ends at the last known hop when an
    /// element is no address (`unknown`, a hidden name, a mistake), and after [`Self::MAX_HOPS`] elements.
    #[must_use]
    pub fn client_addr(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        let name = if self.forwarded {
            header::FORWARDED
        } else {
            X_FORWARDED_FOR
        };
        for element in element::from_the_right(headers, name).take(Self::MAX_HOPS) {
            let address = if self.forwarded {
                element::parameter(element, "for").and_then(forwarded_node)
            } else {
                std::str::from_utf8(element).ok().and_then(address)
            };
            match address {
                Some(address) => client = address.to_canonical(),
                None => break,
            }
            if !self.contains(client) {
                break;
            }
        }
        client
    }

    /// The scheme that a trusted peer reports, `http` or `https`. Of a list the last element counts, the one that the
    /// peer itself wrote.
    #[must_use]
    pub fn scheme(&self, peer: IpAddr, headers: &HeaderMap) -> Option<&'static str> {
        let scheme = self.reported(peer, headers, X_FORWARDED_PROTO, "proto")?;
        ["https", "http"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(scheme))
    }

    /// The host that a trusted peer reports, as [`Self::scheme`]. `None` for a malformed one too.
    #[must_use]
    pub fn host<'a>(&self, peer: IpAddr, headers: &'a HeaderMap) -> Option<HostPort<'a>> {
        HostPort::parse(self.reported(peer, headers, X_FORWARDED_HOST, "host")?)
    }

    fn reported<'a>(
        &self,
        peer: IpAddr,
        headers: &'a HeaderMap,
        name: HeaderName,
        parameter: &str,
    ) -> Option<&'a str> {
        if !self.contains(peer) {
            return None;
        }
        if self.forwarded {
            let element = element::from_the_right(headers, header::FORWARDED).next()?;
            element::parameter(element, parameter)
        } else {
            std::str::from_utf8(element::from_the_right(headers, name).next()?).ok()
        }
    }
}

/// An element of `X-Forwarded-For`: an address, by some proxies with a port.
fn address(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
        .or_else(|| bracketed(text))
}

/// A node of `Forwarded` (RFC 7239 §6): as [`address`], but IPv6 only in brackets, and the port may be a hidden one.
fn forwarded_node(text: &str) -> Option<IpAddr> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => (&text[..rest.find(']')? + 2], &rest[rest.find(']')? + 1..]),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = |port: &str| {
        port.parse::<u16>().is_ok() || port.strip_prefix('_').is_some_and(|name| !name.is_empty())
    };
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return None;
    }
    if host.starts_with('[') {
        bracketed(host)
    } else {
        host.parse().ok().map(IpAddr::V4)
    }
}

fn bracketed(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests;
