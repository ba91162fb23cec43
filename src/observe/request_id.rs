//! The id of a request: made here, or taken over from a proxy in front that is trusted.

use std::sync::Arc;

use super::hex;

/// More than any common form needs; what is longer is not taken over.
const MAX_LEN: usize = 128;

/// A new id from 128 random bits: 32 hexadecimal digits.
pub(super) fn make(random: [u64; 2]) -> Arc<str> {
    let digits = random.map(hex::digits);
    // Hexadecimal digits are ASCII, so that nothing is ever replaced or copied here.
    Arc::from(String::from_utf8_lossy(digits.as_flattened()))
}

/// The id that somebody else made, if it is safe in a header, in a log line and in a command line.
pub(super) fn accept(sent: &[u8]) -> Option<Arc<str>> {
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:@|".contains(byte);
    if sent.is_empty() || sent.len() > MAX_LEN || !sent.iter().all(safe) {
        return None;
    }
    std::str::from_utf8(sent).ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_in_use_elsewhere_are_taken_over() {
        for id in [
            "7f3c0d8e-2b1a-4c5d-9e6f-0a1b2c3d4e5f",
            "01HV6Z3T9Q8W7E6R5T4Y3U2I1O",
            "Root=1-67891233-abcdef012345678912345678",
            "|a1b2.3_c4.",
            "host/AbC-000001",
            &"x".repeat(128),
        ] {
            assert_eq!(accept(id.as_bytes()).as_deref(), Some(id));
        }
    }

    #[test]
    fn what_is_unsafe_is_not() {
        let long = "x".repeat(129);
        for id in [
            "", " ", "a b", "a\tb", "a\nb", "a\"b", "a\\b", "a,b", "a;b", "a%0ab", "a$(b)", "<a>",
            "é", "a\u{7f}", "a'b", "a`b", "a&b", &long,
        ] {
            assert_eq!(accept(id.as_bytes()), None, "{id:?}");
        }
        assert_eq!(accept(b"a\xff"), None);
    }

    proptest! {
        #[test]
        fn a_new_one_is_all_its_bits(high: u64, low: u64) {
            let id = make([high, low]);
            prop_assert_eq!(&*id, format!("{high:016x}{low:016x}"));
            prop_assert_eq!(accept(id.as_bytes()), Some(id));
        }

        #[test]
        fn whatever_is_accepted_is_visible_and_bounded(bytes: Vec<u8>) {
            if let Some(id) = accept(&bytes) {
                prop_assert!(id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic() && b != b'"'));
                prop_assert_eq!(id.as_bytes(), bytes);
            }
        }
    }
}
