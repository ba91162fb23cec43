//! The configuration, and what all requests share.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::{Method, StatusCode};
use tower::Layer;

use super::{
    RetryHandle,
    backoff::Backoff,
    budget::Budget,
    counts::Counts,
    latencies::Latencies,
    policy::{Methods, Policy},
    service::Retry,
};
use crate::clock;

/// The most tries that one can ask for.
const MOST_TRIES: u32 = 10;
/// The longest time that a setting may name.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Sends a request again when that is safe, and does not let a failing backend be flooded by it: see the
/// [module](crate::retry).
///
/// The budget, what is known of the answers' times, and the counts belong to the layer value: all services that it makes share
/// them, and so do its clones, until one of them is given another setting and begins anew. A setting that is not allowed is
/// left at its default, and is a mistake that a gateway reports when it is built.
#[derive(Clone, Debug)]
pub struct RetryLayer(Arc<Shared>);

/// What all requests through a layer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) budget: Budget,
    pub(super) latencies: Option<Latencies>,
    pub(super) counts: Counts,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) max_tries: u32,
    pub(super) policy: Policy,
    pub(super) backoff: Backoff,
    pub(super) replay_limit: usize,
    pub(super) try_timeout: Option<Duration>,
    pub(super) hedge_after: Option<Duration>,
    hedge_percentile: Option<f64>,
    budget: f64,
    budget_minimum: u32,
    budget_window: Duration,
    mistakes: Vec<String>,
}

impl RetryLayer {
    /// At most three tries, as the defaults of the settings say.
    pub fn new() -> Self {
        Self::with(Settings {
            max_tries: 3,
            policy: Policy {
                methods: Methods::Idempotent,
                statuses: vec![
                    StatusCode::TOO_MANY_REQUESTS,
                    StatusCode::BAD_GATEWAY,
                    StatusCode::SERVICE_UNAVAILABLE,
                    StatusCode::GATEWAY_TIMEOUT,
                ],
                max_retry_after: Duration::from_secs(5),
            },
            backoff: Backoff {
                base: Duration::from_millis(25),
                most: Duration::from_millis(250),
            },
            replay_limit: 64 * 1024,
            try_timeout: None,
            hedge_after: None,
            hedge_percentile: None,
            budget: 0.2,
            budget_minimum: 3,
            budget_window: Duration::from_secs(10),
            mistakes: Vec::new(),
        })
    }

    /// How often a request is sent at most, hedges and the first time included; 1 to 10, where 1 turns the layer off.
    /// Default: 3.
    pub fn max_tries(self, most: u32) -> Self {
        let mistake = (!(1..=MOST_TRIES).contains(&most))
            .then(|| format!("max_tries is {most}; allowed are 1 to {MOST_TRIES}"));
        self.set(mistake, |settings| settings.max_tries = most)
    }

