//! The project: its root, and the settings in its `erlen.yaml`. Nothing of it is part of any key.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;

use super::decode::decode;
use super::diagnostic::{Diagnostic, SpecError};
use super::node::{Node, Value};
use super::values::ByteSize;

/// The file with a project's settings.
const FILE: &str = "erlen.yaml";

/// What marks a project's root.
const MARKS: [&str; 3] = [FILE, ".erlen", ".git"];

/// A project: the folder that paths without a scheme are relative to.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// The root's absolute path.
    pub root: PathBuf,
    /// The store's place.
    pub store: PathBuf,
    /// URL prefixes and what stands in for them (a folder or another URL), longest first.
    pub mirrors: Vec<(String, String)>,
    /// How large the store may grow.
    pub quota: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    store: Option<String>,
    #[serde(default)]
    mirrors: IndexMap<String, String>,
    #[serde(default)]
    quota: Option<ByteSize>,
}

impl Project {
    /// The project that `file` belongs to: the nearest folder above it that holds `erlen.yaml`,
    /// `.erlen` or `.git`, or else the file's own. `store`, where given (from `ERLEN_STORE`),
    /// replaces the store's place.
    ///
    /// # Errors
    /// `erlen.yaml` cannot be read or has mistakes.
    pub fn find(file: &Path, store: Option<PathBuf>) -> Result<Self, SpecError> {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        // With `..` left in it, a path has ancestors that the file does not lie in.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let folder = folder.as_path();
        let root = folder
            .ancestors()
            .find(|folder| MARKS.iter().any(|mark| folder.join(mark).exists()))
            .unwrap_or(folder)
            .to_owned();
        let settings = read(&root.join(FILE))?;
        let place = store
            .or(settings.store.map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(".erlen"));
        let mut mirrors: Vec<(String, String)> = settings.mirrors.into_iter().collect();
        mirrors.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(Self {
            store: root.join(place),
            root,
            mirrors,
            quota: settings.quota,
        })
    }
}

fn read(path: &Path) -> Result<Settings, SpecError> {
    let source = match std::fs::read_to_string(path) {
        Ok(source) => source,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Settings::default()),
        Err(error) => {
            let mistake = Diagnostic::new(format!("cannot read {}: {error}", path.display()), None);
            return Err(SpecError::new(path, "", vec![mistake]));
        }
    };
    let node = match Node::parse(&source) {
        Ok(Node {
            value: Value::Null, ..
        }) => return Ok(Settings::default()),
        Ok(node) => node,
        Err(_)
            if source
                .lines()
                .all(|line| line.trim().is_empty() || line.trim().starts_with('#')) =>
        {
            return Ok(Settings::default());
        }
        Err(mistake) => return Err(SpecError::new(path, &source, vec![*mistake])),
    };
    decode(&node).map_err(|mistake| SpecError::new(path, &source, vec![*mistake]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_below() {
        let folder = tempfile::tempdir().unwrap();
        let root = &folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("pipelines/deep")).unwrap();
        std::fs::create_dir_all(root.join("other")).unwrap();
        std::fs::write(root.join("other/erlen.yaml"), "").unwrap();
        std::fs::write(
            root.join("erlen.yaml"),
            "# settings\nstore: cache\nmirrors:\n  'https://a/': /x\n  'https://a/b/': /y\n",
        )
        .unwrap();
        let project = Project::find(&root.join("pipelines/deep/p.yaml"), None).unwrap();
        assert_eq!(project.root, *root);
        let project = Project::find(&root.join("other/../pipelines/p.yaml"), None).unwrap();
        assert_eq!(project.root, *root);
        assert_eq!(project.store, root.join("cache"));
        assert_eq!(project.mirrors[0].0, "https://a/b/");
        let elsewhere = Project::find(&root.join("p.yaml"), Some("/tmp/s".into())).unwrap();
        assert_eq!(elsewhere.store, Path::new("/tmp/s"));
    }

    #[test]
    fn settings_may_be_comments_only_and_mistakes_are_placed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("erlen.yaml"), "# nothing yet\n").unwrap();
        assert!(Project::find(&folder.path().join("p.yaml"), None).is_ok());
        std::fs::write(folder.path().join("erlen.yaml"), "stor: x\n").unwrap();
        let error = Project::find(&folder.path().join("p.yaml"), None).unwrap_err();
        assert!(
            error.to_string().contains("erlen.yaml:1:1: unknown field `stor`"),
            "{error}"
        );
    }
}
