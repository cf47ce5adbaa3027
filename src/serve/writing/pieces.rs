//! Text as it is written, token by token.

use crate::tokenizer::{LoadedTokenizer, TokenizerError};

/// Tokens of the prompt that are decoded with the first ones behind it: a token may begin with a space that one at the
/// beginning would lose.
const BEFORE: usize = 5;

/// What stands for bytes that are no whole character yet.
const UNFINISHED: char = '\u{fffd}';

/// Turns tokens into pieces of text, each once it is settled: whole characters, and nothing that a text which ends all may
/// begin with.
pub(super) struct TextPieces {
    /// The last tokens of the prompt, and those behind it.
    tokens: Vec<u32>,
    /// Where the tokens begin that are decoded together with new ones.
    from: usize,
    /// Up to where they have become text.
    read: usize,
    /// Text that is not given out yet.
    held: String,
    /// Texts that end it.
    stops: Vec<String>,
}

/// What a token adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextPiece {
    /// What is settled.
    pub text: String,
    /// Whether one of the texts that end it has come, which is left out.
    pub is_stopped: bool,
}

impl TextPieces {
    /// Behind the tokens of `prompt`, until one of `stops` comes.
    pub fn new(prompt: &[u32], stops: &[String]) -> Self {
        let before = prompt.len().saturating_sub(BEFORE);
        let tokens = prompt[before..].to_vec();
        Self {
            from: 0,
            read: tokens.len(),
            tokens,
            held: String::new(),
            stops: stops.to_vec(),
        }
    }

    /// Adds a token.
    ///
    /// # Errors
    /// The tokenizer cannot decode it.
    pub fn push(&mut self, token: u32, tokenizer: &LoadedTokenizer) -> Result<TextPiece, TokenizerError> {
        self.tokens.push(token);
        let new = self.unread(tokenizer)?;
        if new.ends_with(UNFINISHED) {
            return Ok(TextPiece::default());
        }
        Ok(self.take(&new))
    }

    /// What is left at the end.
    ///
    /// # Errors
    /// The tokenizer cannot decode it.
    pub fn finish(&mut self, tokenizer: &LoadedTokenizer) -> Result<TextPiece, TokenizerError> {
        let new = self.unread(tokenizer)?;
        let mut piece = self.take(&new);
        if !piece.is_stopped {
            piece.text.push_str(&std::mem::take(&mut self.held));
        }
        Ok(piece)
    }

    /// The text of the tokens that have not become text yet.
    fn unread(&self, tokenizer: &LoadedTokenizer) -> Result<String, TokenizerError> {
        if self.read == self.tokens.len() {
            return Ok(String::new());
        }
        let before = tokenizer.decode(&self.tokens[self.from..self.read], true)?;
        let whole = tokenizer.decode(&self.tokens[self.from..], true)?;
        match whole.strip_prefix(&before) {
            Some(new) => Ok(new.to_owned()),
            None => tokenizer.decode(&self.tokens[self.read..], true),
        }
    }

    /// Takes note that the unread tokens are `new`, and gives out what is settled.
    fn take(&mut self, new: &str) -> TextPiece {
        // Special tokens are no text; what comes behind them is decoded with what is in front.
        if !new.is_empty() {
            self.from = self.read;
        }
        self.read = self.tokens.len();
        self.held.push_str(new);
        let stop = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(place) = stop {
            self.held.truncate(place);
            return TextPiece {
                text: std::mem::take(&mut self.held),
                is_stopped: true,
            };
        }
        let settled = self.held.len() - self.begun();
        let behind = self.held.split_off(settled);
        TextPiece {
            text: std::mem::replace(&mut self.held, behind),
            is_stopped: false,
        }
    }

    /// Bytes at the end of what is held that a text which ends all may begin with.
    fn begun(&self) -> usize {
        let begun = self.stops.iter().map(|stop| {
            let beginnings = stop.char_indices().map(|(end, _)| end).rev();
            let longest = beginnings
                .into_iter()
                .find(|end| *end > 0 && self.held.ends_with(&stop[..*end]));
            longest.unwrap_or(0)
        });
        begun.max().unwrap_or(0)
    }
}
