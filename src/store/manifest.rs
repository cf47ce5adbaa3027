//! Manifests: what a file tree holds, by content.

use serde::Serialize;

use crate::fingerprint::Digest;

/// The first line of every manifest.
const HEADER: &str = "erlen manifest 1";

/// One file of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its path within the tree, with `/` between names.
    pub path: String,
    /// Its content's digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A file tree by content: the sorted list of its files, and the folders that hold nothing.
///
/// Its text form is one line of JSON a file (`["path","digest",size]`, with a fourth item `"x"`
/// for an executable) and one an empty folder (`["path"]`) behind a header line; the digest of
/// that text is the tree's digest. Equal trees thus have equal digests, wherever they lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The files, sorted by the bytes of their paths.
    pub entries: Vec<Entry>,
    /// The folders that hold neither files nor folders, sorted; `""` is the tree itself, when empty.
    pub empty_folders: Vec<String>,
}

/// What lies at a path of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subtree<'a> {
    /// A file.
    File(&'a Entry),
    /// A folder, as a tree of its own.
    Folder(Manifest),
}

impl Manifest {
    /// The tree of these files and empty folders, in any order.
    pub(super) fn new(mut entries: Vec<Entry>, mut empty_folders: Vec<String>) -> Self {
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        empty_folders.sort_unstable();
        Self {
            entries,
            empty_folders,
        }
    }

    /// The size of all files together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// The digest that names the tree.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(self.to_text().as_bytes())
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&Entry> {
        let index = self
            .entries
            .binary_search_by(|entry| entry.path.as_str().cmp(path))
            .ok()?;
        Some(&self.entries[index])
    }

    /// What lies at `path`; the tree itself at `""` or `.`.
    pub fn subtree(&self, path: &str) -> Option<Subtree<'_>> {
        let path = normal(path);
        if path.is_empty() {
            return Some(Subtree::Folder(self.clone()));
        }
        if let Some(entry) = self.file(&path) {
            return Some(Subtree::File(entry));
        }
        let prefix = format!("{path}/");
        let start = self
            .entries
            .partition_point(|entry| entry.path.as_str() < prefix.as_str());
        let entries: Vec<Entry> = self.entries[start..]
            .iter()
            .take_while(|entry| entry.path.starts_with(&prefix))
            .map(|entry| Entry {
                path: entry.path[prefix.len()..].to_owned(),
                ..entry.clone()
            })
            .collect();
        let empty_folders: Vec<String> = self
            .empty_folders
            .iter()
            .filter_map(|folder| match folder.strip_prefix(&prefix) {
                Some(rest) => Some(rest.to_owned()),
                None => (*folder == path).then(String::new),
            })
            .collect();
        let found = !entries.is_empty() || !empty_folders.is_empty();
        found.then_some(Subtree::Folder(Self {
            entries,
            empty_folders,
        }))
    }

    /// The digest of the content at `path`: a file's bytes, or a folder's manifest.
    pub fn content_digest_at(&self, path: &str) -> Option<Digest> {
        Some(match self.subtree(path)? {
            Subtree::File(entry) => entry.digest,
            Subtree::Folder(tree) => tree.digest(),
        })
    }

    /// The first few names at the top of the tree, for messages.
    pub(super) fn names(&self, most: usize) -> Vec<&str> {
        let all = self
            .entries
            .iter()
            .map(|entry| &entry.path)
            .chain(&self.empty_folders);
        let mut names: Vec<&str> = all.map(|path| path.split('/').next().unwrap_or(path)).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(most);
        names
    }

    /// The text form.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::with_capacity(32 + self.entries.len() * 112);
        text.push_str(HEADER);
        text.push('\n');
        let quoted = |path: &str| serde_json::Value::from(path).to_string();
        for Entry {
            path,
            digest,
            size,
            executable,
        } in &self.entries
        {
            let mark = if *executable { ",\"x\"" } else { "" };
            text.push_str(&format!("[{},\"{digest}\",{size}{mark}]\n", quoted(path)));
        }
        for folder in &self.empty_folders {
            text.push_str(&format!("[{}]\n", quoted(folder)));
        }
        text
    }

    /// Reads the text form; the error says what is wrong.
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        match lines.next() {
            Some(HEADER) => {}
            first => return Err(format!("it begins with {first:?}, not with `{HEADER}`")),
        }
        let mut manifest = Self::default();
        for (index, line) in lines.enumerate() {
            let wrong = |why: &str| format!("line {}: {why}", index + 2);
            let items: Vec<serde_json::Value> =
                serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
            let mut items = items.into_iter();
            let Some(serde_json::Value::String(path)) = items.next() else {
                return Err(wrong("a path is expected"));
            };
            let fields = (items.next(), items.next(), items.next());
            let sound = path.is_empty() && fields.0.is_none() || is_relative_and_normal(&path);
            if !sound {
                return Err(wrong("the path leads outside the tree"));
            }
            match fields {
                (None, ..) => manifest.empty_folders.push(path),
                (Some(digest), Some(size), mark) => manifest.entries.push(Entry {
                    path,
                    digest: digest
                        .as_str()
                        .and_then(|text| text.parse().ok())
                        .ok_or_else(|| wrong("a digest is expected"))?,
                    size: size.as_u64().ok_or_else(|| wrong("a size is expected"))?,
                    executable: mark.is_some_and(|mark| mark == "x"),
                }),
                _ => return Err(wrong("a size is expected")),
            }
        }
        if !manifest.entries.is_sorted_by(|a, b| a.path < b.path) {
            return Err("its files are not sorted, or not all different".to_owned());
        }
        Ok(manifest)
    }
}

