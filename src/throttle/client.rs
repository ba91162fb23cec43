//! Whose address a request is counted by.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;

use crate::context::RequestContext;

/// Where a server puts the peer's address.
pub(super) type PeerOf = dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync;

/// The client's address: as the gateway has it; else the peer's, from where `peer` says that it is, or a bare [`SocketAddr`] if it is not said.
pub(super) fn client_ip(extensions: &Extensions, peer: Option<&PeerOf>) -> Option<IpAddr> {
    let context = extensions.get::<RequestContext>();
    let known = context.and_then(RequestContext::client_ip);
    let address = known.or_else(|| {
        let peer = match peer {
            Some(peer) => peer(extensions),
            None => extensions.get().copied(),
        };
        peer.map(|peer| peer.ip())
    });
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_knows_best_and_then_the_server() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        let of_type = |extensions: &Extensions| extensions.get::<(SocketAddr,)>().map(|it| it.0);
        let none = |_: &Extensions| None;

        let mut extensions = Extensions::new();
        assert_eq!(client_ip(&extensions, None), None);
        extensions.insert(address("[::ffff:192.0.2.1]:80"));
        assert_eq!(client_ip(&extensions, None), ip("192.0.2.1"));
        assert_eq!(client_ip(&extensions, Some(&none)), None);
        extensions.insert((address("192.0.2.2:80"),));
        assert_eq!(client_ip(&extensions, Some(&of_type)), ip("192.0.2.2"));

        extensions.insert(RequestContext::new());
        assert_eq!(client_ip(&extensions, Some(&of_type)), ip("192.0.2.2"));
        extensions.insert(RequestContext {
            client_ip: ip("::ffff:192.0.2.3"),
            ..RequestContext::new()
        });
        for peer in [None, Some(&of_type as &PeerOf), Some(&none)] {
            assert_eq!(client_ip(&extensions, peer), ip("192.0.2.3"));
        }
    }
}
