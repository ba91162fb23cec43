//! What an answer says of the limits, and that it is charged for what it took.

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode, response};

use super::{Fields, Said, Shared, Spent};
use crate::{
    error::{ErrorKind, Rejection, own_in},
    throttle::{decision::Decision, headers, limits::RateLimits, policy::Policy},
};

impl Shared {
    /// What came of a request that was let through: with what is left, and charged for what it took.
    pub(in crate::throttle) fn answered<R, E: 'static>(
        &self,
        spent: Spent,
        answer: Result<Response<R>, E>,
    ) -> Result<Response<R>, E> {
        match answer {
            Ok(response) => Ok(self.of_response(spent, response)),
            Err(mut error) => {
                self.of_error(spent, &mut error);
                Err(error)
            }
        }
    }

    fn of_response<R>(&self, spent: Spent, response: Response<R>) -> Response<R> {
        let (mut parts, body) = response.into_parts();
        if let Some(charged) = spent.charged {
            charged.answered(&parts);
        }
        if !self.settings.is_dry_run {
            let has = |name: &HeaderName| parts.headers.contains_key(name);
            let fields = self.fields_unless(&spent.said, has, is_refused(&parts));
            for (name, value) in fields {
                parts.headers.append(name, value);
            }
            if let Some(limits) = self.limits(&spent.said) {
                match parts.extensions.get_mut::<RateLimits>() {
                    Some(inner) => inner.extend(limits),
                    None => _ = parts.extensions.insert(limits),
                }
            }
        }
        Response::from_parts(parts, body)
    }

    /// An error of the crate becomes an answer further outside. Of others that is not known.
    fn of_error<E: 'static>(&self, spent: Spent, error: &mut E) {
        let Some(error) = own_in(error) else {
            return;
        };
        if let Some(charged) = spent.charged {
            let (head, _) = error.clone().into_response::<Bytes>().into_parts();
            charged.answered(&head);
        }
        if !self.settings.is_dry_run {
            let has = |name: &HeaderName| error.fields().iter().any(|(other, _)| other == name);
            let fields = self.fields_unless(&spent.said, has, is_limit(error.kind()));
            *error = error.clone().with_fields(fields);
        }
    }

    /// What a backend or another throttle has said stays. The older fields are no lists.
    fn fields_unless(
        &self,
        said: &Said,
        has: impl Fn(&HeaderName) -> bool,
        is_refused: bool,
    ) -> Fields {
        let has_older = headers::OLDER.iter().any(has);
        let mut fields = self.fields(said, !is_refused);
        fields.retain(|(name, _)| !(has_older && headers::OLDER.contains(name)));
        fields
    }

    /// What an answer says of it. `with_left`: what is left too, and not just what there is.
    pub(super) fn fields(&self, said: &Said, with_left: bool) -> Fields {
        let mut fields = Fields::new();
        let settings = &self.settings;
        if settings.has_headers {
            let policies = self.pairs(said).map(|(policy, _)| policy);
            let field = match (&settings.rules[..], &said.of[..]) {
                ([_], [(policy, _)]) => &self.fields[*policy],
                _ => &self.fields[0],
            };
            fields.extend(field.get(policies));
            if with_left {
                fields.extend(headers::rate_limit(self.deciding(said)));
            }
        }
        if settings.has_legacy_headers {
            fields.extend(headers::older(self.pairs(said)));
        }
        fields
    }

    /// The same for other layers, if they asked for it.
    pub(super) fn limits(&self, said: &Said) -> Option<RateLimits> {
        let pairs = self.settings.has_extensions.then(|| self.pairs(said));
        Some(pairs?.map(|(policy, it)| (policy.clone(), *it)).collect())
    }

    pub(super) fn pairs<'a>(
        &'a self,
        said: &'a Said,
    ) -> impl Iterator<Item = (&'a Policy, &'a Decision)> + Clone {
        let pairs = said.of.iter();
        pairs.map(|(policy, decision)| (&self.policies[*policy], decision))
    }

    /// The same with the policies that have decided: a substitute's are shares.
    fn deciding<'a>(
        &'a self,
        said: &'a Said,
    ) -> impl Iterator<Item = (&'a Policy, &'a Decision)> + Clone {
        said.of.iter().map(|(place, decision)| {
            let share = said.by_substitute.then(|| self.substitute.share(*place));
            let policy = share.flatten().unwrap_or(&self.policies[*place]);
            (policy, decision)
        })
    }
}

/// Whether a limit behind has refused it. Then `RateLimit` is of those that did, as `Retry-After` is.
fn is_refused(parts: &response::Parts) -> bool {
    match parts.extensions.get() {
        Some(Rejection(error)) => is_limit(error.kind()),
        // A backend's, or that of a gateway behind.
        None => {
            parts.status == StatusCode::TOO_MANY_REQUESTS
                && parts.headers.contains_key(headers::RATE_LIMIT)
        }
    }
}

fn is_limit(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::QuotaExceeded | ErrorKind::CapacityReduced)
}
