//! The atomics and the lock of the circuit, by names that a model checker can put its own types under.

pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering, fence},
};
