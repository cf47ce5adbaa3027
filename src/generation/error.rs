//! What can go wrong while texts are generated.

use crate::models::ModelError;

/// Why a text could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The network cannot be shown the prompt.
    #[error("{0}")]
    Prompt(String),
    /// No token is left to choose.
    #[error(
        "no token is left to choose: all are forbidden by `no_repeat_ngram` and `min_tokens`; make one of them \
         smaller"
    )]
    NothingLeft,
    /// A score is infinite or not a number.
    #[error("the model's scores are not finite: its weights are damaged, or the precision is too low for it")]
    NonFinite,
    /// What is generated cannot be looked at.
    #[error("{0}")]
    Text(String),
    /// The network failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl From<candle_core::Error> for GenerationError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}
