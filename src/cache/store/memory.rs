//! Answers in the memory of this process.

mod compact;
#[cfg(test)]
mod tests;

use std::{collections::hash_map::RandomState, fmt, sync::Arc};

use http_body_util::BodyExt;
use quick_cache::{
    OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle, EntryAction, EntryResult},
};

use self::compact::Copied;
use super::CacheStore;
use crate::{
    body::Body,
    cache::{
        key::Key,
        purge::Purge,
        stored::{Stored, StoredBody, StoredHead, Variants},
    },
    error::BoxError,
};

/// Keeps answers in the memory of this process, up to so many bytes. Clones share them.
///
/// Heads, keys, bodies and what the table needs count. When it is full, those go that were not asked for again since they came, and then those
/// that have not been asked for lately: many answers that are asked for once do not push out those that many ask for.
/// A body is copied once, when it is stored, and never for a hit.
#[derive(Clone)]
pub struct MemoryStore {
    entries: Arc<Entries>,
    /// What the answers of a key may weigh.
    most: u64,
}

type Entries = Cache<Vec<u8>, Variants, Weigh, RandomState, DefaultLifecycle<Vec<u8>, Variants>>;

#[derive(Clone)]
struct Weigh;

impl Weighter<Vec<u8>, Variants> for Weigh {
    fn weight(&self, key: &Vec<u8>, variants: &Variants) -> u64 {
        let variants: u64 = variants.iter().map(Stored::weight).sum();
        ENTRY + key.len() as u64 + variants
    }
}

/// Bytes of the table and of the key for each entry.
const ENTRY: u64 = 200;
/// All answers of a key together may take a fourth of a shard, so that they do not push out all the others.
const SHARE: u64 = 4;
/// Shards are not smaller, so that bodies of some MiB find room.
const SHARD: u64 = 32 << 20;
const MOST_SHARDS: u64 = 16;
/// Fewer can not be had.
const FEWEST: u64 = 64 << 10;

impl MemoryStore {
    /// With room for so many bytes. At least 64 KiB, and what is less counts as that.
    pub fn new(bytes: u64) -> Self {
        let bytes = bytes.max(FEWEST);
        let shards = (bytes / SHARD).clamp(1, MOST_SHARDS);
        let shards = 1 << shards.ilog2();
        // Of the number of answers it is only an estimate that is needed.
        let answers = (bytes / 4096).max(32 * shards) as usize;
        let options = OptionsBuilder::new()
            .weight_capacity(bytes)
            .estimated_items_capacity(answers)
            .shards(shards as usize)
            .build();
        let (hasher, lifecycle) = (RandomState::new(), DefaultLifecycle::default());
        let entries = match options {
            Ok(options) => Cache::with_options(options, Weigh, hasher, lifecycle),
            // Nothing is left out above.
            Err(_) => Cache::with(answers, bytes, Weigh, hasher, lifecycle),
        };
        Self {
            most: entries.shard_capacity() / SHARE,
            entries: Arc::new(entries),
        }
    }

    /// Adds it to what is there, in one step.
    fn insert(&self, key: &[u8], stored: Stored) {
        let most = self.most;
        let fresh = stored.clone();
        let found = self.entries.entry(key, None, |_, variants| {
            *variants = variants.with(stored, most);
            EntryAction::Retain(())
        });
        if let EntryResult::Vacant(place) = found {
            // Somebody may have been quicker; then what it was is a cache's affair to forget.
            let _ = place.insert(Variants::from_iter([fresh]));
        }
    }

    /// Changes what there is of a key, if there is something.
    fn change(&self, key: &[u8], change: impl FnOnce(&Variants) -> Variants) {
        let found = self.entries.entry(key, None, |_, variants| {
            *variants = change(variants);
            match variants.0.is_empty() {
                true => EntryAction::Remove,
                false => EntryAction::Retain(()),
            }
        });
        // Dropped, the place stays empty.
        drop(found);
    }

    fn purge_key(&self, key: &[u8], what: &Purge) -> u64 {
        let mut purged = 0;
        self.change(key, |variants| {
            let (kept, count) = variants.purged(key, what);
            purged = count;
            kept
        });
        purged
    }
}

impl CacheStore for MemoryStore {
    fn get_now(&self, key: &Key) -> Option<Variants> {
        Some(self.entries.get(key.as_bytes()).unwrap_or_default())
    }

    async fn get(&self, key: &Key) -> Result<Variants, BoxError> {
        Ok(self.get_now(key).unwrap_or_default())
    }

    async fn put(&self, key: &Key, mut head: StoredHead, mut body: Body) -> Result<(), BoxError> {
        let length = http_body::Body::size_hint(&body).exact();
        let mut copied = Copied::with_length(length);
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame?.into_data() else {
                continue;
            };
            bytes += chunk.len() as u64;
            if bytes > self.most {
                return Err("the body is too large for the store".into());
            }
            copied.push(&chunk);
        }
        head.headers = compact::fields(&head.headers);
        let stored = Stored::new(head, StoredBody::whole(copied.finish()));
        if ENTRY + key.as_bytes().len() as u64 + stored.weight() <= self.most {
            self.insert(key.as_bytes(), stored);
        }
        Ok(())
    }

    async fn update(&self, key: &Key, mut head: StoredHead) -> Result<(), BoxError> {
        head.headers = compact::fields(&head.headers);
        self.change(key.as_bytes(), |variants| variants.updated(head));
        Ok(())
    }

    async fn purge(&self, what: &Purge) -> Result<u64, BoxError> {
        if let Some(key) = what.only_key() {
            return Ok(self.purge_key(key, what));
        }
        let meant = self.entries.iter();
        let meant = meant.filter(|(key, variants)| {
            let mut heads = variants.iter().map(Stored::head);
            heads.any(|head| what.matches(key, head))
        });
        let meant: Vec<_> = meant.map(|(key, _)| key).collect();
        Ok(meant.iter().map(|key| self.purge_key(key, what)).sum())
    }

    fn max_object(&self) -> u64 {
        self.most
    }

    fn figures(&self) -> Option<(u64, u64)> {
        Some((self.entries.len() as u64, self.entries.weight()))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("keys", &self.entries.len())
            .field("bytes", &self.entries.weight())
            .finish_non_exhaustive()
    }
}
