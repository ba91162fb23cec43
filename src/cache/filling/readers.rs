//! How far each reader has come.

/// The number of the chunk that each of them reads next.
#[derive(Default)]
pub(super) struct Readers {
    all: Vec<Option<Place>>,
    clients: usize,
}

struct Place {
    next: u64,
    is_keeper: bool,
    has_trailers: bool,
}

impl Readers {
    pub(super) fn add(&mut self, is_keeper: bool) -> usize {
        self.clients += usize::from(!is_keeper);
        let place = Some(Place {
            next: 0,
            is_keeper,
            has_trailers: false,
        });
        match self.all.iter().position(Option::is_none) {
            Some(free) => {
                self.all[free] = place;
                free
            }
            None => {
                self.all.push(place);
                self.all.len() - 1
            }
        }
    }

    pub(super) fn remove(&mut self, number: usize) {
        let removed = self.all.get_mut(number).and_then(Option::take);
        self.clients -= usize::from(removed.is_some_and(|place| !place.is_keeper));
    }

    pub(super) fn next(&self, number: usize) -> u64 {
        let place = self.all.get(number).and_then(Option::as_ref);
        place.map_or(0, |place| place.next)
    }

    pub(super) fn advance(&mut self, number: usize) {
        if let Some(Some(place)) = self.all.get_mut(number) {
            place.next += 1;
        }
    }

    /// Whether this is the first time that it comes to the end.
    pub(super) fn ends(&mut self, number: usize) -> bool {
        match self.all.get_mut(number) {
            Some(Some(place)) => !std::mem::replace(&mut place.has_trailers, true),
            _ => false,
        }
    }

    pub(super) fn slowest(&self) -> Option<u64> {
        self.all.iter().flatten().map(|place| place.next).min()
    }

    pub(super) fn has_clients(&self) -> bool {
        self.clients > 0
    }
}
