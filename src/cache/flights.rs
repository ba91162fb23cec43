//! Requests that are on their way for an answer which others want too.
//!
//! The first for a key leads, and the others wait for its head: then they read its body as it comes, if the answer is one that they may have. When it is not, all of them go their
//! own way at once, and so does everybody who comes for a while, since waiting would be in vain. When whoever leads fails or leaves, the next one leads.

mod alone;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

pub(super) use self::alone::Alone;
use super::{
    filling::Filling,
    stored::{StoredBody, StoredHead},
};

/// Those of one cache, by their keys.
pub(super) struct Flights {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

type Shard = HashMap<Arc<[u8]>, Vec<Arc<Flight>>>;

/// A request on its way.
pub(super) struct Flight {
    key: Arc<[u8]>,
    /// What tells its request apart from others for this key, by all that was known of `Vary`.
    hint: u64,
    stage: watch::Sender<Stage>,
    is_doomed: AtomicBool,
}

/// How far it is.
#[derive(Clone)]
pub(super) enum Stage {
    /// Nobody knows the answer.
    Asked,
    /// Its head is there, and it may be had by those whose request it fits.
    Answered(Answered),
    /// There is no answer that others might have.
    Released,
    /// Whoever has led has failed, or left.
    Failed,
}

/// An answer whose body is still to come.
#[derive(Clone)]
pub(super) struct Answered {
    pub(super) head: Arc<StoredHead>,
    pub(super) body: Flow,
}

/// Where its body is.
#[derive(Clone)]
pub(super) enum Flow {
    /// It comes.
    Filling(Filling),
    /// It was stored before, and is still right.
    Stored(StoredBody),
}

/// What a request is to do.
pub(super) enum Begun {
    /// It asks, and says what comes of it.
    Lead(Lead),
    /// Somebody has asked, and what comes of it may be what this one wants.
    Follow(watch::Receiver<Stage>),
}

/// Whoever asks for the others. Dropped, it is over: with a stage that nobody has set, it has failed.
pub(super) struct Lead {
    flight: Arc<Flight>,
    flights: Arc<Flights>,
}

const SHARDS: usize = 16;

impl Flights {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: Default::default(),
            hasher: RandomState::new(),
        })
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        let at = self.hash(key) as usize % SHARDS;
        self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows whoever has asked already, with the same hint, or has an answer that fits; or leads.
    pub(super) fn begin(
        self: &Arc<Self>,
        key: &[u8],
        hint: u64,
        fits: impl Fn(&StoredHead) -> bool,
    ) -> Begun {
        let mut shard = self.shard(key);
        let others = shard.get(key);
        let followed = others.into_iter().flatten().find(|flight| {
            let is_doomed = flight.is_doomed.load(Ordering::Relaxed);
            !is_doomed
                && match &*flight.stage.borrow() {
                    Stage::Asked => flight.hint == hint,
                    Stage::Answered(answered) => fits(&answered.head),
                    Stage::Released | Stage::Failed => false,
                }
        });
        if let Some(flight) = followed {
            return Begun::Follow(flight.stage.subscribe());
        }
        let known = shard.get_key_value(key).map(|(key, _)| key.clone());
        let flight = Arc::new(Flight {
            key: known.unwrap_or_else(|| key.into()),
            hint,
            stage: watch::Sender::new(Stage::Asked),
            is_doomed: AtomicBool::new(false),
        });
        let all = shard.entry(flight.key.clone()).or_default();
        all.push(flight.clone());
        Begun::Lead(Lead {
            flight,
            flights: self.clone(),
        })
    }

    /// What comes of these is not to be stored: it may be older than a purge. Without a head, nobody knows what it is.
    pub(super) fn doom(&self, is_meant: impl Fn(&[u8], Option<&StoredHead>) -> bool) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for flight in shard.values().flatten() {
                let is_meant = match &*flight.stage.borrow() {
                    Stage::Answered(answered) => is_meant(&flight.key, Some(&answered.head)),
                    _ => is_meant(&flight.key, None),
                };
                if is_meant {
                    flight.is_doomed.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// The same for one key.
    pub(super) fn doom_key(&self, key: &[u8]) {
        let shard = self.shard(key);
        for flight in shard.get(key).into_iter().flatten() {
            flight.is_doomed.store(true, Ordering::Relaxed);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let shards = self.shards.iter();
        let shards = shards.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards
            .map(|shard| shard.values().map(Vec::len).sum::<usize>())
            .sum()
    }
}

impl Lead {
    /// There is an answer. Others may have it as long as this lead is there.
    pub(super) fn answered(&self, answered: Answered) {
        self.flight.stage.send_replace(Stage::Answered(answered));
    }

    /// There is none that others might have.
    pub(super) fn release(&self) {
        self.flight.stage.send_replace(Stage::Released);
    }

    /// Whether what comes of it may not be stored any more.
    pub(super) fn is_doomed(&self) -> bool {
        self.flight.is_doomed.load(Ordering::Relaxed)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        {
            let mut shard = self.flights.shard(&self.flight.key);
            if let Some(all) = shard.get_mut(&self.flight.key) {
                all.retain(|flight| !Arc::ptr_eq(flight, &self.flight));
                if all.is_empty() {
                    shard.remove(&self.flight.key);
                }
            }
        }
        self.flight.stage.send_if_modified(|stage| {
            let has_failed = matches!(stage, Stage::Asked);
            if has_failed {
                *stage = Stage::Failed;
            }
            has_failed
        });
    }
}
