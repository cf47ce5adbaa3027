//! Zip archives.

use std::io::{Read, Seek};

use zip::CompressionMethod;
use zip::result::ZipError;

use super::super::fault::DownloadFault;
use super::tree::{UnpackedTree, quoted};

/// No symbolic link's target is longer.
const LONGEST_TARGET: u64 = 4096;

/// Unpacks a zip archive into `tree`.
pub(super) fn unpack(reader: impl Read + Seek, tree: &mut UnpackedTree<'_>) -> Result<(), DownloadFault> {
    let mut archive =
        zip::ZipArchive::new(reader).map_err(|error| unreadable(tree, "its list of contents", error))?;
    if archive.len() as u64 > tree.most_entries() {
        return Err(tree.refuse("", &format!("is one of {}, more than are allowed", archive.len())));
    }
    for index in 0..archive.len() {
        let number = format!("entry {}", index + 1);
        let entry = archive
            .by_index_data(index)
            .map_err(|error| unreadable(tree, &number, error))?;
        let name = entry
            .name()
            .map_err(|error| unreadable(tree, &number, error))?
            .into_owned();
        let place = quoted(&name);
        if entry.encrypted() {
            return Err(tree.unsupported(&place, "is encrypted, and no password can be given here"));
        }
        if let Some(method) = unknown_method(entry.compression()) {
            let why = format!("is compressed by {}, which is not read here", method_name(method));
            return Err(tree.unsupported(&place, &why));
        }
        // Some programs write Windows paths.
        let path = name.replace('\\', "/");
        if path.get(1..3) == Some(":/") {
            return Err(tree.refuse(&path, "has an absolute path"));
        }
        let mut entry = archive
            .by_index(index)
            .map_err(|error| unreadable(tree, &place, error))?;
        if entry.is_dir() || path.ends_with('/') {
            tree.folder(&path)?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            let read = entry.by_ref().take(LONGEST_TARGET).read_to_string(&mut target);
            read.map_err(|error| tree.unreadable(&place, &error))?;
            tree.symbolic_link(&path, &target)?;
        } else {
            // The file type, where the program that packed it knew about such things.
            let mode = entry.unix_mode().unwrap_or(0);
            if !matches!(mode & 0o170_000, 0 | 0o100_000) {
                return Err(tree.refuse(&path, "is a device or a pipe"));
            }
            tree.file(&path, mode & 0o100 != 0, &mut entry)?;
        }
    }
    Ok(())
}

/// What an error means that reading at `place` gave.
fn unreadable(tree: &UnpackedTree<'_>, place: &str, error: ZipError) -> DownloadFault {
    match error {
        ZipError::UnsupportedArchive(why) => {
            tree.unsupported(place, &format!("is beyond what is read here ({why})"))
        }
        other => tree.broken(place, &other),
    }
}

/// The number of a compression method that is not read.
#[allow(
    deprecated,
    reason = "what is deprecated is to write so; there is no other way to ask"
)]
fn unknown_method(method: CompressionMethod) -> Option<u16> {
    match method {
        CompressionMethod::Unsupported(number) => Some(number),
        _ => None,
    }
}

/// The compression methods of the zip format that are not read (APPNOTE 4.4.5).
fn method_name(method: u16) -> String {
    let name = match method {
        1 => "shrinking",
        2..=5 => "reducing",
        6 => "imploding",
        10 => "PKWARE's imploding",
        16 => "IBM's CMPSC",
        18 => "IBM's TERSE",
        94 => "MP3",
        96 => "JPEG",
        97 => "WavPack",
        98 => "PPMd",
        99 => "a method hidden by AES encryption",
        _ => return format!("the unknown method {method}"),
    };
    format!("{name} (method {method})")
}
