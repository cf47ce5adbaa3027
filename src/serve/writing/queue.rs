//! Texts that wait for a model, in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::generation::GenerationRules;
use crate::serve::refused::Refused;
use crate::serve::served::ModelVersion;

/// How long whoever waits for texts sleeps at most.
const IDLE: Duration = Duration::from_secs(60);

/// A text that is to be written.
pub(in crate::serve) struct WaitingText {
    /// Who writes it.
    pub version: Arc<ModelVersion>,
    /// Its place among those of its request.
    pub index: usize,
    /// What it is behind.
    pub prompt: Arc<Vec<u32>>,
    pub rules: GenerationRules,
    /// The seed, and its number among those of its prompt.
    pub number: (u64, u32),
    /// Texts that end it.
    pub stops: Arc<Vec<String>>,
    /// When it came.
    pub since: Instant,
    /// When it is of no use any more unless it has begun.
    pub deadline: Option<Instant>,
    /// Whom to tell.
    pub events: UnboundedSender<TextEvent>,
}

/// What becomes of a text.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::serve) struct TextEvent {
    /// The text's place among those of its request.
    pub index: usize,
    pub kind: TextEventKind,
}

/// See [`TextEvent`].
#[derive(Clone, Debug, PartialEq)]
pub(in crate::serve) enum TextEventKind {
    /// It is gone on with.
    Piece(String),
    /// It is at its end.
    End(WrittenText),
    /// It cannot be written.
    Failed(Refused),
}

/// How a text came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) struct WrittenText {
    /// Whether it has as many tokens as were asked for; otherwise something ended it.
    pub is_full: bool,
    /// Its tokens, without one that ended it.
    pub tokens: usize,
    /// How long it waited.
    pub queued: Duration,
    /// How long it took from then on.
    pub computed: Duration,
}

/// Texts that wait, a bounded number of them.
pub(in crate::serve) struct TextQueue {
    most: usize,
    line: Mutex<TextLine>,
    changed: Condvar,
}

#[derive(Default)]
struct TextLine {
    waiting: VecDeque<WaitingText>,
    closed: bool,
}

impl TextQueue {
    /// For at most `most` texts.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            line: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn line(&self) -> MutexGuard<'_, TextLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the texts of a request at the end, all of them or none.
    ///
    /// # Errors
    /// There is no room for them now, or it is closed.
    pub fn push(&self, texts: Vec<WaitingText>) -> Result<(), Refused> {
        let mut line = self.line();
        if line.closed {
            return Err(Refused::busy("the server is being shut down"));
        }
        line.drop_useless();
        if line.waiting.len() + texts.len() > self.most && !line.waiting.is_empty() {
            return Err(Refused::busy(format!(
                "{} texts are waiting, and {} may: try again",
                line.waiting.len(),
                self.most
            )));
        }
        line.waiting.extend(texts);
        self.changed.notify_one();
        Ok(())
    }

    /// How many wait, and the bytes of their prompts.
    pub fn length(&self) -> (usize, usize) {
        let line = self.line();
        let bytes = line
            .waiting
            .iter()
            .map(|text| size_of_val(text.prompt.as_slice()));
        (line.waiting.len(), bytes.sum())
    }

    /// Takes in nothing more; what waits is handed out still.
    pub fn close(&self) {
        self.line().closed = true;
        self.changed.notify_all();
    }

    /// Waits until there is a text, and tells who writes it; nothing once it is closed and empty.
    pub fn wait(&self) -> Option<Arc<ModelVersion>> {
        let mut line = self.line();
        loop {
            line.drop_useless();
            if let Some(first) = line.waiting.front() {
                return Some(Arc::clone(&first.version));
            }
            if line.closed {
                return None;
            }
            let timed = self.changed.wait_timeout(line, IDLE);
            line = timed.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The first text, where it is for `version` and `fits`.
    pub fn take(
        &self,
        version: &Arc<ModelVersion>,
        fits: impl FnOnce(&WaitingText) -> bool,
    ) -> Option<WaitingText> {
        let mut line = self.line();
        line.drop_useless();
        let first = line.waiting.front()?;
        if !Arc::ptr_eq(&first.version, version) || !fits(first) {
            return None;
        }
        line.waiting.pop_front()
    }
}

impl TextLine {
    /// Leaves out those that nobody waits for any more, and answers those whose time is over.
    fn drop_useless(&mut self) {
        let now = Instant::now();
        self.waiting.retain(|text| {
            let is_late = text.deadline.is_some_and(|deadline| now >= deadline);
            if !text.events.is_closed() && !is_late {
                return true;
            }
            // Whoever asked has given up in the meantime, or hears of it.
            let _ = text.events.send(TextEvent {
                index: text.index,
                kind: TextEventKind::Failed(Refused::expired()),
            });
            false
        });
    }
}
