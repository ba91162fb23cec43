//! What all services of a layer share: the rules, ready for requests, and what came of them.

mod answer;
mod charge;
mod verdict;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use charge::Charged;
use http::request::Parts;
use smallvec::SmallVec;

use super::{
    AddressList,
    client::client_ip,
    decision::Decision,
    failure::Substitute,
    headers::{Field, PolicyField},
    key::KeyBytes,
    layer::Settings,
    limiter::{Ask, INLINE, Waiting},
    log,
    policy::Policy,
    refusal::Refusal,
    rule::{Policies, Rule, WithoutKey},
};
use crate::{
    context::RequestContext,
    error::{BoxError, Error, ErrorKind},
};

pub(super) struct Shared {
    settings: Settings,
    /// Of all rules, in their order.
    policies: Vec<Policy>,
    /// Where those of each rule begin.
    firsts: Vec<usize>,
    /// What is said of each policy of the only rule, or of the first ones of all rules.
    fields: Vec<PolicyField>,
    substitute: Substitute,
    mistakes: Vec<String>,
    pub(super) counts: Counts,
    /// The limiter could not tell when it was asked last.
    pub(super) is_failing: AtomicBool,
    failing: log::Failing,
    /// What a dry run tells of each rule, and of what is of none of them.
    would_refuse: Box<[log::Seldom]>,
    /// Charges that are being waited for.
    waiting: AtomicUsize,
    dropping: log::Seldom,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) allowed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) would_refuse: AtomicU64,
    pub(super) without_key: AtomicU64,
    pub(super) blocked: AtomicU64,
    pub(super) exempt: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) charges_dropped: AtomicU64,
    /// For each policy, in their order.
    pub(super) violated: Box<[AtomicU64]>,
}

/// What becomes of a request.
pub(super) enum Verdict {
    Pass(Option<Spent>),
    Refuse(Box<Refusal>),
}

/// What can be said of it without waiting.
#[expect(
    clippy::large_enum_variant,
    reason = "what waits is moved once, into its future"
)]
pub(super) enum Begin {
    Done(Verdict),
    /// What is known, and the first rule of which it is not.
    Wait(Asked, usize),
}

/// What a request asks of the rules that concern it.
pub(super) type Asked = SmallVec<[One; INLINE]>;

pub(super) struct One {
    rule: usize,
    policy: usize,
    key: KeyBytes,
    cost: u64,
}

/// What a request that passes has to do with its answer.
pub(super) struct Spent {
    said: Said,
    /// What the answer is asked for, if there is anything.
    charged: Option<Box<Charged>>,
}

type Fields = SmallVec<[Field; INLINE]>;

/// What the policy at each place has said.
struct Said {
    of: SmallVec<[(usize, Decision); 2]>,
    /// It was not the limiter that said it.
    by_substitute: bool,
}

