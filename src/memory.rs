//! Memory that is used again.
//!
//! A training step allocates and frees the same large buffers as the step before. Handing them back to
//! the system each time means that every page of them is unmapped, mapped and zeroed again, which costs
//! as much as computing on them. [`Recycling`] keeps large blocks that are freed and hands them out
//! again. What it holds is at most half as much again as was once in use at the same time: sizes come
//! and go in the course of a step, and less would mean that some are mapped anew in every step.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mimalloc::MiMalloc;

/// Where small blocks come from.
const SMALL: MiMalloc = MiMalloc;
/// Blocks from this size on are recycled.
const LARGE: usize = 1 << 16;
/// Blocks from this size on are made of huge pages, where the system has them.
const HUGE_PAGE: usize = 2 << 20;
/// Sizes of blocks between a power of two and the next.
const STEPS: usize = 4;
/// Powers of two from [`LARGE`] on.
const POWERS: usize = 24;
const CLASSES: usize = POWERS * STEPS;
/// Blocks of one size that are kept, at most: a deep network has a few of its usual size for each layer.
const KEPT: usize = 256;
/// What may be held in any case.
const SLACK: usize = 32 << 20;

/// An allocator for programs that train: `#[global_allocator] static A: Recycling = Recycling::new();`.
///
/// Small blocks, and such as need an unusual alignment, are mimalloc's business: planning thousands of
/// stages is a matter of small blocks, and takes a fifth longer with the system's own allocator.
pub struct Recycling {
    large: Mutex<Large>,
}

struct Large {
    /// Bytes in use and the most there ever were.
    used: usize,
    peak: usize,
    /// Bytes kept for later.
    kept: usize,
    classes: [Class; CLASSES],
}

/// Blocks of one size that nobody uses.
#[derive(Clone, Copy)]
struct Class {
    blocks: [*mut u8; KEPT],
    len: usize,
}

// SAFETY: blocks that are kept belong to the allocator alone.
unsafe impl Send for Large {}

/// The class of blocks of at least `size` bytes, and their size.
fn class(size: usize) -> Option<(usize, usize)> {
    let power = size.max(LARGE).ilog2();
    let step = (1usize << power) / STEPS;
    let steps = size.max(LARGE).div_ceil(step);
    let index = (power - LARGE.ilog2()) as usize * STEPS + steps - STEPS;
    (index < CLASSES).then_some((index, steps * step))
}

/// The class that a block belongs to, if it is to be recycled.
fn class_of(layout: Layout) -> Option<(usize, usize)> {
    if layout.size() < LARGE || layout.align() > 4096 {
        return None;
    }
    class(layout.size())
}

