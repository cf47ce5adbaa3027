//! Convolutions of 3x3 taps and stride 1 in f32 by Winograd's minimal filtering F(4x4, 3x3): tiles of
//! 4x4 results cost 36 products a pair of channels in place of 144.
//!
//! The transforms round: the results' error is a few times that of summing the products directly (the
//! tests hold it within bounds against f64).

use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

use super::geometry::{Geometry, Window};
use super::packed_weights::{ConvWeight, WeightForm};
use super::plan::ConvPlan;
use super::weight_gradient::{PartialSums, assemble};
use crate::ops::fill::in_places;
use crate::ops::microkernel::{
    Elements, Finish, Kernels, Outer, OuterSteps, PackSource, PanelGroup, Panels, RowProduct, SharedValues,
    Tile, Transform, WordFormat, words_of,
};
use crate::ops::scratch::with_scratch;
use crate::ops::tensor::Images;
use crate::spec::Precision;

/// Pixels of a tile of results, along each axis.
const TILE: usize = 4;
/// Pixels that such a tile is made from.
const INPUT: usize = TILE + 2;
/// Values between the transforms of a weight: those of all of a weight's products are written at once, and were their
/// distance a power of two, they would have the same place in a near cache.
const APART: usize = 256 + 16;
/// Products of a tile.
const PRODUCTS: usize = INPUT * INPUT;

/// Whether the transforms pay for themselves, in images like `target`.
fn pays(plan: &ConvPlan, target: &Images) -> bool {
    #[cfg(test)]
    if testing::IS_OFF.get() {
        return false;
    }
    let ConvPlan {
        kernels,
        ref geometry,
        precision,
    } = *plan;
    let window = geometry.window;
    let three = window.size == 3 && window.stride == 1 && window.padding <= 2;
    let (inputs, outputs) = (geometry.input.channels, geometry.output.channels);
    let tiles = target.height.div_ceil(TILE) * target.width.div_ceil(TILE);
    let few = 2 * tiles * PRODUCTS <= target.height * target.width * 9;
    // The direct way is twice as fast on pairs of bf16.
    let light = kernels.format == WordFormat::F32 || PRODUCTS * inputs * outputs <= WEIGHT_VALUES;
    three && inputs >= 32 && outputs >= 32 && few && light && precision != Precision::F16
}

/// Whether [`forward`] and [`weight_gradient`] are faster than what the plan's kernels do directly.
pub(super) fn suits(plan: &ConvPlan) -> bool {
    pays(plan, &plan.geometry.output)
}

/// Whether [`input_gradient`] is faster than what the plan's kernels do directly.
pub(super) fn suits_gradient(plan: &ConvPlan) -> bool {
    pays(plan, &plan.geometry.input)
}

/// The output `[N, OH, OW, O]` of input `[N, H, W, I]`, weight `[O, I, 3, 3]`, finished as asked for.
pub(super) fn forward(plan: &ConvPlan, x: &[f32], weight: ConvWeight, finish: Finish) -> Vec<f32> {
    let ConvPlan {
        kernels,
        ref geometry,
        precision,
    } = *plan;
    let channels = geometry.input.channels;
    let pack = |values: &[f32]| {
        let elements: Vec<usize> = (0..channels).map(|channel| channel * 9).collect();
        let source = PackSource {
            values,
            columns: geometry.output.channels,
            column: channels * 9,
            elements: &elements,
            taps: &[0, 1, 2, 3, 4, 5, 6, 7, 8],
        };
        Panels::pack(kernels, source, precision)
    };
    let is_few = Tiles::of(geometry.output).len() <= FEW_TILES * kernels.rows;
    let filter = WinogradFilter {
        kernels,
        source: geometry.input,
        target: geometry.output,
        padding: geometry.window.padding,
        weights: match weight
            .kept
            .is_some_and(|kept| is_few || kept.form() == WeightForm::Alone)
        {
            true => FilterWeights::Plain(weight.plain(plan, pack)),
            false => {
                FilterWeights::Transformed(weight.winograd(plan, |values| pack(values).winograd(kernels)))
            }
        },
        round: precision == Precision::Bf16,
        finish,
    };
    filter.run(x)
}

