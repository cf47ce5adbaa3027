//! Unpacking archives that may be hostile.
//!
//! What an archive is shows in its first bytes, not in its name. Everything is written through a
//! [`UnpackedTree`], which knows no links while files are being written, refuses what leads outside, and
//! bounds how much comes out.

mod tar;
mod tree;
mod zip;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use self::tree::UnpackedTree;
use super::{DownloadProgress, cannot, read_some};
use crate::event::Monitor;
use crate::stages::StageError;

/// How much may come out of an archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnpackLimits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            bytes: u64::MAX,
            entries: 20_000_000,
        }
    }
}

/// Unpacks the archive `packed`, known as `name`, into the empty folder `output`.
///
/// `checked` says that the archive's checksum was right: then one without its end mark is whole.
///
/// # Errors
/// It is no archive, is damaged or cut off, leads outside, is larger than the limits, or the disk
/// is full.
pub(super) fn unpack(
    packed: &Path,
    name: &str,
    output: &Path,
    limits: UnpackLimits,
    checked: bool,
    monitor: &Monitor,
) -> Result<(), StageError> {
    let unreadable = |error: io::Error| cannot("read", packed, &error);
    let mut file = BufReader::with_capacity(256 << 10, File::open(packed).map_err(unreadable)?);
    let magic = file.fill_buf().map_err(unreadable)?;
    let magic = magic[..magic.len().min(512)].to_vec();
    let mut tree = UnpackedTree::new(
        output,
        name,
        limits,
        DownloadProgress::new("unpack", None, monitor),
    );
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => {
            let plain = single_name(name, &[".gz", ".gzip"]);
            stream(MultiGzDecoder::new(file), &plain, &mut tree, checked)?;
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(unreadable)?;
            stream(
                decoder,
                &single_name(name, &[".zst", ".zstd"]),
                &mut tree,
                checked,
            )?;
        }
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => {
            file.rewind().map_err(unreadable)?;
            zip::unpack(file, &mut tree)?;
        }
        block if tar::begins_with_header(block) => tar::unpack(file, &mut tree, checked)?,
        other => {
            let first: Vec<String> = other.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            return Err(StageError::failed(format!(
                "`{name}` is no archive that can be unpacked (tar, tar.gz, tar.zst, zip or gz): it begins with the \
                 bytes `{}`; look at it, or set `unpack: false`",
                first.join(" ")
            )));
        }
    }
    tree.finish(monitor)
}

/// Unpacks what a decoder gives: a tar archive, or else a single file.
fn stream(
    decoder: impl Read,
    plain: &str,
    tree: &mut UnpackedTree<'_>,
    checked: bool,
) -> Result<(), StageError> {
    let mut decoder = BufReader::with_capacity(128 << 10, decoder);
    let mut head = Vec::with_capacity(512);
    let read = decoder.by_ref().take(512).read_to_end(&mut head);
    read.map_err(|error| tree.broken("its beginning", &error))?;
    let whole = io::Cursor::new(head).chain(decoder);
    if tar::begins_with_header(whole.get_ref().0.get_ref()) {
        tar::unpack(whole, tree, checked)
    } else {
        let mut whole = whole;
        tree.file(plain, false, &mut whole)
    }
}

/// The name without the packing's ending.
fn single_name(name: &str, endings: &[&str]) -> String {
    let stripped = endings.iter().find_map(|ending| {
        let at = name.len().checked_sub(ending.len())?;
        (at > 0 && name.get(at..)?.eq_ignore_ascii_case(ending)).then(|| &name[..at])
    });
    stripped.unwrap_or(name).to_owned()
}
