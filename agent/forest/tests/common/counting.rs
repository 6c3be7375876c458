//! A counting allocator: how often this thread has allocated, and how many bytes it holds.
//!
//! The counts are the thread's own, so that neither locks nor other tests disturb them.
#![allow(unsafe_code, reason = "an allocator is an unsafe trait; this one hands every call on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread so far; one that grows counts too.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Bytes this thread has allocated and not given back.
pub(crate) fn bytes_held() -> i64 {
    HELD.get()
}

/// Most bytes this thread has held at once, above what it held before, while it did `work`.
#[allow(dead_code, reason = "the benchmark does not ask")]
pub(crate) fn most_held(work: impl FnOnce()) -> i64 {
    let before = HELD.get();
    MOST.set(before);
    work();
    MOST.get() - before
}

struct Counting;

// SAFETY: every call goes to the system's allocator with the arguments it came with, and its answer is returned as it is.
// The counters need no allocation themselves: they are set up at compile time and have nothing to drop.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller keeps the promises of `dealloc`, and all places come from the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(1, new_size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the promises of `realloc`, and all places come from the system's allocator.
        unsafe { System.realloc(place, layout, new_size) }
    }
}

fn count(allocations: u64, bytes: i64) {
    ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
    HELD.set(HELD.get() + bytes);
    MOST.set(MOST.get().max(HELD.get()));
}
