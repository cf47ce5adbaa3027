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
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use super::conv::{ConvOptions, Geometry};
use super::fill::in_places;
use super::microkernel::SharedValues;
use super::scratch::with_byte_scratch;
use super::tensor::Images;
use depthwise::DepthwiseTaps;
use finish::{PanelFinish, ResultElement};
use kernels::{ByteKernels, ByteRows, LANES, PanelWord, TILE_PANELS, TILE_ROWS, TileSums};
use lanes::{Lanes, PanelWork, with_lanes};

pub use affine::Affine;
pub use finish::{AddedTensor, ByteFinish};

/// Rows that a task multiplies with panel after panel: whole tiles of all kernels.
const BLOCK_ROWS: usize = 96;
/// Tasks that there are at least, where the work is enough for several.
const TASKS: usize = 16;
/// Products of a task, at least: fewer are done sooner than handed over.
const TASK_PRODUCTS: usize = 1 << 21;
/// The largest bias, in steps of the sums.
const LARGEST_BIAS: f64 = (1 << 29) as f64;

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

/// A layer's weights as whole numbers from -127 to 127.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteWeight {
    /// `[O, I / groups, K, K]` or `[O, I]`, row by row.
    pub values: Vec<i8>,
    /// The dimensions.
    pub dims: Vec<usize>,
    /// What one step of each output's weights is.
    pub scales: Vec<f32>,
}

impl ByteWeight {
    /// The most products of a sum that 32 bits hold, whatever they are.
    pub const MOST_PRODUCTS: usize = 1 << 15;

    /// Of `weight`, `dims`, for a layer whose inputs stand as `input` and that adds `bias`: the largest weight of each
    /// output becomes 127 or -127, and less only where the bias would be too many steps.
    pub fn of(weight: &[f32], dims: &[usize], bias: &[f32], input: Affine) -> Self {
        let outputs = dims[0];
        let len = (weight.len() / outputs.max(1)).max(1);
        let scales: Vec<f32> = weight
            .chunks_exact(len)
            .zip(bias)
            .map(|(weight, bias)| {
                let largest = weight
                    .iter()
                    .fold(0.0f32, |largest, value| largest.max(value.abs()));
                let for_bias = f64::from(bias.abs()) / LARGEST_BIAS / f64::from(input.scale);
                let scale = (f64::from(largest) / 127.0).max(for_bias) as f32;
                if scale >= f32::MIN_POSITIVE && scale.is_finite() {
                    scale
                } else {
                    1.0
                }
            })
            .collect();
        let values = weight
            .chunks_exact(len)
            .zip(&scales)
            .flat_map(|(weight, &scale)| {
                let whole = move |value: &f32| (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
                weight.iter().map(whole)
            });
        Self {
            values: values.collect(),
            dims: dims.to_vec(),
            scales,
        }
    }

    /// How many steps of the sums `bias` is, where inputs stand as `input`.
    pub fn bias_steps(&self, bias: &[f32], input: Affine) -> Vec<i32> {
        let of_output = |(&bias, &scale): (&f32, &f32)| {
            let step = f64::from(input.scale * scale);
            let steps = (f64::from(bias) / step).round_ties_even();
            steps.clamp(-LARGEST_BIAS, LARGEST_BIAS) as i32
        };
        bias.iter().zip(&self.scales).map(of_output).collect()
    }

    /// What each output's weights sum up to.
    fn sums(&self) -> Vec<i32> {
        let len = (self.values.len() / self.dims[0].max(1)).max(1);
        self.values
            .chunks_exact(len)
            .map(|weights| weights.iter().map(|&weight| i32::from(weight)).sum())
            .collect()
    }
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
    /// Of each panel and each tap, what a tap in the padding adds to the sums, where that is of use.
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
        if groups == 1 && convolution.padding > 0 && channels.is_multiple_of(4) {
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
        let panels = (self.outputs / groups).div_ceil(LANES);
        let blocks = rows.div_ceil(BLOCK_ROWS).max(1);
        let chunk = panels_of_task(panels, blocks * groups, rows.min(BLOCK_ROWS), self.words);
        let chunks = panels.div_ceil(chunk);
        let write = |target: &SharedValues<T>| {
            let task = |index: usize| {
                let (group, rest) = (index / (blocks * chunks), index % (blocks * chunks));
                let first = rest / chunks * BLOCK_ROWS;
                let of_task = BlockOfRows {
                    layer: self,
                    geometry,
                    group,
                    rows: first..rows.min(first + BLOCK_ROWS),
                    panels: rest % chunks * chunk..panels.min((rest % chunks + 1) * chunk),
                };
                of_task.run(x, &finish, target);
            };
            let tasks = groups * blocks * chunks;
            let all = rows * self.words * 4 * self.outputs;
            match is_little(all) {
                true => (0..tasks).for_each(task),
                false => (0..tasks).into_par_iter().for_each(task),
            }
        };
        // SAFETY: every row and every panel of every group is of one task.
        unsafe { in_places(rows * self.outputs, write) }
    }
}

/// How many of the panels are a task's, where rows and groups alone make `blocks` tasks: of few, the panels are shared among
/// them too. A block has so many rows of so many words.
fn panels_of_task(panels: usize, blocks: usize, rows: usize, words: usize) -> usize {
    let wanted = TASKS.div_ceil(blocks);
    let products = rows * words * 4 * LANES;
    let least = TASK_PRODUCTS
        .div_ceil(products.max(1))
        .next_multiple_of(TILE_PANELS);
    panels
        .div_ceil(wanted)
        .next_multiple_of(TILE_PANELS)
        .max(least)
        .min(panels.max(1))
}

/// Whether so many products are done sooner than shared out.
fn is_little(products: usize) -> bool {
    products < 2 * TASK_PRODUCTS
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

/// Some pixels of the result, and some panels of a group's outputs.
struct BlockOfRows<'a> {
    layer: &'a ByteLayer,
    geometry: &'a Geometry,
    group: usize,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
}

impl BlockOfRows<'_> {
    fn run<'a, T: ResultElement + 'a>(
        &self,
        x: &[u8],
        finish: &impl Fn(usize) -> PanelFinish<'a, T>,
        target: &SharedValues<T>,
    ) {
        let (rows, words) = (self.rows.len(), self.layer.words);
        let channels = self.geometry.input.channels;
        if self.geometry.is_pointwise() && channels.is_multiple_of(4) {
            let bytes = &x[self.rows.start * channels..self.rows.end * channels];
            return self.multiply(bytes, channels, finish, target);
        }
        with_byte_scratch(rows * words * 4, |bytes| {
            let output = self.geometry.output;
            let mut column = self.rows.start % output.width;
            let mut line = self.rows.start / output.width % output.height;
            let mut image = self.rows.start / (output.width * output.height);
            for bytes in bytes.chunks_exact_mut(words * 4) {
                self.gather(x, (image, line, column), bytes);
                column += 1;
                if column == output.width {
                    (line, column) = (line + 1, 0);
                }
                if line == output.height {
                    (image, line) = (image + 1, 0);
                }
            }
            self.multiply(bytes, words * 4, finish, target);
        });
    }

