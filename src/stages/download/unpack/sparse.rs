//! Files with holes in POSIX archives, as GNU tar and bsdtar pack them: formats 0.0, 0.1 and 1.0 of
//! <https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html>. The entry holds the parts that
//! are no holes, one behind the other; records of its extended header say where they belong.
//!
//! GNU tar's own old format has a type of entries to itself, which the `tar` crate knows.

use std::io::{self, Read};

use tar::PaxExtensions;

/// So many parts are more than any file has: a list of them would fill the memory.
const MOST_PARTS: usize = 4 << 20;

const BLOCK: usize = 512;

/// A part of a file that is no hole.
#[derive(Clone, Copy, Debug, PartialEq)]
struct FilePart {
    offset: u64,
    length: u64,
}

/// What the extended header of an entry says of its holes.
#[derive(Debug)]
pub(super) struct SparseHeader {
    size: u64,
    /// The parts; nothing where the content begins with their list.
    parts: Option<Vec<FilePart>>,
}

impl SparseHeader {
    /// Reads the records; nothing where the file has no holes.
    ///
    /// # Errors
    /// The records contradict themselves, or are of a format that came after 1.0.
    pub fn of(records: PaxExtensions<'_>) -> io::Result<Option<Self>> {
        let (mut size, mut version) = (None, (None, None));
        let (mut map, mut pairs, mut offset) = (None, Vec::new(), None);
        for record in records {
            let record = record?;
            let key = record.key_bytes().strip_prefix(b"GNU.sparse.");
            let number = || decimal(record.value_bytes());
            match key {
                Some(b"size" | b"realsize") => size = Some(number()?),
                Some(b"major") => version.0 = Some(number()?),
                Some(b"minor") => version.1 = Some(number()?),
                Some(b"map") => map = Some(parts_of_map(record.value_bytes())?),
                Some(b"offset") => offset = Some(number()?),
                Some(b"numbytes") => pairs.push(FilePart {
                    offset: offset.take().ok_or_else(|| invalid("a part without its place"))?,
                    length: number()?,
                }),
                _ => {}
            }
            if pairs.len() > MOST_PARTS {
                return Err(too_many());
            }
        }
        let parts = match version {
            (Some(1), Some(0)) => None,
            (None, None) if map.is_some() => map,
            (None, None) if size.is_some() => Some(pairs),
            (None, None) => return Ok(None),
            (major, minor) => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "it has holes in format {}.{} of sparse files",
                        major.unwrap_or(0),
                        minor.unwrap_or(0)
                    ),
                ));
            }
        };
        let size = size.ok_or_else(|| invalid("no size"))?;
        Ok(Some(Self { size, parts }))
    }

    /// The whole file, from the entry's content.
    ///
    /// # Errors
    /// The parts overlap or reach beyond the file's end, or their list cannot be read.
    pub fn file<R: Read>(self, mut content: R) -> io::Result<SparseFile<R>> {
        let parts = match self.parts {
            Some(parts) => parts,
            None => leading_list(&mut content)?,
        };
        let mut end = 0;
        for part in &parts {
            let ends = part.offset.checked_add(part.length);
            end = ends
                .filter(|ends| part.offset >= end && *ends <= self.size)
                .ok_or_else(|| invalid("parts that do not lie one behind the other"))?;
        }
        Ok(SparseFile {
            content,
            parts: parts.into_iter(),
            at: 0,
            size: self.size,
            hole: 0,
            data: 0,
        })
    }
}

/// A file whose holes are filled with zeros again.
pub(super) struct SparseFile<R> {
    content: R,
    parts: std::vec::IntoIter<FilePart>,
    /// How much of the file the parts so far cover, holes included.
    at: u64,
    size: u64,
    /// What is left of the present hole, and of the part behind it.
    hole: u64,
    data: u64,
}

impl<R: Read> Read for SparseFile<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len() as u64;
        while self.hole == 0 && self.data == 0 {
            if let Some(part) = self.parts.next() {
                (self.hole, self.data) = (part.offset - self.at, part.length);
                self.at = part.offset + part.length;
            } else if self.at < self.size {
                self.hole = self.size - self.at;
                self.at = self.size;
            } else if self.content.read(&mut [0])? > 0 {
                return Err(invalid("more content than parts"));
            } else {
                return Ok(0);
            }
        }
        if self.hole > 0 {
            let count = self.hole.min(room) as usize;
            buffer[..count].fill(0);
            self.hole -= count as u64;
            return Ok(count);
        }
        let most = self.data.min(room) as usize;
        let count = self.content.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.data -= count as u64;
        Ok(count)
    }
}

/// The list that content in format 1.0 begins with: its length, then offset and length of each part, a
/// number a line, in whole blocks.
fn leading_list(content: &mut impl Read) -> io::Result<Vec<FilePart>> {
    let mut block = [0; BLOCK];
    let (mut line, mut wanted, mut numbers) = (Vec::new(), None, Vec::new());
    loop {
        content.read_exact(&mut block)?;
        for &byte in &block {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let number = decimal(&line)?;
            line.clear();
            match wanted {
                None if number > MOST_PARTS as u64 => return Err(too_many()),
                None => wanted = Some(2 * number as usize),
                Some(_) => numbers.push(number),
            }
            if wanted == Some(numbers.len()) {
                return Ok(pairs(&numbers));
            }
        }
        if line.len() > BLOCK {
            return Err(invalid("a list of parts that is none"));
        }
    }
}

/// The parts in a record of format 0.1: offset and length of each, between commas.
fn parts_of_map(map: &[u8]) -> io::Result<Vec<FilePart>> {
    if map.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = map
        .split(|byte| *byte == b',')
        .map(decimal)
        .collect::<io::Result<Vec<u64>>>()?;
    if numbers.len() % 2 == 1 {
        return Err(invalid("a part without a length"));
    }
    if numbers.len() / 2 > MOST_PARTS {
        return Err(too_many());
    }
    Ok(pairs(&numbers))
}

fn pairs(numbers: &[u64]) -> Vec<FilePart> {
    let part = |pair: &[u64]| FilePart {
        offset: pair[0],
        length: pair[1],
    };
    numbers.chunks_exact(2).map(part).collect()
}

fn decimal(digits: &[u8]) -> io::Result<u64> {
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| invalid("a number that is none"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("what its header says of holes has {what}"),
    )
}

fn too_many() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("it has holes between more than {MOST_PARTS} parts"),
    )
}
