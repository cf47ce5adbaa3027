//! Convolutions and fully connected layers of whole numbers.
//!
//! What goes in are bytes, [`Affine`]ly, and weights from -127 to 127, each output's in steps of its own. Their products
//! are summed in 32 bits, without an error, and each sum becomes a number by one multiplication. So results are the same
//! bytes on every processor, for any number of threads, and whatever batch a sample is in.

mod affine;
mod depthwise;
mod finish;
mod kernels;
mod lanes;
mod positions;
mod rounding;
mod rows;
mod split;
#[cfg(test)]
mod tests;
mod weight;

use super::conv::{ConvOptions, Geometry};
use super::fill::in_places;
use super::microkernel::SharedValues;
use super::tensor::Images;
use depthwise::DepthwiseTaps;
use finish::{PanelFinish, ResultElement};
use kernels::{ByteKernels, LANES, PanelWord};
use rows::BlockOfRows;
use split::ProductSplit;

pub use affine::Affine;
pub use finish::{AddedTensor, ByteFinish};
pub use weight::ByteWeight;

/// A tensor as bytes, row by row; the first dimension is the batch's.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteTensor {
    /// The bytes.
    pub values: Vec<u8>,
    /// The dimensions.
    pub dims: Vec<usize>,
    /// What they stand for.
    pub affine: Affine,
}

/// A convolution or fully connected layer for inputs that stand in one way.
pub struct ByteLayer {
    kernels: &'static ByteKernels,
    input: Affine,
    /// A fully connected layer is a convolution of images of a pixel.
    convolution: ConvOptions,
    size: usize,
    inputs: usize,
    outputs: usize,
    /// Panels of an output's weights, group by group.
    panels: Vec<PanelWord>,
    /// Words of a panel.
    words: usize,
    /// For groups of one channel.
    taps: Option<DepthwiseTaps>,
    /// Panel by panel, group by group: what is added to the sums.
    bias: Vec<[i32; LANES]>,
    /// In the same order: what a step of the sums is.
    steps: Vec<[f32; LANES]>,
    /// Of each panel and each tap, what a tap in the padding adds to the sums; nothing where [`positions`] do not suit.
    padding: Vec<[i32; LANES]>,
}

impl ByteLayer {
    /// A layer of `weight` and `bias`, which moves as `convolution` says where it is of images.
    ///
    /// # Panics
    /// Groups that do not divide the outputs, or a sum of more products than [`ByteWeight::MOST_PRODUCTS`].
    pub fn new(weight: &ByteWeight, bias: &[f32], input: Affine, convolution: ConvOptions) -> Self {
        Self::of_kernels(ByteKernels::best(), weight, bias, input, convolution)
    }

    fn of_kernels(
        kernels: &'static ByteKernels,
        weight: &ByteWeight,
        bias: &[f32],
        input: Affine,
        convolution: ConvOptions,
    ) -> Self {
        let (outputs, channels) = (weight.dims[0], weight.dims[1]);
        let size = weight.dims.get(2).copied().unwrap_or(1);
        let (groups, taps) = (convolution.groups, size * size);
        let len = channels * taps;
        assert!(
            len <= ByteWeight::MOST_PRODUCTS && outputs.is_multiple_of(groups),
            "a layer whose sums 32 bits hold"
        );
        let of_group = outputs / groups;
        let words = len.div_ceil(4);
        let is_depthwise = groups > 1 && channels == 1 && of_group == 1;
        // Of each output, its place among the panels.
        let place = |output: usize| {
            let panels = of_group.div_ceil(LANES);
            let (group, output) = (output / of_group, output % of_group);
            (group * panels + output / LANES, output % LANES)
        };
        let count = match is_depthwise {
            true => outputs.div_ceil(LANES),
            false => groups * of_group.div_ceil(LANES),
        };
        let mut layer = Self {
            kernels,
            input,
            convolution,
            size,
            inputs: channels * groups,
            outputs,
            panels: Vec::new(),
            words,
            taps: is_depthwise.then(|| DepthwiseTaps::of(&weight.values, outputs, taps)),
            bias: vec![[0; LANES]; count],
            steps: vec![[0.0; LANES]; count],
            padding: Vec::new(),
        };
        let bias = weight.bias_steps(bias, input);
        let parts = bias.iter().zip(&weight.scales).zip(weight.sums());
        for (output, ((&bias, &scale), sum)) in parts.enumerate() {
            let (panel, lane) = match is_depthwise {
                true => (output / LANES, output % LANES),
                false => place(output),
            };
            // The sums are of bytes; what they are too large by is the same everywhere, since padding has the byte of 0.
            layer.bias[panel][lane] = bias - i32::from(input.zero_point) * sum;
            layer.steps[panel][lane] = input.scale * scale;
        }
        if !is_depthwise {
            layer.panels = vec![PanelWord([[0; 4]; LANES]); count * words];
            for (output, weights) in weight.values.chunks_exact(len).enumerate() {
                let (panel, lane) = place(output);
                // In the order of an image's pixels: taps, and the channels of each.
                for tap in 0..taps {
                    for channel in 0..channels {
                        let index = tap * channels + channel;
                        layer.panels[panel * words + index / 4].0[lane][index % 4] =
                            weights[channel * taps + tap];
                    }
                }
            }
        }
        if positions::suit(convolution, channels) {
            layer.padding = layer.padding_of_taps(channels);
        }
        layer
    }

