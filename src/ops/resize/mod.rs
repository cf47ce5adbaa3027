//! Images of another size.

mod axis;

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::composed::rounded;
use super::error::OpError;
use super::fill::in_zeroed_blocks;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::round::round_in_place;
use super::scratch::with_scratch;
use super::tensor::{Images, channels_last};
use super::vectors::with_wide_vectors;
use crate::spec::Precision;
use axis::AxisMap;

/// Where a pixel of a resized image comes from, as the argument `mode` of `torch.nn.functional.interpolate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// From one pixel: the one at its place times the ratio of the sizes, rounded down.
    Nearest,
    /// From the four around it, whose middles are half a pixel from their edges (`align_corners=False`). When an image
    /// becomes smaller, those between are passed over: there is no antialiasing.
    Bilinear,
}

/// The images `x`, `[N, H, W, C]`, with other sides: `[N, height, width, C]`.
///
/// Places are computed in f32, and from the sizes, as in PyTorch where `size` is given or `recompute_scale_factor` is set.
///
/// # Errors
/// No images, or sides of no pixels.
pub fn resize(
    x: &Tensor,
    (height, width): (usize, usize),
    mode: ResizeMode,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "resize";
    channels_last(OP, x)?;
    if height == 0 || width == 0 {
        let problem = format!("images {:?} cannot become {height}x{width}", x.dims());
        return Err(OpError::shape(OP, problem));
    }
    let resizing = Resizing {
        height,
        width,
        mode,
        precision,
    };
    run(resizing, &[x])
}

struct Resizing {
    height: usize,
    width: usize,
    mode: ResizeMode,
    precision: Precision,
}

impl Resizing {
    /// From rows to rows, and from columns to columns.
    fn axes(&self, images: Images) -> [AxisMap; 2] {
        [
            AxisMap::new(images.height, self.height, self.mode),
            AxisMap::new(images.width, self.width, self.mode),
        ]
    }

    /// Maps images by `rows` and `columns`: each row of the result is made of rows of `x`, and then its pixels of pixels.
    fn mapped(&self, x: &[f32], images: Images, [rows, columns]: [&AxisMap; 2]) -> Vec<f32> {
        let channels = images.channels;
        let (height, width) = (rows.targets(), columns.targets());
        let len = images.batch * height * width * channels;
        in_zeroed_blocks(len, width * channels, |index, target| {
            let x = &x[index / height * images.image_len()..][..images.image_len()];
            let row = index % height;
            let row_len = images.width * channels;
            with_scratch(row_len, |sum| {
                with_wide_vectors(
                    #[inline(always)]
                    || {
                        let source = match rows.terms(row) {
                            [term] if term.weight == 1.0 => &x[term.source * row_len..][..row_len],
                            _ => {
                                sum.fill(0.0);
                                rows.add(x, row_len, row, sum);
                                &*sum
                            }
                        };
                        for (column, target) in target.chunks_exact_mut(channels).enumerate() {
                            columns.add(source, channels, column, target);
                        }
                    },
                );
            });
            round_in_place(target, self.precision);
        })
    }
}

impl Operation for Resizing {
    fn name(&self) -> &'static str {
        "resize"
    }

    /// `mode` is ONNX's: `nearest`, where places are rounded down (`asymmetric`, `floor`), or `linear` (`half_pixel`).
    fn attributes(&self) -> Attributes {
        let mode = match self.mode {
            ResizeMode::Nearest => "nearest",
            ResizeMode::Bilinear => "linear",
        };
        Attributes::default()
            .with("mode", mode)
            .with("sizes", [self.height, self.width])
            .with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let x = operands[0].contiguous()?;
        let [rows, columns] = self.axes(Images::of(x.dims()));
        let y = columns.composed(&rows.composed(&x, 1)?, 2)?;
        rounded(&y, self.precision)
    }
}

impl CpuKernel for Resizing {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let images = Images::of(operands[0].dims);
        let [rows, columns] = self.axes(images);
        let y = self.mapped(operands[0].values, images, [&rows, &columns]);
        (y, (images.batch, self.height, self.width, images.channels).into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let of_x = || {
            let images = Images::of(operands[0].dims);
            let [rows, columns] = self.axes(images).map(|axis| axis.reversed());
            let output = Images {
                height: self.height,
                width: self.width,
                ..images
            };
            self.mapped(gradient, output, [&rows, &columns])
        };
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}

#[cfg(test)]
mod tests;
