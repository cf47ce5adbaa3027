//! How an image file becomes the pixels of a field.

use serde::{Deserialize, Serialize};

/// How image files became the pixels of a field, so that others can be made into such pixels later.
///
/// Pixels are red, green and blue, or one channel of luma with the weights of ITU-R BT.601; an alpha channel is
/// dropped; 16 bits become the nearest of 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePreparation {
    /// The height and width that each was resized to, bilinear and averaged where it shrank; nothing where images
    /// kept theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[u32; 2]>,
    /// Whether each was turned upright first, as its EXIF data say.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exif_orientation: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