/// How a block of a class is asked for from the system.
fn block(size: usize) -> Layout {
    let align = if size >= HUGE_PAGE { HUGE_PAGE } else { 4096 };
    // SAFETY: the alignment is a power of two, and a size of a class is far from the largest.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

impl Recycling {
    /// An allocator that keeps nothing yet.
    pub const fn new() -> Self {
        const EMPTY: Class = Class {
            blocks: [ptr::null_mut(); KEPT],
            len: 0,
        };
        Self {
            large: Mutex::new(Large {
                used: 0,
                peak: 0,
                kept: 0,
                classes: [EMPTY; CLASSES],
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Large> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of a class, of any content.
    fn take(&self, index: usize, size: usize) -> *mut u8 {
        let mut large = self.lock();
        large.used += size;
        large.peak = large.peak.max(large.used);
        if let Some(kept) = large.classes[index].pop() {
            large.kept -= size;
            return kept;
        }
        large.release();
        drop(large);
        // SAFETY: the size is not 0.
        let fresh = unsafe { System.alloc(block(size)) };
        if fresh.is_null() {
            self.lock().used -= size;
        } else if size >= HUGE_PAGE {
            prefer_huge_pages(fresh, size);
        }
        fresh
    }

    fn put(&self, pointer: *mut u8, index: usize, size: usize) {
        let mut large = self.lock();
        large.used -= size;
        if large.classes[index].push(pointer) {
            large.kept += size;
        } else {
            drop(large);
            // SAFETY: `take` got the block from the system by the same layout.
            unsafe { System.dealloc(pointer, block(size)) };
        }
    }
}

impl Default for Recycling {
    fn default() -> Self {
        Self::new()
    }
}

impl Large {
    /// Gives blocks back to the system until no more is held than may be, the largest first.
    fn release(&mut self) {
        let allowed = self.peak + self.peak / 2 + SLACK;
        for index in (0..CLASSES).rev() {
            let size = (LARGE << (index / STEPS)) / STEPS * (index % STEPS + STEPS);
            while self.used + self.kept > allowed {
                let Some(pointer) = self.classes[index].pop() else {
                    break;
                };
                self.kept -= size;
                // SAFETY: `take` got the block from the system by the same layout.
                unsafe { System.dealloc(pointer, block(size)) };
            }
        }
    }
}

impl Class {
    fn pop(&mut self) -> Option<*mut u8> {
        self.len = self.len.checked_sub(1)?;
        Some(self.blocks[self.len])
    }

    /// Whether there was room.
    fn push(&mut self, pointer: *mut u8) -> bool {
        let Some(place) = self.blocks.get_mut(self.len) else {
            return false;
        };
        *place = pointer;
        self.len += 1;
        true
    }
}

#[cfg(target_os = "linux")]
fn prefer_huge_pages(pointer: *mut u8, size: usize) {
    // SAFETY: the block is the caller's, and the advice changes no contents. Without huge pages the
    // memory is as good as before, so an error means nothing.
    let _ = unsafe { rustix::mm::madvise(pointer.cast(), size, rustix::mm::Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn prefer_huge_pages(_pointer: *mut u8, _size: usize) {}

// SAFETY: a block is either the system allocator's for the very layout, or one of at least the size and
// alignment that was asked for, which nobody else has until it is freed.
unsafe impl GlobalAlloc for Recycling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some((index, size)) => self.take(index, size),
            // SAFETY: the caller's.
            None => unsafe { SMALL.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some((index, size)) => {
                let pointer = self.take(index, size);
                if !pointer.is_null() {
                    // SAFETY: the block has at least this size.
                    unsafe { ptr::write_bytes(pointer, 0, layout.size()) };
                }
                pointer
            }
            // SAFETY: the caller's.
            None => unsafe { SMALL.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match class_of(layout) {
            Some((index, size)) => self.put(pointer, index, size),
            // SAFETY: the caller's.
            None => unsafe { SMALL.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that makes a layout.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class_of(layout), class_of(new)) {
            // SAFETY: the caller's.
            (None, None) => unsafe { SMALL.realloc(pointer, layout, size) },
            (Some(old), Some(new)) if old == new => pointer,
            _ => {
                // SAFETY: both blocks have the bytes that are copied, and the old one was allocated
                // here; the rest is the caller's.
                unsafe {
                    let target = self.alloc(new);
                    if !target.is_null() {
                        ptr::copy_nonoverlapping(pointer, target, layout.size().min(size));
                        self.dealloc(pointer, layout);
                    }
                    target
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 16).expect("valid")
    }

    #[test]
    fn sizes_are_rounded_up_by_a_quarter_at_most() {
        for size in [
            LARGE,
            LARGE + 1,
            3 << 20,
            (3 << 20) + 12345,
            37 << 20,
            1 << 30,
            (1 << 31) - 1,
        ] {
            let (index, rounded) = class(size).expect("known");
            assert!(
                rounded >= size && rounded <= size + size / STEPS,
                "{size}: {rounded}"
            );
            let (again, same) = class(rounded).expect("known");
            assert_eq!((again, same), (index, rounded));
            assert_eq!(
                (LARGE << (index / STEPS)) / STEPS * (index % STEPS + STEPS),
                rounded
            );
        }
        assert_eq!(class(usize::MAX / 2), None);
        assert!(class_of(layout(LARGE - 1)).is_none());
    }

    #[test]
    fn blocks_are_used_again_and_zeroed_when_asked() {
        let memory = Recycling::new();
        let size = 5 << 20;
        // SAFETY: sizes are not 0, and pointers are used within them while allocated.
        unsafe {
            let first = memory.alloc(layout(size));
            first.write_bytes(7, size);
            memory.dealloc(first, layout(size));
            let again = memory.alloc_zeroed(layout(size - 100));
            assert_eq!(again, first);
            assert!((0..size - 100).all(|index| again.add(index).read() == 0));
            memory.dealloc(again, layout(size - 100));
        }
        assert_eq!(memory.lock().used, 0);
        assert_eq!(memory.lock().kept, size);
    }

    #[test]
    fn contents_move_with_a_block() {
        let memory = Recycling::new();
        // SAFETY: as above.
        unsafe {
            let mut size = 1000;
            let mut pointer = memory.alloc(layout(size));
            for index in 0..size {
                pointer.add(index).write(index as u8);
            }
            for next in [LARGE, LARGE + 5, 4 * LARGE, 3 << 20, 1000] {
                pointer = memory.realloc(pointer, layout(size), next);
                size = next;
                assert!((0..1000).all(|index| pointer.add(index).read() == index as u8));
            }
            memory.dealloc(pointer, layout(size));
        }
        assert_eq!(memory.lock().used, 0);
    }

    #[test]
    fn no_more_is_held_than_was_once_in_use() {
        let memory = Recycling::new();
        // SAFETY: as above.
        unsafe {
            for size in (1..100).map(|number| number << 20) {
                let pointer = memory.alloc(layout(size));
                memory.dealloc(pointer, layout(size));
                let large = memory.lock();
                assert!(large.kept <= large.peak + large.peak / 2 + SLACK + size);
            }
        }
        let large = memory.lock();
        assert!(
            large.kept <= 2 * large.peak,
            "{} kept, {} in use at most",
            large.kept,
            large.peak
        );
    }
}