/// The gradient of the input, `[N, H, W, I]`, from that of the output: a convolution with the weights
/// turned around.
pub(super) fn input_gradient(plan: &ConvPlan, weight: &[f32], output_gradient: &[f32]) -> Vec<f32> {
    let ConvPlan {
        kernels,
        ref geometry,
        precision,
    } = *plan;
    let channels = geometry.input.channels;
    let elements: Vec<usize> = (0..geometry.output.channels)
        .map(|output| output * channels * 9)
        .collect();
    let source = PackSource {
        values: weight,
        columns: channels,
        column: 9,
        elements: &elements,
        taps: &[8, 7, 6, 5, 4, 3, 2, 1, 0],
    };
    let round = precision == Precision::Bf16;
    let filter = WinogradFilter {
        kernels,
        source: geometry.output,
        target: geometry.input,
        padding: 2 - geometry.window.padding,
        weights: FilterWeights::Transformed(Arc::new(
            Panels::pack(kernels, source, precision).winograd(kernels),
        )),
        round,
        finish: Finish {
            round,
            ..Finish::default()
        },
    };
    filter.run(output_gradient)
}

/// The tiles of a batch of images, counted image after image and row after row.
#[derive(Clone, Copy)]
struct Tiles {
    images: Images,
    rows: usize,
    columns: usize,
}

impl Tiles {
    fn of(images: Images) -> Self {
        Self {
            images,
            rows: images.height.div_ceil(TILE),
            columns: images.width.div_ceil(TILE),
        }
    }

    fn len(&self) -> usize {
        self.images.batch * self.rows * self.columns
    }

    /// The image of a tile and its first pixel.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (image, tile) = (
            tile / (self.rows * self.columns),
            tile % (self.rows * self.columns),
        );
        (image, tile / self.columns * TILE, tile % self.columns * TILE)
    }
}

/// Where a pixel's channels begin in `images`, if it is no padding. Coordinates count from the edge of
/// the padding.
fn pixel(images: &Images, padding: usize, image: usize, row: usize, column: usize) -> Option<usize> {
    let (row, column) = (row.checked_sub(padding)?, column.checked_sub(padding)?);
    let inside = row < images.height && column < images.width;
    inside.then(|| ((image * images.height + row) * images.width + column) * images.channels)
}

struct WinogradFilter<'a> {
    kernels: &'static Kernels,
    source: Images,
    target: Images,
    padding: usize,
    weights: FilterWeights,
    finish: Finish<'a>,
    /// Whether operands are rounded to bf16.
    round: bool,
}

/// The weights of a filter.
enum FilterWeights {
    Transformed(Arc<Panels>),
    /// Transformed panel by panel, each time, for [`FEW_TILES`] and for weights of one form alone. What is transformed is
    /// four times as much to keep, and to read from memory, which few tiles would wait for.
    Plain(Arc<Panels>),
}

/// Tiles, in rows of the kernels' largest tile, up to which weights are transformed each time.
const FEW_TILES: usize = 2;
/// Tiles for which it is no matter that weights are transformed for them alone.
const SHARE_TILES: usize = 128;
/// Tiles that weights are multiplied with as they are transformed, at most: their sums stay in the nearest cache.
const TILES_AT_ONCE: usize = 1;

/// Values of transformed tiles that a task works on, about what the cache near a core holds.
const TASK_VALUES: usize = 1 << 18;
/// Transformed weights over this many values are gone through once for as many tiles as
/// [`BLOCK_VALUES`] allows.
const WEIGHT_VALUES: usize = 1 << 22;
/// Values of transformed tiles that are held at a time where all threads share them.
const BLOCK_VALUES: usize = 1 << 22;

