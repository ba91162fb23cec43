//! An allocator that counts for each thread by itself, so that tests beside each other do not disturb the figures.

#![expect(
    unsafe_code,
    reason = "a global allocator can not be written without; this one counts and passes on"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// They have no destructor, so that they are there as long as their thread allocates.
thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// How often this thread has asked for memory, to let some grow included.
pub fn calls() -> usize {
    CALLS.get()
}

/// How much it has asked for, with what it has given back.
pub fn bytes() -> usize {
    BYTES.get()
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        BYTES.set(BYTES.get().saturating_add(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}
