//! A task beside the requests, that ends with whom it works for.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

/// At most one task at a time. Dropped, it ends the task.
#[derive(Default)]
pub(crate) struct Background {
    runs: Arc<AtomicBool>,
    task: Mutex<Option<AbortHandle>>,
    bell: Option<Bell>,
}

type Bell = Arc<watch::Sender<()>>;

impl Background {
    /// Rings the bell when the task was dropped before it was done, so that whoever waits for it starts it anew.
    #[cfg_attr(not(feature = "auth"), allow(dead_code, reason = "keys need it"))]
    pub(crate) fn with_bell(bell: Bell) -> Self {
        let mut background = Self::default();
        background.bell = Some(bell);
        background
    }

    /// Starts the task if it does not run, which is so at first, and when the runtime that it ran on has ended. Outside of a
    /// runtime nothing happens. The task must not keep its owner alive.
    pub(crate) fn ensure<F>(&self, task: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.runs.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.runs.swap(true, Ordering::Relaxed) {
            return;
        }
        let running = Running(Some((self.runs.clone(), self.bell.clone())));
        let task = task();
        let handle = runtime.spawn(async move {
            task.await;
            running.end();
        });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.abort_handle());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

/// Says so when a task is dropped before it has ended.
struct Running(Option<(Arc<AtomicBool>, Option<Bell>)>);

impl Running {
    /// The task has nothing more to do, and is not to be started again.
    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((runs, bell)) = &self.0 {
            runs.store(false, Ordering::Relaxed);
            if let Some(bell) = bell {
                bell.send_replace(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::{runtime::Builder, sync::oneshot};

    use super::*;

    #[test]
    fn it_runs_once_and_again_on_another_runtime() {
        let background = Background::default();
        let starts = Arc::new(AtomicUsize::new(0));
        let start = || {
            let starts = starts.clone();
            background.ensure(move || async move {
                starts.fetch_add(1, Ordering::Relaxed);
                std::future::pending().await
            });
        };
        start();
        for expected in [1, 2] {
            let runtime = Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                start();
                start();
                tokio::task::yield_now().await;
            });
            assert_eq!(starts.load(Ordering::Relaxed), expected);
        }
    }

    #[tokio::test]
    async fn it_ends_with_its_owner_and_does_not_begin_anew_when_done() {
        let background = Background::default();
        let (held, ended) = oneshot::channel::<()>();
        background.ensure(move || async move {
            let _held = held;
            std::future::pending().await
        });
        drop(background);
        assert!(ended.await.is_err());

        let background = Background::default();
        for expected in [true, false] {
            let (done, was_done) = oneshot::channel::<()>();
            background.ensure(move || async move {
                let _ = done.send(());
            });
            assert_eq!(was_done.await.is_ok(), expected);
        }
    }
}
