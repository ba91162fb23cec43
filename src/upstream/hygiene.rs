//! Fields that end here: hop-by-hop ones (RFC 9110 §7.6.1) and those that only the gateway may set.
//!
//! [`strip_request`] belongs to the door, ahead of everything that reads or sets fields, so that a policy sees the same
//! fields as the backend, and no `Connection` of a client can name, and so delete, what the gateway sets later.
//!
//! ```text
//! let owned = OwnedHeaders::new().own(["x-user-id".parse()?]);
//! let mut headers = HeaderMap::new();
//! headers.insert("connection", "x-debug, keep-alive".parse()?);
//! headers.insert("x-debug", "1".parse()?);
//! headers.insert("x_user_id", "root".parse()?);
//! headers.insert("accept", "*/*".parse()?);
//! strip_request(&mut headers, &owned, false);
//! assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
//! ```

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

pub use super::owned::OwnedHeaders;
use super::owned::Owner;

/// What the removed fields asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stripped {
    /// The protocol of `Upgrade`, when `Connection` named it and it is a single one. Whoever supports that protocol puts
    /// it back with [`restore_upgrade`]. HTTP/1.0 has no upgrade (RFC 9110 §7.8): ignore it there.
    pub upgrade: Option<HeaderValue>,
    /// `TE: trailers` is still in the map. An HTTP/1 request needs `Connection: TE` beside it (RFC 9110 §10.1.4).
    pub trailers: bool,
}

/// Removes from a client's request every hop-by-hop field, every field that `Connection` names, and the gateway's own
/// fields in any spelling. `from_trusted` keeps what a trusted peer may hand on, the forwarded fields.
///
/// `TE` keeps its `trailers`. `Host`, `Content-Length` and other fields that are meant for every recipient stay although
/// `Connection` names them. A map that holds nothing to remove is not touched.
pub fn strip_request(
    headers: &mut HeaderMap,
    owned: &OwnedHeaders,
    from_trusted: bool,
) -> Stripped {
    let mut doomed = Doomed::new();
    let mut seen = Seen::default();
    for name in headers.keys() {
        let remove = match hop(name.as_str()) {
            Hop::Connection => {
                seen.connection = true;
                true
            }
            Hop::Upgrade => {
                seen.upgrade = true;
                true
            }
            Hop::Te => {
                seen.te = true;
                false
            }
            Hop::Request | Hop::Both => true,
            Hop::No => match owned.owner(name.as_str()) {
                Owner::Gateway => true,
                Owner::TrustedPeer => !from_trusted,
                Owner::Client | Owner::Settled => false,
            },
        };
        if remove {
            doomed.push(name.clone());
        }
    }
    let mut stripped = Stripped::default();
    if seen.connection {
        let names_upgrade = named(headers, &mut doomed, |name| {
            owned.owner(name) != Owner::Client
        });
        if names_upgrade && seen.upgrade {
            stripped.upgrade = single_protocol(headers);
        }
    }
    if seen.te {
        stripped.trailers = keep_trailers(headers);
    }
    for name in &doomed {
        headers.remove(name);
    }
    stripped
}

/// Removes from a backend's response every hop-by-hop field and every field that `Connection` names, except those that
/// are meant for every recipient. For a `101`, read `Upgrade` first.
pub fn strip_response(headers: &mut HeaderMap) {
    let mut doomed = Doomed::new();
    let mut has_connection = false;
    for name in headers.keys() {
        match hop(name.as_str()) {
            Hop::No | Hop::Request => continue,
            Hop::Connection => has_connection = true,
            Hop::Upgrade | Hop::Te | Hop::Both => {}
        }
        doomed.push(name.clone());
    }
    if has_connection {
        named(headers, &mut doomed, |_| false);
    }
    for name in &doomed {
        headers.remove(name);
    }
}

/// Asks the next hop to change to `protocol`: `Connection: upgrade` and `Upgrade`.
pub fn restore_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Joins the `Cookie` fields of an HTTP/2 request to one, which HTTP/1 demands (RFC 9113 §8.2.3). One field, or none, is
/// left alone.
pub fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(_)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in headers.get_all(header::COOKIE).iter().skip(1) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(header::COOKIE, joined);
    }
}

type Doomed = SmallVec<[HeaderName; 4]>;

#[derive(Default)]
struct Seen {
    connection: bool,
    upgrade: bool,
    te: bool,
}

/// In which direction a field is hop-by-hop.
#[derive(Clone, Copy)]
enum Hop {
    No,
    Connection,
    Upgrade,
    Te,
    Request,
    Both,
}

fn hop(name: &str) -> Hop {
    // Most names are none of these by their first byte.
    if !matches!(
        name.as_bytes(),
        [b'a' | b'c' | b'h' | b'k' | b'p' | b't' | b'u', ..]
    ) {
        return Hop::No;
    }
    match name {
        "connection" => Hop::Connection,
        "upgrade" => Hop::Upgrade,
        "te" => Hop::Te,
        // `Alt-Svc` is about the address of who says it.
        "keep-alive" | "transfer-encoding" | "alt-svc" => Hop::Both,
        // `Proxy` would reach CGI programs as the variable HTTP_PROXY. `Proxy-Status` is for the client (RFC 9209).
        "http2-settings" | "proxy" | "proxy-status" => Hop::Request,
        // Some backends read `_` as `-`: to them this is a second, unchecked spelling of what frames the message.
        "transfer_encoding" | "content_length" | "proxy_connection" | "keep_alive" => Hop::Request,
        // Between a client and its proxy.
        _ if name.starts_with("proxy-") => Hop::Both,
        _ => Hop::No,
    }
}

/// Fields for every recipient, which `Connection` must not name (RFC 9110 §7.6.1): without them the message would change
/// its meaning behind whoever checked it.
fn is_end_to_end(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "authorization"
            | "cookie"
            | "set-cookie"
            | "cache-control"
            | "te"
    )
}

/// Adds what the `Connection` lines name and the map holds, and says whether `upgrade` is among the names.
fn named(headers: &HeaderMap, doomed: &mut Doomed, is_protected: impl Fn(&str) -> bool) -> bool {
    let mut upgrade = false;
    for option in elements(headers, header::CONNECTION) {
        if option.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        } else if !option.eq_ignore_ascii_case(b"keep-alive")
            && !option.eq_ignore_ascii_case(b"close")
            && let Ok(name) = HeaderName::from_bytes(option)
            && headers.contains_key(&name)
            && !is_end_to_end(name.as_str())
            && !is_protected(name.as_str())
        {
            doomed.push(name);
        }
    }
    upgrade
}

fn single_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(header::UPGRADE).iter();
    let value = values.next()?;
    let is_single =
        values.next().is_none() && !value.is_empty() && !value.as_bytes().contains(&b',');
    is_single.then(|| value.clone())
}

/// Brings `TE` down to its `trailers`, or removes it.
fn keep_trailers(headers: &mut HeaderMap) -> bool {
    let trailers =
        elements(headers, header::TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    if !trailers {
        headers.remove(header::TE);
    } else if !is_only(headers, &header::TE, b"trailers") {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    trailers
}

fn is_only(headers: &HeaderMap, name: &HeaderName, value: &[u8]) -> bool {
    let mut values = headers.get_all(name).iter();
    values.next().is_some_and(|only| only.as_bytes() == value) && values.next().is_none()
}

/// The elements of a comma-separated list over all its lines, without the white space around them.
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests;