impl WinogradFilter<'_> {
    fn run(&self, source: &[f32]) -> Vec<f32> {
        // SAFETY: the tiles cover the targets.
        unsafe { in_places(self.target.len(), |target| self.fill(source, target)) }
    }

    /// Writes all of `target`.
    fn fill(&self, source: &[f32], target: &SharedValues) {
        let tiles = Tiles::of(self.target);
        let weights = match &self.weights {
            FilterWeights::Transformed(weights) => weights,
            FilterWeights::Plain(weights) => return self.fill_with_plain(weights, source, target),
        };
        let (inputs, outputs) = (self.source.channels, self.target.channels);
        let per_tile = PRODUCTS * (inputs + outputs);
        if PRODUCTS * inputs * outputs > WEIGHT_VALUES {
            // Many tiles at once, so that each weight is read once for all of them: parallel over tiles,
            // then over products.
            let most = (BLOCK_VALUES / per_tile).max(1);
            for first in (0..tiles.len()).step_by(most) {
                let all = first..(first + most).min(tiles.len());
                with_scratch(per_tile * all.len(), |scratch| {
                    let (pixels, products) = scratch.split_at_mut(PRODUCTS * all.len() * inputs);
                    let block = self.kernels.rows;
                    let blocks = || all.clone().into_par_iter().step_by(block);
                    let from = |start: usize| start..(start + block).min(all.end);
                    let (cut, shared) = (self.cut(), SharedValues::new(pixels));
                    blocks().for_each(|start| cut.transform(from(start), source, &all, &shared));
                    let (pixels, shared) = (&*pixels, SharedValues::new(products));
                    (0..PRODUCTS)
                        .into_par_iter()
                        .for_each(|product| self.multiply(weights, product, all.len(), pixels, &shared));
                    let products = &*products;
                    blocks().for_each(|start| {
                        self.transform_products(&tiles, from(start), products, all.clone(), target);
                    });
                });
            }
        } else {
            let block = (TASK_VALUES / per_tile)
                .next_multiple_of(self.kernels.rows)
                .max(2 * self.kernels.rows);
            (0..tiles.len().div_ceil(block))
                .into_par_iter()
                .for_each(|index| {
                    let range = index * block..((index + 1) * block).min(tiles.len());
                    with_scratch(per_tile * range.len(), |scratch| {
                        let (pixels, products) = scratch.split_at_mut(PRODUCTS * range.len() * inputs);
                        self.cut()
                            .transform(range.clone(), source, &range, &SharedValues::new(pixels));
                        let shared = SharedValues::new(products);
                        for product in 0..PRODUCTS {
                            self.multiply(weights, product, range.len(), pixels, &shared);
                        }
                        self.transform_products(&tiles, range.clone(), products, range.clone(), target);
                    });
                });
        }
    }

    fn cut(&self) -> TileCut<'_> {
        TileCut {
            kernels: self.kernels,
            tiles: Tiles::of(self.target),
            images: self.source,
            padding: self.padding,
            round: self.round,
        }
    }

    /// Writes all of `target` with weights that are not transformed yet: some tiles after the others, parallel over panels,
    /// and over shares of many tiles, each of which transforms the weights for itself.
    fn fill_with_plain(&self, weights: &Panels, source: &[f32], target: &SharedValues) {
        let tiles = Tiles::of(self.target);
        let (inputs, outputs) = (self.source.channels, self.target.channels);
        let most = (BLOCK_VALUES / (PRODUCTS * (inputs + outputs))).max(1);
        for first in (0..tiles.len()).step_by(most) {
            let all = first..(first + most).min(tiles.len());
            let count = all.len();
            with_scratch(PRODUCTS * count * (inputs + outputs), |scratch| {
                let (pixels, products) = scratch.split_at_mut(PRODUCTS * count * inputs);
                let shared = SharedValues::new(pixels);
                all.clone()
                    .into_par_iter()
                    .step_by(self.kernels.rows)
                    .for_each(|start| {
                        let some = start..(start + self.kernels.rows).min(all.end);
                        self.cut().transform(some, source, &all, &shared);
                    });
                let (pixels, shared) = (&*pixels, SharedValues::new(products));
                let panels = outputs.div_ceil(self.kernels.panel);
                let shares = (count / SHARE_TILES).max(1);
                let share = count.div_ceil(shares);
                (0..panels * shares).into_par_iter().for_each(|task| {
                    let (panel, start) = (task % panels, task / panels * share);
                    let tiles = start.min(count)..(start + share).min(count);
                    if count <= TILES_AT_ONCE {
                        return self.filter_tiles(weights, panel, count, pixels, &shared);
                    }
                    let part = inputs * self.kernels.panel;
                    let stride = part + APART;
                    with_scratch(PRODUCTS * stride, |transformed| {
                        weights.winograd_panel(self.kernels, panel, &SharedValues::new(transformed), stride);
                        let parts = words_of(transformed).chunks_exact(stride);
                        let mut rows = RowProduct::new(self.kernels, (1, inputs), 1);
                        for (product, part) in parts.map(|words| &words[..part]).enumerate() {
                            self.collect(&mut rows, (product, tiles.clone()), count, pixels, &shared);
                            self.multiply_panels(&rows, &PanelGroup::side_by_side(part, 1), panel);
                        }
                    });
                });
                let products = &*products;
                all.clone().into_par_iter().for_each(|tile| {
                    self.transform_products(&tiles, tile..tile + 1, products, all.clone(), target);
                });
            });
        }
    }

    /// Multiplies all transformed pixels of `count` tiles with a panel of weights that are not transformed yet.
    fn filter_tiles(
        &self,
        weights: &Panels,
        panel: usize,
        count: usize,
        pixels: &[f32],
        products: &SharedValues,
    ) {
        let (inputs, outputs) = (self.source.channels, self.target.channels);
        let (lanes, column) = (self.kernels.panel, panel * self.kernels.panel);
        let pixel = |tile: usize, product: usize| &pixels[(product * count + tile) * inputs..][..inputs];
        with_scratch(count * PRODUCTS * lanes, |sums| {
            weights.winograd_products(self.kernels, panel, count, pixel, sums);
            for (index, sums) in sums.chunks_exact(lanes).enumerate() {
                let (tile, product) = (index / PRODUCTS, index % PRODUCTS);
                let width = lanes.min(outputs - column);
                // SAFETY: calls differ in their panels, so no other writes here.
                unsafe { products.write((product * count + tile) * outputs + column, &sums[..width]) };
            }
        });
    }

    /// Multiplies one transformed pixel of all of `count` tiles with its weights.
    fn multiply(
        &self,
        weights: &Panels,
        product: usize,
        count: usize,
        pixels: &[f32],
        products: &SharedValues,
    ) {
        let panels = self.target.channels.div_ceil(self.kernels.panel);
        let mut rows = RowProduct::new(self.kernels, (1, self.source.channels), panels);
        self.collect(&mut rows, (product, 0..count), count, pixels, products);
        let step = rows.panels_at_once();
        for first in (0..panels).step_by(step) {
            let group = weights.group(first..(first + step).min(panels), std::iter::once(product));
            self.multiply_panels(&rows, &group, first);
        }
    }

    /// Makes `rows` those of one transformed pixel of some of `count` tiles.
    fn collect<'b>(
        &self,
        rows: &mut RowProduct<'b>,
        (product, tiles): (usize, Range<usize>),
        count: usize,
        pixels: &'b [f32],
        products: &'b SharedValues<'b>,
    ) {
        let (inputs, outputs) = (self.source.channels, self.target.channels);
        let elements = Elements::F32(&pixels[product * count * inputs..][..count * inputs]);
        rows.collect(
            tiles.len(),
            outputs,
            products,
            |tile| (product * count + tiles.start + tile) * outputs,
            |tile, _| elements.from((tiles.start + tile) * inputs),
        );
    }

    /// Multiplies rows by the panels of `group`, whose first is `panel`.
    fn multiply_panels(&self, rows: &RowProduct, group: &PanelGroup, panel: usize) {
        let column = panel * self.kernels.panel;
        let width = (group.count * self.kernels.panel).min(self.target.channels - column);
        // SAFETY: calls differ in their product or in their panels, so no other writes here.
        unsafe { rows.multiply(group, column, width, &Finish::default()) };
    }

    /// Transforms the products of `tiles`, which lie among those of `all`, to results.
    fn transform_products(
        &self,
        grid: &Tiles,
        tiles: Range<usize>,
        products: &[f32],
        all: Range<usize>,
        target: &SharedValues,
    ) {
        let outputs = self.target.channels;
        for tile in tiles {
            let (image, row, column) = grid.place(tile);
            let of_tile = Tile::new(outputs, PRODUCTS, |product| {
                &products[(product * all.len() + tile - all.start) * outputs..]
            });
            let place = |index| pixel(&self.target, 0, image, row + index / TILE, column + index % TILE);
            // SAFETY: the tiles of results do not overlap, and each is made by one call.
            unsafe {
                of_tile.transform(
                    self.kernels,
                    Transform::Products,
                    target,
                    place,
                    false,
                    self.finish,
                );
            }
        }
    }
}

