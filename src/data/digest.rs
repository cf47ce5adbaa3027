//! The digest of a sample's content.

/// The digest of a sample's values: 16 bytes of BLAKE3.
pub(super) type ContentDigest = [u8; 16];

/// The digest of an image's pixels, `[C, H, W]`.
pub(super) fn digest_pixels(pixels: &[u8]) -> ContentDigest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(pixels);
    shortened(&hasher)
}

/// The digest of a row of features.
pub(super) fn digest_features(features: &[f32]) -> ContentDigest {
    let mut hasher = blake3::Hasher::new();
    for feature in features {
        hasher.update(&feature.to_le_bytes());
    }
    shortened(&hasher)
}

fn shortened(hasher: &blake3::Hasher) -> ContentDigest {
    let mut digest = ContentDigest::default();
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}
