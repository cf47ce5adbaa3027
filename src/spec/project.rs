//! The project: its root, and the settings in its `erlen.yaml`. Nothing of it is part of any key.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;

use super::decode::decode;
use super::diagnostic::{Diagnostic, SpecError};
use super::file_places::FilePlaces;
use super::node::{Node, Value};
use super::validate::{bad_name, is_name};
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
    /// Where results are shared with others.
    pub remote: Option<Remote>,
    /// Folders outside the project that references may begin at, by name.
    pub roots: IndexMap<String, PathBuf>,
}

/// A remote store, from the project's settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// `s3://BUCKET/PREFIX`, `http://...`, `https://...`, or a folder, relative to the project's root.
    pub url: String,
    /// The S3-compatible service, where it is not Amazon's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The bucket's region.
    #[serde(default)]
    pub region: Option<String>,
    /// Whether results that are not known here are looked for there.
    #[serde(default = "yes")]
    pub read: bool,
    /// Whether new results are sent there.
    #[serde(default = "yes")]
    pub write: bool,
}

fn yes() -> bool {
    true
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
    #[serde(default)]
    remote: Option<Remote>,
    #[serde(default)]
    roots: IndexMap<String, String>,
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
        let roots = settings.roots.into_iter();
        Ok(Self {
            roots: roots
                .map(|(name, folder)| (name, within(&root, &folder)))
                .collect(),
            store: root.join(place),
            remote: settings.remote.map(|remote| remote.within(&root)),
            root,
            mirrors,
            quota: settings.quota,
        })
    }

    /// Where the files lie that references name.
    pub fn places(&self) -> FilePlaces {
        FilePlaces::new(&self.root, self.roots.clone())
    }
}

/// A folder's path, where it is relative seen from the project's root; `~/` is the user's own folder.
fn within(root: &Path, folder: &str) -> PathBuf {
    let own = folder
        .strip_prefix("~/")
        .and_then(|inside| Some(std::env::home_dir()?.join(inside)));
    own.unwrap_or_else(|| root.join(folder))
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
    let settings: Settings =
        decode(&node).map_err(|mistake| SpecError::new(path, &source, vec![*mistake]))?;
    if let Some(Value::Map(entries)) = node.get("roots").map(|roots| &roots.value)
        && let Some((key, _)) = entries.iter().find(|(key, _)| !is_name(&key.name))
    {
        return Err(SpecError::new(path, &source, vec![bad_name("root", key)]));
    }
    match settings.remote.as_ref().and_then(Remote::mistake) {
        Some((field, mistake)) => {
            let span = node.span_at(&["remote", field]);
            let mistake = Diagnostic {
                span: Some(span),
                ..mistake
            };
            Err(SpecError::new(path, &source, vec![mistake]))
        }
        None => Ok(settings),
    }
}

impl Remote {
    /// The same, with a folder's absolute path.
    fn within(mut self, root: &Path) -> Self {
        if let Some(folder) = self.url.strip_prefix("file://") {
            self.url = folder.to_owned();
        } else if !self.url.contains("://") {
            self.url = root.join(&self.url).to_string_lossy().into_owned();
        }
        self
    }

    /// What cannot be right, and in which field.
    fn mistake(&self) -> Option<(&'static str, Diagnostic)> {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("file", &self.url));
        let s3 = scheme == "s3";
        if !["s3", "http", "https", "file"].contains(&scheme) {
            let mistake = Diagnostic::new(format!("`{scheme}://` is no remote that Erlen knows"), None);
            return Some((
                "url",
                mistake.help("s3://BUCKET/PREFIX, http://, https://, or a folder"),
            ));
        }
        if rest.trim_matches('/').is_empty() {
            return Some(("url", Diagnostic::new("the remote's place is missing", None)));
        }
        for (field, value) in [("endpoint", &self.endpoint), ("region", &self.region)] {
            if value.is_some() && !s3 {
                let mistake = Diagnostic::new(format!("`{field}` belongs to an s3:// remote"), None);
                return Some((field, mistake));
            }
        }
        let web = |endpoint: &String| endpoint.starts_with("http://") || endpoint.starts_with("https://");
        if self.endpoint.as_ref().is_some_and(|endpoint| !web(endpoint)) {
            let mistake = Diagnostic::new("an endpoint is a URL that begins with http:// or https://", None);
            return Some(("endpoint", mistake));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Reference;

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
    fn roots_are_found_from_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let root = &folder.path().canonicalize().unwrap();
        let settings = "roots:\n  scans: /data/scans\n  near: ../near\n";
        std::fs::write(root.join("erlen.yaml"), settings).unwrap();
        let places = Project::find(&root.join("p.yaml"), None).unwrap().places();
        let find = |text: &str| places.find(&Reference::parse(text).unwrap());
        assert_eq!(find("scans:2024/x").unwrap(), Some("/data/scans/2024/x".into()));
        assert_eq!(find("scans:.").unwrap(), Some("/data/scans".into()));
        assert_eq!(find("near:x").unwrap(), Some(root.join("../near/x")));
        assert_eq!(find("./x").unwrap(), Some(root.join("x")));
        assert_eq!(find("/y/x").unwrap(), Some("/y/x".into()));
        assert_eq!(find("raw/x").unwrap(), None);
        let unknown = find("scan:x").unwrap_err().to_string();
        assert!(
            unknown.contains("no root `scan` is defined: did you mean `scans`?"),
            "{unknown}"
        );
        std::fs::write(root.join("erlen.yaml"), "roots: {a b: /x}\n").unwrap();
        let error = Project::find(&root.join("p.yaml"), None).unwrap_err().to_string();
        assert!(
            error.contains("erlen.yaml:1:9: `a b` cannot name a root"),
            "{error}"
        );
    }

    #[test]
    fn remotes_are_checked_before_they_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        let find = |settings: &str| {
            std::fs::write(folder.path().join("erlen.yaml"), settings).unwrap();
            Project::find(&folder.path().join("p.yaml"), None)
        };
        let remote = find("remote: {url: ../shared results}\n")
            .unwrap()
            .remote
            .unwrap();
        assert!(
            remote.url.starts_with('/') && remote.url.ends_with("shared results"),
            "{}",
            remote.url
        );
        assert!(remote.read && remote.write);
        let remote = find("remote: {url: 's3://b/p', endpoint: 'http://127.0.0.1:9', write: false}\n");
        assert!(!remote.unwrap().remote.unwrap().write);
        for (settings, place, message) in [
            ("remote: {url: 'ftp://x/y'}\n", "1:15", "`ftp://` is no remote"),
            ("remote: {url: 's3://'}\n", "1:15", "place is missing"),
            (
                "remote:\n  url: /data\n  region: x\n",
                "3:11",
                "`region` belongs to an s3:// remote",
            ),
            (
                "remote: {url: 's3://b', endpoint: 127.0.0.1}\n",
                "1:35",
                "an endpoint is a URL",
            ),
            ("remote: {}\n", "1:1", "the field `url` is missing"),
        ] {
            let error = find(settings).unwrap_err().to_string();
            assert!(error.contains(&format!("erlen.yaml:{place}: ")), "{error}");
            assert!(error.contains(message), "{error}");
        }
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
