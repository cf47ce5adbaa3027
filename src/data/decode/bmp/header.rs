//! The header of a BMP file.

use crate::data::decode::DecodeProblem;

/// The lengths that the information header has had.
const LENGTHS: [u32; 8] = [12, 16, 40, 52, 56, 64, 108, 124];

/// What a file says of itself.
pub(super) struct BmpHeader {
    /// Height and width, neither of them 0.
    pub size: [usize; 2],
    /// Whether the first row is the top one.
    pub is_top_down: bool,
    pub coding: Coding,
    /// Red, green and blue.
    pub palette: Vec<[u8; 3]>,
    /// Where the pixels begin.
    pub data: usize,
}

/// How pixels are written.
pub(super) enum Coding {
    /// Indices into the palette, of 1, 2, 4 or 8 bits.
    Indexed { bits: u8 },
    /// Runs of indices of 4 or 8 bits.
    Runs { bits: u8 },
    /// Blue, green, red, and what else there is.
    Direct { bytes: usize },
    /// Words of 2 or 4 bytes with the bits of red, green and blue.
    Masked { bytes: usize, masks: [u32; 3] },
}

impl BmpHeader {
    /// Whether the information header has one of the lengths there are.
    pub fn has_known_length(bytes: &[u8]) -> bool {
        word(bytes, 14).is_some_and(|length| LENGTHS.contains(&length))
    }

    pub fn read(bytes: &[u8]) -> Result<Self, DecodeProblem> {
        Self::parse(bytes).ok_or_else(|| DecodeProblem::Corrupt("its header ends early".to_owned()))?
    }

    /// Nothing where the file ends within the header.
    fn parse(bytes: &[u8]) -> Option<Result<Self, DecodeProblem>> {
        let data = word(bytes, 10)? as usize;
        let length = word(bytes, 14)?;
        let is_old = length == 12;
        let (width, height, bits) = if is_old {
            (
                i32::from(half(bytes, 18)?),
                i32::from(half(bytes, 20)?),
                half(bytes, 24)?,
            )
        } else {
            (
                word(bytes, 18)?.cast_signed(),
                word(bytes, 22)?.cast_signed(),
                half(bytes, 28)?,
            )
        };
        let compression = if length < 40 { 0 } else { word(bytes, 30)? };
        let named = if length < 40 { 0 } else { word(bytes, 46)? };
        if width <= 0 || height == 0 {
            return Some(Err(DecodeProblem::Corrupt(format!(
                "it claims a size of {height}x{width}"
            ))));
        }
        // Masks stand behind a header of 40 bytes and inside longer ones.
        let masks = || -> Option<[u32; 3]> { Some([word(bytes, 54)?, word(bytes, 58)?, word(bytes, 62)?]) };
        let is_masked = matches!(compression, 3 | 6);
        let coding = match (bits, compression) {
            (1 | 2 | 4 | 8, 0) => Coding::Indexed { bits: bits as u8 },
            (8, 1) | (4, 2) => Coding::Runs { bits: bits as u8 },
            (24, 0) => Coding::Direct { bytes: 3 },
            (32, 0) => Coding::Direct { bytes: 4 },
            (16, 0) => Coding::Masked {
                bytes: 2,
                masks: [0x7c00, 0x03e0, 0x001f],
            },
            (16 | 32, 3 | 6) => Coding::Masked {
                bytes: usize::from(bits / 8),
                masks: masks()?,
            },
            _ => {
                let kind = format!("it is a BMP of {bits} bits a pixel with compression {compression}");
                return Some(Err(DecodeProblem::Unsupported(kind)));
            }
        };
        let palette = match coding {
            Coding::Indexed { .. } | Coding::Runs { .. } => {
                let entry = if is_old { 3 } else { 4 };
                let start = 14 + length as usize + if is_masked { 12 } else { 0 };
                let most = 1usize << bits;
                let count = if named == 0 {
                    most
                } else {
                    most.min(named as usize)
                };
                // No further than to the pixels, nor than the file goes.
                let end = (start + count * entry).min(data.max(start)).min(bytes.len());
                let entries = bytes.get(start..end)?.chunks_exact(entry);
                entries.map(|color| [color[2], color[1], color[0]]).collect()
            }
            _ => Vec::new(),
        };
        Some(Ok(Self {
            size: [height.unsigned_abs() as usize, width as usize],
            is_top_down: height < 0,
            coding,
            palette,
            data,
        }))
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
