//! The shape of what reaches a network.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// The shape of one sample where it reaches a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InputShape {
    /// An image; a batch is `[N, channels, height, width]`.
    Image {
        /// Channels, such as 3 for RGB.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// A row of numbers; a batch is `[N, columns]`.
    Features {
        /// Numbers in the row.
        columns: usize,
    },
    /// Tokens; a batch is `[N, length]` where all samples have one length, else rows of all of them.
    Tokens {
        /// How many tokens there are to choose from: all are below.
        vocabulary: usize,
        /// Tokens of the longest sample.
        length: usize,
    },
}

impl InputShape {
    /// Numbers in one sample; of tokens those of the longest.
    pub fn len(&self) -> usize {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => channels * height * width,
            Self::Features { columns } => columns,
            Self::Tokens { length, .. } => length,
        }
    }

    /// Whether a sample holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether samples are images.
    pub fn is_image(&self) -> bool {
        matches!(self, Self::Image { .. })
    }

    /// The sides of a batch of `samples`: `[N, C, H, W]`, `[N, F]` or `[N, T]`.
    pub fn of_batch(&self, samples: usize) -> Vec<usize> {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => vec![samples, channels, height, width],
            Self::Features { columns } => vec![samples, columns],
            Self::Tokens { length, .. } => vec![samples, length],
        }
    }

    /// One sample's shape in words: `3x32x32` (`[C, H, W]`) or `13 columns`.
    pub fn of_sample(&self) -> String {
        match self {
            Self::Image {
                channels,
                height,
                width,
            } => format!("{channels}x{height}x{width}"),
            Self::Features { columns } => format!("{columns} columns"),
            Self::Tokens { length, .. } => format!("{length} tokens"),
        }
    }
}

impl Display for InputShape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image {
                channels,
                height,
                width,
            } => {
                write!(f, "images of shape [N, {channels}, {height}, {width}]")
            }
            Self::Features { columns } => write!(f, "rows of shape [N, {columns}]"),
            Self::Tokens { vocabulary, length } => {
                write!(
                    f,
                    "up to {length} tokens a sample, of a vocabulary of {vocabulary}"
                )
            }
        }
    }
}
