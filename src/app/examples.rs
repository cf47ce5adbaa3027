//! Samples of a stage's dataset of texts.

use super::copy::{known_action, lay_out};
use super::error::AppError;
use super::request::PipelineRequest;
use super::session::Session;
use crate::stages::{TextExample, text_examples};

/// Tokens of a sample that are shown.
const MOST: usize = 256;

/// The first `count` samples of each split of the dataset that `stage` has made.
///
/// # Errors
/// There is no such stage, its result is not known, or it is no dataset of texts.
pub fn stage_examples(
    session: &Session,
    request: &PipelineRequest,
    stage: &str,
    count: usize,
) -> Result<Vec<TextExample>, AppError> {
    let action = known_action(session, request, stage)?;
    let (_folder, laid_out) = lay_out(session, &action, None)?;
    text_examples(&laid_out, count, MOST)
        .map_err(|problem| AppError::Request(format!("`{stage}`: {problem}")))
}
