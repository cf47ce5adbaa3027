//! Whoever writes a model's texts: all that run as one batch, token by token.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;

use super::model::WritingModel;
use super::pieces::{TextPiece, TextPieces};
use super::queue::{TextEvent, TextEventKind, TextQueue, WaitingText, WrittenText};
use crate::generation::{ChosenToken, GenerationEnd, GenerationError, RunningTexts};
use crate::serve::figures::ModelFigures;
use crate::serve::refused::Refused;
use crate::serve::served::{ModelVersion, ServedModel};

/// Writes what waits in `queue` until that is closed and empty, on the threads of the current pool; `most` texts run at
/// once.
pub(in crate::serve) fn write_texts(queue: &TextQueue, most: usize, figures: &ModelFigures) {
    while let Some(version) = queue.wait() {
        let ServedModel::Writing(model) = &version.model else {
            // None that writes nothing has texts wait for it.
            while let Some(text) = queue.take(&version, |_| true) {
                tell(&text, TextEventKind::Failed(failed("the model writes nothing")));
            }
            continue;
        };
        let mut batch = WritingBatch {
            model,
            texts: HashMap::new(),
            next: 0,
            figures,
        };
        // What goes wrong with one batch is not the end of the next one.
        let written = catch_unwind(AssertUnwindSafe(|| batch.run(queue, &version, most)));
        let problem = match written {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "asking the model broke off".to_owned(),
        };
        for text in batch.texts.into_values() {
            tell(&text.waiting, TextEventKind::Failed(failed(&problem)));
        }
    }
}

fn failed(problem: &str) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, problem)
}

/// Tells whoever asked; false where nobody listens any more.
fn tell(text: &WaitingText, kind: TextEventKind) -> bool {
    let event = TextEvent {
        index: text.index,
        kind,
    };
    text.events.send(event).is_ok()
}

/// The texts of one version that run at once.
struct WritingBatch<'a> {
    model: &'a WritingModel,
    texts: HashMap<u64, WritingText>,
    /// The number of the next text.
    next: u64,
    figures: &'a ModelFigures,
}

/// A text that is being written.
struct WritingText {
    waiting: WaitingText,
    pieces: TextPieces,
    /// Its tokens so far.
    tokens: usize,
    began: Instant,
}

impl WritingBatch<'_> {
    /// Writes texts until none waits for the version.
    fn run(
        &mut self,
        queue: &TextQueue,
        version: &Arc<ModelVersion>,
        most: usize,
    ) -> Result<(), GenerationError> {
        let decoder = self.model.decoder();
        let mut running = RunningTexts::new(&decoder, self.model.room());
        loop {
            self.join(&mut running, queue, version, most);
            if running.is_empty() {
                match queue.wait() {
                    Some(next) if Arc::ptr_eq(&next, version) => continue,
                    _ => return Ok(()),
                }
            }
            let (count, began) = (running.len(), Instant::now());
            let steps = running.step()?;
            self.figures.batch(count, began.elapsed());
            for step in steps {
                if !self.take(step.key, step.chosen) {
                    running.leave(step.key);
                    self.texts.remove(&step.key);
                }
            }
            // Those whose prompts are being shown have no token that could not be sent.
            let gone: Vec<u64> = self
                .texts
                .iter()
                .filter(|(_, text)| text.waiting.events.is_closed())
                .map(|(key, _)| *key)
                .collect();
            for key in gone {
                running.leave(key);
                self.texts.remove(&key);
            }
            self.figures.running(self.texts.len());
        }
    }

    /// Has those join that wait, as far as there is room.
    fn join(
        &mut self,
        running: &mut RunningTexts<'_>,
        queue: &TextQueue,
        version: &Arc<ModelVersion>,
        most: usize,
    ) {
        while running.len() < most {
            let key = self.next;
            let mut problem = None;
            let joined = queue.take(version, |text| {
                match running.join(key, &text.prompt, &text.rules, text.number) {
                    Ok(is_in) => is_in,
                    Err(error) => {
                        problem = Some(error);
                        true
                    }
                }
            });
            let Some(waiting) = joined else { return };
            self.next += 1;
            if let Some(error) = problem {
                tell(&waiting, TextEventKind::Failed(Refused::bad(error.to_string())));
                continue;
            }
            self.figures.prompt(waiting.prompt.len());
            let text = WritingText {
                pieces: TextPieces::new(&waiting.prompt, &waiting.stops),
                waiting,
                tokens: 0,
                began: Instant::now(),
            };
            self.texts.insert(key, text);
            self.figures.running(self.texts.len());
        }
    }

    /// Takes the next token of a text; false where it does not go on.
    fn take(&mut self, key: u64, chosen: Result<ChosenToken, GenerationError>) -> bool {
        let Some(text) = self.texts.get_mut(&key) else {
            return false;
        };
        let tokenizer = self.model.tokenizer();
        let told = chosen.map_err(|error| match error {
            // What is asked for can be to blame, and other texts are written.
            GenerationError::NothingLeft | GenerationError::NonFinite => {
                Refused::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            other => failed(&other.to_string()),
        });
        let told = told.and_then(|chosen| {
            if chosen.end != Some(GenerationEnd::Token) {
                text.tokens += 1;
                self.figures.token();
            }
            let undecoded = |error: crate::tokenizer::TokenizerError| failed(&error.to_string());
            let mut piece = match chosen.end {
                // It is no part of the text.
                Some(GenerationEnd::Token) => TextPiece::default(),
                _ => text.pieces.push(chosen.token, tokenizer).map_err(undecoded)?,
            };
            if chosen.end.is_some() && !piece.is_stopped {
                let rest = text.pieces.finish(tokenizer).map_err(undecoded)?;
                piece.text.push_str(&rest.text);
                piece.is_stopped = rest.is_stopped;
            }
            Ok((piece, chosen.end))
        });
        let (piece, end) = match told {
            Ok(told) => told,
            Err(refused) => {
                tell(&text.waiting, TextEventKind::Failed(refused));
                return false;
            }
        };
        let listens = piece.text.is_empty() || tell(&text.waiting, TextEventKind::Piece(piece.text));
        if end.is_none() && !piece.is_stopped {
            return listens;
        }
        let written = WrittenText {
            is_full: end == Some(GenerationEnd::Length) && !piece.is_stopped,
            tokens: text.tokens,
            queued: text.began.saturating_duration_since(text.waiting.since),
            computed: text.began.elapsed(),
        };
        tell(&text.waiting, TextEventKind::End(written));
        false
    }
}
