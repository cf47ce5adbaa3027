//! The project's own files as foreign programs get them.
//!
//! A program may write beside what it reads (Python its `__pycache__`, a script a cache of its own), change what
//! it reads, and find what nobody declared. So a small input is copied: what happens to the copy harms nobody, the
//! user may edit the original meanwhile, and nothing of the project lies around it. A large one is handed over
//! where it is, and looked at afterwards.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};

use super::error::{reading, writing, writing_bytes};
use super::manifest::{Entry, Manifest};
use super::tree::{self, Found};
use super::{Store, StoreError};
use crate::fingerprint::Digest;

/// The most files of an input that is copied.
const MOST_FILES: usize = 1000;

/// The most bytes of an input that is copied.
const MOST_BYTES: u64 = 32 << 20;

/// An input of the project that was handed to a program.
#[derive(Debug)]
pub struct GivenInput {
    /// Where the program finds it.
    pub path: PathBuf,
    /// Whether that is a copy.
    pub is_copy: bool,
    /// What it holds; a file alone has the path `""`.
    manifest: Manifest,
}

/// What became of an input while a program had it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputChanges {
    /// The files that are not what they were, or not there any more.
    pub changed: Vec<String>,
    /// The files that came to it.
    pub added: Vec<String>,
}

impl Store {
    /// Hands over the project's file or folder `original`, whose content is `digest`: as a copy at `target`, which
    /// must not exist, where it is small. Nothing where its content is another one by now.
    ///
    /// # Errors
    /// It cannot be read, or `target` cannot be written.
    pub fn give_input(
        &self,
        original: &Path,
        digest: &Digest,
        target: &Path,
    ) -> Result<Option<GivenInput>, StoreError> {
        let (files, empty_folders) = super::inputs::files_of(original)?;
        let manifest = self.manifest_of(&files, empty_folders.clone().unwrap_or_default())?;
        let is_folder = empty_folders.is_some();
        if content(&manifest, is_folder) != Some(*digest) {
            return Ok(None);
        }
        let is_copy = files.len() <= MOST_FILES && manifest.bytes() <= MOST_BYTES;
        if is_copy && !copy(&files, &manifest, is_folder, target)? {
            return Ok(None);
        }
        Ok(Some(GivenInput {
            path: if is_copy { target } else { original }.to_owned(),
            is_copy,
            manifest,
        }))
    }

    /// What became of an input that was handed over.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub fn changes_of(&self, given: &GivenInput) -> Result<InputChanges, StoreError> {
        let mut changes = InputChanges::default();
        if given.is_copy {
            for entry in &given.manifest.entries {
                let file = place(&given.path, &entry.path);
                let is_as_it_was = fs::symlink_metadata(&file).is_ok_and(|metadata| {
                    metadata.is_file() && Digest::of_file(&file).is_ok_and(|digest| digest == entry.digest)
                });
                if !is_as_it_was {
                    changes.changed.push(entry.path.clone());
                }
            }
            changes.added = added_to(given);
            return Ok(changes);
        }
        let (files, _) = super::inputs::files_of(&given.path)?;
        let now = self.manifest_of(&files, Vec::new())?;
        let mut left: HashMap<&str, &Entry> = now
            .entries
            .iter()
            .map(|entry| (entry.path.as_str(), entry))
            .collect();
        for entry in &given.manifest.entries {
            if left.remove(entry.path.as_str()) != Some(entry) {
                changes.changed.push(entry.path.clone());
            }
        }
        changes.added = left.into_keys().map(str::to_owned).collect();
        changes.added.sort_unstable();
        Ok(changes)
    }

    fn manifest_of(&self, files: &[Found], empty_folders: Vec<String>) -> Result<Manifest, StoreError> {
        let digests = self.digests_of(files)?;
        let entries = files.iter().zip(digests).map(|(file, digest)| Entry {
            path: file.path.clone(),
            digest,
            size: file.metadata.len(),
            executable: file.executable(),
        });
        Ok(Manifest::new(entries.collect(), empty_folders))
    }
}

/// The digest that an input of this content has.
fn content(manifest: &Manifest, is_folder: bool) -> Option<Digest> {
    if is_folder {
        return Some(manifest.digest());
    }
    manifest.entries.first().map(|entry| entry.digest)
}

/// Where a file of a tree lies.
fn place(root: &Path, path: &str) -> PathBuf {
    match path {
        "" => root.to_owned(),
        path => root.join(path),
    }
}

