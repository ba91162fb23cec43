//! A request's body that can be sent once more: recorded while the first try sends it, up to a limit.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// A body, and what its readers have read of it. Dropped, it stops to record: the answer is there.
pub(super) struct Recording(Arc<Mutex<Tape>>);

struct Tape {
    source: Body,
    /// The source has given its end, or its failure.
    is_ended: bool,
    /// All that was read is here.
    is_whole: bool,
    /// What may still be recorded, in bytes.
    left: usize,
    /// What was read, for the readers to come; and behind it what was read since the last of them came.
    frozen: Vec<Bytes>,
    fresh: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// The first and the last reader that may read.
    readers: (u32, u32),
    waker: Option<Waker>,
}

/// One reader: it gives what was recorded, and then goes on with the rest of the source.
struct Reader {
    tape: Arc<Mutex<Tape>>,
    number: u32,
    /// How many bytes of the recording it has given.
    at: usize,
    gave_trailers: bool,
}

impl Recording {
    /// Records at most `limit` bytes. A body that says that it is larger is not recorded at all: it can be sent again for as
    /// long as nobody has read of it.
    pub(super) fn new(source: Body, limit: usize) -> Self {
        let is_larger = source.size_hint().lower() > limit as u64;
        Self(Arc::new(Mutex::new(Tape {
            source,
            is_ended: false,
            is_whole: true,
            left: if is_larger { 0 } else { limit },
            frozen: Vec::new(),
            fresh: Vec::new(),
            trailers: None,
            readers: (0, 0),
            waker: None,
        })))
    }

    /// The first reader.
    pub(super) fn first(&self) -> Body {
        self.reader(0)
    }

    /// Whether it can be read from the beginning once more.
    pub(super) fn is_replayable(&self) -> bool {
        self.lock().is_whole
    }

    /// Whether two can read it at once, because nobody has to wait for the rest of it.
    pub(super) fn is_complete(&self) -> bool {
        let tape = self.lock();
        tape.is_whole && (tape.is_ended || tape.source.is_end_stream())
    }

    /// One more reader, from the beginning, instead of all others: whoever still holds one of them reads an error.
    pub(super) fn again(&self) -> Body {
        self.freeze(|next| (next, next))
    }

    /// One more reader, from the beginning, beside the last one.
    pub(super) fn beside(&self) -> Body {
        self.freeze(|next| (next - 1, next))
    }

    fn freeze(&self, readers: impl FnOnce(u32) -> (u32, u32)) -> Body {
        let mut tape = self.lock();
        if !tape.fresh.is_empty() {
            let fresh = std::mem::take(&mut tape.fresh);
            tape.frozen.push(fresh.into());
        }
        let number = tape.readers.1 + 1;
        tape.readers = readers(number);
        let waker = tape.waker.take();
        drop(tape);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.reader(number)
    }

    fn reader(&self, number: u32) -> Body {
        Body::boxed(Reader {
            tape: self.0.clone(),
            number,
            at: 0,
            gave_trailers: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Tape> {
        lock(&self.0)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.lock().forget();
    }
}

fn lock(tape: &Mutex<Tape>) -> MutexGuard<'_, Tape> {
    tape.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tape {
    /// Records no more. What there is stays for whoever has not read it yet.
    fn forget(&mut self) {
        self.is_whole = false;
        self.fresh = Vec::new();
    }

    /// How many bytes readers have that come later than those who read them first.
    fn recorded(&self) -> usize {
        self.frozen.iter().map(Bytes::len).sum()
    }

    /// What was recorded behind so many bytes.
    fn recorded_from(&self, mut at: usize) -> Option<Bytes> {
        for part in &self.frozen {
            if at < part.len() {
                return Some(part.slice(at..));
            }
            at -= part.len();
        }
        None
    }

    fn record(&mut self, data: &[u8]) {
        if !self.is_whole {
            return;
        }
        let Some(left) = self.left.checked_sub(data.len()) else {
            return self.forget();
        };
        let needed = self.fresh.len() + data.len();
        if needed > self.fresh.capacity() {
            // All at once if the source says how much there will be, else twice as much each time; never above the limit.
            let rest = self
                .source
                .size_hint()
                .exact()
                .unwrap_or(self.fresh.len() as u64);
            let spare = usize::try_from(rest).unwrap_or(left).min(left);
            self.fresh.reserve_exact(data.len() + spare);
        }
        self.fresh.extend_from_slice(data);
        self.left = left;
    }

    fn record_trailers(&mut self, trailers: &HeaderMap) {
        if !self.is_whole {
            return;
        }
        let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len()
        };
        match self.left.checked_sub(trailers.iter().map(size).sum()) {
            Some(left) => {
                self.left = left;
                self.trailers = Some(trailers.clone());
            }
            None => self.forget(),
        }
    }

    /// The next frame of the source, which is recorded.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        // A source that panics has ended, and what is there of it is not the whole.
        let was_whole = std::mem::replace(&mut self.is_whole, false);
        self.is_ended = true;
        let polled = Pin::new(&mut self.source).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => self.forget(),
            Poll::Ready(None) => self.is_whole = was_whole,
            Poll::Pending => {
                (self.is_whole, self.is_ended) = (was_whole, false);
                self.waker = Some(cx.waker().clone());
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.is_whole = was_whole;
                self.is_ended = frame.is_trailers();
                if let Some(data) = frame.data_ref() {
                    self.record(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.record_trailers(trailers);
                }
            }
        }
        polled
    }
}

impl Reader {
    fn may_read(&self, tape: &Tape) -> bool {
        (tape.readers.0..=tape.readers.1).contains(&self.number)
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let mut tape = lock(&this.tape);
        if !this.may_read(&tape) {
            let error = Error::new(ErrorKind::Internal);
            return Poll::Ready(Some(Err(error.with_source("another try sends this body"))));
        }
        if let Some(data) = tape.recorded_from(this.at) {
            this.at += data.len();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !tape.is_whole && tape.readers.0 == tape.readers.1 {
            // Nobody else will want it.
            tape.frozen.clear();
        }
        if tape.is_ended
            && !this.gave_trailers
            && let Some(trailers) = tape.trailers.clone()
        {
            this.gave_trailers = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let polled = tape.poll_source(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            // So that it does not read it again when it has become part of the recording.
            this.at += frame.data_ref().map_or(0, Bytes::len);
            this.gave_trailers |= frame.is_trailers();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let tape = lock(&self.tape);
        self.may_read(&tape)
            && self.at >= tape.recorded()
            && (self.gave_trailers || tape.trailers.is_none())
            && (tape.is_ended || tape.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let tape = lock(&self.tape);
        let recorded = tape.recorded().saturating_sub(self.at) as u64;
        let rest = tape.source.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(recorded));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(recorded)) {
            hint.set_upper(upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests;