/// How pixels become tiles.
struct TileCut<'a> {
    kernels: &'a Kernels,
    tiles: Tiles,
    images: Images,
    padding: usize,
    round: bool,
}

impl TileCut<'_> {
    /// Transforms `tiles` of pixels into their places among those of `all`: `[36][all][channels]`.
    fn transform(&self, tiles: Range<usize>, source: &[f32], all: &Range<usize>, target: &SharedValues) {
        let channels = self.images.channels;
        let zeros = vec![0.0; channels];
        for tile in tiles {
            let (image, row, column) = self.tiles.place(tile);
            let pixels = Tile::new(channels, PRODUCTS, |index| {
                let (row, column) = (row + index / INPUT, column + index % INPUT);
                match pixel(&self.images, self.padding, image, row, column) {
                    Some(start) => &source[start..start + channels],
                    None => &zeros,
                }
            });
            let place = |product| Some((product * all.len() + tile - all.start) * channels);
            // SAFETY: each tile has its own places, and is transformed once.
            unsafe {
                pixels.transform(
                    self.kernels,
                    Transform::Pixels,
                    target,
                    place,
                    self.round,
                    Finish::default(),
                );
            }
        }
    }
}

/// Parts that the channels of a product's sums are cut into.
const PARTS: usize = 2;

