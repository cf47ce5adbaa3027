//! The text that a pipeline was read from, to point into where a mistake is found only later.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, SpecError, position};
use super::mistake::Mistake;
use super::node::Node;

/// The file that a pipeline was read from.
#[derive(Clone, Debug, Default)]
pub struct PipelineSource {
    path: PathBuf,
    text: Arc<str>,
}

impl PipelineSource {
    /// The file at `path`, which holds `text`.
    pub fn new(path: &Path, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.into(),
        }
    }

    /// The file's path, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A mistake at `path`, from the file's top on, or at as much of it as there is.
    pub fn mistake_at(&self, path: &[&str], message: String) -> SpecError {
        let span = Node::parse(&self.text).ok().map(|root| root.span_at(path));
        SpecError::new(&self.path, &self.text, vec![Diagnostic::new(message, span)])
    }

    /// Mistakes in the options of the stage `stage`, of the kind `kind`, on a line each: where it stands, which
    /// field it is, what is wrong, and what to do.
    pub fn told(&self, stage: &str, kind: &str, mistakes: &[Mistake]) -> String {
        let root = Node::parse(&self.text).ok();
        let options = root
            .as_ref()
            .and_then(|root| root.get("stages")?.get(stage)?.get(kind));
        let told = mistakes.iter().map(|mistake| {
            let told = mistake.told(kind);
            let Some(options) = options else { return told };
            let path: Vec<&str> = mistake.path.iter().map(String::as_str).collect();
            let (line, column) = position(&self.text, options.span_at(&path));
            format!("{}:{line}:{column}: {told}", self.path.display())
        });
        told.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_at_the_field_or_as_near_as_there_is_one() {
        let text = "stages:\n  m:\n    train:\n      data: d\n      loss: {mse: {}}\n";
        let source = PipelineSource::new(Path::new("p.yaml"), text);
        let told = |stage, path: &[&str]| {
            let mistake = Mistake::new(path, "does not fit").help("take another");
            source.told(stage, "train", &[mistake])
        };
        assert_eq!(
            told("m", &["loss"]),
            "p.yaml:5:7: `train.loss`: does not fit: take another"
        );
        assert_eq!(
            told("m", &["monitor"]),
            "p.yaml:4:7: `train.monitor`: does not fit: take another"
        );
        assert_eq!(told("x", &["loss"]), "`train.loss`: does not fit: take another");
    }
}
