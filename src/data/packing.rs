//! Compressed files: gzip, Zstandard, xz and bzip2, known by their first bytes and not by their names.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

/// Most memory that an xz stream may ask for, in KiB.
const MOST_XZ_MEMORY: u32 = 2 << 20;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952: `.gz`.
    Gzip,
    /// RFC 8878: `.zst`.
    Zstandard,
    /// `.xz`.
    Xz,
    /// `.bz2`.
    Bzip2,
}

impl Packing {
    /// How a file is compressed that begins with `start` (6 bytes tell); nothing where it is in no such way.
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame, or one to be skipped, as parallel packers write before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstandard),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // Behind the size of the blocks, a block or the end of an empty file begins.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// Whether a file that begins with `start` (13 bytes tell) is one of LZMA alone (`.lzma`), the format that xz took
    /// the place of: the usual properties, the size of a dictionary, and the size of what is packed or that it is not
    /// known.
    pub fn is_lzma_alone(start: &[u8]) -> bool {
        let [0x5d, dictionary @ ..] = start else {
            return false;
        };
        let (Some(dictionary), Some(size)) = (dictionary.get(..4), start.get(5..13)) else {
            return false;
        };
        let is_power =
            dictionary[0] == 0 && dictionary.iter().map(|byte| byte.count_ones()).sum::<u32>() <= 2;
        // No more than a terabyte.
        is_power && (size.iter().all(|byte| *byte == 0xff) || size[5..].iter().all(|byte| *byte == 0))
    }

    /// All of them.
    const ALL: [Self; 4] = [Self::Gzip, Self::Zstandard, Self::Xz, Self::Bzip2];

    /// The name that a file has unpacked: without the ending of any packing.
    pub fn stem(name: &str) -> &str {
        let mut endings = Self::ALL.iter().flat_map(|packing| packing.endings());
        endings
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(name)
    }

    /// What the names of such files end with, in lower case.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Gzip => &[".gz", ".gzip"],
            Self::Zstandard => &[".zst", ".zstd"],
            Self::Xz => &[".xz"],
            Self::Bzip2 => &[".bz2"],
        }
    }

    /// What is in the compressed file that `reader` gives.
    ///
    /// # Errors
    /// The decoder cannot be made. What is wrong with the file shows as it is read.
    pub fn unpacked<'a>(self, reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(GzipMembers::new(reader)),
            Self::Zstandard => return zstandard(reader),
            Self::Xz => Box::new(XzReader::new_mem_limit(reader, true, MOST_XZ_MEMORY)),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(reader)),
        })
    }
}

/// What is in a file that Zstandard compressed.
#[cfg(feature = "full")]
fn zstandard<'a>(reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    /// The largest window that a frame may ask for, as a power of two: what `zstd --long=31` writes.
    const LARGEST_WINDOW: u32 = 31;
    let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
    decoder.window_log_max(LARGEST_WINDOW)?;
    Ok(Box::new(decoder))
}

/// That it cannot be read here: the decoder is C.
#[cfg(not(feature = "full"))]
fn zstandard<'a>(_: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "Zstandard compressed it, and this program is built without the decoder: unpack it first",
    ))
}

/// The members of a gzip file, one behind the other; zero bytes behind one are padding, as GNU gzip and
/// Python take them (tapes and block devices are written in whole blocks).
struct GzipMembers<R> {
    /// The member that is being read; nothing at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipMembers<R> {
    fn new(reader: R) -> Self {
        Self {
            member: Some(GzDecoder::new(reader)),
        }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Some(member) = self.member.take() else { break };
            let mut reader = member.into_inner();
            if another_begins(&mut reader)? {
                self.member = Some(GzDecoder::new(reader));
            }
        }
        Ok(0)
    }
}

