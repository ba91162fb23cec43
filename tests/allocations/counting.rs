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

// It has no destructor, so that it is there as long as its thread allocates.
thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// How often this thread has asked for memory, to let some grow included.
pub fn calls() -> usize {
    CALLS.get()
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}