/// The gradient of the weight, `[O, I, 3, 3]`, from input and the output's gradient.
pub(super) fn weight_gradient(plan: &ConvPlan, x: &[f32], output_gradient: &[f32]) -> Vec<f32> {
    let ConvPlan {
        kernels,
        ref geometry,
        precision,
    } = *plan;
    let Geometry {
        input,
        output,
        window: Window { padding, .. },
        ..
    } = *geometry;
    let (inputs, outputs) = (input.channels, output.channels);
    let tiles = Tiles::of(output);
    let round = precision == Precision::Bf16;
    let cut = TileCut {
        kernels,
        tiles,
        images: input,
        padding,
        round,
    };
    let block = (BLOCK_VALUES / (PRODUCTS * (inputs + outputs))).clamp(1, tiles.len().max(1));
    let mut sums = vec![0.0; PRODUCTS * inputs * outputs];
    with_scratch(PRODUCTS * block * (inputs + outputs), |scratch| {
        for first in (0..tiles.len()).step_by(block) {
            let range = first..(first + block).min(tiles.len());
            let count = range.len();
            let (left, right) = scratch.split_at_mut(PRODUCTS * block * inputs);
            let (pixels, gradients) = (SharedValues::new(left), SharedValues::new(right));
            let zeros = vec![0.0; outputs];
            range.clone().into_par_iter().with_min_len(8).for_each(|tile| {
                cut.transform(tile..tile + 1, x, &range, &pixels);
                let (image, row, column) = tiles.place(tile);
                let of_tile = Tile::new(outputs, TILE * TILE, |index| {
                    match pixel(&output, 0, image, row + index / TILE, column + index % TILE) {
                        Some(start) => &output_gradient[start..start + outputs],
                        None => &zeros,
                    }
                });
                let place = |product| Some((product * count + tile - range.start) * outputs);
                // SAFETY: each tile has its own places, and is transformed once.
                unsafe {
                    of_tile.transform(
                        kernels,
                        Transform::Gradients,
                        &gradients,
                        place,
                        round,
                        Finish::default(),
                    );
                }
            });
            let (left, right) = (words_of(left), words_of(right));
            let part = inputs.div_ceil(PARTS);
            sums.par_chunks_mut(inputs * outputs)
                .enumerate()
                .flat_map(|(product, sums)| {
                    let parts = sums.par_chunks_mut(part * outputs).enumerate();
                    parts.map(move |(index, sums)| (product, index, sums))
                })
                .for_each(|(product, index, sums)| {
                    let outer = Outer {
                        kernels,
                        left,
                        left_stride: inputs,
                        right,
                        right_stride: outputs,
                    };
                    let steps = OuterSteps {
                        left: product * count * inputs + index * part,
                        right: product * count * outputs,
                        len: count,
                    };
                    outer.add(&[steps], sums.len() / outputs, outputs, sums);
                });
        }
    });

    let write = |taps: &SharedValues| {
        (0..inputs).into_par_iter().with_min_len(4).for_each(|channel| {
            let tile = Tile::new(outputs, PRODUCTS, |product| {
                &sums[(product * inputs + channel) * outputs..]
            });
            let place = |tap| Some((tap * inputs + channel) * outputs);
            // SAFETY: each channel has its own places.
            unsafe {
                tile.transform(
                    kernels,
                    Transform::WeightGradients,
                    taps,
                    place,
                    false,
                    Finish::default(),
                );
            }
        });
    };
    // SAFETY: each channel writes its places.
    let taps = unsafe { in_places(9 * inputs * outputs, write) };
    let part = PartialSums {
        taps: (0..9).collect(),
        words: 0..inputs,
        sums: &[taps],
    };
    assemble(&[part], geometry.weight_len(), outputs, |tap, channel| {
        channel * 9 + tap
    })
}

/// For tests that compare whole networks.
#[cfg(test)]
pub(in crate::ops) mod testing {
    use std::cell::Cell;

    thread_local! {
        pub(super) static IS_OFF: Cell<bool> = const { Cell::new(false) };
    }

    /// While it lives, this thread convolves directly.
    pub(crate) struct WithoutWinograd(());

    impl WithoutWinograd {
        pub fn new() -> Self {
            IS_OFF.set(true);
            Self(())
        }
    }

    impl Drop for WithoutWinograd {
        fn drop(&mut self) {
            IS_OFF.set(false);
        }
    }
}
