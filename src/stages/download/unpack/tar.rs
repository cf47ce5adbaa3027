//! Tar archives.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use tar::EntryType;

use super::super::fault::DownloadFault;
use super::headers::PlainHeaders;
use super::sparse::SparseHeader;
use super::tree::{UnpackedTree, quoted};
use crate::event::Monitor;

/// What may lie between the contents of two files: headers, long names, extended attributes, lists of holes.
/// A hostile archive could otherwise fill the memory with one endless name.
const MOST_BETWEEN: u64 = 64 << 20;

/// How far behind the end is looked for what follows it.
const MOST_BEHIND: u64 = 4 << 20;

/// Types of entries that GNU tar adds.
const DUMPED_FOLDER: u8 = b'D';
const CONTINUATION: u8 = b'M';

/// Whether a file's first 512 bytes are a tar header: its checksum is right.
pub(super) fn begins_with_header(block: &[u8]) -> bool {
    let Some(block) = block.get(..512) else {
        return false;
    };
    let field = std::str::from_utf8(&block[148..156]).unwrap_or_default();
    let stated = u32::from_str_radix(field.trim_matches(['\0', ' ']), 8);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    stated.is_ok_and(|stated| stated == sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]))
}

/// Unpacks a tar archive into `tree`.
pub(super) fn unpack(
    reader: impl Read,
    tree: &mut UnpackedTree<'_>,
    checked: bool,
    monitor: &Monitor,
) -> Result<(), DownloadFault> {
    let state = Rc::new(TarState {
        allowance: Cell::new(MOST_BETWEEN),
        ended: Cell::new(false),
    });
    let mut archive = tar::Archive::new(Guarded {
        reader: PlainHeaders::new(reader, MOST_BETWEEN),
        state: Rc::clone(&state),
    });
    let mut before = "its beginning".to_owned();
    {
        let mut entries = archive
            .entries()
            .map_err(|error| tree.unreadable(&before, &error))?;
        loop {
            state.allowance.set(MOST_BETWEEN);
            let Some(entry) = entries.next() else { break };
            let mut entry =
                entry.map_err(|error| tree.unreadable(&format!("what follows {before}"), &error))?;
            let kind = entry.header().entry_type();
            let sparse = match kind {
                EntryType::Regular | EntryType::Continuous => sparse_header(&mut entry),
                _ => Ok(None),
            };
            let sparse =
                sparse.map_err(|error| tree.unreadable(&quoted(&lossy(&entry.path_bytes())), &error))?;
            let path = text(tree, &entry.path_bytes())?;
            before = quoted(&path);
            let target = || {
                entry
                    .link_name_bytes()
                    .map(std::borrow::Cow::into_owned)
                    .unwrap_or_default()
            };
            match kind {
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                    // Ancient archives mark folders by a trailing slash only.
                    if path.ends_with('/') {
                        tree.folder(&path)?;
                        continue;
                    }
                    let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
                    state.allowance.set(u64::MAX);
                    match sparse {
                        None => tree.file(&path, executable, &mut entry)?,
                        Some(sparse) => {
                            let file = sparse.file(&mut entry);
                            let mut file = file.map_err(|error| tree.unreadable(&before, &error))?;
                            tree.file(&path, executable, &mut file)?;
                        }
                    }
                }
                EntryType::Directory => tree.folder(&path)?,
                EntryType::Symlink => {
                    let target = text(tree, &target())?;
                    tree.symbolic_link(&path, &target)?;
                }
                EntryType::Link => {
                    let target = text(tree, &target())?;
                    tree.hard_link(&path, &target)?;
                }
                EntryType::Block | EntryType::Char | EntryType::Fifo => {
                    return Err(tree.refuse(&path, "is a device or a pipe"));
                }
                other => match other.as_byte() {
                    // A folder of an incremental dump; what it holds is the list of its files then.
                    DUMPED_FOLDER => tree.folder(&path)?,
                    CONTINUATION => {
                        let why = "goes on from another volume; put the volumes together first";
                        return Err(tree.unsupported(&before, why));
                    }
                    other => {
                        let why = format!("is of the unknown type `{}`", (other as char).escape_debug());
                        return Err(tree.unsupported(&before, &why));
                    }
                },
            }
        }
    }
    if state.ended.get() && !checked {
        monitor.warn(format!(
            "the archive `{}` has no end mark behind {before}: some programs leave it out, but it may be cut off; give \
             its `sha256` to be sure",
            tree.archive()
        ));
    }
    drain(archive.into_inner(), &state, tree, monitor)
}

/// What the extended header of an entry says of holes.
fn sparse_header<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Option<SparseHeader>> {
    match entry.pax_extensions()? {
        Some(records) => SparseHeader::of(records),
        None => Ok(None),
    }
}

/// Reads what is left, so that a packing's own checksum is compared, and tells what follows the end mark.
fn drain(
    mut reader: impl Read,
    state: &TarState,
    tree: &mut UnpackedTree<'_>,
    monitor: &Monitor,
) -> Result<(), DownloadFault> {
    // Padding is a few kilobytes; whatever follows in larger amounts is not looked at.
    state.allowance.set(u64::MAX);
    let mut buffer = [0; 16 << 10];
    let mut left = MOST_BEHIND.min(tree.bytes_left().max(64 << 10));
    let mut told = false;
    while left > 0 {
        let count = super::super::read_some(&mut reader, &mut buffer)
            .map_err(|error| tree.unreadable("its end", &error))?;
        if count == 0 {
            break;
        }
        if !told && buffer[..count].iter().any(|byte| *byte != 0) {
            told = true;
            monitor.warn(format!(
                "something follows the end mark of the archive `{}` (another archive, perhaps): it is left out",
                tree.archive()
            ));
        }
        left = left.saturating_sub(count as u64);
        tree.tick()?;
    }
    Ok(())
}

fn text(tree: &UnpackedTree<'_>, bytes: &[u8]) -> Result<String, DownloadFault> {
    let refused = |_| {
        let why = "has a name that is not UTF-8 but, perhaps, Latin-1, as old programs write them";
        let advice = "unpack it in a `command` stage that gives its files other names, as Python's \
                      `tarfile.open(path, encoding=\"latin-1\")` does, or pack it anew with names in UTF-8";
        tree.unnameable(&lossy(bytes), why, advice)
    };
    String::from_utf8(bytes.to_vec()).map_err(refused)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct TarState {
    /// How many more bytes may be read before something must come of it.
    allowance: Cell<u64>,
    /// Whether the archive was read to its end.
    ended: Cell<bool>,
}

/// A reader that gives up where an archive is all header.
struct Guarded<R> {
    reader: R,
    state: Rc<TarState>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let left = self.state.allowance.get().checked_sub(count as u64);
        let left = left.ok_or_else(|| io::Error::other("its headers are larger than any real ones"))?;
        self.state.allowance.set(left);
        if count == 0 && !buffer.is_empty() {
            self.state.ended.set(true);
        }
        Ok(count)
    }
}