/// Copies the files to `target`; whether they were still what `manifest` says.
fn copy(files: &[Found], manifest: &Manifest, is_folder: bool, target: &Path) -> Result<bool, StoreError> {
    if let Some(around) = target.parent() {
        fs::create_dir_all(around).map_err(writing("make the folder", around))?;
    }
    if is_folder {
        fs::create_dir(target).map_err(writing("make the folder", target))?;
    }
    for folder in &manifest.empty_folders {
        let folder = place(target, folder);
        fs::create_dir_all(&folder).map_err(writing("make the folder", &folder))?;
    }
    let digests: HashMap<&str, &Digest> = manifest
        .entries
        .iter()
        .map(|entry| (entry.path.as_str(), &entry.digest))
        .collect();
    for file in files {
        let to = place(target, &file.path);
        if let Some(around) = to.parent() {
            fs::create_dir_all(around).map_err(writing("make the folder", around))?;
        }
        let size = file.metadata.len();
        fs::copy(&file.real, &to).map_err(writing_bytes("write", &to, size))?;
        if let Ok(modified) = file.metadata.modified() {
            // Tools compare times; where that cannot be, they do more than they need to.
            let copied = File::options().write(true).open(&to);
            let _ = copied.and_then(|copied| copied.set_times(FileTimes::new().set_modified(modified)));
        }
        let digest = Digest::of_file(&to).map_err(reading("read", &to))?;
        if digests.get(file.path.as_str()) != Some(&&digest) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a program left in its copy of an input, but for what programs leave everywhere. Best effort: it may
/// have left what cannot be listed.
fn added_to(given: &GivenInput) -> Vec<String> {
    let known: std::collections::HashSet<&str> = given
        .manifest
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    let items = walkdir::WalkDir::new(&given.path)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|item| {
            item.file_name()
                .to_str()
                .is_none_or(|name| !tree::is_litter(name))
        });
    let files = items.flatten().filter(|item| !item.file_type().is_dir());
    let paths = files.filter_map(|item| {
        let path = item.path().strip_prefix(&given.path).ok()?;
        Some(path.to_string_lossy().into_owned())
    });
    paths.filter(|path| !known.contains(path.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> (tempfile::TempDir, Store, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let code = folder.path().join("code");
        fs::create_dir_all(code.join("lib/none")).unwrap();
        fs::write(code.join("main.py"), "import helper").unwrap();
        fs::write(code.join("lib/helper.py"), "x = 1").unwrap();
        (folder, store, code)
    }

    fn give(store: &Store, original: &Path, target: &Path) -> GivenInput {
        let digest = store.input_digest(original).unwrap();
        store.give_input(original, &digest, target).unwrap().unwrap()
    }

    #[test]
    fn what_a_program_does_to_a_copy_is_told_and_harms_nobody() {
        let (folder, store, code) = project();
        let before = store.input_digest(&code).unwrap();
        let given = give(&store, &code, &folder.path().join("in/CODE/code"));
        assert!(given.is_copy && given.path.join("lib/none").is_dir());
        let times = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(times(&given.path.join("main.py")), times(&code.join("main.py")));
        assert_eq!(store.changes_of(&given).unwrap(), InputChanges::default());
        fs::create_dir(given.path.join("__pycache__")).unwrap();
        fs::write(given.path.join("__pycache__/helper.pyc"), "bytes").unwrap();
        fs::write(given.path.join("lib/cache"), "more").unwrap();
        fs::write(given.path.join("main.py"), "import another").unwrap();
        let changes = store.changes_of(&given).unwrap();
        assert_eq!(
            (changes.changed, changes.added),
            (vec!["main.py".to_owned()], vec!["lib/cache".to_owned()])
        );
        assert_eq!(store.input_digest(&code).unwrap(), before);
    }

    #[test]
    fn a_file_is_copied_too_and_what_changed_before_is_not_handed_over() {
        let (folder, store, code) = project();
        let main = code.join("main.py");
        let given = give(&store, &main, &folder.path().join("in/MAIN/main.py"));
        assert_eq!(fs::read_to_string(&given.path).unwrap(), "import helper");
        assert!(!given.path.with_file_name("lib").exists());
        fs::write(&given.path, "other").unwrap();
        assert_eq!(store.changes_of(&given).unwrap().changed, [""]);
        let old = store.input_digest(&main).unwrap();
        fs::write(&main, "import something").unwrap();
        let target = folder.path().join("in/AGAIN/main.py");
        assert!(store.give_input(&main, &old, &target).unwrap().is_none());
    }

    #[test]
    fn a_large_input_is_handed_over_where_it_is_and_looked_at() {
        let (folder, store, code) = project();
        let big = File::create(code.join("big")).unwrap();
        big.set_len(MOST_BYTES + 1).unwrap();
        let target = folder.path().join("in/CODE/code");
        let given = give(&store, &code, &target);
        assert!(!given.is_copy && given.path == code && !target.exists());
        fs::create_dir(code.join("__pycache__")).unwrap();
        fs::write(code.join("__pycache__/x.pyc"), "bytes").unwrap();
        fs::write(code.join(".DS_Store"), "finder").unwrap();
        assert_eq!(store.changes_of(&given).unwrap(), InputChanges::default());
        fs::write(code.join("lib/none/new"), "new").unwrap();
        fs::write(code.join("lib/helper.py"), "x = 2").unwrap();
        let changes = store.changes_of(&given).unwrap();
        assert_eq!(
            (changes.changed, changes.added),
            (vec!["lib/helper.py".to_owned()], vec!["lib/none/new".to_owned()])
        );
    }
}
