//! The id of a request: made here, or taken over from a proxy in front that is trusted.

use bytes::Bytes;
use http::HeaderValue;

use super::hex;

/// More than any common form needs; what is longer is not taken over.
const MAX_LEN: usize = 128;

/// A new id from 128 random bits: 32 hexadecimal digits.
pub(super) fn make(random: [u64; 2]) -> HeaderValue {
    // One allocation, which all clones share.
    let digits = Bytes::from_owner(hex::digits_of_two(random));
    HeaderValue::from_maybe_shared(digits).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
}

/// Whether an id that somebody else made is safe in a header, in a log line and in a command line.
pub(super) fn is_acceptable(sent: &[u8]) -> bool {
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:@|".contains(byte);
    !sent.is_empty() && sent.len() <= MAX_LEN && sent.iter().all(safe)
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
            assert!(is_acceptable(id.as_bytes()), "{id:?}");
        }
    }

    #[test]
    fn what_is_unsafe_is_not() {
        let long = "x".repeat(129);
        for id in [
            "", " ", "a b", "a\tb", "a\nb", "a\"b", "a\\b", "a,b", "a;b", "a%0ab", "a$(b)", "<a>",
            "é", "a\u{7f}", "a'b", "a`b", "a&b", &long,
        ] {
            assert!(!is_acceptable(id.as_bytes()), "{id:?}");
        }
        assert!(!is_acceptable(b"a\xff"));
    }

    proptest! {
        #[test]
        fn a_new_one_is_all_its_bits(high: u64, low: u64) {
            let id = make([high, low]);
            prop_assert_eq!(&id, &format!("{high:016x}{low:016x}"));
            prop_assert!(is_acceptable(id.as_bytes()));
        }

        #[test]
        fn whatever_is_accepted_is_visible_and_bounded(bytes: Vec<u8>) {
            if is_acceptable(&bytes) {
                prop_assert!(bytes.len() <= 128 && bytes.iter().all(|b| b.is_ascii_graphic() && *b != b'"'));
            }
        }
    }
}
