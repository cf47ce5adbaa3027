//! The headers of a tar archive, handed on in a form that no reader mistakes.
//!
//! Extended headers hold records that begin with their lengths, and values may hold anything, line breaks included
//! (POSIX.1-2024, pax, "pax Extended Header"). The `tar` crate (0.4.46) divides them at line breaks instead, so that
//! what follows an empty line in some value is lost without a word: names, sizes, and where holes are. Here they are
//! read by their lengths, the last of several with one key counts, and global ones count until they are replaced;
//! names are handed on as GNU's long names, sizes in the header itself, and of all other records those on holes.

use std::io::{self, Read};

use super::tar::begins_with_header;

const BLOCK: usize = 512;

/// GNU's types of headers, and Solaris' name for an extended header.
const LONG_NAME: u8 = b'L';
const LONG_TARGET: u8 = b'K';
const VOLUME_LABEL: u8 = b'V';
const SOLARIS_HEADER: u8 = b'X';

/// Where the fields of a header lie.
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
/// Whether the list of holes in GNU's old format goes on in the next block, there and in such blocks.
const IS_CONTINUED: usize = 482;
const IS_CONTINUED_FURTHER: usize = 504;

/// An archive with plain headers.
pub(super) struct PlainHeaders<R> {
    reader: R,
    /// What is handed on next.
    ready: Vec<u8>,
    given: usize,
    /// How much of the present entry's content is still to be handed on as it is.
    content: u64,
    /// Whether all that follows is handed on as it is: the end mark, or damage.
    ended: bool,
    /// How much stood between two entries, and how much may.
    between: u64,
    most_between: u64,
    global: Records,
    local: Records,
}

/// What extended headers and long names say of the next entry.
#[derive(Clone, Default)]
struct Records {
    path: Option<Vec<u8>>,
    /// The path of a file with holes, where `path` is that of a stand-in.
    sparse_path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    /// Records on holes, as they are, in their order.
    holes: Vec<u8>,
}

impl<R: Read> PlainHeaders<R> {
    /// Between two entries, at most `most_between` bytes may stand.
    pub fn new(reader: R, most_between: u64) -> Self {
        Self {
            reader,
            ready: Vec::new(),
            given: 0,
            content: 0,
            ended: false,
            between: 0,
            most_between,
            global: Records::default(),
            local: Records::default(),
        }
    }

    /// Reads headers up to that of an entry, or to the end.
    fn advance(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        self.between = 0;
        while self.ready.is_empty() && !self.ended {
            let mut block = self.bytes(BLOCK as u64)?;
            if !begins_with_header(&block) {
                self.ready = block;
                self.ended = true;
                return Ok(());
            }
            let size = number(&block[SIZE])?;
            match block[KIND] {
                b'x' | SOLARIS_HEADER => {
                    let text = self.padded(size)?;
                    self.local.read(&text)?;
                }
                b'g' => {
                    let text = self.padded(size)?;
                    self.global.read(&text)?;
                }
                // A name for the volume: of no file, and nothing follows it, its size may be blank.
                VOLUME_LABEL => {}
                LONG_NAME => {
                    let name = self.padded(size)?;
                    self.local.path.get_or_insert(until_zero(name));
                }
                LONG_TARGET => {
                    let name = self.padded(size)?;
                    self.local.target.get_or_insert(until_zero(name));
                }
                _ => self.entry(&mut block, size)?,
            }
        }
        Ok(())
    }

    /// Hands on the header of an entry, behind what else is known of it.
    fn entry(&mut self, block: &mut [u8], size: u64) -> io::Result<()> {
        let local = std::mem::take(&mut self.local);
        let size = match block[KIND] {
            // Links to names, devices, folders and pipes have no content, whatever their size.
            b'2'..=b'6' => 0,
            _ => local.size.or(self.global.size).unwrap_or(size),
        };
        for (kind, name) in [
            (
                LONG_NAME,
                local
                    .sparse_path
                    .or(local.path)
                    .or_else(|| self.global.path.clone()),
            ),
            (LONG_TARGET, local.target.or_else(|| self.global.target.clone())),
        ] {
            if let Some(mut name) = name {
                name.push(0);
                self.hand_on(kind, &name);
            }
        }
        if !local.holes.is_empty() {
            self.hand_on(b'x', &local.holes);
        }
        set_size(block, size);
        self.ready.extend_from_slice(block);
        if block[KIND] == b'S' {
            let mut goes_on = block[IS_CONTINUED] != 0;
            while goes_on {
                let next = self.bytes(BLOCK as u64)?;
                goes_on = next.get(IS_CONTINUED_FURTHER).is_some_and(|byte| *byte != 0);
                self.ready.extend(next);
            }
        }
        self.content = size
            .checked_next_multiple_of(BLOCK as u64)
            .ok_or_else(|| invalid("a size that no file has"))?;
        Ok(())
    }

