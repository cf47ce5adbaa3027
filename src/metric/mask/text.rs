//! Run lengths as text: `counts` of a compressed mask of COCO. A number is written five bits at a time, the lowest ones
//! first, each with a bit that says whether more follow, as the characters from `0` on. From the fourth number on it is
//! the difference to the one two before (`rleToString` of pycocotools' `maskApi.c`).

use super::{MaskError, RunLengths};

/// What is added to six bits.
const FIRST: u8 = b'0';
/// The bit that says that more follow, and the highest of the others, which is the sign in the last character.
const MORE: i64 = 0x20;
const SIGN: i64 = 0x10;
const BITS: u32 = 5;

impl RunLengths {
    /// The mask whose runs are written as `text`.
    ///
    /// # Errors
    /// Text that is none of run lengths, or of runs that do not add up to all pixels.
    pub fn from_text(text: &str, height: usize, width: usize) -> Result<Self, MaskError> {
        let mut counts: Vec<u32> = Vec::new();
        let (mut number, mut shift) = (0i64, 0);
        for (place, &character) in text.as_bytes().iter().enumerate() {
            let told = |problem| MaskError::Text { place, problem };
            let bits = match character.checked_sub(FIRST) {
                Some(bits @ 0..0x40) => i64::from(bits),
                _ => return Err(told("only the characters from `0` to `o` stand for numbers")),
            };
            if shift > 35 {
                return Err(told("the number has more than 32 bits"));
            }
            number |= (bits & (MORE - 1)) << shift;
            shift += BITS;
            if bits & MORE != 0 {
                continue;
            }
            if bits & SIGN != 0 {
                number |= -1 << shift;
            }
            if counts.len() > 2 {
                number += i64::from(counts[counts.len() - 2]);
            }
            let count = u32::try_from(number);
            counts
                .push(count.map_err(|_| told("the run has less than no pixels, or more than 32 bits tell"))?);
            (number, shift) = (0, 0);
        }
        if shift > 0 {
            return Err(MaskError::Text {
                place: text.len(),
                problem: "the last number goes on, but the text ends",
            });
        }
        Self::new(height, width, counts)
    }

    /// The runs as text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let counts = self.counts();
        for (index, &count) in counts.iter().enumerate() {
            let mut number = i64::from(count);
            if index > 2 {
                number -= i64::from(counts[index - 2]);
            }
            loop {
                let bits = number & (MORE - 1);
                number >>= BITS;
                let more = if bits & SIGN != 0 {
                    number != -1
                } else {
                    number != 0
                };
                let character = bits | if more { MORE } else { 0 };
                text.push(char::from(FIRST + character as u8));
                if !more {
                    break;
                }
            }
        }
        text
    }
}
