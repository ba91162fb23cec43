//! What is asked of Redis for a request, and for a charge.

use futures_util::future::join_all;

use super::{
    RedisLimiter,
    figures::add,
    limit::{Shared, digest, named},
    script::{self, Action, Question},
};
use crate::{
    redis::{Redis, RedisError},
    throttle::{
        decision::Decision,
        limiter::{Ask, Decisions},
    },
};

/// What came of questions, each in its place.
pub(super) struct Spent {
    pub(super) decisions: Decisions,
    /// Beside the cost.
    pub(super) taken: Vec<u64>,
    /// For giving it back.
    places: Vec<String>,
}

/// For a policy that is wrong.
pub(super) fn never(asks: &[Ask<'_>]) -> Decisions {
    asks.iter().map(|_| Decision::never(0, 1, 0)).collect()
}

impl RedisLimiter {
    /// What to ask; none if a policy is wrong.
    pub(super) fn questions(&self, asks: &[Ask<'_>]) -> Option<Vec<Question>> {
        asks.iter().map(|ask| self.question(ask)).collect()
    }

    pub(super) fn question(&self, ask: &Ask<'_>) -> Option<Question> {
        let limit = Shared::new(ask.policy).ok()?;
        let (policy, key) = (named(ask.policy), digest(ask.key));
        let key = match self.spread {
            false => self.redis.key("{throttle}", &format!("{policy}:{key}")),
            true => self.redis.key("throttle", &format!("{{{key}}}:{policy}")),
        };
        Some(Question {
            key,
            cost: ask.cost.min(limit.most_cost()),
            more: 0,
            place: String::new(),
            limit,
        })
    }

    /// Spends all of it or nothing.
    pub(super) async fn spend(&self, questions: Vec<Question>) -> Result<Spent, RedisError> {
        if questions.is_empty() {
            return Ok(Spent::of(0));
        }
        let groups = self.groups(&questions);
        if groups.len() < 2 {
            return self.spend_together(&questions).await;
        }
        let part = |group: &Vec<usize>| -> Vec<_> {
            group
                .iter()
                .map(|index| questions[*index].clone())
                .collect()
        };
        let parts: Vec<_> = groups.iter().map(part).collect();
        let outcomes = join_all(parts.iter().map(|part| self.spend_together(part))).await;
        let is_spent = |outcome: &Result<Spent, _>| {
            let outcome = outcome.as_ref();
            outcome.is_ok_and(|spent| spent.decisions.is_allowed())
        };
        let is_all = outcomes.iter().all(is_spent);
        let has_failed = outcomes.iter().any(Result::is_err);
        let mut merged = Spent::of(questions.len());
        let mut failure = None;
        for ((group, mut part), outcome) in groups.iter().zip(parts).zip(outcomes) {
            let spent = match outcome {
                Ok(spent) => spent,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let is_returned = !is_all && spent.decisions.is_allowed();
            for (number, index) in group.iter().enumerate() {
                let mut decision = spent.decisions.as_slice()[number];
                if is_returned {
                    let left = decision.remaining().saturating_add(part[number].cost);
                    decision = Decision::allowed(left, decision.reset_after());
                }
                merged.decisions.0[*index] = decision;
                merged.taken[*index] = spent.taken[number];
            }
            if is_returned {
                if has_failed {
                    // Nobody learns what was taken beside it.
                    for (asked, taken) in part.iter_mut().zip(&spent.taken) {
                        asked.cost = asked.cost.saturating_add(*taken);
                    }
                }
                self.give_back(part, spent.places);
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(merged),
        }
    }

    pub(super) async fn charge_all(&self, asks: &[Ask<'_>]) -> Result<(), RedisError> {
        let mut questions = Vec::new();
        for ask in asks.iter().filter(|ask| ask.cost > 0) {
            // What is owed under a policy that allows nothing does not matter.
            if let Some(mut question) = self.question(ask) {
                question.cost = ask.cost.min(question.limit.most_charge());
                questions.push(question);
            }
        }
        let groups = self.groups(&questions);
        let each = groups.iter().map(|group| {
            let part: Vec<_> = group
                .iter()
                .map(|index| questions[*index].clone())
                .collect();
            async move {
                add(&self.counters.asked, 1);
                let charged = script::ask(&self.redis, Action::Charge, &part).await;
                charged.map(drop).inspect_err(|e| self.counters.failed(e))
            }
        });
        // One that fails does not keep the others from their nodes.
        join_all(each).await.into_iter().collect()
    }

    /// Those that one call can ask for, by their places.
    fn groups(&self, questions: &[Question]) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (index, question) in questions.iter().enumerate() {
            let is_together = |group: &&mut Vec<usize>| {
                !self.spread || tag(&questions[group[0]].key) == tag(&question.key)
            };
            match groups.iter_mut().find(is_together) {
                Some(group) => group.push(index),
                None => groups.push(vec![index]),
            }
        }
        groups
    }

    async fn spend_together(&self, questions: &[Question]) -> Result<Spent, RedisError> {
        add(&self.counters.asked, 1);
        let answer = script::ask(&self.redis, Action::Acquire, questions).await;
        let spent = answer.and_then(|answer| {
            let (decisions, places) = answer.decide(questions)?;
            Ok(Spent {
                decisions,
                taken: answer.taken,
                places,
            })
        });
        spent.inspect_err(|error| self.counters.failed(error))
    }

    /// In the background: who is refused does not wait for it.
    fn give_back(&self, mut questions: Vec<Question>, places: Vec<String>) {
        for (question, place) in questions.iter_mut().zip(places) {
            question.place = place;
        }
        let (redis, counters): (Redis, _) = (self.redis.clone(), self.counters.clone());
        tokio::spawn(async move {
            add(&counters.asked, 1);
            if let Err(error) = script::ask(&redis, Action::Return, &questions).await {
                counters.failed(&error);
            }
        });
    }
}

impl Spent {
    fn of(count: usize) -> Self {
        let nothing = Decision::never(0, 1, 0);
        Self {
            decisions: (0..count).map(|_| nothing).collect(),
            taken: vec![0; count],
            places: Vec::new(),
        }
    }
}

/// Of a key that was spread: what is behind its last brace is of the policy, or the prefix decides for all.
fn tag(key: &str) -> &str {
    let (_, rest) = key.split_once("throttle:{").unwrap_or_default();
    rest.split_once('}').map_or(rest, |(tag, _)| tag)
}
