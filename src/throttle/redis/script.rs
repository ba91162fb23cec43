//! What the script is told, what it answers, and what follows from it for each ask.

use std::sync::LazyLock;

use ::redis::{FromRedisValue, ParsingError, RedisWrite, ToRedisArgs, Value};

use super::limit::{Shared, State};
use crate::{
    redis::{Redis, RedisError, Script},
    throttle::{decision::Decision, limiter::Decisions},
};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script.lua")));

/// An ask as the script gets it.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) key: String,
    pub(super) limit: Shared,
    pub(super) cost: u64,
    /// To take beside the cost.
    pub(super) more: u64,
    /// Where it was spent that is given back.
    pub(super) place: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// All of it or nothing.
    Acquire,
    /// Whether or not there is enough.
    Charge,
    /// What was spent a moment ago.
    Return,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    is_done: bool,
    micros: u64,
    found: Vec<Option<String>>,
    /// Beside the cost.
    pub(super) taken: Vec<u64>,
}

struct Told<'a> {
    /// None: what Redis's clock says.
    micros: Option<u64>,
    action: Action,
    questions: &'a [Question],
}

/// Asks Redis; all keys are in one slot.
pub(super) async fn ask(
    redis: &Redis,
    action: Action,
    questions: &[Question],
) -> Result<Answer, RedisError> {
    ask_at(redis, action, questions, None).await
}

/// As if the time was this.
pub(super) async fn ask_at(
    redis: &Redis,
    action: Action,
    questions: &[Question],
    micros: Option<u64>,
) -> Result<Answer, RedisError> {
    let keys: Vec<_> = questions.iter().map(|asked| asked.key.clone()).collect();
    let told = Told {
        micros,
        action,
        questions,
    };
    let answer: Answer = redis.run(&SCRIPT, &keys, told).await?;
    match answer.found.len() == questions.len() && answer.taken.len() == questions.len() {
        true => Ok(answer),
        false => Err(RedisError::Answer("not what was asked for".into())),
    }
}

impl Answer {
    /// What each says, as [`LocalStore::check_all`](crate::throttle::LocalStore::check_all) has it; and where it was spent.
    pub(super) fn decide(
        &self,
        questions: &[Question],
    ) -> Result<(Decisions, Vec<String>), RedisError> {
        let answer = |said: &str| RedisError::Answer(said.into());
        let found = |index: usize| self.found[index].as_deref();
        let (mut states, mut firsts) = (Vec::new(), Vec::new());
        for (index, asked) in questions.iter().enumerate() {
            let same = |other: &Question| other.key == asked.key;
            firsts.push(questions[..index].iter().position(same).unwrap_or(index));
            let state = asked.limit.read(found(index));
            states.push(state.ok_or_else(|| answer("what was stored there was not told"))?);
        }
        let before = states.clone();
        let check = |index: usize, states: &[State], cost| {
            let limit = &questions[index].limit;
            limit.check(states[firsts[index]], cost, self.micros)
        };
        let mut decisions: Vec<Decision> = Vec::new();
        let mut is_allowed = true;
        for (index, asked) in questions.iter().enumerate() {
            let (decision, next) = check(index, &states, asked.cost);
            if is_allowed && decision.is_allowed() {
                states[firsts[index]] = next;
            }
            is_allowed &= decision.is_allowed();
            decisions.push(decision);
        }
        if is_allowed != self.is_done {
            return Err(answer("it decides as another version does"));
        }
        if !is_allowed {
            for (index, decision) in decisions.iter_mut().enumerate() {
                if decision.is_allowed() {
                    *decision = check(index, &before, 0).0;
                }
            }
        }
        for (index, taken) in self.taken.iter().enumerate() {
            states[firsts[index]] = check(index, &states, *taken).1;
        }
        let place = |(index, asked): (usize, &Question)| {
            let after = states[firsts[index]];
            asked.limit.place(after, self.micros)
        };
        let places = match is_allowed {
            true => questions.iter().enumerate().map(place).collect(),
            false => Vec::new(),
        };
        Ok((decisions.into_iter().collect(), places))
    }
}

impl ToRedisArgs for Told<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self.micros {
            Some(micros) => micros.write_redis_args(out),
            None => out.write_arg(b""),
        }
        out.write_arg(match self.action {
            Action::Acquire => b"acquire",
            Action::Charge => b"charge",
            Action::Return => b"return",
        });
        for asked in self.questions {
            asked.write_redis_args(out);
            match self.action {
                Action::Return => asked.place.write_redis_args(out),
                Action::Acquire | Action::Charge => asked.more.write_redis_args(out),
            }
        }
    }
}

impl Question {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut say = |kind: &[u8], numbers: &[u64]| {
            out.write_arg(kind);
            for number in numbers {
                number.write_redis_args(out);
            }
        };
        match &self.limit {
            Shared::Rate(rate) => {
                let (micros, part) = rate.most();
                let time = [rate.whole, rate.part, rate.parts, micros, part, self.cost];
                say(b"r", &time);
            }
            Shared::Window {
                window,
                limit,
                segment,
            } => {
                let (counts, most) = window.counts();
                say(b"w", &[*limit, *segment, counts.into(), most, 0, self.cost]);
            }
        }
    }
}

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let values = Vec::<Value>::from_redis_value(value)?;
        let count = values.len().saturating_sub(2) / 2;
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or_default();
        Ok(Self {
            is_done: bool::from_redis_value(next())?,
            micros: u64::from_redis_value(next())?,
            found: (0..count)
                .map(|_| match next() {
                    Value::Nil => Ok(None),
                    // It may not be of ours, and is no text then.
                    found => Vec::<u8>::from_redis_value(found)
                        .map(|found| Some(String::from_utf8_lossy(&found).into_owned())),
                })
                .collect::<Result<_, _>>()?,
            taken: (0..count)
                .map(|_| FromRedisValue::from_redis_value(next()))
                .collect::<Result<_, _>>()?,
        })
    }
}
