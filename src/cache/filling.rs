//! A body that comes once and is read by several: by whoever has asked for it, by those who have waited for the same answer, and by the store.
//!
//! Each reads from its beginning, at its own pace. Whoever has read all that is there asks the body for more, for all of them; so a client that reads slowly holds up
//! nobody, and no task is needed. What has come is kept until there is too much of it; from then on nobody can join, and whoever is too far behind is cut off.

mod readers;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::Notify;

use self::readers::Readers;
use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// Lets others join. It reads nothing itself.
#[derive(Clone)]
pub(super) struct Filling(Arc<Shared>);

/// Reads all of it, for a client or for the store.
pub(super) struct Reader {
    shared: Arc<Shared>,
    number: usize,
    left: Option<u64>,
    is_keeper: bool,
}

/// How much may be kept of all bodies together.
pub(super) struct Budget(AtomicU64);

struct Shared {
    state: Mutex<State>,
    /// Beside the state, which is locked while the body is asked: it may wake whoever asks it at once.
    waiting: Mutex<Vec<(usize, Waker)>>,
    /// Rings when the last client has gone.
    alone: Notify,
    length: Option<u64>,
}

struct State {
    body: Option<Body>,
    chunks: VecDeque<Bytes>,
    /// The number of the first chunk that is still here.
    first: u64,
    /// Bytes that are here, and that have come.
    kept: u64,
    come: u64,
    end: Option<Result<Option<HeaderMap>, Error>>,
    readers: Readers,
    /// All that has come is here. It will not be so again once it is not.
    is_whole: bool,
    room: Room,
}

/// What has been taken of a budget, and how much it may become.
struct Room {
    budget: Arc<Budget>,
    taken: u64,
    most: u64,
}

/// What is taken at a time.
const STEP: u64 = 64 * 1024;
/// How far behind somebody may be in any case, about as much as a server would have buffered.
const LEAST: u64 = 256 * 1024;

