//! Sets of IP addresses, given as addresses and networks.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

/// Addresses, as ranges that are sorted and do not overlap: one of a hundred thousand is found in 17 steps.
///
/// An IPv4-mapped IPv6 address is IPv4, as is a network of them; a network that has other addresses too, such as `::/0`, has none of IPv4.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// Whether one of them has this address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_within(&self.v6, address.to_bits()),
        }
    }

    /// How many there are; those within others are not counted.
    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(it) => v4.push((it.network().to_bits(), it.broadcast().to_bits())),
                IpNet::V6(it) => v6.push((it.network().to_bits(), it.broadcast().to_bits())),
            }
        }
        Self {
            v4: disjoint(v4),
            v6: disjoint(v6),
        }
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, or in NAT64's well-known prefix 64:ff9b::/96 (RFC 6052, section 2.1). That has no private
/// addresses (section 3.1): what claims to be one is left as it is.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    const NAT64: u128 = 0x0064_ff9b << 96;
    let address = address.to_canonical();
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let (prefix, rest) = (v6.to_bits() & !u128::from(u32::MAX), v6.to_bits() as u32);
    let v4 = Ipv4Addr::from_bits(rest);
    let is_private = v4.is_private() || v4.is_loopback() || v4.is_link_local() || rest == 0;
    match prefix == NAT64 && !is_private {
        true => v4.into(),
        false => address,
    }
}

/// An address or a network, IPv4-mapped IPv6 as IPv4.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let network = text
        .parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    if let IpNet::V6(v6) = network
        && let IpAddr::V4(v4) = IpAddr::V6(v6.network()).to_canonical()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
    {
        return Ipv4Net::new(v4, prefix).ok().map(IpNet::V4);
    }
    Some(network)
}

/// Of two networks that overlap one has the other.
fn disjoint<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
    ranges.dedup_by(|later, kept| later.0 <= kept.1);
    ranges.into()
}

fn is_within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= value);
    let before = after.checked_sub(1).and_then(|at| ranges.get(at));
    before.is_some_and(|(_, last)| value <= *last)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        texts.iter().map(|text| network(text).unwrap()).collect()
    }

    #[test]
    fn edges_are_within() {
        let all = networks(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "::1"]);
        for (address, is_within) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("::ffff:10.1.2.3", true),
            ("9.255.255.255", false),
            ("11.0.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::", false),
            // The same number as an address of the other kind.
            ("0.0.0.1", false),
        ] {
            assert_eq!(
                all.contains(address.parse().unwrap()),
                is_within,
                "{address}"
            );
        }
        assert!(!Networks::default().contains("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_within_another_is_not_kept() {
        for (texts, len) in [
            (&[] as &[&str], 0),
            (&["10.1.2.3", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/8"], 1),
            (&["10.0.0.0/9", "10.128.0.0/9"], 2),
            (&["0.0.0.0/0", "255.255.255.255", "::/0", "ffff::"], 2),
            (&["::ffff:10.0.0.0/104", "10.0.0.1"], 1),
            (&["10.0.0.1/8", "10.0.0.2"], 1),
        ] {
            assert_eq!(networks(texts).len(), len, "{texts:?}");
        }
    }

    #[test]
    fn mapped_addresses_are_of_no_wider_network() {
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        for (text, is_within) in [
            ("::/0", false),
            ("::ffff:0:0/95", false),
            ("::ffff:0:0/96", true),
            ("::ffff:192.0.2.7", true),
            ("0.0.0.0/0", true),
        ] {
            assert_eq!(networks(&[text]).contains(mapped), is_within, "{text}");
        }
    }

    #[test]
    fn nat64_is_the_ipv4_address_in_it() {
        for (address, expected) in [
            ("64:ff9b::192.0.2.7", "192.0.2.7"),
            ("64:ff9b::ffff:ffff", "255.255.255.255"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7", "192.0.2.7"),
            // Neither the prefix for local use (RFC 8215), nor one bit beside the well-known one.
            ("64:ff9b:1::192.0.2.7", "64:ff9b:1::192.0.2.7"),
            ("64:ff9b::1:192.0.2.7", "64:ff9b::1:192.0.2.7"),
            ("64:ff9a::192.0.2.7", "64:ff9a::192.0.2.7"),
            ("::192.0.2.7", "::192.0.2.7"),
            // Private networks are not behind it.
            ("64:ff9b::", "64:ff9b::"),
            ("64:ff9b::10.0.0.1", "64:ff9b::10.0.0.1"),
            ("64:ff9b::127.0.0.1", "64:ff9b::127.0.0.1"),
            ("64:ff9b::169.254.169.254", "64:ff9b::169.254.169.254"),
            ("64:ff9b::192.168.0.1", "64:ff9b::192.168.0.1"),
        ] {
            let parsed = |text: &str| text.parse::<IpAddr>().unwrap();
            assert_eq!(plain(parsed(address)), parsed(expected), "{address}");
        }
        // Whom a gateway trusts is what it is.
        assert!(!networks(&["192.0.2.7"]).contains("64:ff9b::192.0.2.7".parse().unwrap()));
    }

    proptest! {
        /// Few bits, so that networks are often within each other.
        #[test]
        fn it_is_within_if_it_is_within_one(
            of_v4 in vec((0..64_u32, 24..=32_u8), 0..12), of_v6 in vec((0..64_u128, 120..=128_u8), 0..12), asked in 0..80_u8,
        ) {
            let v4 = of_v4.into_iter().map(|(bits, prefix)| IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), prefix).unwrap());
            let v6 = of_v6.into_iter().map(|(bits, prefix)| IpNet::new(std::net::Ipv6Addr::from_bits(bits).into(), prefix).unwrap());
            let all: Vec<_> = v4.chain(v6).collect();
            let known: Networks = all.iter().copied().collect();
            for address in [
                IpAddr::from([0, 0, 0, asked]),
                std::net::Ipv6Addr::from_bits(asked.into()).into(),
            ] {
                let expected = all.iter().any(|network| network.contains(&address));
                prop_assert_eq!(known.contains(address), expected);
            }
        }
    }
}
