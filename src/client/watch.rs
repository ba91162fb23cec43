//! How long a request and its answer may take.

#[cfg(feature = "http2")]
use std::sync::Arc;
use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

#[cfg(feature = "http2")]
use super::exchange::Upload;
use crate::{
    clock,
    error::{Error, ErrorKind},
    timer::Timer,
};

/// How long a request may take. `None`: as long as it likes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// From the last byte of the request to the head of the answer.
    pub(crate) head: Option<Duration>,
    /// Without a byte in either direction.
    pub(crate) activity: Option<Duration>,
    /// For all of it.
    pub(crate) deadline: Option<Instant>,
}

/// The clock of one exchange. It is read only when there is something to wait for.
pub(crate) struct Watch {
    limits: Limits,
    /// Since when nothing has moved; `None`: something has, since the last look.
    silent: Option<Instant>,
    /// When the last byte of the request had gone out.
    sent: Option<Instant>,
    stage: Stage,
    #[cfg(feature = "http2")]
    upload: Option<Arc<Upload>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sending,
    Sent,
    Headed,
}

impl Watch {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            silent: None,
            sent: None,
            stage: Stage::Sending,
            #[cfg(feature = "http2")]
            upload: None,
        }
    }

    /// Looks at the progress of a body that a connection's own task sends.
    #[cfg(feature = "http2")]
    pub(crate) fn follow(&mut self, upload: Arc<Upload>) {
        self.upload = Some(upload);
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Starts anew, for the same request on another connection.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.limits);
    }

    /// A byte has moved.
    pub(crate) fn moved(&mut self) {
        self.silent = None;
    }

    /// The request has gone out as a whole.
    pub(crate) fn sent(&mut self) {
        if self.stage == Stage::Sending {
            self.stage = Stage::Sent;
        }
    }

    /// The answer's head has come.
    pub(crate) fn headed(&mut self) {
        self.stage = Stage::Headed;
        self.silent = None;
    }

    /// Whether the time for the whole is over. An answer that never stops coming never lets the timer run.
    pub(crate) fn is_over(&self) -> bool {
        self.limits
            .deadline
            .is_some_and(|deadline| deadline <= clock::now())
    }

    /// Ready with the error when a limit has passed; until then the task is woken in time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<Error> {
        #[cfg(feature = "http2")]
        if let Some(upload) = &self.upload
            && self.limits.head.is_some()
            && self.stage != Stage::Headed
        {
            upload.wake_at_end(cx.waker());
        }
        loop {
            let Some((due, kind)) = self.due() else {
                return Poll::Pending;
            };
            if timer.poll(cx, due).is_pending() {
                return Poll::Pending;
            }
            // A frame may have moved the moment on while the timer slept.
            if self.due().is_some_and(|(later, _)| later <= due) {
                return Poll::Ready(Error::new(kind));
            }
        }
    }

    /// The same for the time for the whole alone: while a client does not read, silence is not the endpoint's.
    pub(crate) fn poll_whole(&self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<Error> {
        match self.limits.deadline {
            Some(deadline) => timer
                .poll(cx, deadline)
                .map(|()| ErrorKind::Deadline.into()),
            None => Poll::Pending,
        }
    }

    fn due(&mut self) -> Option<(Instant, ErrorKind)> {
        let last = *self.silent.get_or_insert_with(clock::now);
        #[cfg(feature = "http2")]
        let last = self.upload.as_ref().map_or(last, |upload| {
            if upload.is_ended() && self.stage == Stage::Sending {
                self.stage = Stage::Sent;
            }
            last.max(upload.last())
        });
        let silence = self
            .limits
            .activity
            .and_then(|limit| Some((last.checked_add(limit)?, ErrorKind::Timeout)));
        let whole = self
            .limits
            .deadline
            .map(|deadline| (deadline, ErrorKind::Deadline));
        let head = match self.limits.head {
            Some(limit) if self.stage == Stage::Sent => {
                let sent = *self.sent.get_or_insert(last);
                sent.checked_add(limit).map(|due| (due, ErrorKind::Timeout))
            }
            _ => None,
        };
        [silence, whole, head]
            .into_iter()
            .flatten()
            .min_by_key(|(due, _)| *due)
    }
}

#[cfg(feature = "http2")]
impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            upload.stop();
        }
    }
}
