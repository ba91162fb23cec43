//! What is done when the answer to a request is there: it says what is left, and is charged for what it took.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Waker},
};

use http::{Response, response};
use smallvec::SmallVec;
use tokio::runtime::Handle;

use super::{Charged, Fields, Said, Shared, Spent};
use crate::throttle::{
    decision::Decision,
    headers,
    limiter::{Ask, INLINE, Waiting},
    policy::Policy,
};

impl Shared {
    /// The answer to a request that was let through: with what is left, and charged for what it took.
    pub(in crate::throttle) fn answered<R>(
        self: &Arc<Self>,
        spent: Spent,
        response: Response<R>,
    ) -> Response<R> {
        let (mut parts, body) = response.into_parts();
        if let Some(charged) = spent.charged {
            self.charge(*charged, &parts);
        }
        if !self.settings.is_dry_run {
            // What a backend or another throttle has said stays. The older fields are no lists.
            let has_older = headers::OLDER
                .iter()
                .any(|name| parts.headers.contains_key(name));
            let fields = self.fields(&spent.said).into_iter();
            for (name, value) in
                fields.filter(|(name, _)| !(has_older && headers::OLDER.contains(name)))
            {
                parts.headers.append(name, value);
            }
        }
        Response::from_parts(parts, body)
    }

    fn charge(self: &Arc<Self>, charged: Charged, parts: &response::Parts) {
        let (mut asks, mut places) = (Vec::new(), SmallVec::<[_; INLINE]>::new());
        for one in &charged.asked {
            let Some(charge) = &self.settings.rules[one.rule].charge else {
                continue;
            };
            let cost = charge(parts);
            if cost == 0 {
                continue;
            }
            let ask = Ask {
                cost,
                ..one.ask(self)
            };
            match charged.by_substitute {
                true => self.substitute.charge(one.policy, ask),
                false => {
                    asks.push(Waiting::new(ask));
                    places.push(one.policy);
                }
            }
        }
        if asks.is_empty() {
            return;
        }
        let asks: Arc<[Waiting]> = asks.into();
        let (shared, charging) = (self.clone(), self.settings.limiter.charge(asks.clone()));
        let mut charge = Box::pin(async move {
            if let Err(error) = charging.await {
                shared.counts.failures.fetch_add(1, Relaxed);
                shared.now_failing(Some(&error));
                for (place, one) in places.into_iter().zip(&*asks) {
                    shared.substitute.charge(place, one.ask());
                }
            }
        });
        // Nobody waits for it, and mostly there is nothing to wait for.
        let mut context = Context::from_waker(Waker::noop());
        if charge.as_mut().poll(&mut context).is_pending()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(charge);
        }
    }

    /// What an answer says of it.
    pub(super) fn fields(&self, said: &Said) -> Fields {
        let mut fields = Fields::new();
        let settings = &self.settings;
        if settings.has_headers {
            let policies = self.pairs(said).map(|(policy, _)| policy);
            let field = match (&settings.rules[..], &said[..]) {
                ([_], [(policy, _)]) => &self.fields[*policy],
                _ => &self.fields[0],
            };
            fields.extend(field.get(policies));
            fields.extend(headers::rate_limit(self.pairs(said)));
        }
        if settings.has_legacy_headers {
            fields.extend(headers::older(self.pairs(said)));
        }
        fields
    }

    pub(super) fn pairs<'a>(
        &'a self,
        said: &'a Said,
    ) -> impl Iterator<Item = (&'a Policy, &'a Decision)> + Clone {
        let pairs = said.iter();
        pairs.map(|(policy, decision)| (&self.policies[*policy], decision))
    }
}