/// Whether another member follows, behind padding or not.
fn another_begins(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let Some(first) = bytes.iter().position(|byte| *byte != 0) else {
            let count = bytes.len();
            if count == 0 {
                return Ok(false);
            }
            reader.consume(count);
            continue;
        };
        let begins = bytes[first] == 0x1f;
        reader.consume(first);
        return if begins {
            Ok(true)
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "something that is not gzip data follows the gzip data",
            ))
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"one,two\n1,2\n";

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bz2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        // As small a buffer as there can be: no member ends where one is filled.
        let reader = io::BufReader::with_capacity(1, bytes);
        let mut out = Vec::new();
        let packing = Packing::of(bytes).expect("a packed file");
        packing.unpacked(reader)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn all_packings_are_known_by_their_beginning() {
        // Made by `tests/fixtures/archives.sh`.
        let xz = include_bytes!("../../tests/fixtures/archives/table.csv.xz");
        let skippable = [
            &[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9][..],
            &zstd::encode_all(TEXT, 1).unwrap(),
        ]
        .concat();
        for packed in [
            gz(TEXT),
            bz2(TEXT),
            zstd::encode_all(TEXT, 1).unwrap(),
            xz.to_vec(),
            skippable,
        ] {
            assert_eq!(unpacked(&packed).unwrap(), TEXT);
        }
        assert_eq!(unpacked(&bz2(b"")).unwrap(), b"");
        assert_eq!(
            unpacked(&[bz2(TEXT), bz2(TEXT)].concat()).unwrap(),
            TEXT.repeat(2)
        );
        assert_eq!(Packing::of(TEXT), None);
        assert_eq!(
            (Packing::stem("a.csv.xz"), Packing::stem("a.csv")),
            ("a.csv", "a.csv")
        );
        assert_eq!(Packing::of(b"BZh9 is no bzip2 file"), None);
        // As `xz --format=lzma` and Python's `lzma.compress(b"one,two\n", lzma.FORMAT_ALONE)` begin.
        for start in [
            b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0\x37",
            b"\x5d\0\0\x01\0\x08\0\0\0\0\0\0\0\0\x37",
        ] {
            assert!(Packing::is_lzma_alone(start), "{start:?}");
        }
        assert!(!Packing::is_lzma_alone(b"]one,two\n1,2\n3,4\n"));
        assert!(!Packing::is_lzma_alone(xz));
    }

    /// Padding between streams and behind the last is zero bytes, four or a multiple of that (the .xz file format,
    /// 1.2.1, 2.2).
    #[test]
    fn xz_streams_and_padding() {
        let one = &include_bytes!("../../tests/fixtures/archives/table.csv.xz")[..];
        for padding in [0, 4, 8, 512, 70_000] {
            let padded = [one, &vec![0; padding]].concat();
            assert_eq!(unpacked(&padded).unwrap(), TEXT, "{padding} zeros at the end");
            let two = [&padded[..], &padded].concat();
            assert_eq!(unpacked(&two).unwrap(), TEXT.repeat(2), "{padding} zeros between");
        }
        for wrong in [
            &[0; 3][..],
            &[0; 5],
            b"garbage!",
            &[0, 0, 0, 1],
            &one[..one.len() - 1],
            &one[..7],
        ] {
            let followed = [one, wrong].concat();
            assert!(unpacked(&followed).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn gzip_members_and_padding() {
        let one = gz(TEXT);
        for padding in [0, 1, 511, 70_000] {
            let zeros = vec![0; padding];
            let padded = [&one[..], &zeros].concat();
            assert_eq!(unpacked(&padded).unwrap(), TEXT);
            let two = [&padded[..], &one, &gz(b"")].concat();
            assert_eq!(unpacked(&two).unwrap(), TEXT.repeat(2), "{padding} zeros between");
        }
        let garbage = [&one[..], b"garbage"].concat();
        assert!(
            unpacked(&garbage)
                .unwrap_err()
                .to_string()
                .contains("follows the gzip data")
        );
        for cut in [&one[..one.len() - 1], &one[..12], &[&one[..], &one[..5]].concat()] {
            assert!(unpacked(cut).is_err(), "{} bytes", cut.len());
        }
    }
}
