//! Lower-case hexadecimal, the one form that ids are written in.

/// The 16 digits of a number.
pub(super) fn digits(value: u64) -> [u8; 16] {
    // Eight digits at a time: each half byte is moved into a byte of its own.
    let eight = |half: u64| {
        let half = (half | half << 16) & 0x0000_ffff_0000_ffff;
        let half = (half | half << 8) & 0x00ff_00ff_00ff_00ff;
        let half = (half | half << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        // 1 where the digit is a letter, since 10 + 6 is the first to reach the upper half.
        let letters = (half + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
        half + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)
    };
    let digits = u128::from(eight(value >> 32)) << 64 | u128::from(eight(value & 0xffff_ffff));
    digits.to_be_bytes()
}

/// The 32 digits of two numbers.
pub(super) fn digits_of_two([high, low]: [u64; 2]) -> [u8; 32] {
    let mut all = [0; 32];
    all[..16].copy_from_slice(&digits(high));
    all[16..].copy_from_slice(&digits(low));
    all
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
