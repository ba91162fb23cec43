//! What is known for a while: bounded, and forgotten in time.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// A key that nobody can choose: a keyed hash of what was sent.
pub(super) type Key = [u8; 32];

/// Enough that cores seldom meet at one.
const SHARDS: usize = 16;

/// Values that each end at a time of their own. When it is full, what was not asked for in the longest time goes first, many at once.
pub(super) struct Cache<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    /// How many there are in each generation of a shard.
    room: usize,
}

/// Two generations: what is asked for moves to the young one, and when that is full, it takes the place of the old one.
struct Shard<V> {
    young: HashMap<Key, Entry<V>>,
    old: HashMap<Key, Entry<V>>,
}

struct Entry<V> {
    value: V,
    ends: Instant,
}

impl<V: Clone> Cache<V> {
    /// Room for about this many values, at least one in each generation of a shard.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            room: (capacity / SHARDS / 2).max(1),
        }
    }

    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<V> {
        let mut shard = self.shard(key);
        if let Some(entry) = shard.young.get(key) {
            return (now < entry.ends).then(|| entry.value.clone());
        }
        let entry = shard.old.remove(key).filter(|entry| now < entry.ends)?;
        let value = entry.value.clone();
        shard.insert(*key, entry, self.room);
        Some(value)
    }

    pub(super) fn put(&self, key: Key, value: V, ends: Instant) {
        let mut shard = self.shard(&key);
        shard.old.remove(&key);
        shard.insert(key, Entry { value, ends }, self.room);
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard<V>> {
        let [first, ..] = *key;
        let [shards @ .., last] = &self.shards;
        let shard = shards.get(usize::from(first) % SHARDS).unwrap_or(last);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Shard<V> {
    fn insert(&mut self, key: Key, entry: Entry<V>, room: usize) {
        if self.young.len() >= room && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, entry);
    }
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(number: u16) -> Key {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_le_bytes());
        key
    }

    fn len<V>(cache: &Cache<V>) -> usize {
        let shards = cache.shards.iter().map(|shard| shard.lock().unwrap());
        shards
            .map(|shard| shard.young.len() + shard.old.len())
            .sum()
    }

    #[test]
    fn a_value_ends_at_its_time() {
        let (cache, now) = (Cache::new(100), crate::clock::now());
        cache.put(key(1), "a", now + SECOND);
        assert_eq!(cache.get(&key(1), now), Some("a"));
        assert_eq!(
            cache.get(&key(1), now + SECOND - Duration::from_nanos(1)),
            Some("a")
        );
        assert_eq!(cache.get(&key(1), now + SECOND), None);
        assert_eq!(cache.get(&key(2), now), None);
        cache.put(key(1), "b", now + SECOND);
        assert_eq!(cache.get(&key(1), now), Some("b"));
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let (cache, now) = (Cache::new(16 * 8), crate::clock::now());
        let ends = now + SECOND;
        cache.put(key(0), 0, ends);
        for number in 1..1_000 {
            // All in one shard.
            cache.put(key(number * 16), number, ends);
            assert_eq!(cache.get(&key(0), now), Some(0));
            assert!(len(&cache) <= 8, "{}", len(&cache));
        }
        assert_eq!(cache.get(&key(16), now), None);
        assert_eq!(cache.get(&key(999 * 16), now), Some(999));
        // A newer value is not hidden by an older one.
        cache.put(key(999 * 16), 1, ends);
        for number in 1_000..1_004 {
            cache.put(key(number * 16), 2, ends);
        }
        assert_ne!(cache.get(&key(999 * 16), now), Some(999));
    }

    proptest! {
        #[test]
        fn it_never_tells_what_was_not_put_or_has_ended(
            steps in prop::collection::vec((0_u16..40, any::<bool>(), 1_u32..5), 0..200),
        ) {
            let (cache, start) = (Cache::new(20), crate::clock::now());
            let mut truth = HashMap::new();
            for (at, (number, is_put, life)) in (0_u32..).zip(steps) {
                let now = start + SECOND * at;
                if is_put {
                    cache.put(key(number), at, now + SECOND * life);
                    truth.insert(number, (at, now + SECOND * life));
                } else if let Some(value) = cache.get(&key(number), now) {
                    let (put, ends) = truth[&number];
                    prop_assert!(value == put && now < ends);
                }
                prop_assert!(len(&cache) <= 2 * SHARDS);
            }
        }
    }
}
