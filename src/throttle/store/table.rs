//! Where the keys of a limit are: pages of slots that are never moved.

use std::sync::OnceLock;

use super::sync::{AtomicU64, FEW, MANY, Ordering};

/// Pages for the keys of one limit, with so many words of state for each.
pub(super) struct Table<const WORDS: usize> {
    pages: Box<[Page<WORDS>]>,
    /// Most of each page.
    bulk: Box<[OnceLock<Box<Lines<WORDS, MANY>>>]>,
    /// Lines of a page that are used.
    few: usize,
    many: usize,
}

/// In one cache line for a rate: three slots, and where the next keys of the page are. A few thousand keys need little more than that, so they are close to each
/// other, and tens of thousands take a thirtieth of the memory of a million.
#[repr(align(64))]
struct Page<const WORDS: usize> {
    few: OnceLock<Box<Lines<WORDS, FEW>>>,
    first: [Slot<WORDS>; FIRST],
}

/// Begins with a cache line, so that the four slots of a rate's line are in one.
#[repr(align(64))]
struct Lines<const WORDS: usize, const COUNT: usize>([[Slot<WORDS>; SLOTS]; COUNT]);

pub(super) struct Slot<const WORDS: usize> {
    /// Whose it is: 64 bits of a keyed hash. Zero: nobody's yet.
    pub(super) tag: AtomicU64,
    pub(super) state: [AtomicU64; WORDS],
}

/// Where a key is looked for: in the first slots of a page, and in some of its lines from this part of them on, in fractions of 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) page: usize,
    within: u64,
    pub(super) tag: u64,
}

/// A slot, whatever its kind of state.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    tag: &'a AtomicU64,
    state: &'a [AtomicU64],
}

/// The state of a key; what a limit does not need of it is zero.
pub(super) type Words = [u64; 2];

/// The first word of a state that somebody works on, who has locked its stripe.
pub(super) const LOCKED: u64 = u64::MAX;

/// Slots of a line.
const SLOTS: usize = 4;
/// Beside the lines.
const FIRST: usize = 3;
const SLOTS_OF_PAGE: usize = FIRST + SLOTS * (FEW + MANY);
/// Lines that a key is looked for in, of the few and of the many.
pub(super) const WINDOW: usize = 16;
/// In which it is looked for first: it is seldom further away, and a flood of new keys is not looked for everywhere without a lock as well.
pub(super) const NEAR: usize = 4;
/// Fewer can not be had.
pub(super) const FEWEST_SLOTS: usize = FIRST;

const _: () = assert!(size_of::<Page<1>>() == 64 && size_of::<Slot<1>>() * SLOTS == 64);

impl<const WORDS: usize> Table<WORDS> {
    /// With so many slots, or a few less.
    pub(super) fn new(slots: usize) -> Self {
        let pages = slots.div_ceil(SLOTS_OF_PAGE);
        let page = |_| Page {
            few: OnceLock::new(),
            first: slots_of(),
        };
        let lines = (slots / pages).saturating_sub(FIRST) / SLOTS;
        let few = lines.min(FEW);
        Self {
            pages: (0..pages).map(page).collect(),
            bulk: (0..pages).map(|_| OnceLock::new()).collect(),
            few,
            many: (lines - few).min(MANY),
        }
    }

    #[cfg(test)]
    pub(super) fn slots_of_page(&self) -> usize {
        FIRST + (self.few + self.many) * SLOTS
    }

    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The upper bits of the product say which page, those behind them which line. The tag is all of the hash.
    #[inline]
    pub(super) fn spot(&self, hash: u64) -> Spot {
        let product = u128::from(hash) * self.pages.len() as u128;
        Spot {
            page: (product >> 64) as usize,
            within: (product as u64) >> 32,
            tag: hash.max(1),
        }
    }