/// Whether every part of `path` is a plain name.
fn is_relative_and_normal(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// `path` without `.` parts and doubled or trailing slashes.
fn normal(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, executable: bool) -> Entry {
        Entry {
            path: path.into(),
            digest: Digest::of_bytes(path.as_bytes()),
            size: path.len() as u64,
            executable,
        }
    }

    fn sample() -> Manifest {
        Manifest::new(
            vec![
                entry("z \"q\"\n", false),
                entry("a/b", true),
                entry("a/c/d", false),
                entry("a-", false),
            ],
            vec!["e".to_owned(), "a/f".to_owned()],
        )
    }

    #[test]
    fn text_reads_back() {
        let manifest = sample();
        assert_eq!(Manifest::from_text(&manifest.to_text()).unwrap(), manifest);
        let empty = Manifest::new(vec![], vec![String::new()]);
        assert_eq!(Manifest::from_text(&empty.to_text()).unwrap(), empty);
    }

    #[test]
    fn hostile_text_is_refused() {
        let digest = Digest::of_bytes(b"");
        for line in [
            format!("[\"../x\",\"{digest}\",0]"),
            format!("[\"/x\",\"{digest}\",0]"),
            format!("[\"a//x\",\"{digest}\",0]"),
            format!("[\"\",\"{digest}\",0]"),
            "[\"x\",\"12\",0]".to_owned(),
            format!("[\"b\",\"{digest}\",0]\n[\"a\",\"{digest}\",0]"),
            "[\"x\"".to_owned(),
        ] {
            assert!(
                Manifest::from_text(&format!("{HEADER}\n{line}\n")).is_err(),
                "{line}"
            );
        }
        assert!(Manifest::from_text("").is_err());
    }

    #[test]
    fn subtrees_are_trees() {
        let manifest = sample();
        let Some(Subtree::Folder(a)) = manifest.subtree("./a/") else {
            panic!()
        };
        assert_eq!(
            a.entries
                .iter()
                .map(|entry| entry.path.as_str())
                .collect::<Vec<_>>(),
            ["b", "c/d"]
        );
        assert_eq!(a.empty_folders, ["f"]);
        assert_eq!(manifest.content_digest_at("a"), Some(a.digest()));
        assert_eq!(manifest.content_digest_at("a/b"), Some(Digest::of_bytes(b"a/b")));
        assert_eq!(manifest.content_digest_at(""), Some(manifest.digest()));
        assert!(matches!(manifest.subtree("e"), Some(Subtree::Folder(_))));
        assert_eq!(manifest.subtree("a/bb"), None);
        assert_eq!(manifest.names(9), ["a", "a-", "e", "z \"q\"\n"]);
    }
}
