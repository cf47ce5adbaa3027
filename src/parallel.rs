//! Work on many items by all threads, where there is enough of it.

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

#[cfg(test)]
mod tests {
    #[test]
    fn the_order_stays() {
        for count in [0, 3, 1000] {
            let doubled = super::map((0..count).collect(), 8, |number| number * 2);
            assert_eq!(doubled, (0..count).map(|number| number * 2).collect::<Vec<_>>());
        }
    }
}