    /// The slot of a key, if it is in so many lines. Without its stripe's lock it may be another key's a moment later.
    #[inline]
    pub(super) fn find(&self, spot: Spot, lines: usize) -> Option<&Slot<WORDS>> {
        let page = self.pages.get(spot.page)?;
        match look(&page.first, spot.tag) {
            Looked::Found(slot) => return Some(slot),
            Looked::End => return None,
            Looked::Further => {}
        }
        // Where there are many, most of them are there.
        if let Some(many) = self.bulk.get(spot.page)?.get()
            && let Looked::Found(slot) = many.look(spot, self.many, lines)
        {
            return Some(slot);
        }
        match page.few.get()?.look(spot, self.few, lines) {
            Looked::Found(slot) => Some(slot),
            Looked::End | Looked::Further => None,
        }
    }

    /// The slot of a key; or the first in its order that it can have, with the state in it, which is [taken](Place::take). For who has locked the stripe.
    pub(super) fn search(&self, spot: Spot, is_idle: impl Fn(Words) -> bool) -> Search<'_> {
        let (Some(page), Some(bulk)) = (self.pages.get(spot.page), self.bulk.get(spot.page)) else {
            return Search::Full;
        };
        loop {
            let mut vacant = None;
            let mut looked = search(&page.first, spot.tag, &mut vacant, &is_idle);
            if let (Looked::Further, Some(few)) = (&looked, page.few.get()) {
                looked = few.search(spot, self.few, &mut vacant, &is_idle);
            }
            if let (Looked::Further, Some(many)) = (&looked, bulk.get()) {
                looked = many.search(spot, self.many, &mut vacant, &is_idle);
            }
            if let Looked::Found(slot) = looked {
                return Search::Known(slot.place());
            }
            let Some(place) = vacant else {
                // More of the page is made, if there is more of it.
                if self.few > 0 && page.few.get().is_none() {
                    page.few.get_or_init(Lines::new);
                } else if self.many > 0 && bulk.get().is_none() {
                    bulk.get_or_init(Lines::new);
                } else {
                    return Search::Full;
                }
                continue;
            };
            match place.take() {
                Some(state) if is_idle(state) => return Search::Vacant(place, state),
                // It was spent from in this moment.
                Some(state) => place.put(state),
                None => {}
            }
        }
    }
}

/// What becomes of a key.
pub(super) enum Search<'a> {
    Known(Place<'a>),
    Vacant(Place<'a>, Words),
    Full,
}

enum Looked<'a, const WORDS: usize> {
    Found(&'a Slot<WORDS>),
    /// It has no slot: there is an empty one, which it would have. A key takes the first in its order that it can have, and slots never become empty.
    End,
    Further,
}

/// First at the key's own slot, where most of them are. In which of the others it is can not be predicted, and a wrong guess would take longer than to look
/// at all.
#[inline]
fn look<const WORDS: usize, const COUNT: usize>(
    slots: &[Slot<WORDS>; COUNT],
    tag: u64,
) -> Looked<'_, WORDS> {
    if let Some(own) = slots.get(own::<COUNT>(tag))
        && own.tag.load(Ordering::Acquire) == tag
    {
        return Looked::Found(own);
    }
    // One more than its index.
    let (mut found, mut is_full) = (0, true);
    for (at, slot) in (1..).zip(slots) {
        let other = slot.tag.load(Ordering::Acquire);
        found |= usize::from(other == tag) * at;
        is_full &= other != 0;
    }
    match slots.get(found.wrapping_sub(1)) {
        Some(slot) => Looked::Found(slot),
        None if is_full => Looked::Further,
        None => Looked::End,
    }
}

/// The slot that a key takes if it can: from bits that have not said which line.
#[inline]
fn own<const COUNT: usize>(tag: u64) -> usize {
    (((tag & 0xffff) * COUNT as u64) >> 16) as usize
}

