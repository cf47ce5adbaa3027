//! What happens, as lines of JSON.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Map, Value};

/// Lines that wait to be written. More are lost, and counted: nobody waits for a slow disk or terminal.
const WAITING_LINES: usize = 4096;

/// Takes lines of JSON, one an event, which a thread of its own writes.
pub struct ServingLog {
    lines: Mutex<Option<SyncSender<String>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    lost: Arc<AtomicU64>,
}

impl ServingLog {
    /// A log that `out` is written.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING_LINES);
        let lost = Arc::<AtomicU64>::default();
        let unwritten = Arc::clone(&lost);
        let writer = std::thread::Builder::new()
            .name("serve-log".to_owned())
            .spawn(move || write_lines(&waiting, out, &unwritten))?;
        Ok(Self {
            lines: Mutex::new(Some(lines)),
            writer: Mutex::new(Some(writer)),
            lost,
        })
    }

    /// Adds a line: the time, the `event`, and `fields`.
    pub(super) fn tell(&self, event: &str, fields: Map<String, Value>) {
        let mut line = Map::new();
        // To the millisecond, as events of runs have it.
        line.insert("time".to_owned(), format!("{:.3}", jiff::Timestamp::now()).into());
        line.insert("event".to_owned(), event.into());
        line.extend(fields);
        let text = Value::Object(line).to_string();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = lines.as_ref().map(|lines| lines.try_send(text));
        if !matches!(sent, Some(Ok(()) | Err(TrySendError::Disconnected(_)))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what is left.
    pub(super) fn finish(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A writer that broke off has nothing more to write.
            let _ = writer.join();
        }
    }
}

fn write_lines(lines: &Receiver<String>, mut out: impl Write, lost: &AtomicU64) {
    while let Ok(line) = lines.recv() {
        // A log that cannot be written is no reason to stop answering.
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Fields of a line.
macro_rules! fields {
    ($($name:literal: $value:expr),* $(,)?) => {{
        let mut fields = serde_json::Map::new();
        $(fields.insert($name.to_owned(), serde_json::Value::from($value));)*
        fields
    }};
}
pub(super) use fields;

#[cfg(test)]
mod tests {
    use super::*;

    /// A full disk.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let log = ServingLog::new(Full).unwrap();
        for _ in 0..3 {
            log.tell("request", Map::new());
        }
        log.finish();
        assert_eq!(log.lost(), 3);
    }
}
