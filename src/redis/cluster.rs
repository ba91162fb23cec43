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
    call::{Deadline, Failure, Question, is_of_replica},
    circuit::{Circuit, Turn},
    error::RedisError,
    settings::Settings,
    shared::Shared,
    slots::{self, Range},
    target::{Place, Target},
};
use crate::{clock, random};

pub(super) struct Cluster {
    urls: Arc<[Box<str>]>,
    /// Of all nodes, as the first URL says and all others do.
    settings: Settings,
    /// Those that are known from the beginning, each with its own circuit; none if the URLs are wrong.
    seeds: Vec<Arc<Shared>>,
    /// What is asked, without a lock.
    table: ArcSwapOption<Table>,
    state: Mutex<State>,
}

/// Ranges of slots, in order.
struct Table(Vec<(u16, u16, Arc<Shared>)>);

struct State {
    nodes: HashMap<At, Arc<Shared>>,
    /// Whether there is a table, and who asks for it when there is none.
    circuit: Circuit,
    attempt: Option<watch::Receiver<bool>>,
    /// When the last attempt began.
    begun: Option<Instant>,
    reason: RedisError,
}

/// Host and port.
type At = (Box<str>, u16);

/// Of one call: more than two are a cluster that is not in agreement.
const MOST_REDIRECTS: usize = 4;
/// How many nodes are asked for the table beside the seeds.
const ASKED: usize = 3;

impl Cluster {
    pub(super) fn new(urls: Arc<[Box<str>]>, settings: Settings) -> Self {
        let mut nodes = HashMap::new();
        let known = places(&urls).unwrap_or_default();
        let seeds = known.into_iter().map(|(host, port)| {
            let node = Arc::new(Shared::new(settings.of_node(&host, port)));
            nodes.insert((host, port), node.clone());
            node
        });
        Self {
            seeds: seeds.collect(),
            table: ArcSwapOption::empty(),
            state: Mutex::new(State {
                nodes,
                circuit: settings.circuit(),
                attempt: None,
                begun: None,
                reason: RedisError::unavailable("the cluster has not been asked yet"),
            }),
            urls,
            settings,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn urls(&self) -> Arc<[Box<str>]> {
        self.urls.clone()
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = places(&self.urls).err().unwrap_or_default();
        if !self.urls.is_empty() {
            let others = self.settings.mistakes();
            let is_new = |mistake: &String| !mistakes.contains(mistake);
            let others: Vec<_> = others.into_iter().filter(is_new).collect();
            mistakes.extend(others);
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
                code => {
                    // There may be another one by now.
                    if code == Some("CLUSTERDOWN") || is_of_replica(error) {
                        self.ask_again(clock::now());
                    }
                    return Err(failure);
                }
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
        let pause = self.settings.reconnect_delay.0;
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
            true => {
                let wrong = places(&self.urls).err().unwrap_or_default();
                Err(RedisError::unavailable(wrong.join("; ")))
            }
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
            None => {
                let from = from.settings.node.as_ref();
                from.map_or_else(Box::default, |(host, _)| host.clone())
            }
        };
        let make = || Arc::new(Shared::new(from.settings.of_node(&host, port)));
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

/// Where the nodes with these URLs are; or what is wrong, each of it once.
fn places(urls: &[Box<str>]) -> Result<Vec<At>, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut places: Vec<At> = Vec::new();
    let mut first: Option<Target> = None;
    for url in urls {
        let target = match Target::parse(url) {
            Ok(target) => target,
            Err(wrong) => {
                mistakes.push(wrong);
                continue;
            }
        };
        if target.login.db() != 0 {
            mistakes.push("a cluster has one database, 0".to_owned());
        }
        match &target.place {
            Place::Unix(_) => mistakes.push("a cluster is reached over TCP".to_owned()),
            Place::Tcp { host, port, .. } => {
                let place = (host.as_str().into(), *port);
                if !places.contains(&place) {
                    places.push(place);
                }
                let first = first.get_or_insert_with(|| target.clone());
                if let Some(what) = first.greets_unlike(&target) {
                    mistakes.push(format!(
                        "the URLs of a cluster do not agree in {what}, which is one setting of all nodes"
                    ));
                }
            }
        }
    }
    if urls.is_empty() {
        mistakes.push("a cluster has at least one URL".to_owned());
    }
    mistakes.sort_unstable();
    mistakes.dedup();
    match mistakes.is_empty() {
        true => Ok(places),
        false => Err(mistakes),
    }
}