impl Budget {
    pub(super) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(bytes)))
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = |left: u64| left.checked_sub(bytes);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.fetch_update(set, get, taken).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What is left of it.
    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Room {
    /// Makes it large enough for so many bytes, if it may be.
    fn fits(&mut self, bytes: u64) -> bool {
        while self.taken < bytes && self.taken < self.most {
            let step = STEP.min(self.most - self.taken);
            if !self.budget.take(step) {
                return false;
            }
            self.taken += step;
        }
        bytes <= self.taken
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}

impl Filling {
    /// Keeps at most `most` bytes of the body, and no more than there is in the budget.
    pub(super) fn new(body: Body, budget: Arc<Budget>, most: u64) -> Self {
        let length = body.size_hint().exact();
        let taken = 0;
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                body: Some(body),
                chunks: VecDeque::new(),
                first: 0,
                kept: 0,
                come: 0,
                end: None,
                readers: Readers::default(),
                is_whole: true,
                room: Room {
                    budget,
                    taken,
                    most,
                },
            }),
            waiting: Mutex::default(),
            alone: Notify::new(),
            length,
        }))
    }

    /// One more client; `None` if its beginning has gone, or it has failed.
    pub(super) fn join(&self) -> Option<Reader> {
        self.reader(false)
    }

    /// For the store: its body fails when not all of it can be kept, and when no client is left and most of it is still to come.
    pub(super) fn keeper(&self) -> Option<Reader> {
        self.reader(true)
    }

    fn reader(&self, is_keeper: bool) -> Option<Reader> {
        let mut state = self.0.lock();
        if !state.is_whole || matches!(state.end, Some(Err(_))) {
            return None;
        }
        Some(Reader {
            number: state.readers.add(is_keeper),
            shared: self.0.clone(),
            left: self.0.length,
            is_keeper,
        })
    }

    /// Waits until there has been a client and the last one has gone.
    pub(super) async fn is_alone(&self) {
        self.0.alone.notified().await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(usize, Waker)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, number: usize, waker: &Waker) {
        let mut waiting = self.waiting();
        match waiting.iter_mut().find(|(of, _)| *of == number) {
            Some((_, before)) => before.clone_from(waker),
            None => waiting.push((number, waker.clone())),
        }
    }

    fn wake_all(&self) {
        // Waking may run anything.
        let woken = std::mem::take(&mut *self.waiting());
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl State {
    /// What this reader has next, if it is there.
    fn next(&mut self, number: usize) -> Option<Option<Result<Frame<Bytes>, Error>>> {
        let next = self.readers.next(number);
        let Some(at) = next.checked_sub(self.first) else {
            let error = Error::new(ErrorKind::Internal);
            return Some(Some(Err(error.with_source("the client is too far behind"))));
        };
        if let Some(chunk) = self.chunks.get(at as usize) {
            let chunk = chunk.clone();
            self.readers.advance(number);
            self.forget();
            return Some(Some(Ok(Frame::data(chunk))));
        }
        let end = match self.end.as_ref()? {
            Err(error) => Some(Err(error.clone())),
            Ok(Some(trailers)) if self.readers.ends(number) => {
                Some(Ok(Frame::trailers(trailers.clone())))
            }
            Ok(_) => None,
        };
        Some(end)
    }

    fn take(&mut self, polled: Option<Result<Frame<Bytes>, Error>>) {
        match polled {
            None => self.end = Some(Ok(None)),
            Some(Err(error)) => self.end = Some(Err(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => self.push(chunk),
                Err(frame) => self.end = Some(Ok(frame.into_trailers().ok())),
            },
        }
        if self.end.is_some() {
            self.body = None;
        }
    }

    fn push(&mut self, chunk: Bytes) {
        let bytes = chunk.len() as u64;
        self.come += bytes;
        self.kept += bytes;
        self.chunks.push_back(chunk);
        if self.is_whole && !self.room.fits(self.kept) {
            self.is_whole = false;
        }
        self.forget();
    }

    /// Lets go of what nobody needs, and of what there is no room for: but not of what has come last.
    fn forget(&mut self) {
        if self.is_whole {
            return;
        }
        let slowest = self.readers.slowest();
        while let Some(chunk) = self.chunks.front() {
            let is_needed = slowest.is_some_and(|slowest| slowest <= self.first);
            let room = self.room.taken.max(LEAST);
            if is_needed && (self.kept <= room || self.chunks.len() == 1) {
                return;
            }
            self.kept -= chunk.len() as u64;
            self.chunks.pop_front();
            self.first += 1;
        }
    }

    /// Whether the store can not have it all, or nobody but the store wants it and most is still to come.
    fn is_given_up(&self, length: Option<u64>) -> bool {
        let is_far = length.is_some_and(|length| self.come < length / 2);
        !self.is_whole || self.end.is_none() && !self.readers.has_clients() && is_far
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        loop {
            if self.is_keeper && state.is_given_up(shared.length) {
                let error = Error::new(ErrorKind::Internal);
                return Poll::Ready(Some(Err(error.with_source("it is not to be stored"))));
            }
            if let Some(next) = state.next(self.number) {
                if let (Some(Ok(frame)), Some(left)) = (&next, &mut self.left) {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    *left = left.saturating_sub(bytes as u64);
                }
                return Poll::Ready(next);
            }
            shared.wait(self.number, cx.waker());
            // Taken out for the poll: one that panics is not asked again.
            let polled = match state.body.take() {
                Some(mut body) => {
                    let waker = Waker::from(shared.clone());
                    let polled = Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
                    state.body = Some(body);
                    polled
                }
                None => Poll::Ready(Some(Err(ErrorKind::Internal.into()))),
            };
            let Poll::Ready(polled) = polled else {
                return Poll::Pending;
            };
            state.take(polled);
            drop(state);
            shared.waiting().retain(|(of, _)| *of != self.number);
            shared.wake_all();
            state = shared.lock();
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        let all = state.first + state.chunks.len() as u64;
        matches!(state.end, Some(Ok(None))) && state.readers.next(self.number) == all
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let is_last = {
            let mut state = self.shared.lock();
            state.readers.remove(self.number);
            state.forget();
            !self.is_keeper && !state.readers.has_clients()
        };
        self.shared.waiting().retain(|(of, _)| *of != self.number);
        if is_last {
            self.shared.alone.notify_one();
        }
        // It may have been the one that the body would have woken.
        self.shared.wake_all();
    }
}
