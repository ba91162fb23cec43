//! What is known of a token or another text for a while: a bounded table that is read without a lock.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Arc, OnceLock},
    time::Instant,
};

use arc_swap::{ArcSwapOption, Guard};

/// A token has its place in one of these many slots.
const WAYS: usize = 4;

/// The end of a token, of which its place is made: a signature, which differs for every token.
const TAIL: usize = 32;

/// More than are ever needed, and not more than there is memory for.
const MOST: usize = 1 << 20;

/// What is wrong with the setting `cache_size`.
pub(super) fn mistake(cache_size: usize) -> Option<String> {
    (cache_size > MOST).then(|| format!("cache_size is {cache_size}; it is at most {MOST}"))
}

/// At most so many values, each until a time of its own. When there is no room, the one of a few that ends first makes room.
///
/// A value is found by a keyed hash, so that nobody can choose which ones are in each other's way, and it is the value of a token only
/// if that is the same, byte for byte.
#[derive(Debug)]
pub(super) struct Cache<V> {
    most: usize,
    /// The bytes at a text's end of which its place is made.
    tail: usize,
    keys: RandomState,
    /// Made when the first value comes.
    sets: OnceLock<Box<[Set<V>]>>,
}

type Set<V> = [ArcSwapOption<Entry<V>>; WAYS];

#[derive(Debug)]
pub(super) struct Entry<V> {
    hash: u64,
    token: Box<str>,
    /// From then on it is not there.
    until: Instant,
    value: V,
}

impl<V> Cache<V> {
    /// Room for what is known of so many signed tokens, rounded up to a multiple of four; none for 0.
    pub(super) fn of_tokens(most: usize) -> Self {
        Self::new(most, TAIL)
    }

    /// The same for texts that may have the same end.
    pub(super) fn of_texts(most: usize) -> Self {
        Self::new(most, usize::MAX)
    }

    fn new(most: usize, tail: usize) -> Self {
        Self {
            most: most.min(MOST),
            tail,
            keys: RandomState::new(),
            sets: OnceLock::new(),
        }
    }

    pub(super) fn get(&self, token: &str, now: Instant) -> Option<Guard<Option<Arc<Entry<V>>>>> {
        let hash = self.hash(token);
        let set = set(hash, self.sets.get()?)?;
        let mut slots = set.iter().map(ArcSwapOption::load);
        slots.find(|slot| {
            let entry = slot.as_deref();
            entry.is_some_and(|entry| entry.is(hash, token) && now < entry.until)
        })
    }

    pub(super) fn put(&self, token: &str, value: V, until: Instant, now: Instant) {
        let count = self.most.div_ceil(WAYS);
        let empty = || (0..count).map(|_| Default::default()).collect();
        let hash = self.hash(token);
        let Some(set) = set(hash, self.sets.get_or_init(empty)) else {
            return;
        };
        // Of two that come at once to the same place one is forgotten, which costs a verification.
        let place = set.iter().min_by_key(|slot| match slot.load().as_deref() {
            Some(old) if old.is(hash, token) => (0, now),
            None => (1, now),
            Some(old) => (2, old.until),
        });
        if let Some(place) = place {
            place.store(Some(Arc::new(Entry {
                hash,
                token: token.into(),
                until,
                value,
            })));
        }
    }

    pub(super) fn remove(&self, token: &str) {
        let hash = self.hash(token);
        let set = self.sets.get().and_then(|sets| set(hash, sets));
        for slot in set.into_iter().flatten() {
            if slot
                .load()
                .as_deref()
                .is_some_and(|entry| entry.is(hash, token))
            {
                slot.store(None);
            }
        }
    }

    /// How many values there are, by looking at all of them.
    pub(super) fn len(&self, now: Instant) -> usize {
        let slots = self
            .sets
            .get()
            .into_iter()
            .flat_map(|sets| sets.iter().flatten());
        slots
            .filter(|slot| {
                slot.load()
                    .as_deref()
                    .is_some_and(|entry| now < entry.until)
            })
            .count()
    }

