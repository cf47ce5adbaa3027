//! Listing a file tree on disk.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{StoreError, reading};

/// How far symbolic links may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkReach {
    /// Within the tree: an artifact must be complete by itself.
    Inside,
    /// Anywhere: an input of the project counts by its content, wherever that lies.
    Anywhere,
}

/// A file of a tree.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path within the tree, with `/` between names.
    pub path: String,
    /// Where its bytes lie, links resolved.
    pub real: PathBuf,
    /// What the system says about it.
    pub metadata: Metadata,
}

impl Found {
    /// Whether its owner may execute it.
    pub fn executable(&self) -> bool {
        self.metadata.permissions().mode() & 0o100 != 0
    }
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The files below it, in no order.
    pub files: Vec<Found>,
    /// The folders that hold nothing; `""` is the tree itself.
    pub empty_folders: Vec<String>,
}

/// More files than this are taken for a mistake (or a maze of links).
const MOST_FILES: usize = 20_000_000;

/// Lists everything below the folder `root`; of an input ([`LinkReach::Anywhere`]) without [litter](is_litter).
///
/// # Errors
/// A folder cannot be read, a name is not UTF-8, a link is broken, circular or leads outside
/// (under [`LinkReach::Inside`]), or something is neither file nor folder.
pub(super) fn list(root: &Path, links: LinkReach) -> Result<Tree, StoreError> {
    let mut walk = Walk {
        links,
        root: None,
        top: root,
        tree: Tree::default(),
        above: Vec::new(),
    };
    walk.folder(root, "")?;
    Ok(walk.tree)
}

struct Walk<'a> {
    links: LinkReach,
    /// `top` with links resolved, once that is needed.
    root: Option<PathBuf>,
    top: &'a Path,
    tree: Tree,
    /// Device and inode of the folders around the current one: a link to one of them is a circle.
    above: Vec<(u64, u64)>,
}

impl Walk<'_> {
    fn folder(&mut self, real: &Path, path: &str) -> Result<(), StoreError> {
        let metadata = fs::metadata(real).map_err(reading("look at", real))?;
        let identity = (metadata.dev(), metadata.ino());
        if self.above.contains(&identity) {
            return Err(unkeepable(
                real,
                "a symbolic link leads back to a folder around it; remove the link",
            ));
        }
        self.above.push(identity);
        let mut empty = true;
        for item in fs::read_dir(real).map_err(reading("list", real))? {
            let item = item.map_err(reading("list", real))?;
            let name = item.file_name();
            let real = item.path();
            if self.links == LinkReach::Anywhere && name.to_str().is_some_and(is_litter) {
                continue;
            }
            empty = false;
            let Some(name) = name.to_str() else {
                return Err(unkeepable(&real, "its name is not UTF-8; rename it"));
            };
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            };
            let kind = item.file_type().map_err(reading("look at", &real))?;
            if kind.is_file() {
                let metadata = item.metadata().map_err(reading("look at", &real))?;
                self.file(path, real, metadata)?;
            } else if kind.is_dir() {
                self.folder(&real, &path)?;
            } else if kind.is_symlink() {
                let real = self.resolve(&real)?;
                let metadata = fs::metadata(&real).map_err(reading("look at", &real))?;
                if metadata.is_dir() {
                    self.folder(&real, &path)?;
                } else {
                    self.file(path, real, metadata)?;
                }
            } else {
                return Err(special(&real));
            }
        }
        self.above.pop();
        if empty {
            self.tree.empty_folders.push(path.to_owned());
        }
        Ok(())
    }

    fn file(&mut self, path: String, real: PathBuf, metadata: Metadata) -> Result<(), StoreError> {
        if !metadata.is_file() {
            return Err(special(&real));
        }
        if self.tree.files.len() >= MOST_FILES {
            return Err(unkeepable(
                self.top,
                &format!("it holds more than {MOST_FILES} files; pack them"),
            ));
        }
        self.tree.files.push(Found { path, real, metadata });
        Ok(())
    }

    fn resolve(&mut self, link: &Path) -> Result<PathBuf, StoreError> {
        let real = fs::canonicalize(link).map_err(|error| {
            unkeepable(
                link,
                &format!("it is a symbolic link that leads nowhere ({error}); remove it"),
            )
        })?;
        if self.links == LinkReach::Inside {
            if self.root.is_none() {
                self.root = Some(fs::canonicalize(self.top).map_err(reading("resolve", self.top))?);
            }
            if !self.root.as_deref().is_some_and(|root| real.starts_with(root)) {
                let why = format!(
                    "it is a symbolic link that leads outside its folder, to `{}`; copy the file instead",
                    real.display()
                );
                return Err(unkeepable(link, &why));
            }
        }
        Ok(real)
    }
}

