//! Tokens that are taken back before their time.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;

use super::issuer::MAX_LEEWAY;
use crate::{claims::Claims, clock, error::BoxError};

/// Says of tokens that are otherwise valid whether they were taken back. It is asked for every request, those with a remembered token
/// too.
///
/// ```
/// use tower_gateway::{BoxError, Claims, auth::Revocation};
///
/// struct Left;
///
/// impl Revocation for Left {
///     async fn is_revoked(&self, claims: &Claims) -> Result<bool, BoxError> {
///         Ok(claims.subject() == Some("mallory"))
///     }
/// }
/// ```
pub trait Revocation: Send + Sync + 'static {
    /// Whether a token that says this was taken back.
    ///
    /// # Errors
    /// It can not be found out: the request is answered with 503.
    fn is_revoked(&self, claims: &Claims) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// What is wrong with the settings, for who assembles a gateway. Default: nothing.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

pub(super) trait AnyRevocation: Send + Sync {
    fn is_revoked<'a>(
        &'a self,
        claims: &'a Claims,
    ) -> Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send + 'a>>;

    fn mistakes(&self) -> Vec<String>;
}

impl<R: Revocation> AnyRevocation for R {
    fn is_revoked<'a>(
        &'a self,
        claims: &'a Claims,
    ) -> Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send + 'a>> {
        Box::pin(Revocation::is_revoked(self, claims))
    }

    fn mistakes(&self) -> Vec<String> {
        Revocation::mistakes(self)
    }
}

/// A list of what was taken back, in the memory of this process: by the token's `jti`, or of a subject everything that was issued
/// until now. Clones share the list.
///
/// What is on it leaves it when no token that it could concern is valid any more, whatever leeway it is given: an hour after its time.
/// An entry that is made again lasts until the later time of both. When it is full, nothing is added and
/// [`revoke`](Self::revoke) says so: nobody is forgotten who was taken back.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_gateway::auth::RevocationList;
///
/// let list = RevocationList::new(10_000);
/// let until = SystemTime::now() + Duration::from_secs(3_600);
/// assert!(list.revoke("jti-7", until));
/// // Whatever tokens `mallory` has: they are at most an hour old.
/// assert!(list.revoke_subject("mallory", until));
/// ```
#[derive(Clone, Debug)]
pub struct RevocationList(Arc<List>);

#[derive(Debug)]
struct List {
    most: usize,
    /// Read without a lock; written anew for each change.
    now: ArcSwap<Revoked>,
    change: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Revoked {
    /// By `jti`, until when.
    tokens: HashMap<Box<str>, SystemTime>,
    subjects: HashMap<Box<str>, Subject>,
}

/// What was issued to somebody until a moment.
#[derive(Clone, Copy, Debug)]
struct Subject {
    issued_until: SystemTime,
    until: SystemTime,
}

impl RevocationList {
    /// An empty list that has so many entries at most.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(List {
            most,
            now: ArcSwap::default(),
            change: Mutex::default(),
        }))
    }

    /// Takes back the token with this `jti`; `until` is when it ends by itself. False if the list is full.
    pub fn revoke(&self, jti: impl Into<Box<str>>, until: SystemTime) -> bool {
        let jti = jti.into();
        self.change(clock::wall(), |revoked| {
            let known = revoked.tokens.entry(jti).or_insert(until);
            *known = until.max(*known);
        })
    }

    /// Takes back what was issued to this subject until now, and what does not say when it was issued; `until` is when the last of it ends by
    /// itself. Tokens that are issued in a second from now on are valid. False if the list is full.
    pub fn revoke_subject(&self, subject: impl Into<Box<str>>, until: SystemTime) -> bool {
        let (subject, now) = (subject.into(), clock::wall());
        let entry = Subject {
            issued_until: now,
            until,
        };
        self.change(now, |revoked| {
            let known = revoked.subjects.entry(subject).or_insert(entry);
            known.issued_until = entry.issued_until.max(known.issued_until);
            known.until = entry.until.max(known.until);
        })
    }

    /// Takes the token's entry off the list.
    pub fn restore(&self, jti: &str) {
        self.change(clock::wall(), |revoked| _ = revoked.tokens.remove(jti));
    }

    /// Takes the subject's entry off the list.
    pub fn restore_subject(&self, subject: &str) {
        self.change(clock::wall(), |revoked| {
            _ = revoked.subjects.remove(subject)
        });
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.now.load().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self, now: SystemTime, change: impl FnOnce(&mut Revoked)) -> bool {
        let _one_at_a_time: MutexGuard<'_, ()> =
            self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut revoked = Revoked::clone(&self.0.now.load());
        change(&mut revoked);
        // A token is accepted for longer than it says, by the leeway of its issuer.
        let is_needed = |until: SystemTime| {
            let end = until.checked_add(MAX_LEEWAY);
            end.is_none_or(|end| now < end)
        };
        revoked.tokens.retain(|_, until| is_needed(*until));
        revoked
            .subjects
            .retain(|_, subject| is_needed(subject.until));
        let fits = revoked.len() <= self.0.most;
        if fits {
            self.0.now.store(Arc::new(revoked));
        }
        fits
    }
}

