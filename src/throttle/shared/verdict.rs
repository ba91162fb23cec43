//! What becomes of a request when its limits have spoken.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use smallvec::SmallVec;

use super::{Asked, One, Said, Shared, Spent, Verdict, charge::Charged, unavailable};
use crate::{
    error::BoxError,
    throttle::{
        decision::Decision,
        limiter::{Decisions, INLINE},
        log,
        refusal::Refusal,
    },
};

impl Shared {
    /// No rule concerns it.
    pub(super) fn unconcerned(&self) -> Verdict {
        self.counts.allowed.fetch_add(1, Relaxed);
        Verdict::Pass(None)
    }

    pub(super) fn decided(
        self: &Arc<Self>,
        asked: Asked,
        decisions: Result<Decisions, BoxError>,
    ) -> Verdict {
        let counts = &self.counts;
        let decisions = decisions.and_then(|decisions| {
            let fits = decisions.as_slice().len() == asked.len();
            fits.then_some(decisions)
                .ok_or_else(|| "the limiter has not decided all that it was asked".into())
        });
        let by_substitute = decisions.is_err();
        self.now_failing(decisions.as_ref().err());
        let decisions = match decisions {
            Ok(decisions) => decisions,
            Err(error) => {
                counts.failures.fetch_add(1, Relaxed);
                let asks: SmallVec<[_; INLINE]> = asked
                    .iter()
                    .map(|one| (one.policy, one.ask(self)))
                    .collect();
                match self.substitute.acquire(&asks) {
                    Some(decisions) => decisions,
                    None => return self.refuse(unavailable(error), None),
                }
            }
        };
        let of = asked.iter().zip(decisions.as_slice());
        let said = Said {
            of: of.map(|(one, it)| (one.policy, *it)).collect(),
            by_substitute,
        };
        if !decisions.is_allowed() {
            return self.refused(&asked, &said);
        }
        counts.allowed.fetch_add(1, Relaxed);
        let charges = |one: &One| self.settings.rules[one.rule].charge.is_some();
        let is_charged = asked.iter().any(charges);
        let charged = is_charged.then(|| Box::new(Charged::new(self, asked, by_substitute)));
        Verdict::Pass(Some(Spent { said, charged }))
    }

    fn refused(&self, asked: &Asked, said: &Said) -> Verdict {
        let is_violated = |(_, decision): &&(usize, Decision)| !decision.is_allowed();
        for (policy, _) in said.of.iter().filter(is_violated) {
            self.counts.violated[*policy].fetch_add(1, Relaxed);
        }
        let violated = || {
            let each = asked.iter().zip(&said.of);
            each.filter(|(_, (_, decision))| !decision.is_allowed())
        };
        let is_shared = violated().all(|(one, _)| self.settings.rules[one.rule].is_shared);
        let first = violated().next().map(|(one, _)| one.rule);
        let refusal = Refusal::exceeded(self.pairs(said), is_shared)
            .with_fields(self.fields(said, true))
            .with_limits(self.limits(said));
        self.refuse(Box::new(refusal), first)
    }

    /// By a rule, or none of them.
    pub(super) fn refuse(&self, refusal: Box<Refusal>, rule: Option<usize>) -> Verdict {
        if !self.settings.is_dry_run {
            self.counts.refused.fetch_add(1, Relaxed);
        }
        self.unless_dry(refusal, rule)
    }

    pub(super) fn unless_dry(&self, refusal: Box<Refusal>, rule: Option<usize>) -> Verdict {
        if !self.settings.is_dry_run {
            return Verdict::Refuse(refusal);
        }
        self.counts.would_refuse.fetch_add(1, Relaxed);
        let rules = self.settings.rules.len();
        if let Some(told) = self.would_refuse.get(rule.unwrap_or(rules)) {
            log::would_refuse(told, &refusal);
        }
        Verdict::Pass(None)
    }

    pub(super) fn now_failing(&self, error: Option<&BoxError>) {
        let is_failing = error.is_some();
        if self.is_failing.load(Relaxed) != is_failing {
            self.is_failing.store(is_failing, Relaxed);
        }
        self.failing.tell(error);
    }
}
