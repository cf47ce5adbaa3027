//! Convolutions of 3x3 taps and stride 1 in f32 by Winograd's minimal filtering F(4x4, 3x3): tiles of
//! 4x4 results cost 36 products a pair of channels in place of 144.
//!
//! The transforms round: the results' error is a few times that of summing the products directly (the
//! tests hold it within bounds against f64).

mod weight_gradient;

use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

use super::packed_weights::{ConvWeight, WeightForm};
use super::plan::ConvPlan;
use crate::ops::fill::in_places_of;
use crate::ops::microkernel::{
    Elements, FILTER_BLOCK, Finish, Kernels, PackSource, PanelGroup, Panels, RowProduct, SharedResults,
    SharedValues, Tile, Transform, WordFormat, words_of,
};
use crate::ops::scratch::with_scratch;
use crate::ops::stored::{Stored, ValueFormat, Values, ZeroPixel};
use crate::ops::tensor::Images;
use crate::spec::Precision;

pub(super) use weight_gradient::weight_gradient;

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
    let three = window.size == 3 && window.stride == 1 && window.padding <= 2 && geometry.dilation == 1;
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

/// The output `[N, OH, OW, O]` of input `[N, H, W, I]`, weight `[O, I, 3, 3]`, finished as asked for, in a format.
pub(super) fn forward(
    plan: &ConvPlan,
    x: Stored,
    weight: ConvWeight,
    finish: Finish,
    format: ValueFormat,
) -> Values {
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
    filter.run(x, format)
}

