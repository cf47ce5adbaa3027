//! The digest of a sample's content.

/// The digest of a sample's values: 16 bytes of BLAKE3.
pub(super) type ContentDigest = [u8; 16];

/// The digest of an image's pixels, `[C, H, W]`, or of other values as bytes.
pub(super) fn digest_bytes(bytes: &[u8]) -> ContentDigest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes);
    shortened(&hasher)
}

/// The digest of a table's row, field by field. Two rows of one table have equal digests where their
/// numbers and texts are equal: what else occurs in the table does not matter.
#[derive(Default)]
pub(super) struct RowDigest {
    hasher: blake3::Hasher,
}

impl RowDigest {
    /// Begins a new row.
    pub fn clear(&mut self) {
        self.hasher.reset();
    }

    /// Takes a number.
    pub fn number(&mut self, number: f32) {
        self.hasher.update(&number.to_le_bytes());
    }

    /// Takes a cell that holds nothing.
    pub fn nothing(&mut self) {
        self.hasher.update(&f32::NAN.to_bits().to_le_bytes());
    }

    /// Takes a category.
    pub fn text(&mut self, text: &str) {
        // With its length, so that it does not matter what the next field begins with.
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text.as_bytes());
    }

    /// The digest of what was taken since the row began.
    pub fn finish(&self) -> ContentDigest {
        shortened(&self.hasher)
    }
}

fn shortened(hasher: &blake3::Hasher) -> ContentDigest {
    let mut digest = ContentDigest::default();
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}
