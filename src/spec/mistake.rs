//! What is wrong with a field, told before it is known where the field stands.

use miette::SourceSpan;
use serde::{Deserialize, Serialize};

use super::diagnostic::Diagnostic;

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// Where it stands, from the options that were looked at.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake in the field at `path`.
    pub fn new<P: ToString>(path: impl IntoIterator<Item = P>, message: impl Into<String>) -> Self {
        Self {
            path: path.into_iter().map(|part| part.to_string()).collect(),
            message: message.into(),
            help: None,
        }
    }

    /// Which field of a stage of the kind `kind` it is, what is wrong, and what to do.
    pub fn told(&self, kind: &str) -> String {
        let field: Vec<&str> = [kind]
            .into_iter()
            .chain(self.path.iter().map(String::as_str))
            .collect();
        let help = self.help.as_deref().map(|help| format!(": {help}"));
        format!(
            "`{}`: {}{}",
            field.join("."),
            self.message,
            help.unwrap_or_default()
        )
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Mistakes in what stands at `under`, as they are told; `place` finds the place of a path.
pub(super) fn placed(
    under: &[&str],
    mistakes: Vec<Mistake>,
    place: &dyn Fn(&[&str]) -> SourceSpan,
) -> Vec<Diagnostic> {
    let diagnostic = |mistake: Mistake| {
        let path = under
            .iter()
            .copied()
            .chain(mistake.path.iter().map(String::as_str));
        Diagnostic {
            help: mistake.help,
            ..Diagnostic::new(mistake.message, place(&path.collect::<Vec<_>>()))
        }
    };
    mistakes.into_iter().map(diagnostic).collect()
}

/// Mistakes in what stands at `path`, seen from where the path begins.
pub(super) fn under(path: [&str; 2], mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let deeper = |mistake: Mistake| Mistake {
        path: path
            .iter()
            .map(|&part| part.to_owned())
            .chain(mistake.path)
            .collect(),
        ..mistake
    };
    mistakes.into_iter().map(deeper).collect()
}
