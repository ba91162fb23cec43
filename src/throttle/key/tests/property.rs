use proptest::{collection::vec, prelude::*};

use super::{bytes, *};

/// What a request has, of an alphabet so small that two of them are often alike.
#[derive(Clone, Debug)]
struct Facts {
    headers: [Vec<String>; 2],
    cookies: [Vec<String>; 2],
    claims: [String; 2],
    method: String,
    ip: (bool, u8),
}

const NAMES: [&str; 2] = ["a", "ab"];

fn facts() -> impl Strategy<Value = Facts> {
    let text = || "[ab_]{0,3}";
    // In these there may be what looks like a length.
    let bytes = || "[a\u{0}-\u{4}]{0,3}";
    let values = || vec(text(), 0..3);
    (
        [values(), values()],
        [values(), values()],
        [bytes(), bytes()],
        "[AB]{1,2}",
        any::<(bool, bool)>(),
    )
        .prop_map(
            |(headers, cookies, claims, method, (is_v4, is_odd))| Facts {
                headers,
                cookies,
                claims,
                method,
                ip: (is_v4, is_odd.into()),
            },
        )
}

/// A kind of key, and which of the two names.
fn kinds() -> impl Strategy<Value = Vec<(u8, usize)>> {
    vec((0..7_u8, 0..2_usize), 1..4)
}

impl Facts {
    fn head(&self) -> Parts {
        let claims = NAMES.iter().zip(&self.claims);
        let claims = claims.fold(Claims::new(), |claims, (name, text)| {
            claims.with(name, text)
        });
        head(|head, context| {
            context.set_identity(Identity::new("jwt", claims));
            head.method = self.method.parse().unwrap();
            for (name, values) in NAMES.into_iter().zip(&self.headers) {
                for value in values {
                    head.headers.append(name, value.parse().unwrap());
                }
            }
            for (name, values) in NAMES.into_iter().zip(&self.cookies) {
                for value in values {
                    let pair = format!("{name}={value}").parse().unwrap();
                    head.headers.append("cookie", pair);
                }
            }
        })
    }

    fn client(&self) -> IpAddr {
        let (is_v4, last) = self.ip;
        match is_v4 {
            true => [0, 0, 0, last].into(),
            false => std::net::Ipv6Addr::from_bits(u128::from(last)).into(),
        }
    }

    fn key(&self, kind: (u8, usize)) -> Key {
        let (kind, name) = kind;
        let value = self.claims[name].clone();
        match kind {
            0 => header(NAMES[name]),
            1 => Key::cookie(NAMES[name]),
            2 => Key::claim(NAMES[name]),
            3 => Key::method(),
            4 => Key::client_network([32, 0][name], [128, 64][name]),
            5 => Key::constant(NAMES[name]),
            _ => Key::from_fn(move |_| Some(value.clone())),
        }
    }

