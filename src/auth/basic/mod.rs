//! HTTP Basic (RFC 7617): a name and a password with each request.

mod user;
mod users;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use tokio::{sync::Semaphore, task};

pub use user::{BasicUser, BasicUserError};
pub use users::BasicUsers;

use super::{
    authenticator::Authenticator,
    bearer::{REALM, credentials, is_quotable},
    denied::Denied,
};
use crate::{clock, identity::Identity};

const HOUR: Duration = Duration::from_secs(3600);

/// Lets in users with a password, whose argon2id hashes are known (RFC 7617). Clones share the users, what is known of them, and the bound
/// of checks; a setting makes a bound of its own, so settings come first.
///
/// | setting | default |
/// |---|---|
/// | [`realm`](Self::realm) | `api` |
/// | [`cache_ttl`](Self::cache_ttl) | 60 s |
/// | [`max_concurrent`](Self::max_concurrent) | 2 checks at once |
/// | [`max_queue`](Self::max_queue) | 64 requests that wait for one |
/// | [`max_password_length`](Self::max_password_length) | 256 bytes |
/// | [`forward_credentials`](Self::forward_credentials) | no: the password stays behind |
///
/// To check a password is meant to be slow, some 20 ms with 19 MiB of memory. It is done beside the asynchronous tasks, so many at
/// once as is said, and who finds the queue full is answered 503. A name that nobody has costs as much as a wrong password. Credentials
/// that were right are remembered for a while, as their keyed hash, until the users change; so a guest who guesses fills the queue,
/// and does not keep out who has been here.
///
/// What is not of the form is 400; what is wrong 401, with `Basic realm="…", charset="UTF-8"`. Names and passwords are compared byte for byte, and
/// not normalised. The [identity](Identity) has the method `basic`; its `sub` is the name.
///
/// ```
/// use tower::ServiceBuilder;
/// # use std::convert::Infallible;
/// # use http::{Request, Response};
/// # use tower::{ServiceExt, service_fn};
/// use tower_gateway::{Body, auth::{BasicLayer, BasicUser}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ada = BasicUser::new("ada", &BasicUser::hash_password("correct horse")?)?;
/// # let backend = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Body::from("hello"))) });
/// let service = ServiceBuilder::new().layer(BasicLayer::new([ada]).realm("staff")).service(backend);
///
/// let request = Request::builder().header("authorization", "Basic YWRhOmNvcnJlY3QgaG9yc2U=").body(())?;
/// assert_eq!(service.clone().oneshot(request).await?.status(), 200);
/// assert_eq!(service.oneshot(Request::new(())).await?.headers()["www-authenticate"], r#"Basic realm="staff", charset="UTF-8""#);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BasicLayer {
    users: BasicUsers,
    realm: Arc<str>,
    cache_ttl: Duration,
    max_concurrent: usize,
    max_queue: usize,
    max_password_length: usize,
    is_forwarded: bool,
    checks: Arc<Checks>,
}

/// The checks that are under way.
struct Checks {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl BasicLayer {
    /// Knows these users. [`BasicUsers`] is a list that can be changed later.
    pub fn new(users: impl Into<BasicUsers>) -> Self {
        Self {
            users: users.into(),
            realm: "api".into(),
            cache_ttl: Duration::from_secs(60),
            max_concurrent: 2,
            max_queue: 64,
            max_password_length: 256,
            is_forwarded: false,
            checks: Checks::new(2),
        }
    }

    /// What is protected, for people: visible ASCII and blanks, without `"` and `\`. Default: `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into().into();
        self
    }

