use proptest::{collection::vec, prelude::*};

use super::*;

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
                let is_there = values.iter().any(|value| !value.is_empty());
                is_there.then(|| format!("{kind} {name} {values:?}"))
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
