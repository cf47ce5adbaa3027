//! A folder that is filled from an archive, safely.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::super::fault::DownloadFault;
use super::{DownloadProgress, PackedArchive, UnpackLimits, read_some};
use crate::event::Monitor;
use crate::spec::ByteSize;

/// The folder, and how much has come out so far.
///
/// Symbolic links are made last, when all files are there: until then there is no link on the disk
/// that a file could be written through.
pub(super) struct UnpackedTree<'a> {
    root: PathBuf,
    archive: &'a PackedArchive<'a>,
    /// The archive's own size.
    packed: u64,
    limits: UnpackLimits,
    progress: DownloadProgress<'a>,
    bytes: u64,
    entries: u64,
    /// The folder that was made last: most files lie in the folder of the one before.
    last_folder: Option<String>,
    /// Symbolic links by path: the path within the tree that each leads to.
    links: BTreeMap<String, String>,
}

/// A link chain longer than this is a circle.
const LONGEST_CHAIN: u32 = 40;

impl<'a> UnpackedTree<'a> {
    pub fn new(
        root: &Path,
        archive: &'a PackedArchive<'a>,
        packed: u64,
        limits: UnpackLimits,
        progress: DownloadProgress<'a>,
    ) -> Self {
        Self {
            root: root.to_owned(),
            archive,
            packed,
            limits,
            progress,
            bytes: 0,
            entries: 0,
            last_folder: None,
            links: BTreeMap::new(),
        }
    }