    /// The methods that may be sent again although the first time may have had its effect, instead of the default: the
    /// idempotent ones (`GET`, `HEAD`, `OPTIONS`, `TRACE`, `PUT`, `DELETE`; RFC 9110, section 9.2.2).
    ///
    /// Any method is sent again when nothing of the request was sent.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        let methods: Vec<_> = methods.into_iter().collect();
        let mistake = methods
            .is_empty()
            .then(|| "methods is empty; name at least one".to_owned());
        self.set(mistake, |settings| {
            settings.policy.methods = Methods::These(methods)
        })
    }

    /// Any method may be sent again, for a backend to which a repetition makes no difference: it knows requests by a key, or
    /// only reads. Default: see [`methods`](Self::methods).
    pub fn all_methods(self) -> Self {
        self.set(None, |settings| settings.policy.methods = Methods::All)
    }

    /// The statuses of answers that are not the last word, 400 to 599. An error counts as the status that it becomes
    /// ([`ErrorKind::status`](crate::ErrorKind::status)), one of another crate as 502. A 429 is tried again only when it has
    /// a `Retry-After`. None: only what was not sent is sent again. Default: 429, 502, 503, 504.
    pub fn statuses(self, statuses: impl IntoIterator<Item = StatusCode>) -> Self {
        let statuses: Vec<_> = statuses.into_iter().collect();
        let is_error = |status: &StatusCode| (400..600).contains(&status.as_u16());
        let mistake = statuses
            .iter()
            .find(|status| !is_error(status))
            .map(|status| format!("statuses has {}; allowed are 400 to 599", status.as_u16()));
        self.set(mistake, |settings| settings.policy.statuses = statuses)
    }

    /// The longest `Retry-After` that is waited for; an answer that asks for more is the last one. So is one that asks for more
    /// than there is until the deadline. Default: 5 s.
    pub fn max_retry_after(self, most: Duration) -> Self {
        self.set(duration("max_retry_after", most), |settings| {
            settings.policy.max_retry_after = most;
        })
    }

    /// The pause before a try: a random one between nothing and `base` before the second, between nothing and twice as much
    /// before the third, and so on up to `most` (full jitter). A `Retry-After` is added. Default: 25 ms, 250 ms.
    pub fn backoff(self, base: Duration, most: Duration) -> Self {
        let inverted = || {
            (base > most).then(|| {
                format!("backoff is {base:?} to {most:?}; the first may not be the longer one")
            })
        };
        let mistake = duration("backoff", base)
            .or_else(|| duration("backoff", most))
            .or_else(inverted);
        self.set(mistake, |settings| {
            settings.backoff = Backoff { base, most }
        })
    }

    /// How many requests may be sent again, or hedged: this share of all requests through the layer in the last
    /// [window](Self::budget_window), above 0 and up to 1, but at least [so many](Self::budget_minimum). What is over it is not
    /// tried again. Default: 0.2, a fifth.
    pub fn budget(self, share: f64) -> Self {
        let mistake = (!(share > 0.0 && share <= 1.0))
            .then(|| format!("budget is {share}; allowed is what is above 0 and at most 1"));
        self.set(mistake, |settings| settings.budget = share)
    }

    /// How many requests may be sent again in a window, however few there are. Default: 3.
    pub fn budget_minimum(self, least: u32) -> Self {
        self.set(None, |settings| settings.budget_minimum = least)
    }

    /// The time that the budget looks back on, from one second on. It moves on by a tenth of its length. Default: 10 s.
    pub fn budget_window(self, window: Duration) -> Self {
        let mistake = (window < Duration::from_secs(1) || window > LONGEST)
            .then(|| format!("budget_window is {window:?}; allowed are 1 s to {LONGEST:?}"));
        self.set(mistake, |settings| settings.budget_window = window)
    }

    /// The most bytes of a request's body that are kept for another try. A body is not held up: it is kept while the first try
    /// sends it, and one that turns out to be larger is let go and the request not sent again, unless nobody has read
    /// of it. So it is also the most memory that a request takes. 0: only what has no body. Default: 64 KiB.
    pub fn replay_limit(self, bytes: usize) -> Self {
        self.set(None, |settings| settings.replay_limit = bytes)
    }

    /// How long a try may take from its beginning to the head of the answer; then it is dropped and counts as a 504
    /// ([`ErrorKind::Timeout`](crate::ErrorKind::Timeout)), for the layers inside and the endpoint, too. Default: no limit.
    pub fn try_timeout(self, limit: Duration) -> Self {
        self.set(duration("try_timeout", limit), |settings| {
            settings.try_timeout = Some(limit);
        })
    }

    /// Hedges: sends a second try, once, when the first has no answer after this time, and takes the first good answer; the other
    /// try is dropped, over HTTP/1.1 with its connection. Only requests with one of the [methods](Self::methods), whose body is there as a whole. A hedge is one
    /// of the tries and is paid for out of the budget. Default: no hedge.
    pub fn hedge_after(self, delay: Duration) -> Self {
        self.set(duration("hedge_after", delay), |settings| {
            settings.hedge_after = Some(delay);
        })
    }

    /// Hedges after a measured time: this part of the answers, above 0 and below 1, comes earlier. `0.95` is the 95th
    /// percentile. It follows the last thousand or so answers, is rounded up by at most an eighth, and is known from the hundredth
    /// answer on; until then [`hedge_after`](Self::hedge_after) counts, if it is set. Default: no hedge.
    pub fn hedge_percentile(self, percentile: f64) -> Self {
        let mistake = (!(percentile > 0.0 && percentile < 1.0)).then(|| {
            format!("hedge_percentile is {percentile}; allowed is what is above 0 and below 1")
        });
        self.set(mistake, |settings| {
            settings.hedge_percentile = Some(percentile)
        })
    }

    /// Looks at what the services of this layer do, from anywhere. To be taken when the settings are complete: see
    /// [`RetryLayer`].
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(self.0.clone())
    }

    /// The settings that are not allowed, each with what is.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.0.settings.mistakes.clone()
    }

    fn with(settings: Settings) -> Self {
        Self(Arc::new(Shared {
            budget: Budget::new(
                settings.budget,
                settings.budget_minimum,
                settings.budget_window,
                clock::now(),
            ),
            latencies: settings.hedge_percentile.map(Latencies::new),
            counts: Counts::default(),
            settings,
        }))
    }

    fn set(self, mistake: Option<String>, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.settings.clone();
        match mistake {
            Some(mistake) => settings.mistakes.push(mistake),
            None => change(&mut settings),
        }
        Self::with(settings)
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry::new(inner, self.0.clone())
    }
}

