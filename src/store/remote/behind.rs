//! Sending new results while the run goes on.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{RemoteStore, TransferError, lock};
use crate::fingerprint::Fingerprint;
use crate::store::Store;

/// How often a waiting thread looks.
const LOOK: Duration = Duration::from_millis(10);

/// Results at the same time.
const AT_ONCE: usize = 8;

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Behind {
    pending: AtomicUsize,
    unsent: AtomicUsize,
    queue: Mutex<SendQueue>,
}

/// What waits for a thread, and how many threads there are.
#[derive(Debug, Default)]
struct SendQueue {
    waiting: VecDeque<Fingerprint>,
    threads: usize,
}

impl Store {
    /// Sends a new result to the remote in the background, if there is one that takes results.
    pub(in crate::store) fn send_behind(&self, fingerprint: &Fingerprint) {
        let Some(remote) = self.remote().filter(|remote| remote.options.write) else {
            return;
        };
        remote.behind.pending.fetch_add(1, Ordering::Relaxed);
        let mut queue = lock(&remote.behind.queue);
        queue.waiting.push_back(*fingerprint);
        if queue.threads == AT_ONCE {
            return;
        }
        let store = self.clone();
        // Nobody waits for the thread: the program may end before what is on its way is there.
        let thread = std::thread::Builder::new().name("remote".to_owned());
        match thread.spawn(move || store.send_waiting()) {
            Ok(_) => queue.threads += 1,
            // The threads that there are will do it.
            Err(_) if queue.threads > 0 => {}
            Err(_) => {
                queue.waiting.clear();
                drop(queue);
                remote.behind.done(false);
            }
        }
    }

    /// Sends what waits, one after the other, until nothing does.
    fn send_waiting(&self) {
        let Some(remote) = self.remote() else { return };
        while let Some(fingerprint) = remote.behind.next() {
            let sent = self.send_one(remote, &fingerprint);
            remote.behind.done(sent);
        }
    }

    /// Sends a result; says whether nothing is left to be sent of it.
    fn send_one(&self, remote: &RemoteStore, fingerprint: &Fingerprint) -> bool {
        let connection = remote.connection();
        let Some(connection) = connection.filter(|connection| remote.answers(connection)) else {
            return false;
        };
        match self.transmit(remote, connection, fingerprint) {
            Ok(_) => true,
            Err(TransferError::Remote(problem)) => {
                remote.switch_off(problem);
                false
            }
            // It was removed or damaged meanwhile: there is nothing to be sent.
            Err(TransferError::Store(_)) => true,
        }
    }

    /// Results that are on their way to the remote.
    pub fn results_on_their_way(&self) -> usize {
        self.remote()
            .map_or(0, |remote| remote.behind.pending.load(Ordering::Relaxed))
    }

    /// Waits until everything that is on its way to the remote is there, or `stop` says so. Gives how many
    /// results did not get there.
    pub fn finish_sending(&self, stop: &dyn Fn() -> bool) -> usize {
        let Some(remote) = self.remote() else {
            return 0;
        };
        while remote.behind.pending.load(Ordering::Relaxed) > 0 && !stop() {
            std::thread::sleep(LOOK);
        }
        remote.behind.left()
    }
}

impl Behind {
    /// The next result for a thread, which ends where there is none.
    fn next(&self) -> Option<Fingerprint> {
        let mut queue = lock(&self.queue);
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.threads -= 1;
        }
        next
    }

    fn done(&self, sent: bool) {
        if !sent {
            self.unsent.fetch_add(1, Ordering::Relaxed);
        }
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.pending.load(Ordering::Relaxed) + self.unsent.load(Ordering::Relaxed)
    }
}
