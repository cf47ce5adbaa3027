//! Tar archives.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use tar::EntryType;

use super::tree::UnpackedTree;
use crate::stages::StageError;

/// What may lie between the contents of two files: headers, long names, extended attributes. A
/// hostile archive could otherwise fill the memory with one endless name.
const MOST_BETWEEN: u64 = 4 << 20;

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
) -> Result<(), StageError> {
    let state = Rc::new(TarState {
        allowance: Cell::new(MOST_BETWEEN),
        ended: Cell::new(false),
    });
    let mut archive = tar::Archive::new(Guarded {
        reader,
        state: Rc::clone(&state),
    });
    let mut before = "its beginning".to_owned();
    {
        let mut entries = archive.entries().map_err(|error| tree.broken(&before, &error))?;
        loop {
            state.allowance.set(MOST_BETWEEN);
            let Some(entry) = entries.next() else { break };
            let mut entry = entry.map_err(|error| tree.broken(&format!("what follows {before}"), &error))?;
            let path = text(tree, &entry.path_bytes())?;
            before = format!("`{path}`");
            let kind = entry.header().entry_type();
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
                    tree.file(&path, executable, &mut entry)?;
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
                EntryType::XGlobalHeader => {}
                EntryType::Block | EntryType::Char | EntryType::Fifo => {
                    return Err(tree.refuse(&path, "is a device or a pipe"));
                }
                other => {
                    return Err(tree.refuse(
                        &path,
                        &format!("is of the unknown type `{:?}`", other.as_byte() as char),
                    ));
                }
            }
        }
    }
    if state.ended.get() && !checked {
        return Err(tree.broken(&format!("what follows {before}"), &"the end mark is missing"));
    }
    drain(archive.into_inner(), &state, tree)
}

/// Reads what is left, so that a packing's own checksum is compared.
fn drain(mut reader: impl Read, state: &TarState, tree: &mut UnpackedTree<'_>) -> Result<(), StageError> {
    // Padding is a few kilobytes; whatever follows in larger amounts is not looked at.
    state.allowance.set(u64::MAX);
    let mut buffer = [0; 16 << 10];
    let mut left = MOST_BETWEEN.min(tree.bytes_left().max(64 << 10));
    while left > 0 {
        let count =
            super::read_some(&mut reader, &mut buffer).map_err(|error| tree.broken("its end", &error))?;
        if count == 0 {
            break;
        }
        left = left.saturating_sub(count as u64);
        tree.tick()?;
    }
    Ok(())
}

fn text(tree: &UnpackedTree<'_>, bytes: &[u8]) -> Result<String, StageError> {
    let refused = |_| tree.refuse(&String::from_utf8_lossy(bytes), "has a name that is not UTF-8");
    String::from_utf8(bytes.to_vec()).map_err(refused)
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