    /// The bytes under the kernel where it gives the pixel of a line and a column of an image.
    fn gather(&self, x: &[u8], (image, line, column): (usize, usize, usize), bytes: &mut [u8]) {
        let Geometry {
            input,
            window,
            dilation,
            groups,
            ..
        } = *self.geometry;
        let image = &x[image * input.image_len()..][..input.image_len()];
        let channels = input.channels / groups;
        let zero = self.layer.input.zero_point;
        let (top, left) = (line * window.stride, column * window.stride);
        let len = window.size * channels;
        if dilation > 1 {
            let taps = bytes.chunks_exact_mut(channels).take(window.size * window.size);
            for (tap, bytes) in taps.enumerate() {
                let y = self.geometry.input_under(input.height, line, tap / window.size);
                let x = self.geometry.input_under(input.width, column, tap % window.size);
                match y.zip(x) {
                    None => bytes.fill(zero),
                    Some((y, x)) => {
                        let pixel = (y * input.width + x) * input.channels + self.group * channels;
                        bytes.copy_from_slice(&image[pixel..][..channels]);
                    }
                }
            }
            bytes[window.size * len..].fill(0);
            return;
        }
        // Taps of a line that lie in the image.
        let before = window.padding.saturating_sub(left).min(window.size);
        let end = (input.width + window.padding)
            .saturating_sub(left)
            .min(window.size);
        for tap in 0..window.size {
            let of_tap = tap * len;
            let y = (top + tap).wrapping_sub(window.padding);
            if y >= input.height || before >= end {
                bytes[of_tap..of_tap + len].fill(zero);
                continue;
            }
            let first = (y * input.width + left + before - window.padding) * input.channels;
            let (start, stop) = (of_tap + before * channels, of_tap + end * channels);
            if groups == 1 {
                copy_run(&image[first..], &mut bytes[start..], stop - start);
            } else {
                let pixels = image[first..].chunks(input.channels);
                for (inside, pixel) in bytes[start..stop].chunks_exact_mut(channels).zip(pixels) {
                    inside.copy_from_slice(&pixel[self.group * channels..][..channels]);
                }
            }
            if before > 0 {
                bytes[of_tap..start].fill(zero);
            }
            if end < window.size {
                bytes[stop..of_tap + len].fill(zero);
            }
        }
        bytes[window.size * len..].fill(0);
    }