    /// What the archive is called.
    pub fn archive(&self) -> &'a str {
        self.archive.name
    }

    /// How many entries there may be.
    pub fn most_entries(&self) -> u64 {
        self.limits.entries
    }

    /// How many more bytes may come out.
    pub fn bytes_left(&self) -> u64 {
        self.limits.bytes.saturating_sub(self.bytes)
    }

    /// Notices an interruption.
    pub fn tick(&mut self) -> Result<(), DownloadFault> {
        Ok(self.progress.at(self.bytes)?)
    }

    /// The archive does something that is not allowed.
    pub fn refuse(&self, entry: &str, why: &str) -> DownloadFault {
        DownloadFault::source(format!(
            "the archive `{}` is refused: its entry {} {why}; get the archive from a source that you trust, or unpack \
             it by hand",
            self.archive(),
            quoted(entry)
        ))
    }

    /// The archive's entry `entry` has a name that no file can be given here; what is wrong with it, and what to do.
    pub fn unnameable(&self, entry: &str, why: &str, advice: &str) -> DownloadFault {
        DownloadFault::source(format!(
            "the archive `{}` cannot be unpacked here: its entry {} {why}; {advice}",
            self.archive(),
            quoted(entry)
        ))
    }

    /// The archive has something at `place` that is sound and cannot be read here.
    pub fn unsupported(&self, place: &str, why: &str) -> DownloadFault {
        DownloadFault::source(format!(
            "the archive `{}` is sound as far as it was read, but cannot be unpacked here: {place} {why}; unpack it in \
             a `command` stage, or pack it anew as tar.zst, tar.gz or plain zip",
            self.archive()
        ))
    }

    /// What an error means that reading at `place` gave.
    pub fn unreadable(&self, place: &str, error: &io::Error) -> DownloadFault {
        match error.kind() {
            io::ErrorKind::Unsupported => {
                self.unsupported(place, &format!("is beyond what is read here ({error})"))
            }
            _ => self.broken(place, error),
        }
    }

    /// The archive cannot be read any further.
    pub fn broken(&self, place: &str, error: &dyn std::fmt::Display) -> DownloadFault {
        let advice = if self.archive.checked {
            "its checksum is right, so that it was so when the checksum was taken: ask whoever made it"
        } else {
            "get it again"
        };
        DownloadFault::source(format!(
            "the archive `{}` is damaged or cut off: it broke at {place} ({} entries before it were fine): {error}; \
             {advice}",
            self.archive(),
            self.entries.saturating_sub(1)
        ))
    }

    /// Makes the folder at `path`.
    pub fn folder(&mut self, path: &str) -> Result<(), DownloadFault> {
        self.count(path)?;
        let normal = self.normal(path)?;
        self.make_folder(path, &normal)
    }

    /// Writes `content` to `path`; a file that was there before is replaced, as tar does.
    pub fn file(
        &mut self,
        path: &str,
        executable: bool,
        content: &mut impl Read,
    ) -> Result<(), DownloadFault> {
        self.count(path)?;
        let normal = self.normal_file(path)?;
        let target = self.place_for(path, &normal)?;
        let mode = if executable { 0o755 } else { 0o644 };
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&target);
        let mut file = opened.map_err(|error| self.unwritable(&target, &error))?;
        let mut buffer = [0; 64 << 10];
        loop {
            let count =
                read_some(content, &mut buffer).map_err(|error| self.unreadable(&quoted(path), &error))?;
            if count == 0 {
                return self.tick();
            }
            self.bytes += count as u64;
            self.bound(path)?;
            file.write_all(&buffer[..count])
                .map_err(|error| self.unwritable(&target, &error))?;
            self.tick()?;
        }
    }

    /// Gives the file that came before at `target` a second name.
    pub fn hard_link(&mut self, path: &str, target: &str) -> Result<(), DownloadFault> {
        self.count(path)?;
        let (from, to) = (self.normal(target)?, self.normal_file(path)?);
        let existing = self.root.join(&from);
        let is_file = fs::symlink_metadata(&existing).is_ok_and(|metadata| metadata.is_file());
        if !is_file || self.through_link(&from) {
            return Err(self.refuse(
                path,
                &format!("is a hard link to `{target}`, which is no file of the archive before it"),
            ));
        }
        if from == to {
            return Ok(());
        }
        let place = self.place_for(path, &to)?;
        fs::hard_link(&existing, &place)
            .or_else(|_| fs::copy(&existing, &place).map(drop))
            .map_err(|error| self.unwritable(&place, &error))
    }

    /// Notes a symbolic link, to be made at the end.
    pub fn symbolic_link(&mut self, path: &str, target: &str) -> Result<(), DownloadFault> {
        self.count(path)?;
        let normal = self.normal_file(path)?;
        let outside = |tree: &Self| {
            tree.refuse(
                path,
                &format!("is a symbolic link that leads outside, to `{target}`"),
            )
        };
        if target.starts_with('/') || target.contains('\0') {
            return Err(outside(self));
        }
        let mut parts: Vec<&str> = normal.split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(outside(self));
                    }
                }
                name => parts.push(name),
            }
        }
        let leads_to = parts.join("/");
        self.place_for(path, &normal)?;
        self.links.insert(normal, leads_to);
        Ok(())
    }

    /// Makes the symbolic links.
    pub fn finish(mut self, monitor: &Monitor) -> Result<(), DownloadFault> {
        self.tick()?;
        if self.entries == 0 {
            return Err(DownloadFault::source(format!(
                "the archive `{}` is empty: nothing is in it",
                self.archive()
            )));
        }
        let mut dangling = Vec::new();
        let mut to_folders = Vec::new();
        for path in self.links.keys() {
            let place = self.root.join(path);
            let Some(target) = self.resolve(path)? else {
                dangling.push(path.as_str());
                continue;
            };
            let real = self.root.join(&target);
            match fs::symlink_metadata(&real) {
                Ok(metadata) if metadata.is_file() => fs::hard_link(&real, &place)
                    .or_else(|_| fs::copy(&real, &place).map(drop))
                    .map_err(|error| self.unwritable(&place, &error))?,
                Ok(metadata) if metadata.is_dir() => {
                    let around =
                        path == &target || path.starts_with(&format!("{target}/")) || target.is_empty();
                    if around {
                        return Err(self.refuse(path, "is a symbolic link to a folder around itself"));
                    }
                    to_folders.push((path, target));
                }
                _ => dangling.push(path),
            }
        }
        for (path, target) in to_folders {
            let up = "../".repeat(path.matches('/').count());
            let place = self.root.join(path);
            std::os::unix::fs::symlink(format!("{up}{target}"), &place)
                .map_err(|error| self.unwritable(&place, &error))?;
        }
        if let Some(first) = dangling.first() {
            monitor.warn(format!(
                "the archive `{}` has {} symbolic links that lead nowhere, the first of them `{first}`; they are left out",
                self.archive(),
                dangling.len()
            ));
        }
        Ok(())
    }

    /// The path without links that the link at `path` leads to; none if it leads to no file.
    fn resolve(&self, path: &str) -> Result<Option<String>, DownloadFault> {
        let mut current = self.links[path].clone();
        for _ in 0..LONGEST_CHAIN {
            // The first part of the path that is itself a link, and what follows it.
            let ends = current
                .match_indices('/')
                .map(|(at, _)| at)
                .chain([current.len()]);
            let found = ends
                .into_iter()
                .find_map(|end| Some((end, self.links.get(&current[..end])?)));
            match found {
                None => return Ok(self.root.join(&current).exists().then_some(current)),
                Some((end, target)) => {
                    let rest = current[end..].trim_start_matches('/');
                    let slash = if target.is_empty() || rest.is_empty() {
                        ""
                    } else {
                        "/"
                    };
                    current = format!("{target}{slash}{rest}");
                }
            }
        }
        Err(self.refuse(path, "is a symbolic link that leads in a circle"))
    }

    /// Notices that more comes out than may, `path` being written.
    fn bound(&self, path: &str) -> Result<(), DownloadFault> {
        if self.bytes > self.limits.bytes {
            return Err(DownloadFault::limit(format!(
                "the archive `{}` holds more than {}{} (reached at its entry {}){}",
                self.archive(),
                self.archive.advice("the `max_unpacked` of "),
                ByteSize(self.limits.bytes),
                quoted(path),
                self.archive.advice("; raise `max_unpacked` if that is right")
            )));
        }
        let most = self.packed.saturating_mul(self.limits.ratio);
        if self.bytes > most.max(self.limits.free) {
            return Err(DownloadFault::limit(format!(
                "the archive `{}` of {} unpacks to more than {} times its size (reached at its entry {}, after {}), as \
                 one does that is made to fill a disk{}",
                self.archive(),
                ByteSize(self.packed),
                self.limits.ratio,
                quoted(path),
                ByteSize(self.bytes),
                self.archive.advice("; raise `max_ratio` if that is right")
            )));
        }
        Ok(())
    }

    fn count(&mut self, path: &str) -> Result<(), DownloadFault> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.refuse(
                path,
                &format!(
                    "is one more than the {} entries that are allowed",
                    self.limits.entries
                ),
            ));
        }
        self.tick()
    }

    /// `path` without `.` and doubled slashes, if it stays inside.
    fn normal(&self, path: &str) -> Result<String, DownloadFault> {
        let mut parts = Vec::new();
        if path.starts_with('/') {
            return Err(self.refuse(path, "has an absolute path"));
        }
        if path.contains('\0') {
            return Err(self.refuse(path, "has a zero byte in its path"));
        }
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(self.refuse(path, "leads outside, through `..`")),
                name if name.len() > 255 => {
                    return Err(self.refuse(path, "has a name of more than 255 bytes"));
                }
                name => parts.push(name),
            }
        }
        Ok(parts.join("/"))
    }

    /// As [`UnpackedTree::normal`], for what cannot be the tree itself.
    fn normal_file(&self, path: &str) -> Result<String, DownloadFault> {
        let normal = self.normal(path)?;
        if normal.is_empty() {
            Err(self.refuse(path, "has an empty path"))
        } else {
            Ok(normal)
        }
    }

    /// Whether the path, or a folder on its way, is a symbolic link.
    fn through_link(&self, normal: &str) -> bool {
        !self.links.is_empty()
            && (normal.match_indices('/').map(|(at, _)| at).chain([normal.len()]))
                .any(|end| self.links.contains_key(&normal[..end]))
    }

    fn make_folder(&mut self, entry: &str, normal: &str) -> Result<(), DownloadFault> {
        if self.last_folder.as_deref() == Some(normal) || normal.is_empty() {
            return Ok(());
        }
        if self.through_link(normal) {
            return Err(self.refuse(entry, "goes through a symbolic link"));
        }
        let folder = self.root.join(normal);
        fs::create_dir_all(&folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                self.refuse(entry, "needs a folder where the archive has a file")
            }
            _ => self.unwritable(&folder, &error),
        })?;
        self.last_folder = Some(normal.to_owned());
        Ok(())
    }

    /// A free place for a file or link, in an existing folder.
    fn place_for(&mut self, entry: &str, normal: &str) -> Result<PathBuf, DownloadFault> {
        if let Some((folder, _)) = normal.rsplit_once('/') {
            self.make_folder(entry, folder)?;
        }
        self.links.remove(normal);
        let place = self.root.join(normal);
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => {
                Err(self.refuse(entry, "is a file where the archive has a folder"))
            }
            // Removed, not overwritten: it may have a second name.
            Ok(_) => fs::remove_file(&place)
                .map(|()| place.clone())
                .map_err(|error| self.unwritable(&place, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(place),
            Err(error) => Err(self.unwritable(&place, &error)),
        }
    }

    fn unwritable(&self, path: &Path, error: &io::Error) -> DownloadFault {
        DownloadFault::cannot("write", path, error)
    }
}

/// A path of an archive, for messages.
pub(super) fn quoted(path: &str) -> String {
    format!("`{}`", path.escape_debug())
}