impl Shared {
    /// When a request is hedged, counted from its beginning.
    pub(super) fn hedge_delay(&self) -> Option<Duration> {
        let measured = self.latencies.as_ref().and_then(Latencies::value);
        measured.or(self.settings.hedge_after)
    }

    /// Whether another try is paid for.
    pub(super) fn pay(&self) -> bool {
        let is_paid = self.budget.spend(clock::now());
        if !is_paid {
            self.counts.over_budget.fetch_add(1, Relaxed);
        }
        is_paid
    }
}

fn duration(field: &str, value: Duration) -> Option<String> {
    (value.is_zero() || value > LONGEST).then(|| {
        format!("{field} is {value:?}; allowed is what is above 0 and at most {LONGEST:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_names_its_field_and_leaves_the_default() {
        let (zero, endless) = (Duration::ZERO, Duration::MAX);
        let second = Duration::from_secs(1);
        let ok = StatusCode::OK;
        let layer = RetryLayer::new;
        let wrong: [(&str, RetryLayer); 21] = [
            ("max_tries", layer().max_tries(0)),
            ("max_tries", layer().max_tries(11)),
            ("methods", layer().methods([])),
            ("statuses", layer().statuses([ok])),
            ("max_retry_after", layer().max_retry_after(zero)),
            ("max_retry_after", layer().max_retry_after(endless)),
            ("backoff", layer().backoff(zero, second)),
            ("backoff", layer().backoff(second, zero)),
            ("backoff", layer().backoff(second * 2, second)),
            ("budget", layer().budget(0.0)),
            ("budget", layer().budget(-0.1)),
            ("budget", layer().budget(1.1)),
            ("budget", layer().budget(f64::NAN)),
            ("budget", layer().budget(f64::INFINITY)),
            ("budget_window", layer().budget_window(zero)),
            ("budget_window", layer().budget_window(endless)),
            ("try_timeout", layer().try_timeout(zero)),
            ("hedge_after", layer().hedge_after(endless)),
            ("hedge_percentile", layer().hedge_percentile(0.0)),
            ("hedge_percentile", layer().hedge_percentile(1.0)),
            ("hedge_percentile", layer().hedge_percentile(f64::NAN)),
        ];
        let settings = |layer: &RetryLayer| {
            let mut settings = layer.0.settings.clone();
            settings.mistakes.clear();
            format!("{settings:?}")
        };
        for (field, wrong) in wrong {
            let mistakes = wrong.mistakes();
            assert_eq!(mistakes.len(), 1, "{field}");
            assert!(
                mistakes[0].starts_with(&format!("{field} ")),
                "{mistakes:?}"
            );
            assert!(
                mistakes[0].contains("allowed")
                    || mistakes[0].contains("may not")
                    || field == "methods"
            );
            assert_eq!(settings(&wrong), settings(&layer()), "{field}");
        }
        let right = layer()
            .max_tries(10)
            .methods([Method::GET])
            .statuses([])
            .backoff(second, second)
            .budget(1.0)
            .budget_minimum(0)
            .budget_window(second)
            .replay_limit(0)
            .hedge_percentile(0.999);
        assert_eq!(right.mistakes(), [""; 0]);
        assert_eq!(layer().max_tries(0).budget(2.0).mistakes().len(), 2);
    }
}
