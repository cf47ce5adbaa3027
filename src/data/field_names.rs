//! What the formats call their fields.

/// An image.
pub const IMAGE: &str = "image";

/// A table's row.
pub const FEATURES: &str = "features";

/// The class.
pub const CLASS: &str = "class";

/// Several labels.
pub const LABELS: &str = "labels";

/// Numbers to be predicted.
pub const TARGETS: &str = "targets";
