//! What picks read: a snapshot of those endpoints that may be chosen.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::upstream::{
    balance::{FULL, Field, Picker, Policy, Seen},
    endpoint::LiveEndpoint,
};

/// A new endpoint gets at least this part of its share, out of [`FULL`], or it would never show what it can.
const LEAST: u32 = FULL / 10;

/// Those that may be chosen.
pub(super) struct View {
    pub(super) endpoints: Box<[(Arc<LiveEndpoint>, u32)]>,
    pub(super) picker: Picker,
    /// When the first of the ejected ones comes back.
    pub(super) returns: Option<Instant>,
    /// Until when a new one grows.
    pub(super) grows: Option<Instant>,
    /// Another one may be ejected.
    pub(super) may_eject: bool,
}

/// A view at a moment, as a picker sees it.
pub(super) struct Sight<'a> {
    pub(super) view: &'a View,
    pub(super) growing: Option<(Instant, Duration)>,
    pub(super) latency: Option<(Instant, Duration)>,
    pub(super) base: Instant,
    /// The most requests at an endpoint.
    pub(super) most: usize,
}

impl View {
    pub(super) fn empty(policy: &Policy) -> Self {
        Self {
            endpoints: Box::default(),
            picker: Picker::new(policy, [].into_iter()),
            returns: None,
            grows: None,
            may_eject: false,
        }
    }
}

impl Field for Sight<'_> {
    fn count(&self) -> usize {
        self.view.endpoints.len()
    }

    fn seen(&self, at: usize) -> Seen {
        let (live, weight) = &self.view.endpoints[at];
        let mut seen = live.seen(*weight, self.most);
        if let (Some((now, ramp)), Some(joined)) = (self.growing, live.joined()) {
            let since = now.saturating_duration_since(self.base);
            let age = since.saturating_sub(joined);
            let part = age.as_secs_f64() / ramp.as_secs_f64() * f64::from(FULL);
            seen.ramp = (part as u32).clamp(LEAST, FULL);
        }
        if let Some((now, decay)) = self.latency {
            seen.latency = live.latency.expected(decay, now);
        }
        seen
    }

    fn url(&self, at: usize) -> &str {
        &self.view.endpoints[at].0.label
    }
}