/// The same, and the first slot that the key can have if there was none yet, its own one first.
#[inline]
fn search<'a, const WORDS: usize, const COUNT: usize>(
    slots: &'a [Slot<WORDS>; COUNT],
    tag: u64,
    vacant: &mut Option<Place<'a>>,
    is_idle: &impl Fn(Words) -> bool,
) -> Looked<'a, WORDS> {
    let can_be_had = |slot: &Slot<WORDS>| slot.place().look().is_some_and(is_idle);
    // In a flood there is none: that is found out without a branch for each.
    let any = |any, slot| any | can_be_had(slot);
    if vacant.is_none() && slots.iter().fold(false, any) {
        let own = slots.get(own::<COUNT>(tag));
        let slot = own.into_iter().chain(slots).find(|slot| can_be_had(slot));
        *vacant = slot.map(Slot::place);
    }
    match look(slots, tag) {
        // An empty slot may be held for another key that is asked of at the same time: then this one goes further.
        Looked::End if vacant.is_none() => Looked::Further,
        looked => looked,
    }
}

impl<const WORDS: usize, const COUNT: usize> Lines<WORDS, COUNT> {
    #[cold]
    fn new() -> Box<Self> {
        Box::new(Self(std::array::from_fn(|_| slots_of())))
    }

    /// In so many lines of those that are used, from the key's own one on.
    #[inline]
    fn look(&self, spot: Spot, used: usize, lines: usize) -> Looked<'_, WORDS> {
        self.each(spot, used, lines, |line| look(line, spot.tag))
    }

    fn search<'a>(
        &'a self,
        spot: Spot,
        used: usize,
        vacant: &mut Option<Place<'a>>,
        is_idle: &impl Fn(Words) -> bool,
    ) -> Looked<'a, WORDS> {
        self.each(spot, used, WINDOW, |line| {
            search(line, spot.tag, vacant, is_idle)
        })
    }

    #[inline]
    fn each<'a>(
        &'a self,
        spot: Spot,
        used: usize,
        lines: usize,
        mut look: impl FnMut(&'a [Slot<WORDS>; SLOTS]) -> Looked<'a, WORDS>,
    ) -> Looked<'a, WORDS> {
        let mut at = ((spot.within * used as u64) >> 32) as usize;
        for _ in 0..used.min(lines) {
            match self.0.get(at).map(&mut look) {
                Some(Looked::Further) => {}
                Some(looked) => return looked,
                None => break,
            }
            at = if at + 1 == used { 0 } else { at + 1 };
        }
        Looked::Further
    }
}

fn slots_of<const WORDS: usize, const SLOTS: usize>() -> [Slot<WORDS>; SLOTS] {
    std::array::from_fn(|_| Slot {
        tag: AtomicU64::new(0),
        state: std::array::from_fn(|_| AtomicU64::new(0)),
    })
}

impl<const WORDS: usize> Slot<WORDS> {
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            tag: &self.tag,
            state: &self.state,
        }
    }
}

/// For who has locked the stripe.
impl Place<'_> {
    pub(super) fn tag(self) -> u64 {
        self.tag.load(Ordering::Relaxed)
    }

    /// The state, which nobody else can change from now on; `None` if it has been taken already.
    pub(super) fn take(self) -> Option<Words> {
        let [first, rest @ ..] = self.state else {
            return None;
        };
        let first = first.swap(LOCKED, Ordering::AcqRel);
        let second = rest.first();
        let second = second.map_or(0, |word| word.load(Ordering::Relaxed));
        (first != LOCKED).then_some([first, second])
    }

    /// The state as it is, if it has not been taken.
    pub(super) fn look(self) -> Option<Words> {
        let word = |at: usize| {
            let word = self.state.get(at);
            word.map_or(0, |word| word.load(Ordering::Relaxed))
        };
        let state = [word(0), word(1)];
        (state[0] != LOCKED).then_some(state)
    }

    /// Puts back what was taken, or what has become of it.
    pub(super) fn put(self, state: Words) {
        for (word, value) in self.state.iter().zip(state).skip(1) {
            word.store(value, Ordering::Relaxed);
        }
        if let Some(first) = self.state.first() {
            first.store(state[0].min(LOCKED - 1), Ordering::Release);
        }
    }

    /// Makes it the slot of another key, before its state is put.
    pub(super) fn give(self, tag: u64) {
        self.tag.store(tag, Ordering::Release);
    }
}
