//! Mistakes in a user's file, with the place where each stands.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use miette::{NamedSource, SourceSpan};

/// One mistake.
#[derive(Clone, Debug, PartialEq, thiserror::Error, miette::Diagnostic)]
#[error("{message}")]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where it stands.
    #[label("{}", label.as_deref().unwrap_or("here"))]
    pub span: Option<SourceSpan>,
    /// A word at that place.
    pub label: Option<String>,
    /// What to do.
    #[help]
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake that stands at `span`.
    pub fn new(message: impl Into<String>, span: impl Into<Option<SourceSpan>>) -> Self {
        Self {
            message: message.into(),
            span: span.into(),
            label: None,
            help: None,
        }
    }

    /// With a word on what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a word at the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }
}

/// All the mistakes of one file.
#[derive(Debug)]
pub struct SpecError {
    /// The file.
    pub path: PathBuf,
    /// Its text, where it could be read.
    pub source: String,
    /// What is wrong with it; never empty.
    pub mistakes: Vec<Diagnostic>,
}

impl SpecError {
    pub(super) fn new(path: &Path, source: &str, mistakes: Vec<Diagnostic>) -> Self {
        Self {
            path: path.to_owned(),
            source: source.to_owned(),
            mistakes,
        }
    }

    /// With a word on what to do about what is wrong first.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(first) = self.mistakes.first_mut() {
            first.help = Some(help.into());
        }
        self
    }

    /// Each mistake with the text that it stands in, ready to be shown.
    pub fn reports(&self) -> impl Iterator<Item = miette::Report> {
        let name = self.path.display().to_string();
        self.mistakes.iter().map(move |mistake| {
            let mistake = self.without_long_line(mistake);
            let source = NamedSource::new(&name, self.source.clone()).with_language("yaml");
            miette::Report::new(mistake).with_source_code(source)
        })
    }

    /// The mistake; where its line is too long to be shown, with its place in words.
    fn without_long_line(&self, mistake: &Diagnostic) -> Diagnostic {
        /// In bytes. What is drawn holds columns in 16 bits.
        const LONGEST: usize = 2000;
        let mut mistake = mistake.clone();
        let Some(span) = mistake.span else {
            return mistake;
        };
        let (before, after) = self.source.split_at(span.offset().min(self.source.len()));
        let line_before = before.rsplit('\n').next().unwrap_or_default();
        let line_after = after.lines().next().unwrap_or_default();
        if line_before.len() + line_after.len() > LONGEST {
            let line = before.matches('\n').count() + 1;
            let column = line_before.chars().count() + 1;
            mistake.message = format!("{}:{line}:{column}: {}", self.path.display(), mistake.message);
            mistake.span = None;
        }
        mistake
    }
}

impl Display for SpecError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}", self.path.display())?;
            if let Some(span) = mistake.span {
                let (line, column) = position(&self.source, span);
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecError {}

/// The line and the column, each from 1, at which `span` begins in `text`.
pub(super) fn position(text: &str, span: SourceSpan) -> (usize, usize) {
    let before = &text[..span.offset().min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The member of `known` that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len().max(name.len()) / 4 || candidate.starts_with(name)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean `x`?`, or else a list of what there is.
pub fn suggest<'a>(name: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => format!("there are no {what}"),
        None => format!("{what}: {}", list(&known)),
    }
}

/// Names, separated by commas; many are cut short.
fn list(names: &[&str]) -> String {
    const MOST: usize = 20;
    let mut text = names.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_close() {
        assert_eq!(nearest("epoch", ["epochs", "model"]), Some("epochs"));
        assert_eq!(nearest("momentun", ["lr", "momentum"]), Some("momentum"));
        assert_eq!(nearest("zebra", ["lr", "momentum"]), None);
        assert_eq!(suggest("zebra", "stages", ["a", "b"]), "stages: a, b");
        assert_eq!(suggest("zebra", "stages", []), "there are no stages");
    }
}
