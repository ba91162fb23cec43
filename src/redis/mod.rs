//! Connections to Redis or Valkey, for what gateways share.
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

mod call;
mod circuit;
mod cluster;
mod error;
mod lateness;
mod link;
mod pauses;
mod script;
mod settings;
mod shared;
mod slots;
mod status;
mod target;
#[cfg(feature = "tls")]
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use ::redis::{Arg, Cmd, FromRedisValue, Pipeline, ToRedisArgs, Value};
use futures_util::future::try_join_all;

pub use error::RedisError;
pub(crate) use script::Script;
pub use status::{RedisNode, RedisStatus};

use crate::clock;
use call::{Deadline, Failure, Question};
use cluster::Cluster;
use settings::Settings;
use shared::Shared;

/// One Redis or Valkey server and the one connection to it, over which many ask at once; or a cluster, with a connection to each of its nodes.
///
/// Clones share the connection, each with its own [`timeout`](Self::timeout) and [`key_prefix`](Self::key_prefix). The other settings are
/// the connection's: one whose are changed has its own.
///
/// It is connected to when it is needed first, on the runtime that needs it, and again when the connection has ended. Whoever
/// asks meanwhile waits for that, within their timeout. When Redis can not be reached, or falls silent, calls fail at once until
/// [`reconnect_delay`](Self::reconnect_delay) is over; then one of them tries it again. The same goes for a Redis that answers too late: when
/// three calls in a row have had no answer in their time, those that would wait no longer than the shortest of them fail at once, until one that
/// tries it is answered within that time. Clones that wait for longer go on asking.
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
    servers: Servers,
    timeout: Duration,
    prefix: Arc<str>,
}

#[derive(Clone)]
enum Servers {
    One(Arc<Shared>),
    Cluster(Arc<Cluster>),
}

impl Redis {
    /// A server by its URL: `redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS (feature `tls`; the certificate is
    /// always checked), or `unix:///path[?db=…&user=…&pass=…]`. What is not letters or digits in a password is percent-encoded. A wrong URL
    /// is among the [`mistakes`](Self::mistakes), and makes each call fail.
    pub fn new(url: impl Into<Box<str>>) -> Self {
        Self::at(Servers::One(Arc::new(Shared::new(Settings::new(
            url.into(),
        )))))
    }

    /// A cluster, by the URLs of some of its nodes; which others there are, and who has which keys, is asked of those, and again when keys
    /// have moved or a node is away. Whom the cluster tells of is greeted in the same way, so user, password and TLS are one setting of all: URLs that do not agree in
    /// these, one that is wrong, and a database that is not 0 are among the [`mistakes`](Self::mistakes), and make each call fail. Over TLS, each node has a
    /// certificate for the host that the cluster tells of it.
    ///
    /// All keys of one call have to be in one slot of a cluster; while a slot moves to another node, calls about several keys may fail for
    /// a moment (`TRYAGAIN`), as those of all clients do.
    ///
    /// ```
    /// use tower_gateway::redis::Redis;
    ///
    /// let redis = Redis::cluster(["redis://:secret@redis-1.internal", "redis://:secret@redis-2.internal"]);
    /// assert!(redis.mistakes().is_empty());
    /// ```
    pub fn cluster<U: Into<Box<str>>>(urls: impl IntoIterator<Item = U>) -> Self {
        let urls: Arc<[Box<str>]> = urls.into_iter().map(Into::into).collect();
        let settings = Settings::new(urls.first().cloned().unwrap_or_default());
        Self::at(Servers::Cluster(Arc::new(Cluster::new(urls, settings))))
    }

    fn at(servers: Servers) -> Self {
        Self {
            servers,
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

    /// For how long a Redis is left alone that could not be reached, fell silent or is late: at first, and, as it doubles each time, at most. Each time
    /// it is shorter by up to a half, by chance, so that many gateways do not come back together.
    pub fn reconnect_delay(self, first: Duration, most: Duration) -> Self {
        self.edit(|settings| settings.reconnect_delay = (first, most))
    }

    /// Trusts only these authorities (PEM, one or more), instead of what the operating system trusts.
    #[cfg(feature = "tls")]
    pub fn tls_authority(self, pem: impl Into<Vec<u8>>) -> Self {
        let roots = crate::tls::Roots::Own(pem.into());
        self.edit(|settings| settings.tls.edit(|tls| tls.roots = roots.clone()))
    }

    /// Shows this certificate chain (PEM), with its private key (PEM), when it is asked for.
    #[cfg(feature = "tls")]
    pub fn tls_identity(self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let identity = (chain.into(), key.into());
        self.edit(|settings| {
            settings
                .tls
                .edit(|tls| tls.identity = Some(identity.clone()));
        })
    }

    /// What is wrong with the settings: each names one, and what is allowed. A layer that uses this Redis reports them with its own.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = match &self.servers {
            Servers::One(shared) => shared.settings.mistakes(),
            Servers::Cluster(cluster) => cluster.mistakes(),
        };
        if self.timeout.is_zero() {
            mistakes.push("timeout is 0; it has to be longer".to_owned());
        }
        let say = |mistake| format!("redis: {mistake}");
        mistakes.into_iter().map(say).collect()
    }

