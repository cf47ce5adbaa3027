//! The threads that training runs on.

use super::error::TrainError;

/// The backward pass recurses over the network's depth.
const STACK: usize = 64 << 20;

/// Runs `work` on a pool of `threads` threads with large stacks, which everything parallel inside
/// then uses.
///
/// # Errors
/// The threads cannot be started; otherwise what `work` gives.
pub fn on_threads<T: Send>(
    threads: usize,
    work: impl FnOnce() -> Result<T, TrainError> + Send,
) -> Result<T, TrainError> {
    let threads = threads.max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK)
        .thread_name(|index| format!("train-{index}"))
        .build();
    let pool = pool.map_err(|source| TrainError::Threads { threads, source })?;
    pool.install(work)
}