const MOST_RULES: usize = 16;
/// No key that was read begins with it.
const NO_KEY: u8 = 0;

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let (mut policies, mut firsts) = (Vec::new(), Vec::new());
        for rule in &settings.rules {
            firsts.push(policies.len());
            policies.extend_from_slice(rule.policies.all());
        }
        let fields = match &settings.rules[..] {
            [_] => policies
                .iter()
                .map(|policy| PolicyField::new([policy].into_iter()))
                .collect(),
            _ => {
                let all = firsts.iter().filter_map(|first| policies.get(*first));
                vec![PolicyField::new(all)]
            }
        };
        let violated = policies.iter().map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            mistakes: mistakes(&settings, &policies),
            substitute: Substitute::new(
                settings.on_failure,
                &policies,
                settings.limiter.fallback(),
            ),
            counts: Counts {
                violated,
                ..Counts::default()
            },
            is_failing: AtomicBool::new(false),
            failing: log::Failing::default(),
            would_refuse: (0..=settings.rules.len())
                .map(|_| log::Seldom::default())
                .collect(),
            waiting: AtomicUsize::new(0),
            dropping: log::Seldom::default(),
            settings,
            policies,
            fields,
            firsts,
        })
    }

    pub(super) fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    pub(super) fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Decides, if that needs no waiting.
    pub(super) fn begin(self: &Arc<Self>, head: &Parts) -> Begin {
        let client = client_ip(&head.extensions, self.settings.peer.as_deref());
        if let Some(verdict) = self.before(client) {
            return Begin::Done(verdict);
        }
        let mut asked = Asked::new();
        for (at, rule) in self.settings.rules.iter().enumerate() {
            let Some(key) = rule.read(head, client) else {
                return Begin::Wait(asked, at);
            };
            let Some(plan) = rule.plan(head) else {
                return Begin::Wait(asked, at);
            };
            match self.ask(at, rule, key, plan, head) {
                Ok(one) => asked.extend(one),
                Err(refusal) => return Begin::Done(self.refuse(refusal, Some(at))),
            }
        }
        if asked.is_empty() {
            return Begin::Done(self.unconcerned());
        }
        let asks: SmallVec<[_; INLINE]> = asked.iter().map(|one| one.ask(self)).collect();
        let decisions = self.settings.limiter.acquire_now(&asks);
        drop(asks);
        match decisions {
            Some(decisions) => Begin::Done(self.decided(asked, Ok(decisions))),
            None => Begin::Wait(asked, self.settings.rules.len()),
        }
    }

    /// The same with waiting, going on with what is known already, from this rule on.
    pub(super) async fn decide(
        self: Arc<Self>,
        mut head: Parts,
        mut asked: Asked,
        from: usize,
    ) -> (Parts, Verdict) {
        let client = client_ip(&head.extensions, self.settings.peer.as_deref());
        for (at, rule) in self.settings.rules.iter().enumerate().skip(from) {
            match self.read(at, rule, &mut head, client).await {
                Ok(one) => asked.extend(one),
                Err(refusal) => {
                    let verdict = self.refuse(refusal, Some(at));
                    return (head, verdict);
                }
            }
        }
        if asked.is_empty() {
            let verdict = self.unconcerned();
            return (head, verdict);
        }
        let asks = asked
            .iter()
            .map(|one| Waiting::new(one.ask(&self)))
            .collect();
        let decisions = self.settings.limiter.acquire(asks).await;
        let verdict = self.decided(asked, decisions);
        (head, verdict)
    }

    async fn read(
        &self,
        at: usize,
        rule: &Rule,
        head: &mut Parts,
        client: Option<IpAddr>,
    ) -> Result<Option<One>, Box<Refusal>> {
        let key = match rule.read(head, client) {
            Some(key) => key,
            None => {
                let (back, key) = rule.key.wait(take(head), client).await;
                *head = back;
                key.map_err(unavailable)?
            }
        };
        let plan = match (rule.plan(head), &rule.policies) {
            (Some(plan), _) => plan,
            (None, Policies::One(_)) => 0,
            (None, Policies::Plans(plans)) => {
                let (back, plan) = plans.look_up(take(head)).await;
                *head = back;
                plan.map_err(unavailable)?
            }
        };
        self.ask(at, rule, key, plan, head)
    }

    /// What is clear before a rule is looked at.
    fn before(&self, client: Option<IpAddr>) -> Option<Verdict> {
        if !self.mistakes.is_empty() {
            self.counts.refused.fetch_add(1, Relaxed);
            let error = Refusal::unavailable(self.mistakes.join("; "));
            return Some(Verdict::Refuse(Box::new(error)));
        }
        let Some(client) = client else {
            return self.unknown();
        };
        let has = |list: &Option<_>| {
            let list: Option<&AddressList> = list.as_ref();
            list.is_some_and(|list| list.contains(client))
        };
        if has(&self.settings.blocked) {
            self.counts.blocked.fetch_add(1, Relaxed);
            return Some(self.unless_dry(Box::new(Refusal::blocked()), None));
        }
        if has(&self.settings.exempt) {
            self.counts.exempt.fetch_add(1, Relaxed);
            return Some(Verdict::Pass(None));
        }
        None
    }

    /// Of whom the address is not known, it is not known either that they are not blocked.
    fn unknown(&self) -> Option<Verdict> {
        let blocked = self.settings.blocked.as_ref();
        if blocked.is_none_or(AddressList::is_empty) {
            return None;
        }
        self.counts.without_key.fetch_add(1, Relaxed);
        let error = Error::new(ErrorKind::Forbidden)
            .with_source("the client's address is not known, and there is a block list");
        Some(self.refuse(Box::new(error.into()), None))
    }

    /// What a rule has to be asked.
    fn ask(
        &self,
        at: usize,
        rule: &Rule,
        key: Option<KeyBytes>,
        plan: usize,
        head: &Parts,
    ) -> Result<Option<One>, Box<Refusal>> {
        let key = match (key, rule.without_key) {
            (Some(key), _) => key,
            (None, WithoutKey::Share) => KeyBytes::from_slice(&[NO_KEY]),
            (None, WithoutKey::Pass) => return Ok(None),
            (None, WithoutKey::Refuse) => {
                self.counts.without_key.fetch_add(1, Relaxed);
                let by = format!("there is nothing to count it by: {:?}", rule.key);
                let error = Error::new(ErrorKind::Forbidden).with_source(by);
                return Err(Box::new(error.into()));
            }
        };
        let context = head.extensions.get::<RequestContext>();
        let route = context.and_then(RequestContext::route);
        Ok(Some(One {
            rule: at,
            policy: self.firsts[at] + plan,
            key,
            cost: rule.cost.of(head, route),
        }))
    }
}

impl One {
    /// As it is asked.
    fn ask<'a>(&'a self, shared: &'a Shared) -> Ask<'a> {
        Ask {
            policy: &shared.policies[self.policy],
            key: &self.key,
            cost: self.cost,
        }
    }
}

fn mistakes(settings: &Settings, policies: &[Policy]) -> Vec<String> {
    let mut mistakes: Vec<_> = settings.rules.iter().flat_map(Rule::mistakes).collect();
    let rules = settings.rules.len();
    if rules > MOST_RULES {
        mistakes.push(format!(
            "throttle: {rules} rules are more than {MOST_RULES}"
        ));
    }
    for (at, policy) in policies.iter().enumerate() {
        let name = policy.name();
        if policies[..at].iter().any(|other| other.name() == name) {
            mistakes.push(format!(
                "throttle policy {name:?} is there twice; give each a name of its own with `named`"
            ));
        }
    }
    let lists = [&settings.exempt, &settings.blocked].into_iter().flatten();
    mistakes.extend(lists.flat_map(AddressList::mistakes));
    mistakes.extend(settings.on_failure.mistakes());
    mistakes.extend(settings.limiter.mistakes(policies));
    mistakes
}

fn unavailable(error: BoxError) -> Box<Refusal> {
    Box::new(Refusal::unavailable(error))
}

/// The head, with an empty one in its place.
fn take(head: &mut Parts) -> Parts {
    let (empty, ()) = http::Request::new(()).into_parts();
    std::mem::replace(head, empty)
}