/// The gradient of the input, `[N, H, W, I]`, from that of the output: a convolution with the weights
/// turned around.
pub(super) fn input_gradient(
    plan: &ConvPlan,
    weight: &[f32],
    output_gradient: Stored,
    format: ValueFormat,
) -> Values {
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
    filter.run(output_gradient, format)
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

/// Values of transformed tiles that a task works on, about what the cache near a core holds.
const TASK_VALUES: usize = 1 << 18;
/// Transformed weights over this many values are gone through once for as many tiles as
/// [`BLOCK_VALUES`] allows.
const WEIGHT_VALUES: usize = 1 << 22;
/// Values of transformed tiles that are held at a time where all threads share them.
const BLOCK_VALUES: usize = 1 << 22;

impl WinogradFilter<'_> {
    fn run(&self, source: Stored, format: ValueFormat) -> Values {
        // SAFETY: the tiles cover the targets.
        unsafe { in_places_of(format, self.target.len(), |target| self.fill(source, target)) }
    }

    /// Writes all of `target`.
    fn fill(&self, source: Stored, target: SharedResults) {
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
            let cut = self.cut();
            (0..tiles.len().div_ceil(block))
                .into_par_iter()
                .for_each(|index| {
                    let range = index * block..((index + 1) * block).min(tiles.len());
                    with_scratch(per_tile * range.len(), |scratch| {
                        let (pixels, products) = scratch.split_at_mut(PRODUCTS * range.len() * inputs);
                        cut.transform(range.clone(), source, &range, &SharedValues::new(pixels));
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
        TileCut::new(
            self.kernels,
            Tiles::of(self.target),
            (self.source, self.padding),
            self.round,
        )
    }

    /// Writes all of `target` with weights that are not transformed yet: some tiles after the others, parallel over panels,
    /// and over shares of many tiles, each of which transforms the weights for itself.
    fn fill_with_plain(&self, weights: &Panels, source: Stored, target: SharedResults) {
        let tiles = Tiles::of(self.target);
        if (1..=self.kernels.filter_tiles).contains(&tiles.len()) {
            return self.fill_few(weights, source, target);
        }
        let (inputs, outputs) = (self.source.channels, self.target.channels);
        let most = (BLOCK_VALUES / (PRODUCTS * (inputs + outputs))).max(1);
        let cut = self.cut();
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
                        cut.transform(some, source, &all, &shared);
                    });
                let (pixels, shared) = (&*pixels, SharedValues::new(products));
                let panels = outputs.div_ceil(self.kernels.panel);
                let shares = (count / SHARE_TILES).max(1);
                let share = count.div_ceil(shares);
                (0..panels * shares).into_par_iter().for_each(|task| {
                    let (panel, start) = (task % panels, task / panels * share);
                    let tiles = start.min(count)..(start + share).min(count);
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

    /// Writes all of `target` from few tiles: parallel over panels, each of which is multiplied as it is transformed, and
    /// finished at once.
    fn fill_few(&self, weights: &Panels, source: Stored, target: SharedResults) {
        let panels = self.target.channels.div_ceil(self.kernels.panel);
        // Each thread transforms the pixels for itself: to read what another one has just written would take longer.
        let share = panels.div_ceil(rayon::current_num_threads()).max(1);
        (0..panels)
            .into_par_iter()
            .step_by(share)
            .for_each(|first| self.fill_panels(weights, first..(first + share).min(panels), source, target));
    }

    /// The part of [`Self::fill_few`] that is made with some panels.
    fn fill_panels(&self, weights: &Panels, panels: Range<usize>, source: Stored, target: SharedResults) {
        let (tiles, cut) = (Tiles::of(self.target), self.cut());
        let (count, lanes) = (tiles.len(), self.kernels.panel);
        let (inputs, outputs) = (self.source.channels, self.target.channels);
        let transformed = PRODUCTS * count * inputs.next_multiple_of(FILTER_BLOCK);
        with_scratch(transformed + PRODUCTS * count * lanes, |scratch| {
            let (pixels, sums) = scratch.split_at_mut(transformed);
            let shared = SharedValues::new(pixels);
            for first in (0..inputs).step_by(FILTER_BLOCK) {
                let channels = first..(first + FILTER_BLOCK).min(inputs);
                for tile in 0..count {
                    let start = (first * count + tile * FILTER_BLOCK) * PRODUCTS;
                    let place = |product| start + product * FILTER_BLOCK;
                    cut.transform_tile(tile, channels.clone(), source, &shared, place);
                }
            }
            for panel in panels {
                weights.winograd_products(self.kernels, panel, count, pixels, sums);
                let columns = panel * lanes..((panel + 1) * lanes).min(outputs);
                for (tile, sums) in sums.chunks_exact(PRODUCTS * lanes).enumerate() {
                    let products = |product| &sums[product * lanes..];
                    self.transform_tile(&tiles, tile, columns.clone(), products, target);
                }
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
        target: SharedResults,
    ) {
        let outputs = self.target.channels;
        for tile in tiles {
            let of_tile = |product| &products[(product * all.len() + tile - all.start) * outputs..];
            self.transform_tile(grid, tile, 0..outputs, of_tile, target);
        }
    }

    /// Transforms the products of one tile to some channels of the results.
    fn transform_tile<'b>(
        &self,
        grid: &Tiles,
        tile: usize,
        channels: Range<usize>,
        products: impl Fn(usize) -> &'b [f32],
        target: SharedResults,
    ) {
        let (image, row, column) = grid.place(tile);
        let of_tile = Tile::new(channels.len(), PRODUCTS, products);
        let place = |index| {
            let pixel = pixel(&self.target, 0, image, row + index / TILE, column + index % TILE)?;
            Some(pixel + channels.start)
        };
        let finish = self.finish.columns_from(channels.start);
        // SAFETY: the tiles of results do not overlap, and each channel of one is made by one call.
        unsafe { of_tile.transform(self.kernels, Transform::Products, target, place, false, finish) };
    }
}

/// How pixels become tiles.
struct TileCut<'a> {
    kernels: &'a Kernels,
    tiles: Tiles,
    images: Images,
    padding: usize,
    padding_pixel: ZeroPixel,
    round: bool,
}

impl<'a> TileCut<'a> {
    /// Of images with so many pixels of padding at each edge.
    fn new(kernels: &'a Kernels, tiles: Tiles, (images, padding): (Images, usize), round: bool) -> Self {
        Self {
            kernels,
            tiles,
            images,
            padding,
            padding_pixel: ZeroPixel::new(images.channels),
            round,
        }
    }

    /// Transforms `tiles` of pixels into their places among those of `all`: `[36][all][channels]`.
    fn transform(&self, tiles: Range<usize>, source: Stored, all: &Range<usize>, target: &SharedValues) {
        let channels = self.images.channels;
        for tile in tiles {
            let place = |product| (product * all.len() + tile - all.start) * channels;
            self.transform_tile(tile, 0..channels, source, target, place);
        }
    }

    /// Transforms some channels of one tile, of which each product's go to `place(product)`.
    fn transform_tile(
        &self,
        tile: usize,
        channels: Range<usize>,
        source: Stored,
        target: &SharedValues,
        place: impl Fn(usize) -> usize,
    ) {
        let (image, row, column) = self.tiles.place(tile);
        let pixels = Tile::new(channels.len(), PRODUCTS, |index| {
            let (row, column) = (row + index / INPUT, column + index % INPUT);
            match pixel(&self.images, self.padding, image, row, column) {
                Some(start) => source.part(start + channels.start, channels.len()),
                None => self.padding_pixel.of(source.format()),
            }
        });
        // SAFETY: each tile has its own places, and is transformed once.
        unsafe {
            pixels.transform(
                self.kernels,
                Transform::Pixels,
                target,
                |product| Some(place(product)),
                self.round,
                Finish::default(),
            );
        }
    }
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
