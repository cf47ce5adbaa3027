//! Vision transformers (Dosovitskiy et al., 2021), as torchvision builds them; but images need not
//! be square.

use candle_core::Tensor;

use super::builder::{Builder, Conv, ConvInit, Init};
use super::error::ModelError;
use super::layers::{Conv2d, Dropout, LayerNorm, Linear, Weight};
use super::list::ModelBuilder;
use super::network::{Architecture, Pass, check_weight, not_images};
use crate::ops;
use crate::schema::InputShape;
use crate::spec::VisionTransformerOptions;

pub(super) struct VisionTransformer {
    patches: Conv2d,
    /// `[1, 1, width]`.
    class_token: Weight,
    /// `[1, tokens, width]`.
    positions: Weight,
    dropout: Dropout,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    head: Linear,
}

/// Attention and an MLP, each behind a layer norm and with a path around it.
struct EncoderLayer {
    norm_1: LayerNorm,
    /// Queries, keys and values.
    in_projection: Linear,
    heads: usize,
    attention_dropout: Dropout,
    out_projection: Linear,
    dropout: Dropout,
    norm_2: LayerNorm,
    mlp: [(Linear, Dropout); 2],
}

/// Added to the variance by every layer norm.
const EPSILON: f64 = 1e-6;
/// Dropout layers of an encoder layer.
const DROPOUTS: u32 = 4;

/// The sizes of a network, known to fit each other and the images.
struct VitSizes {
    channels: usize,
    patch: usize,
    /// Patches of an image, and the class token.
    tokens: usize,
    width: usize,
    depth: usize,
    heads: usize,
    mlp_width: usize,
}

impl VitSizes {
    fn of(spec: &VisionTransformerOptions, input: InputShape) -> Result<Self, ModelError> {
        let (channels, height, width) = match input {
            InputShape::Image {
                channels,
                height,
                width,
            } => (channels, height, width),
            _ => return Err(not_images("vit", input)),
        };
        let patch = spec.patch();
        if !height.is_multiple_of(patch) || !width.is_multiple_of(patch) {
            let largest = (1..=patch.min(height).min(width))
                .rev()
                .find(|side| height.is_multiple_of(*side) && width.is_multiple_of(*side));
            return Err(ModelError::Patches {
                height,
                width,
                patch,
                largest: largest.unwrap_or(1),
            });
        }
        let tokens = (height / patch) * (width / patch) + 1;
        let (width, heads) = (spec.width(), spec.heads());
        if !width.is_multiple_of(heads) {
            return Err(ModelError::Heads { width, heads });
        }
        Ok(Self {
            channels,
            patch,
            tokens,
            width,
            depth: spec.depth(),
            heads,
            mlp_width: spec.mlp_width(),
        })
    }
}

impl ModelBuilder for VisionTransformerOptions {
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let sizes = VitSizes::of(self, input)?;
        let width = sizes.width;
        check_weight(sizes.channels.saturating_mul(sizes.patch * sizes.patch), width)?;
        check_weight(sizes.tokens, width)?;
        check_weight(width, 3 * width)?;
        check_weight(width, sizes.mlp_width)?;
        check_weight(width, outputs)?;
        let layer = 4 * width * width + 2 * width * sizes.mlp_width;
        check_weight(layer, sizes.depth).map_err(|_| ModelError::TooDeep {
            model: "vit",
            depth: sizes.depth,
            layer,
        })
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let sizes = VitSizes::of(self, input)?;
        let width = sizes.width;
        let zero = Init::Constant(0.0);
        let class_token = builder.parameter("class_token".to_string(), &[1, 1, width], zero)?;
        let patches = Conv {
            stride: sizes.patch,
            padding: 0,
            bias: true,
            ..Conv::new(sizes.channels, width, sizes.patch)
        };
        let fan_in = (sizes.channels * sizes.patch * sizes.patch) as f64;
        let init = ConvInit::Given {
            weight: Init::TruncatedNormal(1.0 / fan_in.sqrt()),
            bias: zero,
        };
        let patches = builder.conv("conv_proj", patches, init)?;
        let positions = builder.parameter(
            "encoder.pos_embedding".to_string(),
            &[1, sizes.tokens, width],
            Init::Normal(0.02),
        )?;
        let mut layers = Vec::new();
        for index in 0..sizes.depth {
            layers.push(EncoderLayer::build(self, &sizes, index, builder)?);
        }
        Ok(Box::new(VisionTransformer {
            patches,
            class_token,
            positions,
            dropout: Dropout {
                probability: self.dropout.get(),
                layer: 0,
            },
            layers,
            norm: builder.layer_norm("encoder.ln", width, EPSILON)?,
            head: builder.linear_with("heads.head", (width, outputs), zero, Some(zero))?,
        }))
    }
}

