//! Work that mostly waits, many at the same time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::lock;

/// What `work` makes of each item, `at_once` of them at the same time, in the order of the items. After the
/// first error nothing new is begun; what was made by then comes with it.
pub(super) fn map<T: Sync, R: Send, E: Send>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> (Vec<R>, Option<E>) {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let error = Mutex::new(None);
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            match work(item) {
                Ok(result) => lock(&results).push((index, result)),
                Err(problem) => {
                    failed.store(true, Ordering::Relaxed);
                    lock(&error).get_or_insert(problem);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..at_once.min(items.len()) {
            // Where there is no thread to be had, those that are there do it all.
            let helper = std::thread::Builder::new().name("remote".to_owned());
            if helper.spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    let mut results: Vec<(usize, R)> = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    let results = results.into_iter().map(|(_, result)| result).collect();
    (
        results,
        error.into_inner().unwrap_or_else(PoisonError::into_inner),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_keep_their_order_and_work_goes_on_side_by_side() {
        // Each waits for the three others: one thread alone would never end.
        let barrier = Barrier::new(4);
        let items: Vec<usize> = (0..8).collect();
        let (results, error) = map(&items, 4, |item| {
            barrier.wait();
            Ok::<usize, ()>(item * 2)
        });
        assert_eq!((results, error), (vec![0, 2, 4, 6, 8, 10, 12, 14], None));
        assert_eq!(map(&[], 4, |(): &()| Ok::<(), ()>(())), (Vec::new(), None));
    }

    #[test]
    fn nothing_begins_after_an_error() {
        let begun = AtomicUsize::new(0);
        let items: Vec<usize> = (0..1000).collect();
        let (results, error) = map(&items, 1, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 5 { Err("five") } else { Ok(*item) }
        });
        assert_eq!((results, error), (vec![0, 1, 2, 3, 4], Some("five")));
        assert_eq!(begun.into_inner(), 6);
    }
}