    fn multiply<'a, T: ResultElement + 'a>(
        &self,
        bytes: &[u8],
        stride: usize,
        finish: &impl Fn(usize) -> PanelFinish<'a, T>,
        target: &SharedValues<T>,
    ) {
        let ByteLayer {
            panels,
            words,
            outputs,
            kernels,
            ..
        } = self.layer;
        let of_group = outputs / self.geometry.groups;
        let first = self.group * of_group.div_ceil(LANES);
        let rows = RowsOfBytes {
            kernels,
            bytes,
            count: self.rows.len(),
            stride,
            words: *words,
            place: self.rows.start * outputs + self.group * of_group,
            gap: *outputs,
            width: of_group,
        };
        for pair in self.panels.clone().step_by(TILE_PANELS) {
            let last = (self.panels.end - 1).min(pair + TILE_PANELS - 1);
            let right = [pair, last].map(|panel| &panels[(first + panel) * words..][..*words]);
            let finish = [finish(first + pair), finish(first + last)];
            rows.multiply(pair, &right[..last - pair + 1], finish, target);
        }
    }
}

/// Rows of bytes to be multiplied with panels, and where their results stand.
struct RowsOfBytes<'a> {
    kernels: &'static ByteKernels,
    bytes: &'a [u8],
    count: usize,
    /// From one row to the next.
    stride: usize,
    /// Words of a row.
    words: usize,
    /// Where the first row's results begin.
    place: usize,
    /// From one row's results to the next one's.
    gap: usize,
    /// How many results a row has.
    width: usize,
}

impl RowsOfBytes<'_> {
    /// Multiplies all rows with one or two panels, of which `number` is the number of the first.
    fn multiply<T: ResultElement>(
        &self,
        number: usize,
        panels: &[&[PanelWord]],
        finish: [PanelFinish<'_, T>; TILE_PANELS],
        target: &SharedValues<T>,
    ) {
        let mut sums: TileSums = [[[0; LANES]; TILE_PANELS]; TILE_ROWS];
        for start in (0..self.count).step_by(self.kernels.rows) {
            let rows = self.kernels.rows.min(self.count - start);
            let bytes = &self.bytes[start * self.stride..];
            let left = ByteRows::new(bytes, rows, self.stride, self.words);
            self.kernels.multiply(left, panels, &mut sums);
            with_lanes(&TileOfResults {
                sums: &sums[..rows],
                panels: finish,
                count: panels.len(),
                gap: self.gap,
                place: self.place + start * self.gap + number * LANES,
                width: self.width - number * LANES,
                target,
            });
        }
    }
}

/// A tile's sums on their way to results.
struct TileOfResults<'a, 'b, T: ResultElement> {
    sums: &'a [[[i32; LANES]; TILE_PANELS]],
    panels: [PanelFinish<'b, T>; TILE_PANELS],
    /// How many of the panels there are.
    count: usize,
    /// From one row of results to the next.
    gap: usize,
    /// Where the first result stands.
    place: usize,
    /// Outputs from there on.
    width: usize,
    target: &'a SharedValues<'a, T>,
}

impl<T: ResultElement> PanelWork for TileOfResults<'_, '_, T> {
    #[inline(always)]
    fn run<L: Lanes>(&self) {
        for (panel, finish) in self.panels[..self.count].iter().enumerate() {
            let width = LANES.min(self.width - panel * LANES);
            for (row, sums) in self.sums.iter().enumerate() {
                let place = self.place + row * self.gap + panel * LANES;
                // SAFETY: a task writes its own rows and outputs; the processor is what `L` was chosen for.
                unsafe { finish.write::<L>(&sums[panel], self.target, place, width) };
            }
        }
    }
}

/// Copies the first `len` bytes. Where there is room, short runs are copied with what follows, which takes an instruction
/// where a call would be: it is written over later.
#[inline(always)]
fn copy_run(source: &[u8], target: &mut [u8], len: usize) {
    const SHORT: usize = 32;
    match (source.first_chunk::<SHORT>(), target.first_chunk_mut::<SHORT>()) {
        (Some(source), Some(target)) if len <= SHORT => *target = *source,
        _ => target[..len].copy_from_slice(&source[..len]),
    }
}
