//! One question to one server, and its deadline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::redis::{Cmd, FromRedisValue, Pipeline};

use super::{error::RedisError, shared::Shared};
use crate::clock;

/// When a call has to be over, whatever it has to do until then.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    begun: Instant,
    time: Duration,
}

/// What is asked in one round trip.
#[derive(Clone, Copy)]
pub(super) enum Question<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
    /// Of a node that is taking over a slot.
    Asking(&'a Cmd),
}

/// Why there is no answer.
pub(super) enum Failure {
    Ours(RedisError),
    /// The server has answered with an error.
    Said(::redis::RedisError),
}

impl Deadline {
    pub(super) fn within(time: Duration) -> Self {
        let begun = clock::now();
        Self { begun, time }
    }

    pub(super) async fn keep<F: Future>(&self, future: F) -> Result<F::Output, RedisError> {
        let passed = clock::now().saturating_duration_since(self.begun);
        let left = self.time.saturating_sub(passed);
        let kept = tokio::time::timeout(left, future).await;
        kept.map_err(|_| RedisError::TimedOut(self.time))
    }
}

impl Shared {
    /// If it is dropped, it may be done all the same.
    pub(super) async fn ask<T: FromRedisValue>(
        self: &Arc<Self>,
        question: Question<'_>,
        deadline: Deadline,
    ) -> Result<T, Failure> {
        let link = deadline.keep(self.link()).await??;
        let asked = clock::now();
        self.may_ask(deadline.time, asked)?;
        link.asked(asked);
        let mut connection = link.connection();
        let answer = deadline.keep(link.unless_ended(async {
            match question {
                Question::One(command) => command.query_async(&mut connection).await,
                Question::Many(commands) => commands.query_async(&mut connection).await,
                Question::Asking(command) => {
                    let mut both = ::redis::pipe();
                    both.cmd("ASKING").ignore().add_command(command.clone());
                    let (answer,) = both.query_async(&mut connection).await?;
                    Ok(answer)
                }
            }
        }));
        let answer = match answer.await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(RedisError::unavailable("the connection has ended").into()),
            Err(late) => {
                self.late(&link, deadline.time, asked, clock::now());
                return Err(late.into());
            }
        };
        match answer {
            Err(error) if error.is_io_error() || error.is_unrecoverable_error() => {
                Err(RedisError::unavailable(error.to_string()).into())
            }
            Err(error) => {
                self.answered(&link, asked);
                if is_of_replica(&error) {
                    self.leave(&link, clock::now());
                }
                Err(Failure::Said(error))
            }
            Ok(answer) => {
                self.answered(&link, asked);
                Ok(answer)
            }
        }
    }
}

impl Failure {
    pub(super) fn is(&self, code: &str) -> bool {
        matches!(self, Self::Said(error) if error.code() == Some(code))
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Ours(error)
    }
}

impl From<Failure> for RedisError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Ours(error) => error,
            Failure::Said(error) => Self::Answer(error.to_string().into()),
        }
    }
}

/// A server that was the primary is a replica now, and its name may lead to the new one. Before version 7 a script's error has the code in its text.
pub(super) fn is_of_replica(error: &::redis::RedisError) -> bool {
    let has = |code: &str| {
        let is_in_text = |text: &str| text.contains(&format!("-{code} "));
        error.code() == Some(code)
            || error.code() == Some("ERR") && error.detail().is_some_and(is_in_text)
    };
    has("READONLY") || has("MASTERDOWN")
}