    pub(super) fn clear(&self) {
        let slots = self
            .sets
            .get()
            .into_iter()
            .flat_map(|sets| sets.iter().flatten());
        slots.for_each(|slot| slot.store(None));
    }

    fn hash(&self, token: &str) -> u64 {
        let bytes = token.as_bytes();
        let (_, tail) = bytes.split_at(bytes.len().saturating_sub(self.tail));
        self.keys.hash_one(tail)
    }
}

impl<V> Entry<V> {
    pub(super) fn value(&self) -> &V {
        &self.value
    }

    fn is(&self, hash: u64, token: &str) -> bool {
        self.hash == hash && *self.token == *token
    }
}

fn set<S>(hash: u64, sets: &[S]) -> Option<&S> {
    let count = u64::try_from(sets.len()).ok().filter(|count| *count > 0)?;
    sets.get(usize::try_from(hash % count).ok()?)
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self::of_texts(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A cache, and the time that counts from a moment on.
    struct Test(Cache<u64>, Instant);

    impl Test {
        fn new(most: usize) -> Self {
            Self(Cache::of_tokens(most), Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        fn put(&self, name: u8, until: u64, now: u64) {
            let name = name.to_string();
            self.0.put(&name, until, self.at(until), self.at(now));
        }

        fn value(&self, name: u8, now: u64) -> Option<u64> {
            let found = self.0.get(&name.to_string(), self.at(now))?;
            found.as_deref().map(|entry| entry.value)
        }

        fn len(&self, now: u64) -> usize {
            self.0.len(self.at(now))
        }
    }

    #[test]
    fn what_is_there_is_there_until_its_time() {
        let cache = Test::new(100);
        assert_eq!(cache.value(1, 0), None);
        cache.put(1, 10, 0);
        assert_eq!((cache.value(1, 9), cache.value(1, 10)), (Some(10), None));
        assert_eq!((cache.len(9), cache.len(10)), (1, 0));
        cache.put(1, 20, 5);
        assert_eq!(
            (cache.value(1, 10), cache.len(5)),
            (Some(20), 1),
            "it is there once"
        );
        cache.0.remove("2");
        assert_eq!(cache.len(5), 1);
        cache.0.remove("1");
        assert_eq!(cache.len(5), 0);
    }

    #[test]
    fn there_are_never_too_many_and_what_ends_first_makes_room() {
        let cache = Test::new(4);
        for name in 1..=4 {
            cache.put(name, 100 + u64::from(name), 0);
        }
        assert_eq!(cache.len(0), 4);
        cache.put(5, 50, 0);
        assert_eq!(
            (cache.value(1, 0), cache.value(5, 0), cache.len(0)),
            (None, Some(50), 4)
        );
        cache.put(6, 400, 60);
        let left: Vec<_> = (1..=6)
            .filter(|name| cache.value(*name, 0).is_some())
            .collect();
        assert_eq!(
            left,
            [2, 3, 4, 6],
            "what is over makes room before what is not"
        );
        for name in 0..=255 {
            cache.put(name, 1_000, 0);
        }
        assert_eq!(cache.len(0), 4);
        cache.0.clear();
        assert_eq!(cache.len(0), 0);
    }

    #[test]
    fn tokens_with_the_same_end_are_not_the_same() {
        let (cache, now) = (Cache::of_tokens(8), Instant::now());
        let (one, other) = (format!("a{:064}", 0), format!("b{:064}", 0));
        cache.put(&one, 1, now + Duration::from_secs(1), now);
        assert!(cache.get(&one, now).is_some() && cache.get(&other, now).is_none());
        cache.remove(&other);
        assert_eq!(cache.len(now), 1);
        cache.put(&other, 2, now + Duration::from_secs(1), now);
        assert_eq!(cache.len(now), 2);
    }

    #[test]
    fn no_room_is_no_mistake() {
        let cache = Test::new(0);
        cache.put(1, 10, 0);
        assert_eq!((cache.value(1, 0), cache.len(0)), (None, 0));
        cache.0.remove("1");
    }
}