    /// What the key is, told in another way.
    fn model(&self, kinds: &[(u8, usize)]) -> Option<Vec<String>> {
        let part = |&(kind, name): &(u8, usize)| {
            let many = |values: &[String]| {
                let first = values.first().filter(|first| !first.is_empty())?;
                let is_one = values.iter().all(|value| value == first);
                is_one.then(|| format!("{kind} {name} {first}"))
            };
            match kind {
                0 => many(&self.headers[name]),
                1 => many(&self.cookies[name]),
                2 => many(std::slice::from_ref(&self.claims[name])),
                3 => Some(format!("{kind} {}", self.method)),
                4 => {
                    let last = if name == 0 { self.ip.1 } else { 0 };
                    Some(format!("{kind} {name} {} {last}", self.ip.0))
                }
                5 => Some(format!("{kind} {name}")),
                _ => Some(format!("{kind} {:?}", self.claims[name])),
            }
        };
        kinds.iter().map(part).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// The second request is another one, or the same one with another key, or the same in all.
    #[test]
    fn two_keys_are_the_same_bytes_if_they_are_the_same(
        one in facts(), other in facts(), one_key in kinds(), other_key in kinds(), same in any::<(bool, bool)>(),
    ) {
        let other = if same.0 { one.clone() } else { other };
        let other_key = if same.1 { one_key.clone() } else { other_key };
        let bytes = |facts: &Facts, kinds: &[(u8, usize)]| {
            let key = Key::all(kinds.iter().map(|kind| facts.key(*kind)));
            read(&key, &facts.head(), Some(&facts.client().to_string()))
        };
        let (one_bytes, other_bytes) = (bytes(&one, &one_key), bytes(&other, &other_key));
        let (one, other) = (one.model(&one_key), other.model(&other_key));
        prop_assert_eq!(one_bytes.is_some(), one.is_some());
        prop_assert_eq!(other_bytes.is_some(), other.is_some());
        prop_assert_eq!(one_bytes == other_bytes, one == other);
    }

    #[test]
    fn long_values_have_their_length_in_front(length in 0..40_000_usize) {
        let mut out = KeyBytes::new();
        bytes::one(&mut out, bytes::Kind::Constant, &vec![b'x'; length]);
        let digits = out[1..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
        let told = out[1..=digits].iter().rev().fold(0, |told, byte| told << 7 | usize::from(byte & 0x7f));
        prop_assert_eq!((told, out.len()), (length, 1 + digits + length));
    }
}

/// A part, as it is given and as it is read back.
#[derive(Clone, Debug, PartialEq)]
enum Given {
    Network(IpAddr, u8),
    One(Vec<u8>),
    Two(Vec<u8>, Vec<u8>),
}

fn given() -> impl Strategy<Value = Given> {
    let text = || prop_oneof![vec(0..20_u8, 0..4), vec(any::<u8>(), 0..300)];
    prop_oneof![
        (any::<u32>(), 0..=32_u8).prop_map(|(bits, prefix)| {
            let network = ipnet::Ipv4Net::new(bits.into(), prefix).unwrap();
            Given::Network(network.network().into(), prefix)
        }),
        (any::<u128>(), 0..=128_u8).prop_map(|(bits, prefix)| {
            // Not an address of IPv4.
            let bits = bits | 1 << 127;
            let network = ipnet::Ipv6Net::new(bits.into(), prefix).unwrap();
            Given::Network(network.network().into(), prefix)
        }),
        text().prop_map(Given::One),
        (text(), text()).prop_map(|(name, value)| Given::Two(name, value)),
    ]
}

/// `noise` is what an address has behind its network.
fn write(given: &Given, noise: u128, out: &mut KeyBytes) {
    use super::bytes::Kind;
    match given {
        Given::Network(IpAddr::V4(address), prefix) => {
            let host = u32::MAX.checked_shr((*prefix).into()).unwrap_or(0);
            let address = (address.to_bits() | noise as u32 & host).into();
            bytes::network(out, IpAddr::V4(address), *prefix, 0);
        }
        Given::Network(IpAddr::V6(address), prefix) => {
            let host = u128::MAX.checked_shr((*prefix).into()).unwrap_or(0) >> 1;
            // The first bit is set.
            let address = (address.to_bits() | noise & host | 1 << 127).into();
            bytes::network(out, IpAddr::V6(address), 0, *prefix);
        }
        Given::One(value) => bytes::one(out, Kind::Function, value),
        Given::Two(name, value) => bytes::two(out, Kind::Param, name, value),
    }
}

/// What was written, if it can be read in one way alone.
fn read_back(mut rest: &[u8]) -> Option<Vec<Given>> {
    fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (taken, left) = rest.split_at_checked(length)?;
        *rest = left;
        Some(taken)
    }
    fn number(rest: &mut &[u8]) -> Option<usize> {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = take(rest, 1)?[0];
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Some(number)
    }
    fn text(rest: &mut &[u8]) -> Option<Vec<u8>> {
        let length = number(rest)?;
        take(rest, length).map(<[u8]>::to_vec)
    }
    let mut read = Vec::new();
    while !rest.is_empty() {
        let kind = take(&mut rest, 1)?[0];
        read.push(match kind {
            1 | 2 => {
                let prefix = take(&mut rest, 1)?[0];
                let octets = take(&mut rest, usize::from(prefix.div_ceil(8)))?;
                let mut all = [0; 16];
                all[..octets.len()].copy_from_slice(octets);
                let bits = u128::from_be_bytes(all);
                let address = match kind {
                    1 => IpAddr::V4(((bits >> 96) as u32).into()),
                    _ => IpAddr::V6(bits.into()),
                };
                Given::Network(address, prefix)
            }
            14 => Given::Two(text(&mut rest)?, text(&mut rest)?),
            16 => Given::One(text(&mut rest)?),
            _ => return None,
        });
    }
    Some(read)
}

proptest! {
    /// What can be read back is never two things.
    #[test]
    fn what_was_written_can_be_read(all in vec(given(), 0..5), noise: u128) {
        let mut out = KeyBytes::new();
        all.iter().for_each(|given| write(given, noise, &mut out));
        prop_assert_eq!(read_back(&out), Some(all));
    }
}
