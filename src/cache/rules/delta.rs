//! Spans of time in fields: seconds, without a sign (RFC 9111, section 1.2.2).

/// What is greater counts as this.
pub(super) const MOST: u64 = 1 << 31;

/// Digits and nothing else.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = text.iter();
    let seconds = digits.fold(0_u64, |seconds, digit| {
        (seconds * 10 + u64::from(digit - b'0')).min(MOST)
    });
    Some(seconds)
}