/// Whether programs leave files or folders of this name for themselves, which no other reads: what Python
/// compiled (it goes by the sources), and how Finder and Explorer show a folder.
pub(super) fn is_litter(name: &str) -> bool {
    matches!(name, "__pycache__" | ".DS_Store" | "Thumbs.db")
}

fn unkeepable(path: &Path, why: &str) -> StoreError {
    StoreError::Unkeepable {
        path: path.into(),
        why: why.to_owned(),
    }
}

fn special(path: &Path) -> StoreError {
    unkeepable(
        path,
        "it is neither a file nor a folder (a pipe, a socket or a device); remove it",
    )
}

/// Removes a file or a folder and everything below it, even where folders are read-only; fine when
/// there is nothing.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.is_dir() {
        return fs::remove_file(path);
    }
    if fs::remove_dir(path).is_ok() || fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    for folder in walkdir::WalkDir::new(path)
        .into_iter()
        .flatten()
        .filter(|item| item.file_type().is_dir())
    {
        make_writable(folder.path());
    }
    fs::remove_dir_all(path)
}

/// Lets the owner write into the folder; what it was unable to do shows at the next try to write.
pub(super) fn make_writable(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(tree: &Tree) -> Vec<&str> {
        let mut paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        paths
    }

    #[test]
    fn links_inside_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("v1/empty")).unwrap();
        fs::write(root.join("v1/x"), "x").unwrap();
        symlink("v1", root.join("latest")).unwrap();
        symlink("latest/x", root.join("y")).unwrap();
        let tree = list(root, LinkReach::Inside).unwrap();
        assert_eq!(paths(&tree), ["latest/x", "v1/x", "y"]);
        assert_eq!(tree.empty_folders.len(), 2);
    }

    #[test]
    fn what_programs_leave_for_themselves_is_no_part_of_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/__pycache__")).unwrap();
        fs::write(root.join("a/__pycache__/m.cpython-311.pyc"), "").unwrap();
        fs::write(root.join("a/.DS_Store"), "").unwrap();
        fs::write(root.join("m.pyc"), "").unwrap();
        let tree = list(root, LinkReach::Anywhere).unwrap();
        assert_eq!(paths(&tree), ["m.pyc"]);
        assert_eq!(tree.empty_folders, ["a"]);
        assert_eq!(list(root, LinkReach::Inside).unwrap().files.len(), 3);
    }

    #[test]
    fn links_outside_circles_pipes_and_strange_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let case = |name: &str| {
            let root = folder.path().join(name);
            fs::create_dir(&root).unwrap();
            root
        };
        let root = case("outside");
        fs::write(folder.path().join("secret"), "").unwrap();
        symlink("../secret", root.join("x")).unwrap();
        assert!(
            list(&root, LinkReach::Inside)
                .unwrap_err()
                .to_string()
                .contains("leads outside")
        );
        assert_eq!(paths(&list(&root, LinkReach::Anywhere).unwrap()), ["x"]);

        let root = case("circle");
        symlink(".", root.join("x")).unwrap();
        assert!(
            list(&root, LinkReach::Inside)
                .unwrap_err()
                .to_string()
                .contains("leads back")
        );

        let root = case("broken");
        symlink("nowhere", root.join("x")).unwrap();
        assert!(
            list(&root, LinkReach::Anywhere)
                .unwrap_err()
                .to_string()
                .contains("leads nowhere")
        );

        let root = case("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(root.join("x"))
            .status()
            .unwrap();
        assert!(made.success());
        assert!(
            list(&root, LinkReach::Inside)
                .unwrap_err()
                .to_string()
                .contains("a pipe")
        );

        let root = case("name");
        fs::write(
            root.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(
                b"\xff",
            )),
            "",
        )
        .unwrap();
        assert!(
            list(&root, LinkReach::Inside)
                .unwrap_err()
                .to_string()
                .contains("UTF-8")
        );
    }

    #[test]
    fn removes_anything() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("x");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/c"), "").unwrap();
        fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o500)).unwrap();
        remove(&root).unwrap();
        assert!(!root.exists());
        remove(&root).unwrap();
    }
}
