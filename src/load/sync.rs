//! What the core synchronises with. The model check puts its own in the place of this.

use std::sync::{LockResult, PoisonError};
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// The state of a lock, whoever may have panicked with it: each change of it is whole.
pub(crate) fn unpoisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
