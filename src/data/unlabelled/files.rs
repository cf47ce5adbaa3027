//! Files by their paths, their folders, their archives, or patterns.

use std::path::{Path, PathBuf};
use std::vec;

use tempfile::TempDir;
use walkdir::{DirEntry, WalkDir};

use super::UnlabelledInputs;
use super::archives::{ArchiveUnpacker, is_archive};
use crate::data::error::DataError;
use crate::data::formats::is_hidden;
use crate::event::Monitor;

/// How many files that were left out are named; the rest is counted.
const NAMED: usize = 5;

/// A file that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub path: PathBuf,
    /// How it is called in predictions.
    pub name: String,
}

/// What stands in a folder, at any depth.
type FolderEntries = Box<dyn Iterator<Item = walkdir::Result<DirEntry>> + Send>;

/// A file or folder that was asked for.
struct WalkedRoot {
    path: PathBuf,
    /// How it is called: an archive's folder as the archive.
    called: PathBuf,
}

/// Goes through what was asked for, in the order of the paths, folders in the order of their files' names.
pub(super) struct FileWalk {
    roots: vec::IntoIter<PathBuf>,
    /// The folder that is gone through.
    folder: Option<(WalkedRoot, FolderEntries)>,
    unpacker: ArchiveUnpacker,
    /// What archives were unpacked to, until all that is in them was read.
    unpacked: Vec<TempDir>,
    relative: bool,
    /// Whether a file in a folder is one of those that are asked for; what is named is taken in any case.
    wanted: fn(&Path) -> bool,
    found: u64,
    left_out: u64,
    examples: Vec<String>,
}

impl FileWalk {
    /// Files at the paths of `inputs` that are `wanted`.
    ///
    /// # Errors
    /// A path leads nowhere, or a pattern fits nothing.
    pub fn new(inputs: &UnlabelledInputs<'_>, wanted: fn(&Path) -> bool) -> Result<Self, DataError> {
        let mut roots = Vec::new();
        for path in inputs.paths {
            roots.extend(expanded(path)?);
        }
        Ok(Self {
            roots: roots.into_iter(),
            folder: None,
            unpacker: inputs.unpacker.clone(),
            unpacked: Vec::new(),
            relative: inputs.relative,
            wanted,
            found: 0,
            left_out: 0,
            examples: Vec::new(),
        })
    }

    /// How many files there were.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Says what was left out because it is not `what`, such as images.
    pub fn tell_left_out(&self, what: &str, monitor: &Monitor) {
        if self.left_out > 0 {
            let more = match self.left_out {
                count if count > NAMED as u64 => format!(", ... ({count} in all)"),
                _ => String::new(),
            };
            monitor.warn(format!(
                "not {what}, left out: `{}`{more}",
                self.examples.join("`, `")
            ));
        }
    }

    fn found_at(&mut self, path: &Path, root: &WalkedRoot) -> FoundFile {
        self.found += 1;
        let name = match path.strip_prefix(&root.path) {
            Ok(inside) if self.relative && !inside.as_os_str().is_empty() => inside.to_owned(),
            _ if self.relative => root.called.file_name().map_or(root.called.clone(), PathBuf::from),
            _ => root.whole_name(path),
        };
        FoundFile {
            name: name.to_string_lossy().into_owned(),
            path: path.to_owned(),
        }
    }

    /// What is asked for at `path`, an archive unpacked. One that cannot be is named, and what is wrong with it.
    fn opened(&mut self, path: PathBuf) -> Result<WalkedRoot, (String, String)> {
        if !is_archive(&path) {
            let called = path.clone();
            return Ok(WalkedRoot { path, called });
        }
        match self.unpacker.unpacked(&path) {
            Ok(folder) => {
                let root = folder.path().to_owned();
                self.unpacked.push(folder);
                Ok(WalkedRoot {
                    path: root,
                    called: path,
                })
            }
            Err(problem) => Err((path.to_string_lossy().into_owned(), problem)),
        }
    }

    /// What becomes of an entry of the folder `root`.
    fn take(
        &mut self,
        entry: walkdir::Result<DirEntry>,
        root: &WalkedRoot,
    ) -> Option<Result<FoundFile, (String, String)>> {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(&root.path);
                let name = root.whole_name(path).to_string_lossy().into_owned();
                let reason = match error.loop_ancestor() {
                    Some(ancestor) => format!("it is a link back to `{}`", ancestor.display()),
                    None => std::io::Error::from(error).to_string(),
                };
                self.found += 1;
                return Some(Err((name, format!("it cannot be read: {reason}"))));
            }
        };
        if entry.file_type().is_dir() {
            return None;
        }
        if !entry.file_type().is_file() || !(self.wanted)(entry.path()) {
            self.left_out += 1;
            if self.examples.len() < NAMED {
                self.examples
                    .push(root.whole_name(entry.path()).display().to_string());
            }
            return None;
        }
        Some(Ok(self.found_at(entry.path(), root)))
    }
}

impl WalkedRoot {
    /// How `path`, which is the root or in it, is called as a whole.
    fn whole_name(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.path) {
            Ok(inside) if !inside.as_os_str().is_empty() => self.called.join(inside),
            Ok(_) => self.called.clone(),
            Err(_) => path.to_owned(),
        }
    }
}

/// A file, or the name of what cannot be read and why.
impl Iterator for FileWalk {
    type Item = Result<FoundFile, (String, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some((root, mut walk)) = self.folder.take() {
                let Some(entry) = walk.next() else { break };
                let taken = self.take(entry, &root);
                self.folder = Some((root, walk));
                if taken.is_some() {
                    return taken;
                }
            }
            let path = self.roots.next()?;
            let root = match self.opened(path) {
                Ok(root) => root,
                Err(refused) => {
                    self.found += 1;
                    return Some(Err(refused));
                }
            };
            if !root.path.is_dir() {
                let path = root.path.clone();
                return Some(Ok(self.found_at(&path, &root)));
            }
            let walk = WalkDir::new(&root.path)
                .follow_links(true)
                .sort_by_file_name()
                .into_iter();
            let shown = walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
            self.folder = Some((root, Box::new(shown)));
        }
    }
}

/// What a path stands for: itself, or, where nothing has that name and it is a pattern, what it fits.
pub(super) fn expanded(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if path.symlink_metadata().is_ok() {
        return Ok(vec![path.to_owned()]);
    }
    let missing = |problem: String| Err(DataError::input(path, problem));
    let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
    let Some(pattern) = pattern else {
        return missing("there is no such file or folder".to_owned());
    };
    // All that lies in a folder, at any depth, is the folder.
    if let Some(folder) = pattern.strip_suffix("/**") {
        return expanded(Path::new(folder));
    }
    let options = glob::MatchOptions {
        // `*` fits neither a hidden name nor, as in a shell, more than one part of a path.
        require_literal_leading_dot: true,
        require_literal_separator: true,
        case_sensitive: true,
    };
    let found = match glob::glob_with(pattern, options) {
        Ok(found) => found,
        Err(error) => return missing(format!("it is neither a file nor a pattern: {error}")),
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in found {
        let path = path.map_err(|error| {
            let path = error.path().to_owned();
            DataError::io("list", &path)(error.into())
        })?;
        // What lies in a folder that fits is found there.
        if !paths.last().is_some_and(|last| path.starts_with(last)) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return missing("no file or folder fits this pattern".to_owned());
    }
    Ok(paths)
}
