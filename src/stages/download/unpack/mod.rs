//! Unpacking archives that may be hostile.
//!
//! What an archive is shows in its first bytes, not in its name. Everything is written through a
//! [`UnpackedTree`], which knows no links while files are being written, refuses what leads outside, and
//! bounds how much comes out.

mod headers;
mod sparse;
mod tar;
mod tree;
mod zip;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use self::tree::UnpackedTree;
use super::content;
use super::fault::DownloadFault;
use super::{DownloadProgress, read_some};
use crate::data::Packing;
use crate::event::Monitor;

/// How much may come out of an archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnpackLimits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// How many times the archive's own size may come out, beyond `free` bytes.
    pub ratio: u64,
    /// So many bytes may come out of any archive.
    pub free: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            bytes: u64::MAX,
            entries: 20_000_000,
            ratio: u64::MAX,
            free: 1 << 30,
        }
    }
}

/// A file that should be an archive.
#[derive(Debug)]
pub(super) struct PackedArchive<'a> {
    /// Where it lies.
    pub path: &'a Path,
    /// What it is called.
    pub name: &'a str,
    /// Whether its checksum was right: then one without its end mark is whole.
    pub checked: bool,
    /// Whether it is a download's, whose options say what is unpacked: messages then name them.
    pub has_options: bool,
}

impl PackedArchive<'_> {
    /// `advice` that names an option, where there are options.
    fn advice<'a>(&self, advice: &'a str) -> &'a str {
        if self.has_options { advice } else { "" }
    }
}

/// Unpacks the archive into the empty folder `output`.
///
/// # Errors
/// It is no archive, is damaged or cut off, leads outside, is larger than the limits, or the disk
/// is full.
pub(super) fn unpack(
    archive: &PackedArchive<'_>,
    output: &Path,
    limits: UnpackLimits,
    monitor: &Monitor,
) -> Result<(), DownloadFault> {
    let unreadable = |error: io::Error| DownloadFault::cannot("read", archive.path, &error);
    let file = File::open(archive.path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut file = BufReader::with_capacity(256 << 10, file);
    let start = file.fill_buf().map_err(unreadable)?;
    let start = start[..start.len().min(content::ENOUGH)].to_vec();
    let mut tree = UnpackedTree::new(
        output,
        archive,
        size,
        limits,
        DownloadProgress::new("unpack", None, monitor),
    );
    if let Some(packing) = Packing::of(&start) {
        let unpacked = packing.unpacked(file).map_err(unreadable)?;
        stream(
            unpacked,
            &single_name(archive.name, packing.endings()),
            &mut tree,
            monitor,
        )?;
    } else if tar::begins_with_header(&start) {
        tar::unpack(file, &mut tree, archive.checked, monitor)?;
    } else if matches!(start.as_slice(), [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..])
        || ends_as_zip(&mut file, size).map_err(unreadable)?
    {
        file.rewind().map_err(unreadable)?;
        zip::unpack(file, &mut tree)?;
    } else {
        return Err(DownloadFault::source(format!(
            "`{}` is no archive that can be unpacked (tar, also as gz, xz, bz2 or zst; zip; or a single file as gz, xz, \
             bz2 or zst): {}{}",
            archive.name,
            content::description(&start),
            archive.advice("; set `unpack: false` to take it as it is")
        )));
    }
    tree.finish(monitor)
}

/// Unpacks what a decoder gives: a tar archive, or else a single file.
fn stream(
    decoder: impl Read,
    plain: &str,
    tree: &mut UnpackedTree<'_>,
    monitor: &Monitor,
) -> Result<(), DownloadFault> {
    let mut decoder = BufReader::with_capacity(128 << 10, decoder);
    let mut head = Vec::with_capacity(512);
    let read = decoder.by_ref().take(512).read_to_end(&mut head);
    read.map_err(|error| tree.unreadable("its beginning", &error))?;
    let mut whole = io::Cursor::new(head).chain(decoder);
    if tar::begins_with_header(whole.get_ref().0.get_ref()) {
        // A packing tells by itself where it ends.
        tar::unpack(whole, tree, true, monitor)
    } else {
        tree.file(plain, false, &mut whole)
    }
}

/// Whether a file that begins with something else is a zip archive all the same, as programs are that unpack
/// themselves: the record of its end stands within a comment's length of the end.
fn ends_as_zip(file: &mut (impl Read + Seek), size: u64) -> io::Result<bool> {
    const RECORD: u64 = 22;
    const LONGEST_COMMENT: u64 = 0xffff;
    file.seek(SeekFrom::Start(size.saturating_sub(RECORD + LONGEST_COMMENT)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let whole = |at: usize| {
        let length = end
            .get(at + 20..at + 22)
            .map(|two| u16::from_le_bytes([two[0], two[1]]));
        length.is_some_and(|length| at + 22 + usize::from(length) == end.len())
    };
    Ok((0..end.len()).any(|at| end[at..].starts_with(b"PK\x05\x06") && whole(at)))
}

/// The name without the packing's ending.
fn single_name(name: &str, endings: &[&str]) -> String {
    let stripped = endings.iter().find_map(|ending| {
        let at = name.len().checked_sub(ending.len())?;
        (at > 0 && name.get(at..)?.eq_ignore_ascii_case(ending)).then(|| &name[..at])
    });
    stripped.unwrap_or(name).to_owned()
}
