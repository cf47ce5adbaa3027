//! What fields are for, what their values mean, and how they are written.

use serde::{Deserialize, Serialize};

/// What a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldRole {
    /// The network is shown it.
    Input,
    /// It is to be predicted.
    Target,
    /// How much the sample counts.
    Weight,
    /// Neither shown nor predicted: what figures and predictions are made from, such as a text's length in bytes.
    Detail,
    /// Where the sample comes from, such as `digits.csv:12`.
    Origin,
}

/// What a field's values mean, by which a transform knows what to do with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Pixels of an image, `[C, H, W]`: of a file, or as single precision once they are normalised.
    Image,
    /// For each pixel of the sample's image a class, `[1, H, W]`, an index into the field's names or [`NO_PIXEL_CLASS`]:
    /// moved as the image is, but never blended.
    Mask,
    /// Objects in the sample's image, `[n, 7]`: left, top, width and height of the box, in pixels from the image's corner,
    /// the class (an index into the field's names), the area in pixels, and flags: 1 of a crowd, 2 of what is difficult.
    Objects,
    /// Numbers: features, or what a regression predicts.
    Numbers,
    /// An index into the field's names, or one for each of several things.
    Class,
    /// For each of the field's names, the probability that the sample is of that class.
    Probabilities,
    /// For each of the field's names, 0 or 1 (or between, where samples were mixed).
    Labels,
    /// Indices into a vocabulary.
    Tokens,
    /// For each token, whether it is to be predicted: 0 or 1.
    TokenMask,
    /// Whole numbers that are no classes: lengths, positions, segments.
    Counts,
    /// Text.
    Text,
}

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ElementType {
    /// 8 bits without a sign.
    U8,
    /// 16 bits without a sign.
    U16,
    /// 32 bits with a sign.
    I32,
    /// 32 bits without a sign.
    U32,
    /// 64 bits with a sign.
    I64,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

/// Stands in the place of a class, or of a position, where there is none: for tokens that are not to be predicted.
pub const NO_CLASS: u32 = u32::MAX;

/// Stands in the place of a pixel's class where there is none: for pixels that count in no loss and no figure.
pub const NO_PIXEL_CLASS: u8 = u8::MAX;

/// The numbers of an object: left, top, width, height, class, area and flags.
pub const OBJECT_NUMBERS: usize = 7;

/// How a field's values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As they are, little-endian.
    #[default]
    Raw,
    /// As the bytes of an image file (JPEG, PNG, ...), which the content tells.
    ImageFile,
    /// As text in UTF-8.
    Utf8,
}

impl Encoding {
    pub(super) fn is_raw(&self) -> bool {
        *self == Self::Raw
    }
}

impl ElementType {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}