    /// For how long credentials that were right are not checked again, at most an hour. Zero: each request is checked. Default: 60 s.
    /// About 1000 are remembered.
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.cache_ttl = ttl;
        self
    }

    /// How many passwords are checked at once, at least 1. Each takes a core and the memory of its hash. Default: 2.
    pub fn max_concurrent(mut self, max: usize) -> Self {
        self.max_concurrent = max;
        self.checks = Checks::new(max);
        self
    }

    /// How many requests wait for their check; more are 503. Default: 64.
    pub fn max_queue(mut self, max: usize) -> Self {
        self.max_queue = max;
        self
    }

    /// How many bytes a password has at most; longer ones are wrong without a check. Default: 256.
    pub fn max_password_length(mut self, max: usize) -> Self {
        self.max_password_length = max;
        self
    }

    /// Whether `Authorization` goes on to what is inside. Default: no.
    pub fn forward_credentials(mut self, is_forwarded: bool) -> Self {
        self.is_forwarded = is_forwarded;
        self
    }

    async fn user(&self, head: &Parts) -> Result<Identity, Denied> {
        let sent = sent(&head.headers)?.ok_or_else(Denied::missing)?;
        let (name, password) = sent
            .split_once(':')
            .ok_or_else(|| Denied::malformed("The Basic credentials have no colon"))?;
        if password.len() > self.max_password_length {
            return Err(Denied::invalid("the password is too long"));
        }
        let list = self.users.now();
        let key = match self.cache_ttl.is_zero() {
            true => None,
            false => list.key(name, password),
        };
        let known = || {
            let found = list.known.get(key.as_deref()?, clock::now())?;
            found.as_deref().map(|entry| entry.value().clone())
        };
        if let Some(identity) = known() {
            return Ok(identity);
        }
        let Some((user, hash)) = list.find(name) else {
            return Err(Denied::invalid("there are no users"));
        };
        let permit = self.checks.enter(self.max_queue).await?;
        // Others with the same password may have waited as well.
        if let Some(identity) = known() {
            return Ok(identity);
        }
        let password = password.to_owned();
        let check = task::spawn_blocking(move || {
            let is_right = user::is_password(&hash, password.as_bytes());
            // Kept for as long as the work lasts, also when the client has left.
            drop(permit);
            is_right
        });
        let is_right = check.await.map_err(Denied::unavailable)?;
        match user.filter(|_| is_right) {
            Some(user) => {
                let identity = user.identity();
                let now = clock::now();
                if let (Some(key), Some(until)) = (key, now.checked_add(self.cache_ttl)) {
                    list.known.put(&key, identity.clone(), until, now);
                }
                Ok(identity)
            }
            None => Err(Denied::invalid("the name or the password is wrong")),
        }
    }
}

impl Authenticator for BasicLayer {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        self.user(head).await.map_err(|denied| {
            let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm);
            let challenge = HeaderValue::try_from(challenge);
            denied.with_challenge(challenge.unwrap_or(HeaderValue::from_static("Basic")))
        })
    }

    fn strip(&self, head: &mut Parts) {
        // Credentials of another kind are those of somebody else.
        if !self.is_forwarded && !matches!(credentials(&head.headers, "basic"), Ok(None)) {
            head.headers.remove(header::AUTHORIZATION);
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut wrong = |what: &str| mistakes.push(format!("Basic: {what}"));
        if !is_quotable(&self.realm) {
            wrong(REALM);
        }
        if self.cache_ttl > HOUR {
            wrong("cache_ttl is above an hour");
        }
        if !(1..=Semaphore::MAX_PERMITS).contains(&self.max_concurrent) {
            wrong("max_concurrent is 0 or huge; at least one password is checked at once");
        }
        if self.max_password_length == 0 {
            wrong("max_password_length is 0; it is at least 1 byte");
        }
        mistakes
    }
}

impl_layer!(BasicLayer);

/// The credentials, decoded.
fn sent(headers: &HeaderMap) -> Result<Option<String>, Denied> {
    let Some(encoded) = credentials(headers, "basic").map_err(Denied::malformed)? else {
        return Ok(None);
    };
    let Ok(decoded) = BASE64_STANDARD.decode(encoded) else {
        return Err(Denied::malformed("The Basic credentials are no base64"));
    };
    // As a client sends it that does not know of `charset`: nobody's password.
    let decoded = String::from_utf8(decoded)
        .map_err(|_| Denied::invalid("the credentials are not in UTF-8"))?;
    match decoded.contains(char::is_control) {
        true => Err(Denied::malformed(
            "The Basic credentials have control characters",
        )),
        false => Ok(Some(decoded)),
    }
}

impl Checks {
    fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Waits for a permit, if there is room to.
    async fn enter(&self, room: usize) -> Result<tokio::sync::OwnedSemaphorePermit, Denied> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = Waiting::enter(&self.waiting);
        if waiting.0.load(Ordering::Relaxed) > room {
            return Err(Denied::unavailable("too many passwords wait to be checked"));
        }
        let permit = self.permits.clone().acquire_owned().await;
        permit.map_err(Denied::unavailable)
    }
}

/// One who waits, until they do not any more.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for BasicLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicLayer")
            .field("users", &self.users)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
