//! Work on many items by all threads, where there is enough of it.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

/// What `work` makes of each item, in their order. Fewer items than `worth` are not shared out: the first
/// to be so starts the threads, which takes longer than planning a small pipeline.
pub fn map<T: Send, R: Send>(items: Vec<T>, worth: usize, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    if items.len() < worth {
        items.into_iter().map(work).collect()
    } else {
        items.into_par_iter().with_min_len(worth / 4).map(work).collect()
    }
}

/// Runs `work`, of many short parallel parts, with the other threads of the current pool standing by: they look for
/// something to do until it is over. Threads that sleep between two parts take longer to wake up than many a part takes.
///
/// Outside of a pool, and where `work` is part of such work already, nobody stands by.
pub fn attended<T>(work: impl FnOnce() -> T) -> T {
    thread_local! {
        static IS_ATTENDED: Cell<bool> = const { Cell::new(false) };
    }
    struct AttendedWork<'a>(&'a AtomicBool);
    impl Drop for AttendedWork<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
            IS_ATTENDED.set(false);
        }
    }
    let others = match rayon::current_thread_index() {
        Some(_) => rayon::current_num_threads() - 1,
        None => 0,
    };
    if others == 0 || IS_ATTENDED.replace(true) {
        return work();
    }
    let is_over = AtomicBool::new(false);
    rayon::in_place_scope(|scope| {
        let _ends = AttendedWork(&is_over);
        for _ in 0..others {
            scope.spawn(|_| stand_by(&is_over));
        }
        work()
    })
}

/// Does what there is to do until `is_over`.
fn stand_by(is_over: &AtomicBool) {
    /// Looks around before others get the processor.
    const PATIENCE: usize = 200;
    let mut idle = 0;
    while !is_over.load(Ordering::Acquire) {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => idle = 0,
            _ if idle < PATIENCE => {
                idle += 1;
                std::hint::spin_loop();
            }
            _ => {
                idle = 0;
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn work_that_is_attended_is_done_and_comes_to_an_end() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let sum = || (0..1000u64).into_par_iter().sum::<u64>();
        assert_eq!(pool.install(|| attended(|| sum() + attended(sum))), 2 * 499_500);
        assert_eq!(attended(sum), 499_500);
        // However it ends.
        let broken = || attended(|| panic!("on purpose"));
        let ended = catch_unwind(AssertUnwindSafe(|| pool.install(broken)));
        assert!(ended.is_err());
        assert_eq!(pool.install(|| attended(sum)), 499_500);
    }

    #[test]
    fn the_order_stays() {
        for count in [0, 3, 1000] {
            let doubled = map((0..count).collect(), 8, |number| number * 2);
            assert_eq!(doubled, (0..count).map(|number| number * 2).collect::<Vec<_>>());
        }
    }
}
