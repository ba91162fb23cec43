//! How long to wait before the next try.

use std::time::Duration;

/// Exponential, with full jitter: anything from nothing to a ceiling that doubles with each retry, so that requests that
/// failed together do not come back together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) base: Duration,
    pub(super) most: Duration,
}

impl Backoff {
    /// The pause before a retry, of which the first has the number 0.
    pub(super) fn delay(&self, retry: u32, random: u64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << retry.min(30)).min(self.most);
        let ceiling = ceiling.as_nanos().min(u64::MAX.into());
        Duration::from_nanos(((ceiling * u128::from(random)) >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_millis(25),
        most: Duration::from_millis(250),
    };

    #[test]
    fn the_ceiling_doubles_up_to_the_most() {
        let ceilings = [25, 50, 100, 200, 250, 250, 250].map(Duration::from_millis);
        for (retry, ceiling) in (0..).zip(ceilings) {
            let longest = BACKOFF.delay(retry, u64::MAX);
            assert!(longest < ceiling && longest > ceiling * 99 / 100, "{retry}");
            assert_eq!(BACKOFF.delay(retry, 0), Duration::ZERO);
            assert_eq!(BACKOFF.delay(retry, 1 << 63), ceiling / 2);
        }
    }

    proptest! {
        #[test]
        fn no_number_is_too_large(retry: u32, random: u64, base: Duration, most: Duration) {
            let backoff = Backoff { base, most };
            prop_assert!(backoff.delay(retry, random) <= most);
        }
    }
}
