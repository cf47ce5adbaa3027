//! The first directory of a TIFF structure, which EXIF data are too.

/// A directory: tags with their values.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    is_little: bool,
    /// Where its entries begin.
    start: usize,
    entries: usize,
}

impl<'a> Directory<'a> {
    /// The first one of a structure with 32-bit offsets.
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let is_little = match bytes.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let offset = *bytes.get(4..)?.first_chunk()?;
        let offset = if is_little {
            u32::from_le_bytes(offset)
        } else {
            u32::from_be_bytes(offset)
        };
        let mut directory = Self {
            bytes,
            is_little,
            start: (offset as usize).checked_add(2)?,
            entries: 0,
        };
        directory.entries = usize::from(directory.half(offset as usize)?);
        Some(directory)
    }

    /// A tag's value, where it is one number of 16 bits.
    pub fn number(&self, tag: u16) -> Option<u16> {
        self.half(self.place(tag)?)
    }

    /// The whole structure with another value for a tag that has one number of 16 bits.
    pub fn with_number(&self, tag: u16, number: u16) -> Option<Vec<u8>> {
        let place = self.place(tag)?;
        let mut bytes = self.bytes.to_vec();
        let value = if self.is_little {
            number.to_le_bytes()
        } else {
            number.to_be_bytes()
        };
        bytes.get_mut(place..place + 2)?.copy_from_slice(&value);
        Some(bytes)
    }

    /// Where a tag's value stands.
    fn place(&self, tag: u16) -> Option<usize> {
        let mut places = (0..self.entries).map(|entry| self.start.saturating_add(12 * entry));
        places
            .find(|place| self.half(*place) == Some(tag))?
            .checked_add(8)
    }

    fn half(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.is_little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }
}
