//! One connection to Redis or Valkey, for what gateways share.
//!
//! Nothing is asked of Redis before it is needed, no call takes longer than its [`timeout`](Redis::timeout), and a Redis that is away is
//! left alone for a while. So a gateway starts without it, and comes back to it by itself.
//!
//! ```
//! use std::time::Duration;
//! use tower_gateway::{auth::RedisRevocation, redis::Redis};
//!
//! let redis = Redis::new("redis://:secret@redis.internal:6379/1")
//!     .connect_timeout(Duration::from_millis(500))
//!     .key_prefix("shop:");
//! assert!(redis.mistakes().is_empty());
//! let revocation = RedisRevocation::new(redis);
//! # let _ = revocation;
//! ```

mod circuit;
mod error;
mod link;
mod settings;
mod shared;
mod target;
#[cfg(feature = "tls")]
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use ::redis::{FromRedisValue, Pipeline};

pub use error::RedisError;

use crate::clock;
use settings::Settings;
use shared::Shared;

/// One Redis or Valkey server, and the one connection to it, over which many ask at once.
///
/// Clones share the connection, each with its own [`timeout`](Self::timeout) and [`key_prefix`](Self::key_prefix). The other settings are
/// the connection's: one whose are changed has its own.
///
/// It is connected to when it is needed first, on the runtime that needs it, and again when the connection has ended. Whoever
/// asks meanwhile waits for that, within their timeout. When Redis can not be reached, or falls silent, calls fail at once until
/// [`reconnect_delay`](Self::reconnect_delay) is over; then one of them tries it again.
///
/// | setting | default |
/// |---|---|
/// | [`timeout`](Self::timeout) | 100 ms |
/// | [`key_prefix`](Self::key_prefix) | `tower-gateway:` |
/// | [`connect_timeout`](Self::connect_timeout) | 1 s |
/// | [`stall_timeout`](Self::stall_timeout) | 100 ms |
/// | [`reconnect_delay`](Self::reconnect_delay) | from 100 ms to 5 s |
/// | [`tls_authority`](Self::tls_authority), [`tls_identity`](Self::tls_identity) | the system's trust store, no certificate |
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
    timeout: Duration,
    prefix: Arc<str>,
}

impl Redis {
    /// A server by its URL: `redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS (feature `tls`; the certificate is
    /// always checked), or `unix:///path[?db=…&user=…&pass=…]`. What is not letters or digits in a password is percent-encoded. A wrong URL
    /// is among the [`mistakes`](Self::mistakes), and makes each call fail.
    pub fn new(url: impl Into<Box<str>>) -> Self {
        Self {
            shared: Arc::new(Shared::new(Settings::new(url.into()))),
            timeout: Duration::from_millis(100),
            prefix: "tower-gateway:".into(),
        }
    }

    /// The longest time that a call takes, with connecting if it has to be.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// What each key begins with, so that others can use the same Redis.
    pub fn key_prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long it may take to connect, from the lookup of the name to the first answer. Calls do not wait for it longer than their own
    /// [`timeout`](Self::timeout); a connection that was made meanwhile is there for the next one.
    pub fn connect_timeout(self, time: Duration) -> Self {
        self.edit(|settings| settings.connect_timeout = time)
    }

    /// A connection that was asked and has said nothing at all for so long, when a call has timed out, is ended as dead. Also for how long
    /// calls wait for the first connection at most.
    pub fn stall_timeout(self, time: Duration) -> Self {
        self.edit(|settings| settings.stall_timeout = time)
    }

    /// For how long a Redis is left alone that could not be reached or fell silent: at first, and, as it doubles each time, at most.
    pub fn reconnect_delay(self, first: Duration, most: Duration) -> Self {
        self.edit(|settings| settings.reconnect_delay = (first, most))
    }

