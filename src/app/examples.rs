//! What a stage has made, for people to look at.

use std::path::Path;

use serde_json::Value;

use super::copy::{known_action, lay_out};
use super::error::AppError;
use super::request::PipelineRequest;
use super::session::Session;
use crate::spec::{Command, Generate, Kind, Preprocess, SampleKind, Template};
use crate::stages::{TextExample, read_samples, text_examples};

/// Tokens of a sample that are shown.
const MOST: usize = 256;

/// What a stage has made.
#[derive(Clone, Debug, PartialEq)]
pub enum StageView {
    /// Samples of a dataset of texts.
    Samples(Vec<TextExample>),
    /// Texts that a model has written.
    Texts {
        /// To be read.
        markdown: String,
        /// An object each.
        lines: Vec<Value>,
    },
}

/// The stages of a pipeline file whose results can be shown, as far as the file tells.
///
/// # Errors
/// The file has mistakes.
pub fn shown_stages(file: &Path) -> Result<Vec<String>, AppError> {
    let pipeline = Template::load(file)?.pipeline(&[])?;
    let is_shown = |kind: &Kind| {
        let data = kind.options::<Preprocess>();
        let is_of_texts = data.is_some_and(|data| data.format.facts().samples == SampleKind::Texts);
        is_of_texts || kind.options::<Generate>().is_some()
    };
    let stages = pipeline.stages.iter().filter(|(_, stage)| is_shown(&stage.kind));
    Ok(stages.map(|(name, _)| name.clone()).collect())
}

/// What `stage` has made: the first `count` samples of each split of a dataset, or all texts of a model.
///
/// # Errors
/// There is no such stage, its result is not known, or it is neither a dataset of texts nor texts.
pub fn view_stage(
    session: &Session,
    request: &PipelineRequest,
    stage: &str,
    count: usize,
) -> Result<StageView, AppError> {
    session.check_stage(stage)?;
    let kind = session.pipeline.stages.get(stage).map(|stage| &stage.kind);
    let makes_data = kind
        .is_some_and(|kind| kind.options::<Preprocess>().is_some() || kind.options::<Command>().is_some());
    let makes_texts = kind.is_some_and(|kind| kind.options::<Generate>().is_some());
    if let (Some(kind), false) = (kind, makes_data || makes_texts) {
        return Err(AppError::Request(format!(
            "`{stage}` is a stage of the kind `{}`: what is shown here are datasets of texts (`preprocess`) and texts that a \
             model has written (`generate`); `erlen get {} {stage}` copies what it has made",
            kind.name(),
            session.file().display()
        )));
    }
    let action = known_action(session, request, stage)?;
    let (_folder, laid_out) = lay_out(session, &action, None)?;
    let view = match makes_texts {
        true => read_samples(&laid_out).map(|(markdown, lines)| StageView::Texts { markdown, lines }),
        false => text_examples(&laid_out, count, MOST).map(StageView::Samples),
    };
    view.map_err(|problem| AppError::Request(format!("`{stage}`: {problem}")))
}
