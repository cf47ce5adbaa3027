//! Files that a server encodes on the way although it was asked not to (`Content-Encoding`, RFC 9110,
//! section 8.4): the file is what comes out of the decoder.
//!
//! Many servers say `gzip` of a file that *is* a `.gz`, and mean nothing but that: it is kept as it is.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use super::fault::DownloadFault;
use super::{DownloadProgress, read_some, too_large};
use crate::data::Packing;
use crate::event::Monitor;
use crate::spec::ByteSize;

/// What is to be done with a file that came with this `Content-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    /// Nothing: it is the file.
    Identity,
    /// Decode it.
    Packed(Packing),
    /// It cannot be decoded here.
    Unknown,
}

impl ContentEncoding {
    /// By the header, the file's name and the first of the bytes that came.
    pub fn of(header: Option<&str>, name: &str, start: &[u8]) -> Self {
        let header = header.unwrap_or_default().trim().to_ascii_lowercase();
        let packing = match header.as_str() {
            "" | "identity" => return Self::Identity,
            "gzip" | "x-gzip" => Packing::Gzip,
            "zstd" => Packing::Zstandard,
            _ => return Self::Unknown,
        };
        let name = name.to_ascii_lowercase();
        let is_named_so = packing.endings().iter().any(|ending| name.ends_with(ending))
            || (packing == Packing::Gzip && name.ends_with(".tgz"));
        if is_named_so || Packing::of(start) != Some(packing) {
            Self::Identity
        } else {
            Self::Packed(packing)
        }
    }
}

/// Decodes `packed`, which came from `place`, into `file`.
pub(super) fn decode(
    packing: Packing,
    packed: &Path,
    file: &Path,
    place: &str,
    most: ByteSize,
    monitor: &Monitor,
) -> Result<(), DownloadFault> {
    let broken = |error: std::io::Error| {
        DownloadFault::source(format!("what `{place}` sent encoded cannot be decoded: {error}"))
    };
    let reader = File::open(packed).map_err(|error| DownloadFault::cannot("read", packed, &error))?;
    let mut decoder = packing
        .unpacked(BufReader::with_capacity(256 << 10, reader))
        .map_err(broken)?;
    let unwritable = |error: std::io::Error| DownloadFault::cannot("write", file, &error);
    let mut writer = File::create(file).map_err(unwritable)?;
    let mut progress = DownloadProgress::new("decode", None, monitor);
    let mut buffer = vec![0; 256 << 10];
    let mut done = 0;
    loop {
        let count = read_some(&mut decoder, &mut buffer).map_err(broken)?;
        if count == 0 {
            return Ok(());
        }
        done += count as u64;
        if done > most.0 {
            return Err(too_large(place, done, most).into());
        }
        writer.write_all(&buffer[..count]).map_err(unwritable)?;
        progress.at(done)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_told_from_an_encoding() {
        const GZIP: &[u8] = &[0x1f, 0x8b, 8];
        let packed = ContentEncoding::Packed(Packing::Gzip);
        for (header, name, start, expected) in [
            (None, "t.csv", GZIP, ContentEncoding::Identity),
            (Some("identity"), "t.csv", GZIP, ContentEncoding::Identity),
            (Some("gzip"), "t.csv", GZIP, packed),
            (Some("X-GZip "), "t.csv", GZIP, packed),
            (Some("gzip"), "t.csv", b"a,b", ContentEncoding::Identity),
            (Some("gzip"), "t.csv.GZ", GZIP, ContentEncoding::Identity),
            (Some("gzip"), "t.tgz", GZIP, ContentEncoding::Identity),
            (Some("br"), "t.csv", b"a,b", ContentEncoding::Unknown),
            (Some("gzip, gzip"), "t.csv", GZIP, ContentEncoding::Unknown),
        ] {
            assert_eq!(
                ContentEncoding::of(header, name, start),
                expected,
                "{header:?} {name}"
            );
        }
    }
}
