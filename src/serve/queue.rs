//! The rows that wait for a model, in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::refused::Refused;
use super::served::{ModelVersion, ServedRows};

/// How long whoever takes rows sleeps at most.
const IDLE: Duration = Duration::from_secs(60);

/// Rows of one request.
pub(super) struct WaitingRows {
    /// Who is asked: the version that made the rows.
    pub version: Arc<ModelVersion>,
    /// What is asked about.
    pub rows: ServedRows,
    /// When they came.
    pub since: Instant,
    /// When an answer is of no use any more.
    pub deadline: Option<Instant>,
    /// Whom to answer.
    pub reply: oneshot::Sender<Result<AnsweredRows, Refused>>,
}

/// What a request's rows are answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AnsweredRows {
    /// The outputs of each row.
    pub outputs: Vec<Vec<f32>>,
    /// How long they waited.
    pub queued: Duration,
    /// How long the batch took.
    pub computed: Duration,
    /// Rows of all requests in the batch.
    pub batch: usize,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// Requests.
    pub requests: usize,
    /// Bytes of rows, but for a single request.
    pub bytes: usize,
}

/// How rows are taken out.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    /// Rows that requests are put together to, at most; a request with more is taken by itself.
    pub rows: usize,
    /// How long the first of them is kept waiting for others.
    pub delay: Duration,
}

/// Rows that wait, a bounded number of them.
pub(super) struct RowQueue {
    limits: QueueLimits,
    line: Mutex<WaitingLine>,
    changed: Condvar,
}

#[derive(Default)]
struct WaitingLine {
    waiting: VecDeque<WaitingRows>,
    bytes: usize,
    rows: usize,
    closed: bool,
    hurried: bool,
}

impl WaitingLine {
    fn pop(&mut self) -> Option<WaitingRows> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.rows.bytes();
        self.rows -= first.rows.len();
        Some(first)
    }
}

impl RowQueue {
    pub fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            line: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn line(&self) -> MutexGuard<'_, WaitingLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts rows at the end.
    ///
    /// # Errors
    /// It is full, or closed.
    pub fn push(&self, rows: WaitingRows) -> Result<(), Refused> {
        let mut line = self.line();
        if line.closed {
            return Err(Refused::busy("the server is being shut down"));
        }
        let is_large = line.bytes + rows.rows.bytes() > self.limits.bytes && !line.waiting.is_empty();
        if line.waiting.len() >= self.limits.requests || is_large {
            return Err(Refused::busy(format!(
                "{} requests are waiting, as many as may: try again",
                line.waiting.len()
            )));
        }
        line.bytes += rows.rows.bytes();
        line.rows += rows.rows.len();
        line.waiting.push_back(rows);
        self.changed.notify_one();
        Ok(())
    }

    /// How many requests wait, and the bytes of their rows.
    pub fn length(&self) -> (usize, usize) {
        let line = self.line();
        (line.waiting.len(), line.bytes)
    }

    /// Nothing is kept waiting for others any more.
    pub fn hurry(&self) {
        self.line().hurried = true;
        self.changed.notify_all();
    }

    /// Takes in nothing more; what waits is handed out still.
    pub fn close(&self) {
        self.line().closed = true;
        self.changed.notify_all();
    }