    /// How it is with each server at the moment. It asks none, and waits for nothing.
    pub fn status(&self) -> Vec<RedisNode> {
        let now = clock::now();
        let of = |shared: &Arc<Shared>| RedisNode {
            address: shared.settings.address(),
            status: shared.status(now),
        };
        match &self.servers {
            Servers::One(shared) => vec![of(shared)],
            Servers::Cluster(cluster) => cluster.nodes().iter().map(of).collect(),
        }
    }

    /// A key of ours.
    pub(crate) fn key(&self, kind: &str, name: &str) -> String {
        [&*self.prefix, kind, ":", name].concat()
    }

    /// What each key begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Asks all of it, each about the key that is its first argument: in one round trip of a server, or one of each node. If it is dropped, it may be
    /// done all the same.
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "what is kept there belongs to other features")
    )]
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        questions: &Pipeline,
    ) -> Result<T, RedisError> {
        let deadline = Deadline::within(self.timeout);
        let cluster = match &self.servers {
            Servers::One(shared) => {
                return Ok(shared.ask(Question::Many(questions), deadline).await?);
            }
            Servers::Cluster(cluster) => cluster,
        };
        let each = questions.cmd_iter().map(|command| {
            let key = match command.args_iter().nth(1) {
                Some(Arg::Simple(key)) => key,
                _ => &[],
            };
            let slot = slots::slot(key);
            cluster.ask::<Value>(slot, command, deadline)
        });
        let answers = Value::Array(try_join_all(each).await?);
        let unexpected =
            |error: ::redis::ParsingError| RedisError::Answer(error.to_string().into());
        T::from_redis_value(answers).map_err(unexpected)
    }

    /// Runs a script on keys, which are in one slot: in one round trip, or two when the server does not know it yet. If it is dropped, it
    /// may have run all the same.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: impl ToRedisArgs,
    ) -> Result<T, RedisError> {
        let deadline = Deadline::within(self.timeout);
        let slot = keys.first().map_or(0, |key| slots::slot(key.as_bytes()));
        let known = script.by_digest(keys, &arguments);
        match self.one(slot, &known, deadline).await {
            Err(failure) if failure.is("NOSCRIPT") => {
                let told = script.by_code(keys, &arguments);
                Ok(self.one(slot, &told, deadline).await?)
            }
            answer => Ok(answer?),
        }
    }

    async fn one<T: FromRedisValue>(
        &self,
        slot: u16,
        command: &Cmd,
        deadline: Deadline,
    ) -> Result<T, Failure> {
        match &self.servers {
            Servers::One(shared) => shared.ask(Question::One(command), deadline).await,
            Servers::Cluster(cluster) => cluster.ask(slot, command, deadline).await,
        }
    }

    fn edit(mut self, change: impl Fn(&mut Settings)) -> Self {
        let edit = |settings: &Settings| {
            let mut settings = settings.clone();
            change(&mut settings);
            settings
        };
        self.servers = match &self.servers {
            Servers::One(shared) => Servers::One(Arc::new(Shared::new(edit(&shared.settings)))),
            Servers::Cluster(cluster) => {
                let settings = edit(cluster.settings());
                Servers::Cluster(Arc::new(Cluster::new(cluster.urls(), settings)))
            }
        };
        self
    }
}

/// Without the password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("nodes", &self.status())
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
            (Redis::cluster(["http://localhost"]), "redis://"),
            (Redis::cluster(["redis://localhost/1"]), "database"),
            (Redis::cluster(["unix:///run/r.sock"]), "TCP"),
            (Redis::cluster::<&str>([]), "one URL"),
            (Redis::cluster(["redis://a", "http://b"]), "redis://"),
            (Redis::cluster(["redis://a", "redis://b/1"]), "database"),
            (Redis::cluster(["redis://a", "unix:///run/r.sock"]), "TCP"),
            (Redis::cluster(["redis://u@a", "redis://b"]), "user"),
            (Redis::cluster(["redis://:p@a", "redis://:q@b"]), "password"),
            (Redis::cluster(["redis://a", "redis://:q@b"]), "password"),
            #[cfg(feature = "tls")]
            (Redis::cluster(["redis://a", "rediss://b"]), "TLS"),
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
