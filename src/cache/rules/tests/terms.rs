use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn what_is_written_is_read(
        lifetime: u64,
        initial_age: u64,
        stale_while_revalidate: u32,
        stale_if_error: u32,
        flags in 0..32_u8,
        other: Vec<u8>,
    ) {
        let terms = Terms { lifetime, initial_age, stale_while_revalidate, stale_if_error, flags };
        let bytes = terms.to_bytes();
        prop_assert_eq!(Terms::from_bytes(&bytes), Some(terms));
        prop_assert_eq!(Terms::from_bytes(&bytes[1..]), None);
        prop_assert_eq!(Terms::from_bytes(&[&bytes[..], &[0]].concat()), None);
        if let Some(terms) = Terms::from_bytes(&other) {
            prop_assert_eq!(&terms.to_bytes()[..], &other[..]);
        }
    }

    /// Whatever a store gives back and clocks say.
    #[test]
    fn nothing_breaks_it(
        lifetime: u64,
        initial_age: u64,
        windows: (u32, u32),
        flags in 0..32_u8,
        answered_at: u64,
        now: u64,
        numbers: [Option<u32>; 4],
        is_invalid: bool,
    ) {
        let terms = Terms {
            lifetime,
            initial_age,
            stale_while_revalidate: windows.0,
            stale_if_error: windows.1,
            flags,
        };
        let [max_age, min_fresh, max_stale, stale_if_error] = numbers;
        let asked = Asked { max_age, min_fresh, max_stale, stale_if_error, ..Asked::default() };
        let kept = Kept { answered_at, is_invalid };
        let _ = terms.reuse(kept, &asked, now);
        let _ = terms.stale_if_error(kept, &asked, now);
    }
}

#[test]
fn other_bytes_are_no_terms() {
    let bytes = terms(&[("cache-control", "max-age=60")]).to_bytes();
    // Gateways of several versions share stores: what was written once is read so for ever.
    assert_eq!(bytes[..10], [1, 4, 0, 0, 0, 0, 0, 0, 0xea, 0x60]);
    assert_eq!(bytes[10..], [0; 16]);
    for (at, byte) in [(0, 0), (0, 2), (1, 32), (1, 255)] {
        let mut other = bytes;
        other[at] = byte;
        assert_eq!(Terms::from_bytes(&other), None);
    }
    assert_eq!(Terms::from_bytes(&[]), None);
}

#[test]
fn what_they_rest_on_is_told() {
    let modified = ("last-modified", "Fri, 31 May 2024 00:00:00 GMT");
    assert!(terms(&[modified]).is_heuristic());
    let explicit = terms(&[modified, ("cache-control", "max-age=60")]);
    assert!(!explicit.is_heuristic() && !explicit.is_overridden());
}
