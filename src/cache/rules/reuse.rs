//! Whether a stored response may be the answer (RFC 9111, section 4; RFC 5861).

use super::{
    asked::Asked,
    freshness::SECOND,
    status::Fwd,
    terms::{Age, MUST_REVALIDATE, NO_CACHE, Terms},
};

/// What is to be done with the stored response that was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Reuse {
    /// It is the answer.
    Fresh(Age),
    /// It is the answer, and is fetched anew behind it.
    StaleWhileRevalidate(Age),
    /// It is the answer, because the client takes it stale.
    Stale(Age),
    /// It is the answer only after the backend has said so, or failed and [`Terms::stale_if_error`] allows it.
    Validate(Fwd),
    /// It has no part in it: the request is forwarded as it is, and its answer is not kept (section 5.2.1.5).
    Forward,
}

/// What is known of a stored response besides its terms.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct Kept {
    /// When it was received, or last found valid.
    pub(in crate::cache) answered_at: u64,
    /// Somebody asked to have it fetched anew: it is not fresh, and only its own words allow it stale.
    pub(in crate::cache) is_invalid: bool,
}

impl Terms {
    pub(in crate::cache) fn reuse(&self, kept: Kept, asked: &Asked, now: u64) -> Reuse {
        let age = self.current_age(kept, now);
        let stale_for = age.saturating_sub(self.lifetime);
        let is_fresh = self.is_fresh(kept, age) && !self.has(NO_CACHE);
        if asked.no_store && !asked.only_if_cached {
            return Reuse::Forward;
        }
        // A reload asks the backend, however young the response is.
        let is_young = |most| most > 0 && age <= millis(most);
        if asked.no_cache || !asked.max_age.is_none_or(is_young) {
            return Reuse::Validate(match is_fresh {
                true => Fwd::Request,
                false => Fwd::Stale,
            });
        }
        let lasts = |least| self.lifetime >= age.saturating_add(millis(least));
        if is_fresh {
            return match asked.min_fresh.is_none_or(lasts) {
                true => Reuse::Fresh(self.age(kept, now)),
                false => Reuse::Validate(Fwd::Request),
            };
        }
        // Who says how young it has to be takes it stale only with `max-stale` (section 5.2.1.1).
        let is_taken = match asked.max_stale {
            Some(most) => stale_for <= millis(most),
            None => asked.max_age.is_none(),
        };
        if self.has(NO_CACHE) || !is_taken || asked.min_fresh.is_some() {
            return Reuse::Validate(Fwd::Stale);
        }
        if stale_for < millis(self.stale_while_revalidate) {
            return Reuse::StaleWhileRevalidate(self.age(kept, now));
        }
        if asked.max_stale.is_some() && !kept.is_invalid && !self.is_never_stale() {
            return Reuse::Stale(self.age(kept, now));
        }
        Reuse::Validate(Fwd::Stale)
    }

    /// Its age, if it may be the answer when the backend can not be reached or has failed (RFC 5861, section 4).
    pub(in crate::cache) fn stale_if_error(
        &self,
        kept: Kept,
        asked: &Asked,
        now: u64,
    ) -> Option<Age> {
        let age = self.current_age(kept, now);
        let stale_for = age.saturating_sub(self.lifetime);
        let wanted = asked.stale_if_error.filter(|_| !self.is_never_stale());
        let window = wanted.unwrap_or(0).max(self.stale_if_error);
        let is_in_window = stale_for < millis(window);
        let is_asked_for = !asked.no_cache && !asked.no_store && !self.has(NO_CACHE);
        (is_asked_for && (self.is_fresh(kept, age) || is_in_window)).then(|| self.age(kept, now))
    }

    fn is_fresh(&self, kept: Kept, age: u64) -> bool {
        !kept.is_invalid && self.lifetime > age
    }

    fn is_never_stale(&self) -> bool {
        self.has(NO_CACHE | MUST_REVALIDATE)
    }
}

fn millis(seconds: u32) -> u64 {
    u64::from(seconds) * SECOND
}
