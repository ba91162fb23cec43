//! A hash index over things that are stored elsewhere, and the hashes that go into it.
//!
//! Keys come from whoever writes routes, requests only look them up: no client can make a chain longer. Routes may name
//! hosts and paths that strangers chose, so the build tries several seeds until no chain is long.

/// Longest chain that is accepted while other seeds are left to try.
const GOOD_CHAIN: usize = 32;
const SEEDS: u64 = 8;
const EMPTY: u32 = u32::MAX;

/// Open addressing with linear probing, half full at most.
pub(super) struct Index {
    slots: Box<[Slot]>,
    seed: u64,
}

#[derive(Clone, Copy)]
struct Slot {
    /// Upper half of the hash: spares nearly every look at a key that is another one.
    tag: u32,
    value: u32,
}

impl Index {
    /// Indexes the values `0..len` of `value`, each under what `hash` makes of a seed and its position.
    pub(super) fn build(
        len: usize,
        hash: impl Fn(u64, usize) -> u64,
        value: impl Fn(usize) -> u32,
    ) -> Self {
        let fill = |seed| {
            let mut slots = vec![
                Slot {
                    tag: 0,
                    value: EMPTY
                };
                (len * 2).next_power_of_two()
            ];
            let mask = slots.len() - 1;
            let mut longest = 0;
            for key in 0..len {
                let (tag, start) = split(hash(seed, key));
                let mut chain = 0;
                while slots[(start + chain) & mask].value != EMPTY {
                    chain += 1;
                }
                slots[(start + chain) & mask] = Slot {
                    tag,
                    value: value(key),
                };
                longest = longest.max(chain);
            }
            (
                longest,
                Self {
                    slots: slots.into(),
                    seed,
                },
            )
        };
        let mut best = fill(0);
        for seed in 1..SEEDS {
            if best.0 <= GOOD_CHAIN {
                break;
            }
            let other = fill(seed);
            if other.0 < best.0 {
                best = other;
            }
        }
        best.1
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// The first value under this hash for which `wanted` returns something.
    pub(super) fn find<R>(&self, hash: u64, mut wanted: impl FnMut(u32) -> Option<R>) -> Option<R> {
        let mask = self.slots.len() - 1;
        let (tag, mut at) = split(hash);
        loop {
            let slot = self.slots[at & mask];
            if slot.value == EMPTY {
                return None;
            }
            if slot.tag == tag
                && let Some(found) = wanted(slot.value)
            {
                return Some(found);
            }
            at += 1;
        }
    }
}

/// Tag and first slot.
fn split(hash: u64) -> (u32, usize) {
    let low = hash & u64::from(u32::MAX);
    ((hash >> 32) as u32, low as usize)
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// One round: the two halves of the product, folded together.
fn fold(value: u64) -> u64 {
    let product = u128::from(value ^ 0xd6e8_feb8_6659_fd93) * u128::from(MULTIPLIER);
    (product as u64) ^ (product >> 64) as u64
}

/// The hash of a pair of numbers.
pub(super) fn pair(seed: u64, a: u32, b: u32) -> u64 {
    fold(seed ^ fold(u64::from(a) << 32 | u64::from(b)))
}

/// The hash of the segment of `path` that begins at `start`, below the place `parent`, and the segment's end.
pub(super) fn segment(seed: u64, parent: u32, path: &[u8], start: usize) -> (u64, usize) {
    let mut hash = fold(seed ^ u64::from(parent));
    let mut at = start;
    loop {
        let (word, len) = word(path, at);
        match slash(word) {
            Some(end) if end < len => {
                return (fold(hash ^ (word & !(u64::MAX << (8 * end)))), at + end);
            }
            _ if len < 8 => return (fold(hash ^ word), at + len),
            _ => hash = fold(hash ^ word),
        }
        at += 8;
    }
}

/// The end of the segment of `path` that begins at `start`.
pub(super) fn segment_end(path: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        let (word, len) = word(path, at);
        match slash(word) {
            Some(end) => return at + end,
            None if len < 8 => return at + len,
            None => at += 8,
        }
    }
}

/// Up to eight bytes from `at` as a little-endian number, zero beyond the end, and how many there were.
fn word(bytes: &[u8], at: usize) -> (u64, usize) {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(word) = rest.first_chunk() {
        return (u64::from_le_bytes(*word), 8);
    }
    let len = rest.len();
    let word = match bytes.last_chunk() {
        _ if len == 0 => 0,
        // The last eight bytes, without those before `at`: cheaper than going byte by byte.
        Some(word) => u64::from_le_bytes(*word) >> (8 * (8 - len)),
        None => rest
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    (word, len)
}

/// Where the first `/` stands in eight bytes.
fn slash(word: u64) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    let zeroed = word ^ (ONES * b'/' as u64);
    let found = zeroed.wrapping_sub(ONES) & !zeroed & (ONES << 7);
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// Calls `visit` with the hash of each suffix of `host` that begins after a dot, shortest first, and last with that of
/// the whole; lower case.
pub(super) fn host_suffixes(seed: u64, host: &[u8], mut visit: impl FnMut(u64, &[u8])) {
    let mut hash = seed ^ MULTIPLIER;
    for (at, byte) in host.iter().enumerate().rev() {
        if *byte == b'.' {
            visit(fold(hash), &host[at + 1..]);
        }
        hash = (hash ^ u64::from(byte.to_ascii_lowercase()))
            .wrapping_mul(MULTIPLIER)
            .rotate_left(23);
    }
    visit(fold(hash), host);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_at_slash_or_end() {
        for path in [
            "",
            "/",
            "a",
            "/a",
            "abcdefg",
            "abcdefgh",
            "abcdefghi",
            "/abcdefg/h",
            "/users/123456789/x",
            "a/",
        ] {
            for start in 0..=path.len() {
                let wanted = path[start..]
                    .find('/')
                    .map_or(path.len(), |end| start + end);
                assert_eq!(
                    segment_end(path.as_bytes(), start),
                    wanted,
                    "{path} {start}"
                );
                let (hash, end) = segment(7, 3, path.as_bytes(), start);
                assert_eq!(end, wanted, "{path} {start}");
                let alone = &path[start..wanted];
                assert_eq!(
                    segment(7, 3, alone.as_bytes(), 0),
                    (hash, alone.len()),
                    "{path} {start}"
                );
            }
        }
    }

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let hash = |seed, key: usize| pair(seed, 1, key as u32 % 50);
        let index = Index::build(100, hash, |key| key as u32);
        for key in 0..100 {
            assert_eq!(
                index.find(hash(index.seed(), key), |value| (value == key as u32)
                    .then_some(value)),
                Some(key as u32)
            );
        }
        assert_eq!(index.find(pair(index.seed(), 2, 0), Some), None);
    }
}
