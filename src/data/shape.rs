//! The shape of one sample.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::schema::InputShape;

/// The shape of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SampleShape {
    /// An image, `[C, H, W]`.
    Image {
        /// Channels: 1 for grey, 3 for red, green, blue.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// An image of any size, `[C, H, W]` with H and W of its own.
    Images {
        /// Channels: 1 for grey, 3 for red, green, blue.
        channels: usize,
    },
    /// A table's row, `[F]`.
    Features {
        /// Feature columns.
        columns: usize,
    },
}

impl SampleShape {
    /// The number of values in a sample; 0 for images of various sizes, which have no common one.
    #[allow(clippy::len_without_is_empty, reason = "no sample is empty")]
    pub fn len(&self) -> usize {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => channels * height * width,
            Self::Images { .. } => 0,
            Self::Features { columns } => columns,
        }
    }

    /// The number of values that normalisation treats apart: channels, or feature columns.
    pub fn channels(&self) -> usize {
        match *self {
            Self::Image { channels, .. } | Self::Images { channels } => channels,
            Self::Features { columns } => columns,
        }
    }

    /// What a network is shown; nothing for images of various sizes.
    pub fn input(&self) -> Option<InputShape> {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => Some(InputShape::Image {
                channels,
                height,
                width,
            }),
            Self::Images { .. } => None,
            Self::Features { columns } => Some(InputShape::Features { columns }),
        }
    }

    /// Whether samples are images, of one size or of many.
    pub fn is_image(&self) -> bool {
        matches!(self, Self::Image { .. } | Self::Images { .. })
    }

    /// [`SampleShape::len`], or nothing where a dimension is 0, is not the same for all samples, or
    /// the product does not fit.
    pub(super) fn checked_len(&self) -> Option<usize> {
        let len = match *self {
            Self::Image {
                channels,
                height,
                width,
            } => channels.checked_mul(height)?.checked_mul(width)?,
            Self::Images { .. } => 0,
            Self::Features { columns } => columns,
        };
        (len > 0).then_some(len)
    }
}

impl Display for SampleShape {
    /// As `3x32x32` (`[C, H, W]`), `3 channels of various sizes`, or `13 columns`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image {
                channels,
                height,
                width,
            } => write!(f, "{channels}x{height}x{width}"),
            Self::Images { channels: 1 } => write!(f, "1 channel of various sizes"),
            Self::Images { channels } => write!(f, "{channels} channels of various sizes"),
            Self::Features { columns } => write!(f, "{columns} columns"),
        }
    }
}
