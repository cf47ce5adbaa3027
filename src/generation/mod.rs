//! Texts that a network goes on with, token by token.
//!
//! In goes a network whose tokens see none behind them, and a prompt; out come tokens ([`continue_text`],
//! [`search_beams`], and of many prompts side by side [`RunningTexts`]). What each token is computed with is kept ([`Decoder`]), so that a token is shown to the network
//! once. Scores are changed and tokens drawn in the order of Hugging Face's `generate`. A text is a function of the
//! network, the prompt, the seed and the text's number: what else is asked for beside it does not matter.

mod beams;
mod choice;
mod decoder;
mod error;
mod rules;
mod running;
mod scores;
#[cfg(test)]
mod tests;
mod text;

pub use beams::search_beams;
pub use choice::ChosenToken;
pub use decoder::{Decoder, DecoderWeights};
pub use error::GenerationError;
pub use rules::{GeneratedTokens, GenerationEnd, GenerationRules};
pub use running::{RunningStep, RunningTexts};
pub use scores::{constrain, draw, narrow_choice};
pub use text::{Started, continue_text};
