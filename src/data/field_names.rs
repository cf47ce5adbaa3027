//! What the formats call their fields.

/// An image.
pub const IMAGE: &str = "image";

/// The class of each pixel.
pub const MASK: &str = "mask";

/// The objects in an image.
pub const OBJECTS: &str = "objects";

/// What a file knows an image by.
pub const IMAGE_ID: &str = "image_id";

/// A table's row.
pub const FEATURES: &str = "features";

/// The class.
pub const CLASS: &str = "class";

/// Several labels.
pub const LABELS: &str = "labels";

/// A text's tokens.
pub const TOKENS: &str = "tokens";

/// Which of two texts each token is of.
pub const SEGMENTS: &str = "segments";

/// The same where the two are read apart.
pub const TEXTS: &str = "texts";

/// Which tokens are to be predicted.
pub const LOSS_MASK: &str = "loss_mask";

/// What each token is classified as.
pub const TAGS: &str = "tags";

/// The word that each token is of.
pub const WORDS: &str = "words";

/// A text's length in bytes.
pub const BYTES: &str = "bytes";

/// The document that a sample is of, counted from 0.
pub const DOCUMENT: &str = "document";

/// Numbers to be predicted.
pub const TARGETS: &str = "targets";
