//! The options of `unet`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ModelOptions, or};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;

/// A U-Net (Ronneberger et al., 2015) for the classes of pixels: levels of two 3x3 convolutions with batch norm and ReLU, each
/// with half the sides and twice the channels of the one before, and back up again, where each level is shown what the one of
/// its size gave on the way down. Sides may be any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UNetOptions {
    /// Channels of the first level; by default 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<NonZeroU32>,
    /// How often sides are halved; by default 3 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<NonZeroU32>,
}

impl UNetOptions {
    /// The most levels below the first: more halve any image to nothing.
    const DEEPEST: usize = 16;

    /// Channels of each level, the first one first.
    pub fn widths(&self) -> Vec<usize> {
        let width = or(self.width, 16);
        let levels = 0..=or(self.depth, 3).min(Self::DEEPEST);
        levels.map(|level| width.saturating_mul(1 << level)).collect()
    }
}

impl Named for UNetOptions {
    const NAME: &'static str = "unet";
}

impl ModelOptions for UNetOptions {
    fn judges_pixels(&self) -> bool {
        true
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let depth = or(self.depth, 3);
        if depth <= Self::DEEPEST {
            return Vec::new();
        }
        let message = format!("a `depth` of {depth} halves any image to nothing");
        vec![Mistake::new(["depth"], message).help("choose 3 to 5")]
    }
}