    /// The next batch, once there is one: requests from the first on that ask the same version, as many as fit. Requests
    /// that nobody waits for any more are left out, and those whose time is over answered. Nothing once it is closed
    /// and empty.
    pub fn take(&self, limits: BatchLimits) -> Option<Vec<WaitingRows>> {
        let mut line = self.line();
        loop {
            let pause = match line.waiting.front() {
                None if line.closed => return None,
                None => IDLE,
                Some(_) if line.closed || line.hurried || line.rows >= limits.rows => Duration::ZERO,
                Some(first) => limits.delay.saturating_sub(first.since.elapsed()),
            };
            if !pause.is_zero() {
                let timed = self.changed.wait_timeout(line, pause);
                line = timed.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let (mut batch, mut rows): (Vec<WaitingRows>, usize) = (Vec::new(), 0);
            while let Some(next) = line.waiting.front() {
                let is_other = batch
                    .first()
                    .is_some_and(|first| !Arc::ptr_eq(&first.version, &next.version));
                if !batch.is_empty() && (is_other || rows + next.rows.len() > limits.rows) {
                    break;
                }
                let Some(next) = line.pop() else { break };
                if next.reply.is_closed() {
                    continue;
                }
                if next.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    // Whoever asked has given up in the meantime, or hears of it.
                    let _ = next.reply.send(Err(Refused::expired()));
                    continue;
                }
                rows += next.rows.len();
                batch.push(next);
            }
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::testing::echo_version;

    type Reply = oneshot::Receiver<Result<AnsweredRows, Refused>>;

    const LIMITS: BatchLimits = BatchLimits {
        rows: 4,
        delay: Duration::ZERO,
    };

    fn queue(requests: usize, bytes: usize) -> RowQueue {
        RowQueue::new(QueueLimits { requests, bytes })
    }

    fn rows(version: &Arc<ModelVersion>, count: usize, deadline: Option<Instant>) -> (WaitingRows, Reply) {
        let (reply, answer) = oneshot::channel();
        let rows = WaitingRows {
            version: Arc::clone(version),
            rows: ServedRows::Numbers {
                values: vec![0.0; count],
                width: 1,
            },
            since: Instant::now(),
            deadline,
            reply,
        };
        (rows, answer)
    }

    fn sizes(batch: Option<Vec<WaitingRows>>) -> Vec<usize> {
        batch
            .unwrap_or_default()
            .iter()
            .map(|rows| rows.rows.len())
            .collect()
    }

    #[test]
    fn requests_are_put_together_as_far_as_they_fit() {
        let (queue, version, other) = (queue(9, 1000), echo_version("a"), echo_version("b"));
        let mut replies = Vec::new();
        for (version, count) in [
            (&version, 1),
            (&version, 2),
            (&version, 2),
            (&version, 9),
            (&version, 1),
            (&other, 1),
        ] {
            let (rows, reply) = rows(version, count, None);
            queue.push(rows).unwrap();
            replies.push(reply);
        }
        for expected in [vec![1, 2], vec![2], vec![9], vec![1], vec![1]] {
            assert_eq!(sizes(queue.take(LIMITS)), expected);
        }
        assert_eq!(queue.length(), (0, 0));
        queue.close();
        assert!(queue.take(LIMITS).is_none());
    }

    #[test]
    fn what_nobody_waits_for_is_left_out() {
        let (queue, version) = (queue(9, 1000), echo_version("a"));
        let (gone, reply) = rows(&version, 1, None);
        drop(reply);
        let (expired, told) = rows(&version, 1, Some(Instant::now()));
        let (good, _reply) = rows(&version, 2, Some(Instant::now() + Duration::from_secs(60)));
        for rows in [gone, expired, good] {
            queue.push(rows).unwrap();
        }
        assert_eq!(sizes(queue.take(LIMITS)), [2]);
        assert_eq!(told.blocking_recv().unwrap(), Err(Refused::expired()));
    }

    #[test]
    fn a_full_queue_says_so_at_once() {
        let version = echo_version("a");
        let (by_count, by_bytes) = (queue(1, 1000), queue(9, 20));
        let mut replies = Vec::new();
        let mut push = |queue: &RowQueue, count| {
            let (rows, reply) = rows(&version, count, None);
            replies.push(reply);
            queue
                .push(rows)
                .map_err(|refused| (refused.status.as_u16(), refused.retry_after))
        };
        assert_eq!(push(&by_count, 1), Ok(()));
        assert_eq!(push(&by_count, 1), Err((503, Some(1))));
        // A single request is taken whatever its size.
        assert_eq!(push(&by_bytes, 9), Ok(()));
        assert_eq!(push(&by_bytes, 1), Err((503, Some(1))));
        by_bytes.close();
        assert_eq!(sizes(by_bytes.take(LIMITS)), [9]);
        assert_eq!(push(&by_bytes, 1), Err((503, Some(1))));
    }

    #[test]
    fn a_delay_waits_for_others_but_not_for_a_full_batch() {
        let (queue, version) = (queue(9, 1000), echo_version("a"));
        let limits = BatchLimits {
            delay: Duration::from_millis(30),
            ..LIMITS
        };
        let (first, _one) = rows(&version, 1, None);
        let began = first.since;
        queue.push(first).unwrap();
        assert_eq!(sizes(queue.take(limits)), [1]);
        assert!(began.elapsed() >= limits.delay);
        let (full, _two) = rows(&version, 4, None);
        queue.push(full).unwrap();
        let limits = BatchLimits {
            delay: Duration::from_secs(3600),
            ..LIMITS
        };
        assert_eq!(sizes(queue.take(limits)), [4]);
        let (last, _three) = rows(&version, 1, None);
        queue.push(last).unwrap();
        queue.hurry();
        assert_eq!(sizes(queue.take(limits)), [1]);
    }
}
