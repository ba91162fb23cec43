//! Tokens that have been verified: a bounded table that is read without a lock.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use arc_swap::{ArcSwapOption, Guard};

/// What a token is remembered under: what a keyed hash makes of it.
pub(super) type Name = [u8; 16];

/// A name has its place in one of these many slots.
const WAYS: usize = 4;

/// At most so many values, each until a time of its own. When there is no room, the one of a few that ends first makes room.
#[derive(Debug)]
pub(super) struct Cache<V> {
    most: usize,
    /// Made when the first value comes.
    sets: OnceLock<Box<[[ArcSwapOption<Entry<V>>; WAYS]]>>,
}

#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) name: Name,
    /// From then on it is not there.
    pub(super) until: Instant,
    pub(super) value: V,
}

impl<V> Cache<V> {
    /// Room for so many values, rounded up to a multiple of four; none for 0.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            sets: OnceLock::new(),
        }
    }

    pub(super) fn get(&self, name: &Name, now: Instant) -> Option<Guard<Option<Arc<Entry<V>>>>> {
        let set = self.set(name, self.sets.get()?)?;
        let mut slots = set.iter().map(ArcSwapOption::load);
        slots.find(|slot| {
            slot.as_deref().is_some_and(|entry| entry.name == *name && now < entry.until)
        })
    }

    pub(super) fn put(&self, entry: Entry<V>, now: Instant) {
        let count = self.most.div_ceil(WAYS);
        let sets = self.sets.get_or_init(|| (0..count).map(|_| Default::default()).collect());
        let Some(set) = self.set(&entry.name, sets) else {
            return;
        };
        // Of two that come at once to the same place one is forgotten, which costs a verification.
        let place = set.iter().min_by_key(|slot| match slot.load().as_deref() {
            Some(old) if old.name == entry.name => (0, now),
            None => (1, now),
            Some(old) => (2, old.until),
        });
        if let Some(place) = place {
            place.store(Some(Arc::new(entry)));
        }
    }

    pub(super) fn remove(&self, name: &Name) {
        let Some(set) = self.sets.get().and_then(|sets| self.set(name, sets)) else {
            return;
        };
        for slot in set {
            if slot.load().as_deref().is_some_and(|entry| entry.name == *name) {
                slot.store(None);
            }
        }
    }

    /// How many values there are, by looking at all of them.
    pub(super) fn len(&self, now: Instant) -> usize {
        let slots = self.sets.get().into_iter().flat_map(|sets| sets.iter().flatten());
        slots.filter(|slot| slot.load().as_deref().is_some_and(|entry| now < entry.until)).count()
    }

    pub(super) fn clear(&self) {
        let slots = self.sets.get().into_iter().flat_map(|sets| sets.iter().flatten());
        slots.for_each(|slot| slot.store(None));
    }

    fn set<'a, S>(&self, name: &Name, sets: &'a [S]) -> Option<&'a S> {
        let (low, _) = name.split_first_chunk()?;
        let at = u64::from_le_bytes(*low) % u64::try_from(sets.len()).ok().filter(|len| *len > 0)?;
        sets.get(usize::try_from(at).ok()?)
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
            Self(Cache::new(most), Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        fn put(&self, name: u8, until: u64, now: u64) {
            let entry = Entry {
                name: [name; 16],
                until: self.at(until),
                value: until,
            };
            self.0.put(entry, self.at(now));
        }

        fn value(&self, name: u8, now: u64) -> Option<u64> {
            let found = self.0.get(&[name; 16], self.at(now))?;
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
        assert_eq!((cache.value(1, 10), cache.len(5)), (Some(20), 1), "it is there once");
        cache.0.remove(&[2; 16]);
        assert_eq!(cache.len(5), 1);
        cache.0.remove(&[1; 16]);
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
        assert_eq!((cache.value(1, 0), cache.value(5, 0), cache.len(0)), (None, Some(50), 4));
        cache.put(6, 400, 60);
        let left: Vec<_> = (1..=6).filter(|name| cache.value(*name, 0).is_some()).collect();
        assert_eq!(left, [2, 3, 4, 6], "what is over makes room before what is not");
        for name in 0..=255 {
            cache.put(name, 1_000, 0);
        }
        assert_eq!(cache.len(0), 4);
        cache.0.clear();
        assert_eq!(cache.len(0), 0);
    }

    #[test]
    fn no_room_is_no_mistake() {
        let cache = Test::new(0);
        cache.put(1, 10, 0);
        assert_eq!((cache.value(1, 0), cache.len(0)), (None, 0));
        cache.0.remove(&[1; 16]);
    }
}
