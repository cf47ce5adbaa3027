//! Where the files lie that references name.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::diagnostic::suggest;
use super::reference::Reference;

/// Where the files lie that references name: in the project, at named roots, or anywhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilePlaces {
    project: PathBuf,
    roots: IndexMap<String, PathBuf>,
}

/// A reference begins at a root that the project's settings do not name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no root `{root}` is defined: {help}")]
pub struct UnknownRoot {
    /// The root's name.
    pub root: String,
    /// What to do.
    pub help: String,
}

impl FilePlaces {
    /// Of the project at `project`, with other folders by name.
    pub fn new(project: &Path, roots: IndexMap<String, PathBuf>) -> Self {
        let project = project.to_owned();
        Self { project, roots }
    }

    /// The absolute path of what `reference` names; nothing where that is a stage.
    ///
    /// # Errors
    /// A root that is not defined.
    pub fn find(&self, reference: &Reference) -> Result<Option<PathBuf>, UnknownRoot> {
        Ok(match reference {
            Reference::Stage { .. } => None,
            Reference::Project(path) => Some(self.project.join(path)),
            Reference::Absolute(path) => Some(PathBuf::from(path)),
            Reference::Root { root, path } => match self.roots.get(root) {
                Some(folder) if path.is_empty() => Some(folder.clone()),
                Some(folder) => Some(folder.join(path)),
                None => return Err(self.unknown(root)),
            },
        })
    }

    fn unknown(&self, root: &str) -> UnknownRoot {
        let define = format!(
            "add `roots: {{{root}: /its/folder}}` to {}",
            self.project.join("erlen.yaml").display()
        );
        let help = match self.roots.is_empty() {
            true => define,
            false => format!(
                "{} (else {define})",
                suggest(root, "roots", self.roots.keys().map(String::as_str))
            ),
        };
        UnknownRoot {
            root: root.to_owned(),
            help,
        }
    }
}
