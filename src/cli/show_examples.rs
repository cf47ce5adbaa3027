//! `erlen show FILE:STAGE`: samples of a dataset of texts, token by token, or the texts that a model has written.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::arguments::StoreArguments;
use crate::app::{AppError, PipelineRequest, Session, StageView, shown_stages, view_stage};
use crate::stages::{TextExample, TokenExample};

/// How many samples of each split are shown.
const SHOWN: usize = 2;

/// The pipeline file that `text` names, if it names one, and the stage, if it names that too.
pub(super) fn stage_of(text: &str) -> Option<(PathBuf, Option<String>)> {
    let is_pipeline = |file: &str| {
        Path::new(file)
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
    };
    if is_pipeline(text) {
        return Some((text.into(), None));
    }
    let (file, stage) = text.rsplit_once(':')?;
    is_pipeline(file).then(|| (file.into(), (!stage.is_empty()).then(|| stage.to_owned())))
}

/// That a pipeline file is named without a stage, with those that can be shown.
pub(super) fn without_stage(file: &Path) -> AppError {
    let stages = match shown_stages(file) {
        Ok(stages) => stages,
        Err(error) => return error,
    };
    let file = file.display();
    AppError::Request(match stages.first() {
        None => format!(
            "`{file}` is a pipeline file, and has no stage that can be shown: datasets of texts (`preprocess`) and texts that a \
             model has written (`generate`) can"
        ),
        Some(first) => format!(
            "`{file}` is a pipeline file: name one of its stages behind it, such as `erlen show {file}:{first}`; {} can be shown",
            match stages.as_slice() {
                [only] => format!("`{only}`"),
                stages => stages
                    .iter()
                    .map(|stage| format!("`{stage}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        ),
    })
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
    let mut told = String::new();
    if let Some(class) = &example.class {
        let _ = write!(told, ", class {class}");
    }
    match example.labels.as_deref() {
        None => {}
        Some([]) => told.push_str(", no label"),
        Some(labels) => {
            let word = if labels.len() == 1 { "label" } else { "labels" };
            let _ = write!(told, ", {word} {}", labels.join(" "));
        }
    }
    if !example.numbers.is_empty() {
        let word = if example.numbers.len() == 1 {
            "number"
        } else {
            "numbers"
        };
        let numbers: Vec<String> = example.numbers.iter().map(f32::to_string).collect();
        let _ = write!(told, ", {word} {}", numbers.join(" "));
    }
    let _ = writeln!(
        text,
        "{bold}{}{bold:#}  {}, {} tokens shown{told}",
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
            Some(("a/b.yaml".into(), Some("text".into())))
        );
        for without in ["a.yaml", "a.yaml:"] {
            assert_eq!(stage_of(without), Some(("a.yaml".into(), None)));
        }
        for other in ["models:2.accuracy", "results/models.csv:1", "latest"] {
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
            labels: None,
            numbers: Vec::new(),
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

    #[test]
    fn what_is_to_be_predicted_is_told() {
        let first = |class: Option<&str>, labels: Option<&[&str]>, numbers: &[f32]| {
            let example = TextExample {
                split: SplitName::Test,
                origin: "a.csv:2".into(),
                class: class.map(str::to_owned),
                labels: labels.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect()),
                numbers: numbers.to_vec(),
                tokens: Vec::new(),
            };
            let text = anstream::adapter::strip_str(&to_text(&example)).to_string();
            text.lines().next().unwrap().to_owned()
        };
        for (text, expected) in [
            (first(None, None, &[]), ""),
            (first(Some("good"), None, &[]), ", class good"),
            (first(None, None, &[4.5]), ", number 4.5"),
            (first(None, None, &[-1.0, 0.1]), ", numbers -1 0.1"),
            (first(None, Some(&[]), &[]), ", no label"),
            (first(None, Some(&["a"]), &[]), ", label a"),
            (first(None, Some(&["a", "b"]), &[]), ", labels a b"),
        ] {
            assert_eq!(text, format!("a.csv:2  test, 0 tokens shown{expected}"));
        }
    }
}
