//! Lower-case hexadecimal, the one form that ids are written in.

/// The 16 digits of a number.
pub(super) fn digits(value: u64) -> [u8; 16] {
    let mut shift = 64;
    [0; 16].map(|_: u8| {
        shift -= 4;
        b"0123456789abcdef"[(value >> shift & 15) as usize]
    })
}

/// The number that up to 16 digits stand for; upper case is refused, as W3C trace context wants it.
pub(super) fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_lower_case_and_at_most_sixteen() {
        let cases: [(&str, Option<u64>); 7] = [
            ("0", Some(0)),
            ("ff", Some(255)),
            ("ffffffffffffffff", Some(u64::MAX)),
            ("", None),
            ("fF", None),
            ("+1", None),
            ("00000000000000001", None),
        ];
        for (text, number) in cases {
            assert_eq!(parse(text.as_bytes()), number, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u64) {
            prop_assert_eq!(digits(value).to_vec(), format!("{value:016x}").into_bytes());
            prop_assert_eq!(parse(&digits(value)), Some(value));
        }
    }
}
