//! A cluster: who has which slot, and a connection to each node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use ::redis::{Cmd, FromRedisValue, Value, cmd};
use arc_swap::ArcSwapOption;
use futures_util::future::{FutureExt, select_ok};
use tokio::sync::watch;

use super::{
    call::{Deadline, Failure, Question},
    circuit::{Circuit, Turn},
    error::RedisError,
    settings::Settings,
    shared::Shared,
    slots::{self, Range},
    target::Place,
};
use crate::{clock, random};

pub(super) struct Cluster {
    /// How to reach the nodes that are known from the beginning.
    settings: Vec<Settings>,
    /// Each with its own circuit.
    seeds: Vec<Arc<Shared>>,
    /// What is asked, without a lock.
    table: ArcSwapOption<Table>,
    state: Mutex<State>,
}

/// Ranges of slots, in order.
struct Table(Vec<(u16, u16, Arc<Shared>)>);

struct State {
    nodes: HashMap<(Box<str>, u16), Arc<Shared>>,
    /// Whether there is a table, and who asks for it when there is none.
    circuit: Circuit,
    attempt: Option<watch::Receiver<bool>>,
    /// When the last attempt began.
    begun: Option<Instant>,
    reason: RedisError,
}

/// Of one call: more than two are a cluster that is not in agreement.
const MOST_REDIRECTS: usize = 4;
/// How many nodes are asked for the table beside the seeds.
const ASKED: usize = 3;

impl Cluster {
    pub(super) fn new(settings: Vec<Settings>) -> Self {
        let seeds: Vec<_> = settings
            .iter()
            .map(|settings| Arc::new(Shared::new(settings.clone())))
            .collect();
        let mut nodes = HashMap::new();
        for seed in &seeds {
            if let Some(place) = place(&seed.settings) {
                nodes.insert(place, seed.clone());
            }
        }
        let first = settings.first().cloned();
        let first = first.unwrap_or_else(|| Settings::new("".into()));
        Self {
            seeds,
            table: ArcSwapOption::empty(),
            state: Mutex::new(State {
                nodes,
                circuit: first.circuit(),
                attempt: None,
                begun: None,
                reason: RedisError::unavailable("the cluster has not been asked yet"),
            }),
            settings,
        }
    }

    pub(super) fn settings(&self) -> &[Settings] {
        &self.settings
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let Some(first) = self.settings.first() else {
            return vec!["a cluster has at least one URL".to_owned()];
        };
        let mut mistakes = first.mistakes();
        for settings in &self.settings {
            match settings.target() {
                Err(wrong) if !mistakes.contains(&wrong) => mistakes.push(wrong),
                Ok(target) if matches!(target.place, Place::Unix(_)) => {
                    mistakes.push("a cluster is reached over TCP".to_owned());
                }
                Ok(target) if target.login.db() != 0 => {
                    mistakes.push("a cluster has one database, 0".to_owned());
                }
                _ => {}
            }
        }
        mistakes
    }

    /// Those that are known.
    pub(super) fn nodes(&self) -> Vec<Arc<Shared>> {
        let state = self.state();
        let mut nodes: Vec<_> = state.nodes.iter().collect();
        nodes.sort_by_key(|(place, _)| *place);
        nodes.into_iter().map(|(_, node)| node.clone()).collect()
    }

