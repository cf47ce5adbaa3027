//! Memory that is used again.
//!
//! A training step allocates and frees the same large buffers as the step before. Handing them back to
//! the system each time means that every page of them is unmapped, mapped and zeroed again, which costs
//! as much as computing on them. [`Recycling`] keeps large blocks that are freed and hands them out
//! again. What it holds is at most half as much again as was once in use at the same time: sizes come
//! and go in the course of a step, and less would mean that some are mapped anew in every step.
//!
//! A program that has loaded what it answers from, and does the same small thing from then on, says so with
//! [`settle`]: it then holds little more than it uses.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

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
/// What may be held beside the most that was ever in use, once the program has settled.
const SETTLED_SLACK: usize = 2 << 20;

/// The program's own allocator.
static REGISTERED: OnceLock<&Recycling> = OnceLock::new();

/// Says that what was done until now does not come again, as loading a model does not: gives back to the system what is
/// kept of it, and keeps from now on little more than is once in use at the same time. On Linux the pages of the program's
/// code leave its memory too, to come back as they are needed: most of them are those of a beginning.
///
/// It may be said again, after another load. In a program that has registered no [`Recycling`] nothing is done.
pub fn settle() {
    if let Some(memory) = REGISTERED.get() {
        memory.settle();
        trim_small();
        leave_code();
    }
}

/// Gives back what the allocators of small blocks keep.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim_small() {
    // SAFETY: what is given back is part of no block, and it may be called at any time.
    unsafe {
        malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim_small() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn malloc_trim(pad: usize) -> std::ffi::c_int;
}

#[cfg(not(target_os = "linux"))]
fn leave_code() {}

/// Takes the program's code out of its memory. It is read again from the file, or from what the system keeps of it.
#[cfg(target_os = "linux")]
fn leave_code() {
    let program = std::fs::read_link("/proc/self/exe");
    let (Ok(program), Ok(maps)) = (program, std::fs::read_to_string("/proc/self/maps")) else {
        return;
    };
    let Some(program) = program.to_str() else { return };
    for map in maps.lines().filter(|map| map.ends_with(program)) {
        let mut words = map.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        let bounds = range.split_once('-').and_then(|(from, to)| {
            let from = usize::from_str_radix(from, 16).ok()?;
            Some((from, usize::from_str_radix(to, 16).ok()?.checked_sub(from)?))
        });
        if let (Some((from, len)), "r-xp") = (bounds, rights) {
            let code = ptr::with_exposed_provenance_mut(from);
            // SAFETY: code is as it is in the file, which cannot be changed while it runs, and comes back from there.
            // That it is told in vain would change nothing.
            let _ = unsafe { rustix::mm::madvise(code, len, rustix::mm::Advice::LinuxDontNeed) };
        }
    }
}

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
    /// Whether the program has settled.
    settled: bool,
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

/// Blocks from this size on begin with a line of the caches: vectors that lie in two of them cost kernels up to a third of
/// their time, and threads that write neighbouring values would take a line from each other.
const IN_LINES: usize = 1 << 10;
const LINE: usize = 64;

/// What is asked for of the allocator of small blocks, which needs no alignment to take a block back.
fn in_lines(layout: Layout) -> Layout {
    match layout.size() < IN_LINES {
        true => layout,
        false => layout.align_to(LINE).unwrap_or(layout),
    }
}

/// A block of a class that nobody has used: zeros, of which no page takes memory before it is written. `wanted` bytes of it
/// are used at first.
///
/// It is mapped by itself, and so goes back to the system as soon as it is freed. The system's allocator puts smaller ones
/// side by side and keeps them where some that lie between are in use.
fn fresh(size: usize, wanted: usize) -> *mut u8 {
    if size < HUGE_PAGE {
        return map(size);
    }
    let pages = map_aligned(size);
    if !pages.is_null() {
        prefer_huge_pages(pages, wanted);
    }
    pages
}

/// Gives a block of a class back to the system.
///
/// # Safety
/// [`fresh`] gave it for the same size, and nobody uses it.
unsafe fn give_back(pointer: *mut u8, size: usize) {
    // SAFETY: the caller's. Where the system does not take it, it stays.
    let _ = unsafe { rustix::mm::munmap(pointer.cast(), size) };
}

/// New pages; null where there are none.
fn map(size: usize) -> *mut u8 {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the system chooses where, so that nothing else is there.
    let mapped = unsafe { mmap_anonymous(ptr::null_mut(), size, rights, MapFlags::PRIVATE) };
    mapped.map_or(ptr::null_mut(), <*mut _>::cast)
}

