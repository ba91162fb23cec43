//! Additive increase, multiplicative decrease.

use super::samples::Window;

pub(crate) struct Aimd {
    pub(crate) backoff: f64,
}

impl Aimd {
    /// The limit after a window; slow answers are among its drops.
    pub(super) fn update(&self, window: &Window, limit: f64) -> f64 {
        if window.is_overloaded() {
            limit * self.backoff
        } else if window.is_idle(limit) {
            limit
        } else {
            limit + 1.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_one_and_shrinks_by_a_part() {
        let aimd = Aimd { backoff: 0.5 };
        for (drops, peak, limit) in [
            (0, 10, 11.0),
            (0, 6, 11.0),
            (0, 5, 10.0),
            (1, 10, 11.0),
            (2, 10, 5.0),
            (2, 1, 5.0),
        ] {
            let window = Window {
                latency: Some(0.1),
                answers: 20,
                drops,
                peak,
            };
            assert_eq!(aimd.update(&window, 10.0), limit, "{window:?}");
        }
    }
}