impl EncoderLayer {
    fn build(
        spec: &VisionTransformerOptions,
        sizes: &VitSizes,
        index: usize,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let width = sizes.width;
        let name = |part: &str| format!("encoder.layers.encoder_layer_{index}.{part}");
        let first = 1 + DROPOUTS * u32::try_from(index).unwrap_or(u32::MAX / DROPOUTS - 1);
        let dropout = |layer: u32| Dropout {
            probability: spec.dropout.get(),
            layer: first + layer,
        };
        let xavier = |inputs: usize, outputs: usize| Init::Uniform((6.0 / (inputs + outputs) as f64).sqrt());
        let mlp_bias = Some(Init::Normal(1e-6));
        let norm_1 = builder.layer_norm(&name("ln_1"), width, EPSILON)?;
        let weight = builder.parameter(
            name("self_attention.in_proj_weight"),
            &[3 * width, width],
            xavier(width, 3 * width),
        )?;
        let zero = Init::Constant(0.0);
        let bias = builder.parameter(name("self_attention.in_proj_bias"), &[3 * width], zero)?;
        let in_projection = name("self_attention.in_proj");
        let in_projection = builder.linear_of(&in_projection, [width, 3 * width], weight, Some(bias));
        let out_projection = builder.linear_with(
            &name("self_attention.out_proj"),
            (width, width),
            Init::within_fan_in(width),
            Some(Init::Constant(0.0)),
        )?;
        let norm_2 = builder.layer_norm(&name("ln_2"), width, EPSILON)?;
        let mut mlp = |part: &str, inputs: usize, outputs: usize| {
            builder.linear_with(&name(part), (inputs, outputs), xavier(inputs, outputs), mlp_bias)
        };
        Ok(Self {
            norm_1,
            in_projection,
            heads: sizes.heads,
            attention_dropout: Dropout {
                probability: spec.attention_dropout.get(),
                layer: first,
            },
            out_projection,
            dropout: dropout(1),
            norm_2,
            mlp: [
                (mlp("mlp.0", width, sizes.mlp_width)?, dropout(2)),
                (mlp("mlp.3", sizes.mlp_width, width)?, dropout(3)),
            ],
        })
    }

    /// `[N, tokens, width]` to the same shape.
    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let y = self.norm_1.forward(x, pass)?;
        let y = self.in_projection.forward(&y, pass)?;
        let options = ops::AttentionOptions {
            dropout: self.attention_dropout.of(pass),
            ..ops::AttentionOptions::full(self.heads, pass.precision)
        };
        let y = ops::attention(ops::AttentionOperands::SideBySide(&y), &options)?;
        let y = self.out_projection.forward(&y, pass)?;
        let x = ops::add(x, &self.dropout.forward(y, pass)?)?;

        let [(hidden, hidden_dropout), (last, last_dropout)] = &self.mlp;
        let y = self.norm_2.forward(&x, pass)?;
        let y = ops::gelu(&hidden.forward(&y, pass)?, pass.precision)?;
        let y = last.forward(&hidden_dropout.forward(y, pass)?, pass)?;
        Ok(ops::add(&x, &last_dropout.forward(y, pass)?)?)
    }
}

impl Architecture for VisionTransformer {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let x = self.patches.forward(&ops::to_channels_last(input)?, pass)?;
        let x = ops::flatten(&x, 1, 2)?;
        let (class_token, positions) = (self.class_token.operand(pass), self.positions.operand(pass));
        let x = ops::embed_tokens(&x, &class_token, &positions)?;
        let mut x = self.dropout.forward(x, pass)?;
        for layer in &self.layers {
            x = ops::block(|| layer.forward(&x, pass))?;
        }
        // The norm works token by token, and only the first, the class token, is looked at.
        let x = self.norm.forward(&ops::select(&x, 1, 0)?, pass)?;
        self.head.forward(&x, pass)
    }

    fn head(&self) -> &str {
        "heads.head"
    }
}
