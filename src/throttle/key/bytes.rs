//! Keys as bytes, so that no two different ones are the same.
//!
//! A part is a byte for its kind, its name if it has one, and its value. Texts have their length in front, so that a part says by itself where it
//! ends, and parts one behind the other are read in one way only.
//!
//! ```text
//! 03  08 x-tenant  04 acme         a header and its value
//! 01  20  c0 00 02 07              192.0.2.7/32: as many bytes as the prefix has
//! ```

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::networks::plain;

/// A key as it was read. With an issuer and a subject of usual lengths it is not on the heap.
pub(in crate::throttle) type KeyBytes = SmallVec<[u8; 64]>;

/// The first byte of a part. Gateways of different versions share limits: a number that was given is not changed.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    Ipv4 = 1,
    Ipv6 = 2,
    Header = 3,
    Cookie = 4,
    IssuedSubject = 5,
    Subject = 6,
    TextClaim = 7,
    JsonClaim = 8,
    ApiKey = 9,
    NamedApiKey = 10,
    Route = 11,
    Host = 12,
    Method = 13,
    Param = 14,
    Constant = 15,
    Function = 16,
    Extractor = 17,
}

/// A part of one text.
pub(super) fn one(out: &mut KeyBytes, kind: Kind, value: &[u8]) {
    out.push(kind as u8);
    text(out, value);
}

/// A part of two texts: a name and its value, for one.
pub(super) fn two(out: &mut KeyBytes, kind: Kind, name: &[u8], value: &[u8]) {
    one(out, kind, name);
    text(out, value);
}

/// The network of an address. A prefix that is too long is the longest one.
pub(super) fn network(out: &mut KeyBytes, address: IpAddr, v4: u8, v6: u8) {
    let (kind, bits, prefix) = match plain(address) {
        IpAddr::V4(address) => (Kind::Ipv4, u128::from(address.to_bits()) << 96, v4.min(32)),
        IpAddr::V6(address) => (Kind::Ipv6, address.to_bits(), v6.min(128)),
    };
    let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let octets = (bits & !host).to_be_bytes();
    out.extend_from_slice(&[kind as u8, prefix]);
    out.extend(octets.into_iter().take(usize::from(prefix.div_ceil(8))));
}

/// A host in lower case.
pub(super) fn host(out: &mut KeyBytes, host: &str) {
    out.push(Kind::Host as u8);
    number(out, host.len());
    out.extend(host.bytes().map(|byte| byte.to_ascii_lowercase()));
}

fn text(out: &mut KeyBytes, text: &[u8]) {
    number(out, text.len());
    out.extend_from_slice(text);
}

/// Seven bits in a byte, the lowest first; the eighth says that there are more.
fn number(out: &mut KeyBytes, mut number: usize) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
