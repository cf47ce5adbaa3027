//! Text in UTF-16, read as UTF-8.

use std::io::{self, Read};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 14;

/// What `bytes`, in UTF-16 behind a mark that tells the order of its bytes, are in UTF-8. Halves of pairs that stand alone
/// become U+FFFD each, and so does what a file that is cut ends with.
pub(super) struct WideText<R> {
    bytes: R,
    is_big_endian: bool,
    /// Bytes that wait for those behind them.
    raw: Vec<u8>,
    /// Text that was not given yet, from `given` on.
    text: String,
    given: usize,
    is_over: bool,
}

impl<R: Read> WideText<R> {
    /// Whether a text that begins with `start` is such.
    pub fn is_told_by(start: &[u8]) -> bool {
        start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff])
    }

    /// Of `bytes`, which begin with the mark.
    ///
    /// # Errors
    /// The mark cannot be read.
    pub fn new(mut bytes: R) -> io::Result<Self> {
        let mut mark = [0; 2];
        bytes.read_exact(&mut mark)?;
        Ok(Self {
            bytes,
            is_big_endian: mark == [0xfe, 0xff],
            raw: Vec::new(),
            text: String::new(),
            given: 0,
            is_over: false,
        })
    }

    /// Makes text of the next bytes.
    fn advance(&mut self) -> io::Result<()> {
        self.text.clear();
        self.given = 0;
        let waiting = self.raw.len();
        self.raw.resize(waiting + READ_BYTES, 0);
        let count = self.bytes.read(&mut self.raw[waiting..]);
        self.raw
            .truncate(waiting + count.as_ref().map_or(0, |count| *count));
        self.is_over = count? == 0;
        let is_big_endian = self.is_big_endian;
        let unit = |bytes: &[u8; 2]| match is_big_endian {
            true => u16::from_be_bytes(*bytes),
            false => u16::from_le_bytes(*bytes),
        };
        if self.is_over {
            // Half a pair, half a unit or both are one thing that is missing.
            if !self.raw.is_empty() {
                self.text.push(char::REPLACEMENT_CHARACTER);
                self.raw.clear();
            }
            return Ok(());
        }
        let (units, _) = self.raw.as_chunks::<2>();
        let is_first_half = |bytes: &[u8; 2]| (0xd800..0xdc00).contains(&unit(bytes));
        let whole = units.len() - usize::from(units.last().is_some_and(is_first_half));
        let characters = char::decode_utf16(units[..whole].iter().map(unit));
        self.text
            .extend(characters.map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)));
        self.raw.drain(..2 * whole);
        Ok(())
    }
}

impl<R: Read> Read for WideText<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.is_over && !buffer.is_empty() {
            self.advance()?;
        }
        let text = &self.text.as_bytes()[self.given..];
        let count = text.len().min(buffer.len());
        buffer[..count].copy_from_slice(&text[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, so that every unit and every pair is cut.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }

    fn read(reader: impl Read) -> String {
        let mut text = String::new();
        let mut reader = WideText::new(reader).unwrap();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    fn both(units: &[u16]) -> [Vec<u8>; 2] {
        let units = || std::iter::once(&0xfeff).chain(units);
        [
            units().flat_map(|unit| unit.to_le_bytes()).collect(),
            units().flat_map(|unit| unit.to_be_bytes()).collect(),
        ]
    }

    #[test]
    fn text_is_text_in_either_order() {
        // Longer than what is read at once, with pairs at all places.
        let long: String = ["grün,日本\r\n", "😀", "a😀\u{feff}"].concat().repeat(4000);
        for text in ["", "a,b\n1,2\n", "\u{feff}", "é😀", &long] {
            for bytes in both(&text.encode_utf16().collect::<Vec<u16>>()) {
                assert!(WideText::<&[u8]>::is_told_by(&bytes));
                assert_eq!(read(&bytes[..]), text);
                assert_eq!(read(Drops(&bytes)), text);
            }
        }
        assert!(!WideText::<&[u8]>::is_told_by(b"\xef\xbb\xbfa"));
    }

    #[test]
    fn what_is_broken_is_replaced() {
        const HIGH: u16 = 0xd83d;
        const LOW: u16 = 0xde00;
        let a = u16::from(b'a');
        for (units, text) in [
            (&[a, HIGH, a][..], "a\u{fffd}a"),
            (&[LOW, a], "\u{fffd}a"),
            (&[HIGH, HIGH, LOW], "\u{fffd}😀"),
            (&[a, HIGH], "a\u{fffd}"),
        ] {
            for bytes in both(units) {
                assert_eq!(read(&bytes[..]), text);
                assert_eq!(read(Drops(&bytes)), text);
                // Cut in the middle of the last unit.
                let cut = read(&bytes[..bytes.len() - 1]);
                assert!(cut.ends_with('\u{fffd}'), "{cut}");
            }
        }
        let [bytes, _] = both(&[a, HIGH, a]);
        assert_eq!(read(&bytes[..bytes.len() - 1]), "a\u{fffd}");
        assert_eq!(read(&b"\xff\xfea"[..]), "\u{fffd}");
    }
}