    /// Trusts only these authorities (PEM, one or more), instead of what the operating system trusts.
    #[cfg(feature = "tls")]
    pub fn tls_authority(self, pem: impl Into<Vec<u8>>) -> Self {
        let roots = crate::tls::Roots::Own(pem.into());
        self.edit(|settings| settings.tls.roots = roots)
    }

    /// Shows this certificate chain (PEM), with its private key (PEM), when it is asked for.
    #[cfg(feature = "tls")]
    pub fn tls_identity(self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let identity = (chain.into(), key.into());
        self.edit(|settings| settings.tls.identity = Some(identity))
    }

    /// What is wrong with the settings: each names one, and what is allowed. A layer that uses this Redis reports them with its own.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = self.shared.settings.mistakes();
        if self.timeout.is_zero() {
            mistakes.push("timeout is 0; it has to be longer".to_owned());
        }
        let say = |mistake| format!("redis: {mistake}");
        mistakes.into_iter().map(say).collect()
    }

    /// A key of ours.
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "what is kept there belongs to other features")
    )]
    pub(crate) fn key(&self, kind: &str, name: &str) -> String {
        [&*self.prefix, kind, ":", name].concat()
    }

    /// Asks all of it in one round trip. If it is dropped, it may be done all the same.
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "what is kept there belongs to other features")
    )]
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        questions: &Pipeline,
    ) -> Result<T, RedisError> {
        let (begun, late) = (clock::now(), || RedisError::TimedOut(self.timeout));
        let link = tokio::time::timeout(self.timeout, self.shared.link());
        let link = link.await.map_err(|_| late())??;
        link.asked(clock::now());
        let mut connection = link.connection();
        let left = self
            .timeout
            .saturating_sub(clock::now().saturating_duration_since(begun));
        let answer = tokio::time::timeout(left, questions.query_async(&mut connection));
        let Ok(answer) = answer.await else {
            self.shared.late(&link, clock::now());
            return Err(late());
        };
        match answer {
            Ok(answer) => {
                self.shared.answered(&link);
                Ok(answer)
            }
            Err(error) if error.is_io_error() || error.is_unrecoverable_error() => {
                Err(RedisError::unavailable(error.to_string()))
            }
            Err(error) => {
                self.shared.answered(&link);
                Err(RedisError::Answer(error.to_string().into()))
            }
        }
    }

    fn edit(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.shared.settings.clone();
        change(&mut settings);
        self.shared = Arc::new(Shared::new(settings));
        self
    }
}

/// Without the password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self
            .shared
            .ready()
            .map(|ready| ready.target.place.to_string());
        f.debug_struct("Redis")
            .field("place", &place)
            .field("timeout", &self.timeout)
            .field("key_prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_told() {
        let good = || Redis::new("redis://localhost");
        let zero = Duration::ZERO;
        assert_eq!(good().mistakes(), Vec::<String>::new());
        for (redis, named) in [
            (Redis::new("http://localhost"), "redis://"),
            (good().timeout(zero), "timeout"),
            (good().connect_timeout(zero), "connect_timeout"),
            (good().stall_timeout(zero), "stall_timeout"),
            (
                good().reconnect_delay(zero, Duration::MAX),
                "reconnect_delay",
            ),
            (
                good().reconnect_delay(Duration::MAX, zero),
                "reconnect_delay",
            ),
            #[cfg(feature = "tls")]
            (good().tls_authority("x"), "rediss://"),
            #[cfg(feature = "tls")]
            (Redis::new("rediss://localhost").tls_authority("x"), "PEM"),
        ] {
            let mistakes = redis.mistakes();
            assert!(
                mistakes.len() == 1 && mistakes[0].contains(named),
                "{named}: {mistakes:?}"
            );
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown = format!("{:?}", Redis::new("redis://user:hunter2@localhost/1"));
        assert!(
            shown.contains("localhost:6379") && !shown.contains("hunter2"),
            "{shown}"
        );
        let wrong = format!("{:?}", Redis::new("redis://user:hunter2@localhost/x"));
        assert!(!wrong.contains("hunter2"), "{wrong}");
    }
}
