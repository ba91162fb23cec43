//! What the store synchronises with. The model check puts its own in the place of this, and a smaller page.

use std::sync::{LockResult, PoisonError};
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

/// Lines of a page.
pub(super) const LINES: usize = 255;

/// What is in a lock, whoever may have panicked with it: nothing here does.
pub(super) fn unpoisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