    /// What the layer gives as bytes that stand as `result`.
    pub fn bytes(&self, x: &ByteTensor, finish: &ByteFinish, result: Affine) -> ByteTensor {
        let (values, dims) = self.run::<u8>(x, finish, result);
        ByteTensor {
            values,
            dims,
            affine: result,
        }
    }

    /// What the layer gives as numbers, and their dimensions.
    pub fn values(&self, x: &ByteTensor, finish: &ByteFinish) -> (Vec<f32>, Vec<usize>) {
        self.run::<f32>(x, finish, ())
    }

    /// What a fully connected layer gives for rows of numbers, which are rounded to bytes first. A row with a value that is
    /// not finite gives none: bytes have no value for such.
    pub fn rows(&self, x: &[f32]) -> Vec<f32> {
        let inputs = self.inputs.max(1);
        let bytes = ByteTensor {
            values: self.input.quantize_all(x),
            dims: vec![x.len() / inputs, self.inputs],
            affine: self.input,
        };
        let (mut values, _) = self.values(&bytes, &ByteFinish::default());
        let rows = x.chunks_exact(inputs);
        for (row, results) in rows.zip(values.chunks_exact_mut(self.outputs.max(1))) {
            if !row.iter().all(|value| value.is_finite()) {
                results.fill(f32::NAN);
            }
        }
        values
    }

    fn run<T: ResultElement>(
        &self,
        x: &ByteTensor,
        finish: &ByteFinish,
        form: T::Form,
    ) -> (Vec<T>, Vec<usize>) {
        assert_eq!(x.affine, self.input, "inputs as the layer was made for");
        let (geometry, dims) = self.geometry(&x.dims);
        let step = match (finish.added, finish.product) {
            (None, _) => T::step(form),
            (Some(_), Some(product)) => product.scale,
            (Some(_), None) => 1.0,
        };
        let factors: Vec<[f32; LANES]> = self
            .steps
            .iter()
            .map(|steps| steps.map(|of_sums| of_sums / step))
            .collect();
        let panel = |index: usize| PanelFinish::<T> {
            finish: *finish,
            form,
            bias: &self.bias[index],
            factors: &factors[index],
        };
        let values = match &self.taps {
            Some(taps) => taps.run(&x.values, &geometry, self.input.zero_point, panel),
            None => self
                .product_of_positions(&x.values, &geometry, &panel)
                .unwrap_or_else(|| self.product(&x.values, &geometry, panel)),
        };
        (values, dims)
    }

    /// The sizes for inputs of `dims`, and the result's dimensions.
    fn geometry(&self, dims: &[usize]) -> (Geometry, Vec<usize>) {
        let images = match *dims {
            [batch, height, width, channels] if self.size > 0 && dims.len() == 4 => Images {
                batch,
                height,
                width,
                channels,
            },
            _ => Images {
                batch: dims[..dims.len() - 1].iter().product(),
                height: 1,
                width: 1,
                channels: dims[dims.len() - 1],
            },
        };
        assert_eq!(
            images.channels, self.inputs,
            "as many channels as the layer was made for"
        );
        let geometry = Geometry::of(images, self.outputs, self.size, self.convolution);
        let geometry = geometry.unwrap_or_else(|| unreachable!("the graph's own sizes"));
        let dims = match dims.len() {
            4 => vec![
                geometry.output.batch,
                geometry.output.height,
                geometry.output.width,
                self.outputs,
            ],
            _ => [&dims[..dims.len() - 1], &[self.outputs]].concat(),
        };
        (geometry, dims)
    }

    fn product<'a, T: ResultElement + 'a>(
        &self,
        x: &[u8],
        geometry: &Geometry,
        finish: impl Fn(usize) -> PanelFinish<'a, T> + Sync,
    ) -> Vec<T> {
        let groups = geometry.groups;
        let rows = geometry.output.len() / self.outputs.max(1);
        let split = ProductSplit {
            parts: groups,
            rows,
            words: self.words,
            outputs: self.outputs / groups,
        };
        let write = |target: &SharedValues<T>| {
            split.run(|group, rows, panels| {
                let of_task = BlockOfRows {
                    layer: self,
                    geometry,
                    group,
                    rows,
                    panels,
                };
                of_task.run(x, &finish, target);
            });
        };
        // SAFETY: every row and every panel of every group is of one task.
        unsafe { in_places(rows * self.outputs, write) }
    }
}

impl std::fmt::Debug for ByteLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ByteLayer({} to {}, {}x{}, {})",
            self.inputs, self.outputs, self.size, self.size, self.kernels.name
        )
    }
}
