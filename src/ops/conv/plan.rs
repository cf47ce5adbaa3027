//! How a convolution is computed.

use super::geometry::{Geometry, Window};
use super::packed_weights::ConvWeight;
use super::{correlate, groups};
use crate::ops::microkernel::{Finish, Kernels};
use crate::ops::operation::OperandGradient;
use crate::ops::round::{round_in_place, with_rounded};
use crate::ops::stored::{Stored, ValueFormat, Values};
use crate::ops::tensor::Images;
use crate::spec::Precision;

/// A convolution's sizes, the processor's kernels for it, and the format of its operands.
#[derive(Clone, Copy)]
pub(in crate::ops) struct ConvPlan {
    pub(super) kernels: &'static Kernels,
    pub(super) geometry: Geometry,
    pub(super) precision: Precision,
}

impl ConvPlan {
    /// With the processor's best kernels.
    pub(super) fn new(geometry: Geometry, precision: Precision) -> Self {
        Self {
            kernels: Kernels::best(precision),
            geometry,
            precision,
        }
    }

    /// From `rows` rows of `inputs` values to such of `outputs`: images of one pixel.
    pub fn pointwise(rows: usize, inputs: usize, outputs: usize, precision: Precision) -> Self {
        let pixels = |channels| Images {
            batch: rows,
            height: 1,
            width: 1,
            channels,
        };
        let geometry = Geometry {
            input: pixels(inputs),
            output: pixels(outputs),
            window: Window {
                size: 1,
                stride: 1,
                padding: 0,
            },
            dilation: 1,
            groups: 1,
        };
        Self::new(geometry, precision)
    }

    /// The same with kernels that take weights in as few bytes as the precision allows.
    pub fn with_small_weights(self) -> Self {
        Self {
            kernels: Kernels::smallest(self.precision),
            ..self
        }
    }

    /// The same with kernels that take f32.
    pub(super) fn of_f32(&self) -> Self {
        Self {
            kernels: self.kernels.of_f32(),
            ..*self
        }
    }

    /// The same with pixels as images of their own, where each is multiplied by itself: so they can be cut anywhere.
    pub(super) fn of_pixels(&self) -> Self {
        if !self.geometry.is_pointwise() {
            return *self;
        }
        let pixels = |images: Images| Images {
            batch: images.batch * images.height * images.width,
            height: 1,
            width: 1,
            ..images
        };
        Self {
            geometry: Geometry {
                input: pixels(self.geometry.input),
                output: pixels(self.geometry.output),
                ..self.geometry
            },
            ..*self
        }
    }

    /// A single group's.
    pub(super) fn of_group(&self) -> Self {
        Self {
            geometry: self.geometry.of_group(),
            ..*self
        }
    }

    /// The output `[N, OH, OW, O]` of input `[N, H, W, I]` and weight `[O, I / groups, K, K]`, plus
    /// `bias`, `[O]`.
    pub fn forward_with_bias(&self, x: &[f32], weight: ConvWeight, bias: Option<&[f32]>) -> Vec<f32> {
        self.forward_in(x.into(), weight, bias, ValueFormat::F32)
            .into_f32()
    }

    /// The same of stored values, in a format.
    pub fn forward_in(
        &self,
        x: Stored,
        weight: ConvWeight,
        bias: Option<&[f32]>,
        format: ValueFormat,
    ) -> Values {
        with_rounded(bias.unwrap_or_default(), self.precision, |rounded| {
            let finish = Finish {
                shift: bias.map(|_| rounded),
                ..Finish::default()
            };
            groups::forward_in(self, x, weight, finish, format)
        })
    }

    /// The other way, as the gradient of the input is found: `[N, H, W, I]` of `x`, `[N, OH, OW, O]`,
    /// plus `bias`, `[I]`. Of a single group.
    pub fn backward_with_bias(&self, x: &[f32], weight: ConvWeight, bias: Option<&[f32]>) -> Vec<f32> {
        with_rounded(bias.unwrap_or_default(), self.precision, |rounded| {
            let finish = Finish {
                shift: bias.map(|_| rounded),
                ..Finish::default()
            };
            let y = correlate::input_gradient(self, weight, x.into(), finish, ValueFormat::F32);
            let mut y = y.into_f32();
            if self.precision == Precision::F16 {
                round_in_place(&mut y, self.precision);
            }
            y
        })
    }

    /// The sums over pixels of the products of `x`, `[N, H, W, I]`, and `gradient`, `[N, OH, OW, O]`:
    /// `[O, I, K, K]`.
    pub fn weight_gradient(&self, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        groups::weight_gradient(self, x.into(), gradient.into())
    }

    /// The sums of the output's `gradient` over images and pixels, `[O]`.
    pub fn bias_gradient(&self, gradient: &[f32]) -> Vec<f32> {
        groups::bias_gradient(self, gradient.into())
    }

    /// The gradients of input, weight and, where there is one, bias, from that of the output; that of the input in its
    /// format.
    pub fn gradients<'a>(
        &self,
        x: impl Into<Stored<'a>>,
        weight: &[f32],
        gradient: impl Into<Stored<'a>>,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, gradient) = (x.into(), gradient.into());
        let of = |operand: usize| match operand {
            0 => groups::input_gradient(self, ConvWeight::once(weight), gradient),
            1 => Values::F32(groups::weight_gradient(self, x, gradient)),
            _ => Values::F32(groups::bias_gradient(self, gradient)),
        };
        wanted
            .iter()
            .enumerate()
            .map(|(operand, &wanted)| OperandGradient::if_wanted(wanted, || of(operand)))
            .collect()
    }
}