    /// Hands on an entry of type `kind` with `content`, which tells something of the next one.
    fn hand_on(&mut self, kind: u8, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.ready.extend_from_slice(header.as_bytes());
        self.ready.extend_from_slice(content);
        self.ready.resize(self.ready.len().next_multiple_of(BLOCK), 0);
    }

    /// The content of a header, without what fills its last block.
    fn padded(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let whole = size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
        let mut bytes = self.bytes(whole)?;
        if (bytes.len() as u64) < whole {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// So many bytes, or as many as there are.
    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        self.between = self.between.saturating_add(count);
        if self.between > self.most_between {
            return Err(io::Error::other("its headers are larger than any real ones"));
        }
        let mut bytes = Vec::new();
        self.reader.by_ref().take(count).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: Read> Read for PlainHeaders<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.given == self.ready.len() && self.content == 0 && !self.ended {
            self.advance()?;
        }
        let ready = &self.ready[self.given..];
        if !ready.is_empty() {
            let count = ready.len().min(buffer.len());
            buffer[..count].copy_from_slice(&ready[..count]);
            self.given += count;
            return Ok(count);
        }
        if self.ended {
            return self.reader.read(buffer);
        }
        let most = buffer
            .len()
            .min(usize::try_from(self.content).unwrap_or(usize::MAX));
        let count = self.reader.read(&mut buffer[..most])?;
        self.content -= count as u64;
        self.ended |= count == 0;
        Ok(count)
    }
}

impl Records {
    /// Takes in the records of an extended header.
    fn read(&mut self, mut text: &[u8]) -> io::Result<()> {
        let wrong = || invalid("an extended header whose records contradict their lengths");
        // Some programs fill the end with zeros.
        while text.first().is_some_and(|byte| *byte != 0) {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let length = std::str::from_utf8(&text[..digits]).ok();
            let length: usize = length.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
            let (record, rest) = text.split_at_checked(length).ok_or_else(wrong)?;
            let inner = record.get(digits..).and_then(|inner| inner.strip_prefix(b" "));
            let inner = inner
                .and_then(|inner| inner.strip_suffix(b"\n"))
                .ok_or_else(wrong)?;
            let equals = inner.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (key, value) = (&inner[..equals], &inner[equals + 1..]);
            // An empty value takes back what a global header says.
            let name = (!value.is_empty()).then(|| value.to_vec());
            match key {
                b"path" => self.path = name,
                b"linkpath" => self.target = name,
                b"size" => self.size = Some(decimal(value).ok_or_else(wrong)?),
                b"GNU.sparse.name" => self.sparse_path = name,
                _ if key.starts_with(b"GNU.sparse.") => self.holes.extend_from_slice(record),
                _ => {}
            }
            text = rest;
        }
        Ok(())
    }
}

fn until_zero(mut name: Vec<u8>) -> Vec<u8> {
    let end = name.iter().position(|byte| *byte == 0);
    name.truncate(end.unwrap_or(name.len()));
    name
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A number of a header: octal digits, or binary where its first bit is set.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let mut bytes = field.iter().copied();
        let first = u128::from(bytes.next().unwrap_or_default() & 0x7f);
        let value = bytes.fold(first, |value, byte| value << 8 | u128::from(byte));
        return u64::try_from(value).map_err(|_| invalid("a size that no file has"));
    }
    let text = std::str::from_utf8(field).unwrap_or("?");
    let digits = text.trim_matches(['\0', ' ']);
    let digits = digits.split(['\0', ' ']).next().unwrap_or_default();
    match digits {
        "" => Ok(0),
        digits => u64::from_str_radix(digits, 8).map_err(|_| invalid("a size that is no number")),
    }
}

/// Writes the size and the checksum of a header anew.
fn set_size(block: &mut [u8], size: u64) {
    if number(&block[SIZE]).is_ok_and(|stated| stated == size) {
        return;
    }
    block[SIZE].fill(0);
    block[SIZE.start] = 0x80;
    block[SIZE.end - 8..SIZE.end].copy_from_slice(&size.to_be_bytes());
    block[CHECKSUM].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
