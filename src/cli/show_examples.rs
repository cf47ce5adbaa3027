//! `erlen show FILE:STAGE`: samples of a dataset of texts, token by token, or the texts that a model has written.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::arguments::StoreArguments;
use crate::app::{AppError, PipelineRequest, Session, StageView, view_stage};
use crate::stages::{TextExample, TokenExample};

/// How many samples of each split are shown.
const SHOWN: usize = 2;

/// The pipeline file and the stage that `text` names, if it names them.
pub(super) fn stage_of(text: &str) -> Option<(PathBuf, String)> {
    let (file, stage) = text.rsplit_once(':')?;
    let path = PathBuf::from(file);
    let is_pipeline = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    (is_pipeline && !stage.is_empty()).then(|| (path, stage.to_owned()))
}

/// Shows what the stage has made.
pub(super) fn show(file: PathBuf, stage: &str, store: &StoreArguments, json: bool) -> Result<(), AppError> {
    let request = PipelineRequest {
        store: store.folder(),
        ..PipelineRequest::of(file)
    };
    let session = Session::open(&request)?;
    match (view_stage(&session, &request, stage, SHOWN)?, json) {
        (StageView::Samples(samples), true) => anstream::println!("{:#}", serde_json::json!(samples)),
        (StageView::Samples(samples), false) => samples
            .iter()
            .for_each(|sample| anstream::print!("{}", to_text(sample))),
        (StageView::Texts { lines, .. }, true) => anstream::println!("{:#}", serde_json::json!(lines)),
        (StageView::Texts { markdown, .. }, false) => anstream::print!("{}", printable(&markdown)),
    }
    Ok(())
}

/// A text in which control characters, that a terminal would obey, are written out.
fn printable(text: &str) -> String {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match obeyed(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// A sample as text: what is learnt stands out where not all of it is, tags stand behind their tokens.
fn to_text(example: &TextExample) -> String {
    let bold = anstyle::Style::new().bold();
    let dim = anstyle::Style::new().dimmed();
    let mut text = String::new();
    let class = example
        .class
        .as_ref()
        .map_or_else(String::new, |class| format!(", class {class}"));
    let _ = writeln!(
        text,
        "{bold}{}{bold:#}  {}, {} tokens shown{class}",
        example.origin,
        example.split.as_str(),
        example.tokens.len()
    );
    let ids: Vec<String> = example.tokens.iter().map(|token| token.id.to_string()).collect();
    let _ = writeln!(text, "  {dim}ids{dim:#}    {}", ids.join(" "));
    let pieces: Vec<String> = example.tokens.iter().map(shown).collect();
    let _ = writeln!(text, "  {dim}pieces{dim:#} {}", pieces.join(" "));
    if example.tokens.iter().any(|token| token.learnt.is_some()) {
        let _ = writeln!(text, "  {dim}learnt{dim:#} what stands in [brackets]");
    }
    text
}

fn shown(token: &TokenExample) -> String {
    let piece = token.piece.replace('\n', "\\n");
    let piece = match token.learnt {
        Some(true) => format!("[{piece}]"),
        _ => piece,
    };
    match &token.tag {
        Some(tag) => format!("{piece}/{tag}"),
        None => piece,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::SplitName;

    #[test]
    fn stages_are_told_from_tables() {
        assert_eq!(
            stage_of("a/b.yaml:text"),
            Some(("a/b.yaml".into(), "text".into()))
        );
        for other in [
            "models:2.accuracy",
            "results/models.csv:1",
            "a.yaml",
            "a.yaml:",
            "latest",
        ] {
            assert_eq!(stage_of(other), None, "{other}");
        }
    }

    #[test]
    fn no_text_commands_the_terminal() {
        assert_eq!(printable("a\n\tb \u{1b}[2J\u{9b}ä"), "a\n\tb \\u{1b}[2J\\u{9b}ä");
    }

    #[test]
    fn masks_and_tags_are_seen() {
        let token = |id, piece: &str, learnt, tag: Option<&str>| TokenExample {
            id,
            piece: piece.to_owned(),
            learnt,
            tag: tag.map(str::to_owned),
        };
        let example = TextExample {
            split: SplitName::Train,
            origin: "a.jsonl:1".into(),
            class: None,
            tokens: vec![
                token(1, "a\n", Some(false), None),
                token(7, "b", Some(true), Some("B-X")),
            ],
        };
        let text = anstream::adapter::strip_str(&to_text(&example)).to_string();
        assert_eq!(
            text,
            "a.jsonl:1  train, 2 tokens shown\n  ids    1 7\n  pieces a\\n [b]/B-X\n  learnt what stands in [brackets]\n"
        );
    }
}
