//! How it is with each server.

use std::time::Duration;

use super::error::RedisError;

/// A server that a [`Redis`](super::Redis) knows, and how it is with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisNode {
    /// `host:port`, or the path of a Unix socket; what is wrong with the URL, if something is.
    pub address: Box<str>,
    /// How it is at the moment.
    pub status: RedisStatus,
}

/// How it is with a server of Redis. Nothing in it has a password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RedisStatus {
    /// There is no connection, because nobody has asked anything since the start, or since the server ended the last one.
    Idle,
    /// A connection is being made.
    Connecting,
    /// There is a connection.
    Connected,
    /// There is a connection, but answers take too long: calls that would wait for no longer than this fail at once. It is over when
    /// something is answered within that time.
    Late {
        /// What the deadlines of those calls are at most.
        within: Duration,
        /// The time until one of them is made all the same.
        retry_after: Duration,
    },
    /// It could not be reached or has fallen silent, and calls fail at once.
    Down {
        /// The time until a call tries it again.
        retry_after: Duration,
        /// What was the matter.
        reason: RedisError,
    },
}
