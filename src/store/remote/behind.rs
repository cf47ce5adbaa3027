//! Sending new results while the run goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Trouble;
use crate::fingerprint::Fingerprint;
use crate::store::Store;

/// How often a waiting thread looks.
const LOOK: Duration = Duration::from_millis(10);

/// Results at the same time.
const AT_ONCE: usize = 8;

/// What is on its way.
#[derive(Debug)]
pub(super) struct Behind {
    pending: AtomicUsize,
    unsent: AtomicUsize,
    room: tokio::sync::Semaphore,
}

impl Default for Behind {
    fn default() -> Self {
        Self {
            pending: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            room: tokio::sync::Semaphore::new(AT_ONCE),
        }
    }
}

impl Store {
    /// Sends a new result to the remote in the background, if there is one that takes results.
    pub(in crate::store) fn send_behind(&self, fingerprint: &Fingerprint) {
        let Some(remote) = self.remote().filter(|remote| remote.options.write) else {
            return;
        };
        let Some(connection) = remote.connection() else {
            remote.behind.unsent.fetch_add(1, Ordering::Relaxed);
            return;
        };
        remote.behind.pending.fetch_add(1, Ordering::Relaxed);
        let (store, fingerprint) = (self.clone(), *fingerprint);
        connection.begin(async move {
            let Some(remote) = store.remote() else { return };
            let room = remote.behind.room.acquire().await;
            let sent = match remote.connection() {
                Some(connection) if room.is_ok() && remote.answers(connection).await => {
                    match store.transmit(remote, connection, &fingerprint).await {
                        Ok(_) => true,
                        Err(Trouble::Remote(problem)) => {
                            remote.switch_off(problem);
                            false
                        }
                        // It was removed or damaged meanwhile: there is nothing to be sent.
                        Err(Trouble::Store(_)) => true,
                    }
                }
                _ => false,
            };
            drop(room);
            if !sent {
                remote.behind.unsent.fetch_add(1, Ordering::Relaxed);
            }
            remote.behind.pending.fetch_sub(1, Ordering::Relaxed);
        });
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
    fn left(&self) -> usize {
        self.pending.load(Ordering::Relaxed) + self.unsent.load(Ordering::Relaxed)
    }
}