impl Revoked {
    fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len()
    }

    fn has(&self, claims: &Claims) -> bool {
        let token = claims.id().is_some_and(|jti| self.tokens.contains_key(jti));
        let subject = claims
            .subject()
            .and_then(|subject| self.subjects.get(subject));
        // `iat` is mostly whole seconds, so that what was issued in this one, and is not older, is taken back too.
        let was_issued = |entry: &Subject| {
            claims
                .issued_at()
                .is_none_or(|issued| issued <= entry.issued_until)
        };
        token || subject.is_some_and(was_issued)
    }
}

impl Revocation for RevocationList {
    async fn is_revoked(&self, claims: &Claims) -> Result<bool, BoxError> {
        Ok(self.0.now.load().has(claims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn is_revoked(list: &RevocationList, claims: &str) -> bool {
        list.0.now.load().has(&claims.parse().unwrap())
    }

    fn seconds(of: SystemTime) -> u64 {
        of.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn tokens_and_what_a_subject_has_are_taken_back() {
        let list = RevocationList::new(10);
        let later = clock::wall() + Duration::from_secs(60);
        assert!(list.revoke("a", later) && list.revoke_subject("mallory", later));
        let now = seconds(clock::wall());
        for (claims, expected) in [
            (r#"{"jti": "a"}"#.to_owned(), true),
            (r#"{"jti": "b"}"#.to_owned(), false),
            ("{}".to_owned(), false),
            (r#"{"sub": "mallory"}"#.to_owned(), true),
            (r#"{"sub": "alice"}"#.to_owned(), false),
            (
                format!(r#"{{"sub": "mallory", "iat": {}}}"#, now - 60),
                true,
            ),
            (
                format!(r#"{{"sub": "mallory", "iat": {}}}"#, now + 2),
                false,
            ),
        ] {
            assert_eq!(is_revoked(&list, &claims), expected, "{claims}");
        }
        list.restore("a");
        list.restore_subject("mallory");
        assert!(list.is_empty() && !is_revoked(&list, r#"{"jti": "a", "sub": "mallory"}"#));
    }

    #[test]
    fn an_entry_that_is_made_again_does_not_end_sooner() {
        let list = RevocationList::new(10);
        let later = clock::wall() + Duration::from_secs(60);
        let past = SystemTime::UNIX_EPOCH;
        assert!(list.revoke("a", later) && list.revoke_subject("mallory", later));
        assert!(list.revoke("a", past) && list.revoke_subject("mallory", past));
        for claims in [r#"{"jti": "a"}"#, r#"{"sub": "mallory"}"#] {
            assert!(is_revoked(&list, claims), "{claims}");
        }
    }

    #[test]
    fn a_full_list_says_so_and_forgets_nobody() {
        let list = RevocationList::new(2);
        let (past, later) = (
            SystemTime::UNIX_EPOCH,
            clock::wall() + Duration::from_secs(60),
        );
        assert!(list.revoke("old", past));
        assert_eq!(list.len(), 0, "it is over already");
        let leeway = clock::wall() - Duration::from_secs(60);
        assert!(list.revoke("in the leeway", leeway) && list.len() == 1);
        list.restore("in the leeway");
        assert!(list.revoke("a", later) && list.revoke("b", later));
        assert!(!list.revoke("c", later) && !list.revoke_subject("c", later));
        assert!(list.revoke("a", later), "it is there already");
        assert!(is_revoked(&list, r#"{"jti": "a"}"#) && is_revoked(&list, r#"{"jti": "b"}"#));
        assert_eq!(list.len(), 2);
    }
}
