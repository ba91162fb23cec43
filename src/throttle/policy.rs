//! What may be spent, and in which time.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{algorithm::CENTURY, gcra::Gcra, window::Window};

/// A limit on what one key may spend: a rate with a burst, or a quota in a sliding window. Cheap to clone; it has no state.
///
/// | for | take |
/// |---|---|
/// | a fair share of what the backend can do | a [rate](Self::rate) |
/// | "10,000 a day", never more, as a contract says | a [sliding window](Self::sliding_window) |
///
/// A wrong setting is a mistake that is reported when what has the policy is built.
#[derive(Clone)]
pub struct Policy {
    name: Arc<str>,
    limit: u64,
    period: Duration,
    kind: Kind,
    /// What a rate may owe, if that is not its burst.
    most_debt: Option<u64>,
    /// Of all of the above, so that a store finds its state by one comparison.
    id: u64,
}

#[derive(Clone, Copy, Hash)]
enum Kind {
    Rate { burst: u64 },
    Window,
}

/// What decides for a policy.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    Rate(Gcra),
    Window(Window),
}

const UNNAMED: &str = "default";

impl Policy {
    /// `limit` for each `period`, evenly: one comes back each `period` ÷ `limit`. Default burst: `limit`. Allowed: from one to one for
    /// each nanosecond of the period, and up to 100 years. See [`burst`](Self::burst).
    pub fn rate(limit: u64, period: Duration) -> Self {
        Self::new(limit, period, Kind::Rate { burst: limit })
    }

    /// A [rate](Self::rate) for each second.
    pub fn per_second(limit: u64) -> Self {
        Self::rate(limit, Duration::from_secs(1))
    }

    /// A [rate](Self::rate) for each minute.
    pub fn per_minute(limit: u64) -> Self {
        Self::rate(limit, Duration::from_secs(60))
    }

    /// A [rate](Self::rate) for each hour.
    pub fn per_hour(limit: u64) -> Self {
        Self::rate(limit, Duration::from_secs(3600))
    }

    /// A [rate](Self::rate) for each day of 24 hours, with no regard to midnight. All of it may be spent at once, unless it has a smaller
    /// [`burst`](Self::burst); of a quota that is never exceeded in a day see [`sliding_window`](Self::sliding_window).
    pub fn per_day(limit: u64) -> Self {
        Self::rate(limit, Duration::from_secs(86_400))
    }

    /// Never more than `limit` in any span as long as `window`. What was spent comes back when the window is over: a fifteenth of it
    /// late at most with a limit up to 30, a fifth up to 16,382, a third up to 4 million, and a whole one from 2^29 - 1. Allowed: `limit` from 1 to 2^44 - 2, `window` from
    /// one second to 100 years.
    pub fn sliding_window(limit: u64, window: Duration) -> Self {
        Self::new(limit, window, Kind::Window)
    }

    /// How much may be spent at once, after a pause that is long enough: at least 1, and so much that it comes back within 100 years. A window has none, and
    /// ignores it.
    pub fn burst(mut self, burst: u64) -> Self {
        if let Kind::Rate { burst: set } = &mut self.kind {
            *set = burst;
        }
        self.identified()
    }

    /// What clients and logs call it, in the `RateLimit` fields for one: printable ASCII. Default: `default`.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self.identified()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much may be spent at once: a rate's burst, a window's limit.
    pub fn quota(&self) -> u64 {
        match self.kind {
            Kind::Rate { burst } => burst,
            Kind::Window => self.limit,
        }
    }

    /// The time in which the [quota](Self::quota) comes back, to the nanosecond above.
    pub fn window(&self) -> Duration {
        let Kind::Rate { burst } = self.kind else {
            return self.period;
        };
        let nanos = self.period.as_nanos().saturating_mul(burst.into());
        let nanos = nanos.div_ceil(self.limit.max(1).into());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn new(limit: u64, period: Duration, kind: Kind) -> Self {
        let policy = Self {
            name: Arc::from(UNNAMED),
            limit,
            period,
            kind,
            most_debt: None,
            id: 0,
        };
        policy.identified()
    }

    fn identified(mut self) -> Self {
        let mut hasher = DefaultHasher::new();
        (
            &self.name,
            self.limit,
            self.period,
            self.kind,
            self.most_debt,
        )
            .hash(&mut hasher);
        self.id = hasher.finish();
        self
    }

    /// Whether what was spent comes back evenly.
    pub(super) fn is_rate(&self) -> bool {
        matches!(self.kind, Kind::Rate { .. })
    }

    /// The same with this name, if it has none.
    pub(super) fn or_named(self, name: &str) -> Self {
        match &*self.name {
            UNNAMED => self.named(name),
            _ => self,
        }
    }

    /// What one of so many has of it: at least 1. It may owe all of the whole: a request that costs that much makes a debt of what a part has not.
    pub(super) fn share_of(&self, many: u32) -> Self {
        let part = |whole: u64| (whole / u64::from(many.max(1))).max(1);
        let mut share = self.clone();
        match &mut share.kind {
            Kind::Window => share.limit = part(self.limit),
            Kind::Rate { burst } => {
                *burst = part(*burst);
                // Not of the limit, which may be 1.
                let longest = Duration::from_nanos(CENTURY);
                share.period = self.period.saturating_mul(many.max(1)).min(longest);
                share.most_debt = Some(self.quota());
            }
        }
        share.identified()
    }

    /// Equal for policies that are.
    #[inline]
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// So many for each period; the burst, if it is a rate.
    #[cfg(feature = "redis")]
    pub(super) fn settings(&self) -> (u64, Duration, Option<u64>) {
        let burst = match self.kind {
            Kind::Rate { burst } => Some(burst),
            Kind::Window => None,
        };
        (self.limit, self.period, burst)
    }

    /// What decides, or what is wrong: each names the policy and the setting, and says what is allowed.
    pub(super) fn limit(&self) -> Result<Limit, Vec<String>> {
        let limit = match self.kind {
            Kind::Rate { burst } => Gcra::new(self.limit, self.period, burst)
                .map(|gcra| Limit::Rate(self.most_debt.map_or(gcra, |most| gcra.owing(most)))),
            Kind::Window => Window::new(self.limit, self.period).map(Limit::Window),
        };
        let mut mistakes = limit.as_ref().err().cloned().unwrap_or_default();
        let is_printable = |name: &str| name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if self.name.is_empty() || !is_printable(&self.name) {
            mistakes.push("name is not printable ASCII".to_owned());
        }
        match limit {
            Ok(limit) if mistakes.is_empty() => Ok(limit),
            _ => Err(mistakes
                .iter()
                .map(|mistake| format!("throttle policy {:?}: {mistake}", self.name))
                .collect()),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Policy");
        debug
            .field("name", &self.name)
            .field("limit", &self.limit)
            .field("period", &self.period);
        match self.kind {
            Kind::Rate { burst } => debug.field("burst", &burst).finish(),
            Kind::Window => debug.field("sliding", &true).finish(),
        }
    }
}
