//! What was taken back, known to all gateways.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redis::{Cmd, cmd, pipe};

use super::{issuer::MAX_LEEWAY, revocation::Revocation};
use crate::{
    claims::Claims,
    clock,
    error::BoxError,
    redis::{Redis, RedisError},
};

/// What was taken back, kept in Redis, so that it is for all gateways at once what [`RevocationList`](super::RevocationList) is for one:
/// by the token's `jti`, or of a subject everything that was issued until a moment. Clones share the connection.
///
/// Each request asks Redis, in one round trip for both; nothing is remembered here, so that what is taken back is so with the next request.
/// If Redis can not be asked, the request is answered with 503, unless it [fails open](Self::fail_open).
///
/// An entry concerns the tokens of all issuers of a layer. Their `jti`s differ (RFC 7519, section 4.1.7); a subject may be somebody else to
/// another issuer (section 4.1.2), and then loses those tokens too.
///
/// A program of another kind can write the entries, with an expiry of its own; they are
///
/// | key, behind the [prefix](Redis::key_prefix) | value |
/// |---|---|
/// | `revoked:jti:<jti>` | anything |
/// | `revoked:sub:<sub>` | until when what was issued is taken back, in milliseconds since 1970; all of it if it is no such number |
///
/// ```no_run
/// use std::time::{Duration, SystemTime};
/// use tower_gateway::{auth::RedisRevocation, redis::{Redis, RedisError}};
///
/// # async fn example() -> Result<(), RedisError> {
/// let revocation = RedisRevocation::new(Redis::new("redis://redis.internal"));
/// let until = SystemTime::now() + Duration::from_secs(3_600);
/// revocation.revoke("jti-7", until).await?;
/// // Whatever tokens `mallory` has: they are at most an hour old.
/// revocation.revoke_subject("mallory", until).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RedisRevocation {
    redis: Redis,
    fail_open: bool,
}

/// The end of the year 9999: beyond it Redis would have to count further than it can.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

impl RedisRevocation {
    /// What was taken back is in this Redis.
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            fail_open: false,
        }
    }

    /// Whether, while Redis gives no answer or an error, every token that is otherwise valid is let in, those that were taken back included.
    /// Default: none is.
    pub fn fail_open(mut self, on: bool) -> Self {
        self.fail_open = on;
        self
    }

    /// Takes back the token with this `jti`; `until` is when it ends by itself. The entry goes an hour later, whatever leeway it is given.
    ///
    /// # Errors
    /// It is not known whether it was taken back: do it again.
    pub async fn revoke(&self, jti: &str, until: SystemTime) -> Result<(), RedisError> {
        self.put(self.token(jti), 1, until).await
    }

    /// Takes back what was issued to this subject until now, and what does not say when it was issued; `until` is when the last of it ends by
    /// itself. Tokens that are issued in a second from now on are valid.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_subject(&self, subject: &str, until: SystemTime) -> Result<(), RedisError> {
        let now = millis(since_1970(clock::wall()));
        // What is within the last millisecond was issued until now, too.
        self.put(self.subject(subject), now.saturating_add(1), until)
            .await
    }

    /// Takes the token's entry away.
    ///
    /// # Errors
    /// It is not known whether it is away: do it again.
    pub async fn restore(&self, jti: &str) -> Result<(), RedisError> {
        self.remove(self.token(jti)).await
    }

    /// Takes the subject's entry away.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub async fn restore_subject(&self, subject: &str) -> Result<(), RedisError> {
        self.remove(self.subject(subject)).await
    }

    fn token(&self, jti: &str) -> String {
        self.redis.key("revoked:jti", jti)
    }

    fn subject(&self, subject: &str) -> String {
        self.redis.key("revoked:sub", subject)
    }

    async fn put(&self, key: String, value: u64, until: SystemTime) -> Result<(), RedisError> {
        let until = until.checked_add(MAX_LEEWAY).map_or(LATEST, since_1970);
        // A time from now on: Redis has a clock of its own.
        let left = until.min(LATEST).saturating_sub(since_1970(clock::wall()));
        let left = millis(left);
        if left == 0 {
            // It has ended by itself.
            return Ok(());
        }
        let mut set = cmd("SET");
        set.arg(key).arg(value).arg("PX").arg(left);
        self.tell(set).await
    }

    async fn remove(&self, key: String) -> Result<(), RedisError> {
        let mut del = cmd("DEL");
        del.arg(key);
        self.tell(del).await
    }

    async fn tell(&self, command: Cmd) -> Result<(), RedisError> {
        let mut questions = pipe();
        questions.add_command(command).ignore();
        self.redis.query(&questions).await
    }

    /// The entries of a token's `jti` and of its subject. Two `GET`s, not one `MGET`: in a cluster the keys may be on two nodes.
    async fn entries(&self, claims: &Claims) -> Result<[Option<Vec<u8>>; 2], RedisError> {
        let keys = [
            claims.id().map(|jti| self.token(jti)),
            claims.subject().map(|sub| self.subject(sub)),
        ];
        let mut questions = pipe();
        for key in keys.iter().flatten() {
            questions.cmd("GET").arg(key);
        }
        if questions.is_empty() {
            return Ok([None, None]);
        }
        let answers: Vec<Option<Vec<u8>>> = self.redis.query(&questions).await?;
        let mut answers = answers.into_iter();
        Ok(keys.map(|key| key.and_then(|_| answers.next().flatten())))
    }
}

impl Revocation for RedisRevocation {
    async fn is_revoked(&self, claims: &Claims) -> Result<bool, BoxError> {
        match self.entries(claims).await {
            Ok([token, subject]) => {
                let is_issued_before = |entry: Vec<u8>| is_issued_until(&entry, claims.issued_at());
                Ok(token.is_some() || subject.is_some_and(is_issued_before))
            }
            Err(_) if self.fail_open => Ok(false),
            Err(reason) => Err(reason.into()),
        }
    }

    fn mistakes(&self) -> Vec<String> {
        self.redis.mistakes()
    }
}

/// Whether a token that was issued then, or does not say when, is among what this entry takes back.
fn is_issued_until(entry: &[u8], issued_at: Option<SystemTime>) -> bool {
    let until = std::str::from_utf8(entry)
        .ok()
        .and_then(|text| text.parse().ok());
    match (until.map(Duration::from_millis), issued_at) {
        (Some(until), Some(issued)) => since_1970(issued) <= until,
        _ => true,
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_until_a_moment_is_taken_back_and_what_is_in_doubt() {
        let at = |millis| Some(UNIX_EPOCH + Duration::from_millis(millis));
        for (entry, issued, expected) in [
            ("5000", at(4_000), true),
            ("5000", at(5_000), true),
            ("5000", at(5_001), false),
            ("5000", None, true),
            ("", at(9_000), true),
            ("soon", at(9_000), true),
            ("-1", at(9_000), true),
        ] {
            assert_eq!(
                is_issued_until(entry.as_bytes(), issued),
                expected,
                "{entry} {issued:?}"
            );
        }
    }
}
