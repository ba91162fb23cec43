//! What was worked out when a response was stored.

use super::{freshness::SECOND, reuse::Kept};

/// On which terms a stored response may be used: all that its header fields, its request and the settings of the cache say about it,
/// worked out once, so that none of it is read again for an answer.
///
/// A plain value; a store that keeps it elsewhere writes it with [`to_bytes`](Self::to_bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// In milliseconds: RFC 9111, section 4.2.1.
    pub(super) lifetime: u64,
    /// In milliseconds, at `answered_at`: `corrected_initial_age` of section 4.2.3.
    pub(super) initial_age: u64,
    /// In seconds: RFC 5861, section 3.
    pub(super) stale_while_revalidate: u32,
    /// In seconds: RFC 5861, section 4.
    pub(super) stale_if_error: u32,
    pub(super) flags: u8,
}

/// Only after validation, even while it is fresh.
pub(super) const NO_CACHE: u8 = 1;
/// Never stale.
pub(super) const MUST_REVALIDATE: u8 = 1 << 1;
/// Whoever asks gets it.
pub(super) const SHAREABLE: u8 = 1 << 2;
pub(super) const HEURISTIC: u8 = 1 << 3;
pub(super) const OVERRIDDEN: u8 = 1 << 4;
const ALL: u8 = NO_CACHE | MUST_REVALIDATE | SHAREABLE | HEURISTIC | OVERRIDDEN;

/// What the bytes begin with: another layout has another.
const VERSION: u8 = 1;

/// How old a response is at a moment, and for how long it is fresh from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) struct Age {
    /// What the field `Age` says, in seconds.
    pub(in crate::cache) seconds: u64,
    /// In seconds; less than zero when it is stale.
    pub(in crate::cache) ttl: i64,
}

impl Terms {
    /// How many bytes [`to_bytes`](Self::to_bytes) makes.
    pub const LEN: usize = 26;

    /// For a store outside of this process.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [VERSION; Self::LEN];
        bytes[1] = self.flags;
        bytes[2..10].copy_from_slice(&self.lifetime.to_be_bytes());
        bytes[10..18].copy_from_slice(&self.initial_age.to_be_bytes());
        bytes[18..22].copy_from_slice(&self.stale_while_revalidate.to_be_bytes());
        bytes[22..].copy_from_slice(&self.stale_if_error.to_be_bytes());
        bytes
    }

    /// What was written; `None` if it was not [`to_bytes`](Self::to_bytes) that wrote it, or one of another version of this crate.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version, flags], rest) = bytes.split_first_chunk()?;
        let (lifetime, rest) = rest.split_first_chunk()?;
        let (initial_age, rest) = rest.split_first_chunk()?;
        let (stale_while_revalidate, rest) = rest.split_first_chunk()?;
        let stale_if_error = rest.try_into().ok()?;
        let is_known = version == VERSION && flags & !ALL == 0;
        is_known.then_some(Self {
            lifetime: u64::from_be_bytes(*lifetime),
            initial_age: u64::from_be_bytes(*initial_age),
            stale_while_revalidate: u32::from_be_bytes(*stale_while_revalidate),
            stale_if_error: u32::from_be_bytes(stale_if_error),
            flags,
        })
    }

    /// Whether it may be given to everybody who asks for it. Otherwise it answered somebody who had shown who they are, and is for them alone
    /// (RFC 9111, section 3.5).
    pub fn is_shareable(&self) -> bool {
        self.has(SHAREABLE)
    }

    /// Whether its freshness is guessed from `Last-Modified` (RFC 9111, section 4.2.2).
    pub fn is_heuristic(&self) -> bool {
        self.has(HEURISTIC)
    }

    /// Whether its freshness comes from the settings of the cache.
    pub fn is_overridden(&self) -> bool {
        self.has(OVERRIDDEN)
    }

    pub(in crate::cache) fn age(&self, kept: Kept, now: u64) -> Age {
        let age = self.current_age(kept, now);
        // With the field `Age` it makes the lifetime.
        let seconds = |millis: u64| i64::try_from(millis / SECOND).unwrap_or(i64::MAX);
        let ttl = match seconds(self.lifetime) - seconds(age) {
            1.. if kept.is_invalid => 0,
            ttl => ttl,
        };
        Age {
            seconds: age / SECOND,
            ttl,
        }
    }

    /// `current_age` of section 4.2.3. A clock that was set back adds nothing.
    pub(super) fn current_age(&self, kept: Kept, now: u64) -> u64 {
        let resident_time = now.saturating_sub(kept.answered_at);
        self.initial_age.saturating_add(resident_time)
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
impl Terms {
    /// Fresh for an hour, for everybody.
    pub(in crate::cache) fn of_tests() -> Self {
        Self {
            lifetime: 3600 * SECOND,
            initial_age: 0,
            stale_while_revalidate: 0,
            stale_if_error: 0,
            flags: SHAREABLE,
        }
    }
}
