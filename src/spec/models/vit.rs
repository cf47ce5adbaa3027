//! The options of `vit`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ModelOptions, or, undivided};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::values::BelowOne;

/// A vision transformer (Dosovitskiy et al., 2021), as torchvision builds it: a preset, and what is to
/// differ from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VisionTransformerOptions {
    /// Width, depth and heads: `tiny` has 192, 12 and 3, `small` 384, 12 and 6.
    #[serde(default)]
    pub preset: VitPreset,
    /// Pixels of a patch's side; images are cut into whole patches. 16 by default.
    #[serde(default)]
    pub patch: Option<NonZeroU32>,
    /// Values of a token.
    #[serde(default)]
    pub width: Option<NonZeroU32>,
    /// Encoder layers.
    #[serde(default)]
    pub depth: Option<NonZeroU32>,
    /// Attention heads; they divide the width.
    #[serde(default)]
    pub heads: Option<NonZeroU32>,
    /// Values of the hidden layer in an encoder layer's MLP; four times the width by default.
    #[serde(default)]
    pub mlp_width: Option<NonZeroU32>,
    /// Probability of dropping an activation.
    #[serde(default)]
    pub dropout: BelowOne,
    /// Probability of dropping an attention weight.
    #[serde(default)]
    pub attention_dropout: BelowOne,
}

impl Named for VisionTransformerOptions {
    const NAME: &'static str = "vit";
}

impl ModelOptions for VisionTransformerOptions {
    fn has_blocks(&self) -> bool {
        true
    }

    fn mistakes(&self) -> Vec<Mistake> {
        undivided(self.heads.is_some(), self.width(), self.heads())
    }
}

impl VisionTransformerOptions {
    /// Pixels of a patch's side.
    pub fn patch(&self) -> usize {
        or(self.patch, 16)
    }

    /// Values of a token.
    pub fn width(&self) -> usize {
        or(self.width, self.preset.sizes().0)
    }

    /// Encoder layers.
    pub fn depth(&self) -> usize {
        or(self.depth, self.preset.sizes().1)
    }

    /// Attention heads.
    pub fn heads(&self) -> usize {
        or(self.heads, self.preset.sizes().2)
    }

    /// Values of the hidden layer in an encoder layer's MLP.
    pub fn mlp_width(&self) -> usize {
        or(self.mlp_width, 4 * self.width())
    }
}

/// Sizes of a vision transformer that are in common use (Touvron et al., 2021).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VitPreset {
    /// Width 192, depth 12, 3 heads.
    #[default]
    Tiny,
    /// Width 384, depth 12, 6 heads.
    Small,
}

impl VitPreset {
    /// Width, depth and heads.
    fn sizes(self) -> (usize, usize, usize) {
        match self {
            Self::Tiny => (192, 12, 3),
            Self::Small => (384, 12, 6),
        }
    }
}
