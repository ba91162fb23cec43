//! What the store synchronises with. The model check puts its own in the place of this, and a smaller page.

use std::sync::{LockResult, PoisonError};
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

/// Lines of a page: what it grows to first, and then. With its first slots these are 1,023 slots.
pub(super) const FEW: usize = 4;
pub(super) const MANY: usize = 251;

/// What is in a lock, whoever may have panicked with it: nothing here does.
pub(super) fn unpoisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
