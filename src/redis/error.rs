//! Why there is no answer, or none of use.

use std::{sync::Arc, time::Duration};

/// Why Redis gave no answer, or none of use. No variant has a password in its text.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// There is no connection: it is refused, was lost or let in nobody (a wrong password, a server that is not Redis, one that is
    /// loading its data), or the settings are wrong; or it failed a moment ago and is not asked again yet.
    #[error("Redis is not available: {0}")]
    Unavailable(Arc<str>),
    /// There was no answer in the [`timeout`](super::Redis::timeout). What was asked for may have been done.
    #[error("Redis did not answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is an error, such as a missing permission (`NOPERM`) or no memory (`OOM`), or is not of the kind that was expected.
    #[error("Redis answered: {0}")]
    Answer(Arc<str>),
}

impl RedisError {
    pub(super) fn unavailable(reason: impl Into<Arc<str>>) -> Self {
        Self::Unavailable(reason.into())
    }
}