/// The same, which begin where a huge page may.
fn map_aligned(size: usize) -> *mut u8 {
    let mapped = map(size + HUGE_PAGE);
    if mapped.is_null() {
        return mapped;
    }
    let before = mapped.align_offset(HUGE_PAGE);
    // SAFETY: within what was mapped, of which nobody else knows; where the system does not take it, it stays.
    unsafe {
        let pages = mapped.add(before);
        if before > 0 {
            give_back(mapped, before);
        }
        if before < HUGE_PAGE {
            give_back(pages.add(size), HUGE_PAGE - before);
        }
        pages
    }
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
                settled: false,
                classes: [EMPTY; CLASSES],
            }),
        }
    }

    /// Makes it the one that [`settle`] is about. The first one stays.
    pub fn register(&'static self) {
        let _ = REGISTERED.set(self);
    }

    /// Gives all that is kept back to the system, and forgets how much was in use.
    fn settle(&self) {
        let mut large = self.lock();
        large.settled = true;
        large.peak = large.used;
        let used = large.used;
        large.release_to(used);
    }

    fn lock(&self) -> MutexGuard<'_, Large> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of a class, of which `wanted` bytes are used at first, and whether it holds nothing but zeros.
    fn take(&self, index: usize, size: usize, wanted: usize) -> (*mut u8, bool) {
        let mut large = self.lock();
        large.used += size;
        large.peak = large.peak.max(large.used);
        if let Some(kept) = large.classes[index].pop() {
            large.kept -= size;
            return (kept, false);
        }
        large.release();
        drop(large);
        let fresh = fresh(size, wanted);
        if fresh.is_null() {
            self.lock().used -= size;
        }
        (fresh, true)
    }

    fn put(&self, pointer: *mut u8, index: usize, size: usize) {
        let mut large = self.lock();
        large.used -= size;
        if large.classes[index].push(pointer) {
            large.kept += size;
        } else {
            drop(large);
            // SAFETY: `take` got the block from the system for the same size.
            unsafe { give_back(pointer, size) };
        }
    }
}

impl Default for Recycling {
    fn default() -> Self {
        Self::new()
    }
}

impl Large {
    /// Gives blocks back to the system until no more is held than may be.
    fn release(&mut self) {
        self.release_to(match self.settled {
            false => self.peak + self.peak / 2 + SLACK,
            true => self.peak + SETTLED_SLACK,
        });
    }

    /// Gives blocks back to the system, the largest first, until no more than `allowed` bytes are held.
    fn release_to(&mut self, allowed: usize) {
        for index in (0..CLASSES).rev() {
            let size = (LARGE << (index / STEPS)) / STEPS * (index % STEPS + STEPS);
            while self.used + self.kept > allowed {
                let Some(pointer) = self.classes[index].pop() else {
                    break;
                };
                self.kept -= size;
                // SAFETY: `take` got the block from the system for the same size.
                unsafe { give_back(pointer, size) };
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

/// Has the first `len` bytes of a block be of huge pages: as many as are used as a whole.
#[cfg(target_os = "linux")]
fn prefer_huge_pages(pointer: *mut u8, len: usize) {
    let len = len / HUGE_PAGE * HUGE_PAGE;
    // SAFETY: the block is the caller's, and the advice changes no contents. Without huge pages the
    // memory is as good as before, so an error means nothing.
    let _ = unsafe { rustix::mm::madvise(pointer.cast(), len, rustix::mm::Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn prefer_huge_pages(_pointer: *mut u8, _len: usize) {}

// SAFETY: a block is either that of the allocator of small ones for the very layout, or one of at least the size and
// alignment that was asked for, which nobody else has until it is freed.
unsafe impl GlobalAlloc for Recycling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some((index, size)) => self.take(index, size, layout.size()).0,
            // SAFETY: the caller's.
            None => unsafe { SMALL.alloc(in_lines(layout)) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some((index, size)) => {
                let (pointer, is_zero) = self.take(index, size, layout.size());
                if !is_zero && !pointer.is_null() {
                    // SAFETY: the block has at least this size.
                    unsafe { ptr::write_bytes(pointer, 0, layout.size()) };
                }
                pointer
            }
            // SAFETY: the caller's.
            None => unsafe { SMALL.alloc_zeroed(in_lines(layout)) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match class_of(layout) {
            Some((index, size)) => self.put(pointer, index, size),
            // SAFETY: the caller's.
            None => unsafe { SMALL.dealloc(pointer, in_lines(layout)) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that makes a layout.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class_of(layout), class_of(new)) {
            // SAFETY: the caller's.
            (None, None) => unsafe { SMALL.realloc(pointer, in_lines(new), size) },
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
    fn fresh_blocks_are_zero_and_begin_where_huge_pages_may() {
        let memory = Recycling::new();
        // SAFETY: as above.
        unsafe {
            for size in [LARGE, HUGE_PAGE, (9 << 20) + 1] {
                let pointer = memory.alloc_zeroed(layout(size));
                assert!(size < HUGE_PAGE || pointer.addr().is_multiple_of(HUGE_PAGE));
                assert!((0..size).all(|index| pointer.add(index).read() == 0));
                pointer.write_bytes(7, size);
                memory.dealloc(pointer, layout(size));
            }
        }
    }

    #[test]
    fn who_has_settled_holds_no_more_than_is_used() {
        let memory = Recycling::new();
        // SAFETY: as above.
        unsafe {
            let stays = memory.alloc(layout(4 << 20));
            stays.write_bytes(7, 4 << 20);
            let loaded = [40, 8, 1].map(|mebibytes| layout(mebibytes << 20));
            let blocks = loaded.map(|layout| memory.alloc(layout));
            for (block, layout) in blocks.into_iter().zip(loaded) {
                memory.dealloc(block, layout);
            }
            assert_eq!(memory.lock().kept, 49 << 20);
            memory.settle();
            {
                let large = memory.lock();
                assert_eq!((large.kept, large.used, large.peak), (0, 4 << 20, 4 << 20));
            }
            // From now on blocks of one size make room for those of another.
            for size in (1..30).map(|number| number << 20) {
                let pointer = memory.alloc(layout(size));
                memory.dealloc(pointer, layout(size));
                let large = memory.lock();
                assert!(large.used + large.kept <= large.peak + SETTLED_SLACK + size);
            }
            assert!((0..4 << 20).all(|index| stays.add(index).read() == 7));
            memory.dealloc(stays, layout(4 << 20));
        }
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
