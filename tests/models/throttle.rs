//! The places of the local store: single limits are checked without a lock, beside others that take places away and check several
//! limits at once.

#[path = "../../src/throttle/algorithm.rs"]
mod algorithm;
#[allow(dead_code, reason = "what clients are told")]
#[path = "../../src/throttle/decision.rs"]
mod decision;
#[allow(dead_code, reason = "what tests need")]
#[path = "../../src/throttle/gcra.rs"]
mod gcra;
#[allow(dead_code, reason = "names and settings")]
#[path = "../../src/throttle/policy.rs"]
mod policy;
#[allow(dead_code, reason = "not all of it is modelled")]
#[path = "../../src/throttle/window.rs"]
mod window;

#[allow(dead_code, reason = "not all of it is modelled")]
#[path = "../../src/throttle/store"]
mod store {
    mod limiter;
    #[path = "../../../tests/models/throttle/store.rs"]
    mod models;
    mod stripe;
    mod table;

    mod sync {
        pub(super) use loom::sync::{
            Mutex, MutexGuard,
            atomic::{AtomicU64, Ordering},
        };

        pub(super) const FEW: usize = 1;
        pub(super) const MANY: usize = 1;

        pub(super) fn unpoisoned<T>(locked: std::sync::LockResult<T>) -> T {
            locked.unwrap()
        }
    }
}
