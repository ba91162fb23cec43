//! For how long a Redis is left alone.

use std::time::Duration;

/// Pauses that double with each failure, up to a limit. Each is cut by up to a half, by chance: gateways that lose one Redis at the same moment
/// do not all come back to it at the same moment.
#[derive(Clone, Debug)]
pub(super) struct Pauses {
    first: Duration,
    most: Duration,
    /// The last one, as long as it could have been; none since something was answered.
    last: Option<Duration>,
}

impl Pauses {
    pub(super) fn new((first, most): (Duration, Duration)) -> Self {
        Self {
            first,
            most,
            last: None,
        }
    }

    /// The next one, for any random number.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let longer = self.last.map_or(self.first, |last| last.saturating_mul(2));
        let longest = longer.min(self.most);
        self.last = Some(longest);
        let half = longest / 2;
        let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
        half.saturating_add(half.mul_f64(share)).min(longest)
    }

    pub(super) fn is_first(&self) -> bool {
        self.last.is_none()
    }

    pub(super) fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn they_double_up_to_the_limit_and_begin_anew() {
        let ms = Duration::from_millis;
        let mut pauses = Pauses::new((ms(100), ms(300)));
        let next = |pauses: &mut Pauses| pauses.next(u64::MAX).as_millis();
        assert!(pauses.is_first());
        assert_eq!([(); 4].map(|()| next(&mut pauses)), [100, 200, 300, 300]);
        assert!(!pauses.is_first());
        pauses.reset();
        assert_eq!((pauses.next(0), pauses.next(1 << 63)), (ms(50), ms(150)));
    }

    proptest! {
        #[test]
        fn any_settings_give_one_within_them(
            first in any::<Duration>(),
            most in any::<Duration>(),
            randoms in prop::collection::vec(any::<u64>(), 1..200),
        ) {
            for (first, most) in [(first, most), (first, Duration::MAX), (Duration::MAX, most)] {
                let mut pauses = Pauses::new((first, most));
                let mut longest = first.min(most);
                for random in &randoms {
                    let next = pauses.next(*random);
                    prop_assert!(longest / 2 <= next && next <= longest);
                    longest = longest.saturating_mul(2).min(most);
                }
            }
        }
    }
}
