//! Texts that a network goes on with side by side, and that come and go.

use super::choice::{ChosenToken, TokenChoice};
use super::decoder::Decoder;
use super::error::GenerationError;
use super::rules::GenerationRules;
use super::scores::check_finite;
use crate::models::KeyValueCache;

/// Tokens that a text gets room for beyond those that it has, as far as it may have them.
const AHEAD: usize = 128;

/// Tokens of a prompt that the network is shown between two tokens of the other texts.
const PIECE: usize = 256;

/// Texts that a network goes on with side by side. Each joins between two tokens and leaves when it ends; the network is
/// shown the last tokens of all of them at once. On the CPU each has the tokens that it has alone.
///
/// A text gets room as it grows. Where there is none, the one that joined last gives its own up, and is shown to the network
/// again once others have left.
pub struct RunningTexts<'a> {
    decoder: &'a Decoder<'a>,
    cache: KeyValueCache,
    /// Tokens of all texts together, at most.
    room: usize,
    texts: Vec<RunningText>,
}

struct RunningText {
    /// What whoever asked knows it by.
    key: u64,
    /// Its sequence in the cache; nothing while there is no room for it.
    sequence: Option<usize>,
    /// Tokens that it may be shown, prompt included.
    most: usize,
    choice: TokenChoice,
    /// Tokens of the text that the network was shown.
    shown: usize,
}

/// What became of a text in a step.
#[derive(Debug)]
pub struct RunningStep {
    /// What whoever asked knows it by.
    pub key: u64,
    /// The next token. A text that has ended, or for which there is none, has left.
    pub chosen: Result<ChosenToken, GenerationError>,
}

impl<'a> RunningTexts<'a> {
    /// No texts yet; those that run have `room` tokens together at most, prompts included.
    pub fn new(decoder: &'a Decoder<'a>, room: usize) -> Self {
        Self {
            decoder,
            cache: KeyValueCache::with_room(room),
            room,
            texts: Vec::new(),
        }
    }

    /// How many texts run.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// How many of them have room.
    #[cfg(test)]
    pub(super) fn placed(&self) -> usize {
        self.texts.iter().filter(|text| text.sequence.is_some()).count()
    }

    /// Has the text `number` behind `prompt` under `seed` run from the next step on, as `key`; false where there is no room
    /// for it now.
    ///
    /// # Errors
    /// The prompt has no token, or more with what is asked for than the network has positions for, or than there is room for
    /// at all.
    pub fn join(
        &mut self,
        key: u64,
        prompt: &[u32],
        rules: &GenerationRules,
        (seed, number): (u64, u32),
    ) -> Result<bool, GenerationError> {
        let context = self.decoder.context();
        // The network is not shown the last token.
        let shown = prompt.len() + rules.tokens.saturating_sub(1);
        let context = context.min(self.room);
        if prompt.is_empty() || rules.tokens == 0 || shown > context {
            return Err(GenerationError::Prompt(format!(
                "a prompt of {} tokens and {} behind it do not fit the model's {context} positions",
                prompt.len(),
                rules.tokens
            )));
        }
        // Those that wait come first.
        if self.texts.iter().any(|text| text.sequence.is_none()) {
            return Ok(false);
        }
        let Some(sequence) = self.cache.open(shown.min(prompt.len() + AHEAD)) else {
            return Ok(false);
        };
        self.texts.push(RunningText {
            key,
            sequence: Some(sequence),
            most: shown,
            choice: TokenChoice::new(prompt, rules, (seed, number)),
            shown: 0,
        });
        Ok(true)
    }

    /// Ends the text `key`, where it runs.
    pub fn leave(&mut self, key: u64) {
        if let Some(place) = self.texts.iter().position(|text| text.key == key) {
            let text = self.texts.remove(place);
            if let Some(sequence) = text.sequence {
                self.cache.close(sequence);
            }
        }
    }

    /// The next token of each text whose prompt the network has been shown, in the order in which they joined. Of the
    /// prompts that it has not, it is shown a piece of the first one.
    ///
    /// # Errors
    /// The network fails for all of them.
    pub fn step(&mut self) -> Result<Vec<RunningStep>, GenerationError> {
        let mut steps = Vec::new();
        self.make_room()?;
        let begins = |text: &RunningText| text.shown + 1 < text.choice.all().len();
        let placed = (0..self.texts.len()).filter(|place| self.texts[*place].sequence.is_some());
        let (fresh, going): (Vec<usize>, Vec<usize>) = placed.partition(|place| begins(&self.texts[*place]));
        if !going.is_empty() {
            self.show(&going, 1, &mut steps)?;
        }
        if let Some(fresh) = fresh.first() {
            self.show(&[*fresh], PIECE, &mut steps)?;
        }
        // Those that have ended leave; all others stay in their order.
        let ended = |step: &RunningStep| step.chosen.as_ref().map_or(true, |chosen| chosen.end.is_some());
        for step in steps.iter().filter(|step| ended(step)) {
            self.leave(step.key);
        }
        Ok(steps)
    }

    /// Has each text have room for its next token, from the one that joined first on; those that joined last give up theirs
    /// for it.
    fn make_room(&mut self) -> Result<(), GenerationError> {
        let mut place = 0;
        while place < self.texts.len() {
            let text = &self.texts[place];
            let needed = text.choice.all().len();
            let wanted = text.most.min(needed + AHEAD);
            let has_room = match text.sequence {
                Some(sequence) if self.cache.capacity(sequence) >= Some(needed) => true,
                Some(sequence) => self.cache.grow(sequence, wanted)?,
                None => {
                    let opened = self.cache.open(wanted);
                    self.texts[place].sequence = opened;
                    opened.is_some()
                }
            };
            if has_room {
                place += 1;
                continue;
            }
            let last = self.texts.iter().rposition(|text| text.sequence.is_some());
            match last {
                // Those behind it are shown again from their beginning.
                Some(last) if last > place => self.give_up(last),
                _ => {
                    self.give_up(place);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Has a text wait for room.
    fn give_up(&mut self, place: usize) {
        let text = &mut self.texts[place];
        text.shown = 0;
        if let Some(sequence) = text.sequence.take() {
            self.cache.close(sequence);
        }
    }

    /// Shows the network the next tokens, at most `most`, of the texts at `places`, and chooses those behind the ones that it
    /// has been shown whole.
    fn show(
        &mut self,
        places: &[usize],
        most: usize,
        steps: &mut Vec<RunningStep>,
    ) -> Result<(), GenerationError> {
        let sequences = places.iter().filter_map(|place| self.texts[*place].sequence);
        let sequences: Vec<usize> = sequences.collect();
        self.cache.choose(&sequences)?;
        let next: Vec<&[u32]> = places
            .iter()
            .map(|place| {
                let text = &self.texts[*place];
                let behind = &text.choice.all()[text.shown..];
                &behind[..behind.len().min(most)]
            })
            .collect();
        let counts: Vec<usize> = next.iter().map(|tokens| tokens.len()).collect();
        let scores = self.decoder.unchecked_scores(&mut self.cache, &next)?;
        for ((place, count), scores) in places.iter().zip(counts).zip(scores) {
            let text = &mut self.texts[*place];
            text.shown += count;
            if text.shown == text.choice.all().len() {
                let chosen = check_finite(&scores).and_then(|()| text.choice.next(scores));
                steps.push(RunningStep {
                    key: text.key,
                    chosen,
                });
            }
        }
        Ok(())
    }
}