    /// Asks the node that has the slot, and whoever it sends us to.
    pub(super) async fn ask<T: FromRedisValue>(
        self: &Arc<Self>,
        slot: u16,
        command: &Cmd,
        deadline: Deadline,
    ) -> Result<T, Failure> {
        let mut node = deadline.keep(self.node_of(slot)).await??;
        let mut question = Question::One(command);
        let mut redirects = 0;
        loop {
            let failure = match node.ask(question, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Failure::Said(error) = &failure else {
                // Another one may have taken over.
                self.ask_again(clock::now());
                return Err(failure);
            };
            let moved = match error.code() {
                Some("MOVED") => {
                    self.ask_again(clock::now());
                    Question::One(command)
                }
                Some("ASK") => Question::Asking(command),
                Some("CLUSTERDOWN" | "READONLY") => {
                    self.ask_again(clock::now());
                    return Err(failure);
                }
                _ => return Err(failure),
            };
            let told = error.redirect_node();
            let Some((host, port)) = told.and_then(|(place, _)| slots::place(place)) else {
                return Err(failure);
            };
            if redirects == MOST_REDIRECTS {
                return Err(failure);
            }
            redirects += 1;
            (node, question) = (self.node(host, port, &node), moved);
        }
    }

    async fn node_of(self: &Arc<Self>, slot: u16) -> Result<Arc<Shared>, RedisError> {
        let known = |cluster: &Self| cluster.table.load().as_ref().map(|table| table.node(slot));
        if let Some(node) = known(self) {
            return node.ok_or_else(|| self.nobody(slot));
        }
        if let Some(mut attempt) = self.take_turn(clock::now())? {
            // Whoever asks is gone with its runtime: the next call tries it anew.
            let _ = attempt.wait_for(|is_over| *is_over).await;
        }
        let reason = || self.state().reason.clone();
        known(self)
            .ok_or_else(reason)?
            .ok_or_else(|| self.nobody(slot))
    }

    /// Some cluster that is being set up.
    fn nobody(self: &Arc<Self>, slot: u16) -> RedisError {
        self.ask_again(clock::now());
        RedisError::unavailable(format!("no node of the cluster has slot {slot}"))
    }

    /// The attempt to wait for, if there is no table yet.
    fn take_turn(
        self: &Arc<Self>,
        now: Instant,
    ) -> Result<Option<watch::Receiver<bool>>, RedisError> {
        let mut state = self.state();
        if state.circuit.is_connecting() && !state.is_attempting() {
            state.circuit.ended();
        }
        match state.circuit.turn(now) {
            Turn::Ask => Ok(None),
            Turn::Connect => Ok(Some(self.begin(&mut state, now))),
            Turn::Wait => Ok(state.attempt.clone()),
            Turn::GiveUp => Err(state.reason.clone()),
        }
    }

    /// Asks for the table in the background, if nobody does or just did.
    fn ask_again(self: &Arc<Self>, now: Instant) {
        let mut state = self.state();
        let Some(first) = self.settings.first() else {
            return;
        };
        let pause = first.reconnect_delay.0;
        let is_early = |begun| now.saturating_duration_since(begun) < pause;
        if !state.is_attempting() && !state.begun.is_some_and(is_early) {
            self.begin(&mut state, now);
        }
    }

    fn begin(self: &Arc<Self>, state: &mut State, now: Instant) -> watch::Receiver<bool> {
        let (tell, attempt) = watch::channel(false);
        (state.begun, state.attempt) = (Some(now), Some(attempt.clone()));
        let cluster = self.clone();
        tokio::spawn(async move {
            cluster.read().await;
            // Nobody may be waiting.
            let _ = tell.send(true);
        });
        attempt
    }

    async fn read(self: &Arc<Self>) {
        let mut asked = self.seeds.clone();
        let mut others = self.nodes();
        others.retain(|node| !asked.iter().any(|seed| Arc::ptr_eq(seed, node)));
        asked.extend(others.into_iter().take(ASKED));
        let question = cmd("CLUSTER").arg("SLOTS").to_owned();
        let each = asked.iter().map(|node| self.read_from(node, &question));
        let each: Vec<_> = each.map(FutureExt::boxed).collect();
        let read = match each.is_empty() {
            true => Err(RedisError::unavailable("a cluster has at least one URL")),
            false => select_ok(each).await.map(|(read, _)| read),
        };
        let mut state = self.state();
        match read {
            Ok((ranges, from)) => {
                state.circuit.connected();
                state.circuit.answered();
                let table = state.table(self, ranges, &from);
                self.table.store(Some(Arc::new(table)));
            }
            Err(reason) => {
                // The old one is better than none.
                if self.table.load().is_none() {
                    state.circuit.failed(clock::now(), random::next_u64());
                }
                state.reason = reason;
            }
        }
        state.attempt = None;
    }

    async fn read_from(
        &self,
        node: &Arc<Shared>,
        question: &Cmd,
    ) -> Result<(Vec<Range>, Arc<Shared>), RedisError> {
        let deadline = Deadline::within(node.settings.connect_timeout);
        let answer: Value = node.ask(Question::One(question), deadline).await?;
        let ranges = slots::ranges(answer);
        if ranges.is_empty() {
            let address = node.settings.address();
            return Err(RedisError::unavailable(format!(
                "{address} knows of no slots"
            )));
        }
        Ok((ranges, node.clone()))
    }

    /// The node at this place, which `from` has told.
    fn node(&self, host: Option<&str>, port: u16, from: &Shared) -> Arc<Shared> {
        self.state().node(host, port, from)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_attempting(&self) -> bool {
        let attempt = self.attempt.as_ref();
        attempt.is_some_and(|attempt| attempt.has_changed().is_ok())
    }

    fn node(&mut self, host: Option<&str>, port: u16, from: &Shared) -> Arc<Shared> {
        let host = match host {
            Some(host) => host.into(),
            None => place(&from.settings).map_or_else(Box::default, |(host, _)| host),
        };
        let make = || {
            let mut settings = from.settings.clone();
            settings.node = Some((host.clone(), port));
            Arc::new(Shared::new(settings))
        };
        let place = (host.clone(), port);
        self.nodes.entry(place).or_insert_with(make).clone()
    }

    /// Forgets the nodes that are in no range.
    fn table(&mut self, cluster: &Cluster, ranges: Vec<Range>, from: &Shared) -> Table {
        let mut table: Vec<_> = ranges
            .iter()
            .map(|range| {
                let node = self.node(range.host.as_deref(), range.port, from);
                (range.first, range.last, node)
            })
            .collect();
        table.sort_unstable_by_key(|(first, ..)| *first);
        self.nodes.retain(|_, node| {
            let is_same = |other: &Arc<Shared>| Arc::ptr_eq(other, node);
            cluster.seeds.iter().any(is_same) || table.iter().any(|(.., other)| is_same(other))
        });
        Table(table)
    }
}

impl Table {
    fn node(&self, slot: u16) -> Option<Arc<Shared>> {
        let after = self.0.partition_point(|(first, ..)| *first <= slot);
        let (_, last, node) = self.0.get(after.checked_sub(1)?)?;
        (slot <= *last).then(|| node.clone())
    }
}

fn place(settings: &Settings) -> Option<(Box<str>, u16)> {
    match settings.target().ok()?.place {
        Place::Tcp { host, port, .. } => Some((host.into(), port)),
        Place::Unix(_) => None,
    }
}
