//! Convolution and the gradient of its input: sums over taps of matrix products, straight from the
//! images. Parallel over groups of images, and over columns where there are few images.

use std::ops::Range;

use rayon::prelude::*;

use super::axes::{Axes, Positions};
use super::geometry::Window;
use super::packed_weights::ConvWeight;
use super::plan::ConvPlan;
use crate::ops::HAS_GRADIENTS;
use crate::ops::fill::in_places_of;
use crate::ops::microkernel::{
    Elements, Finish, Kernels, PackSource, Panels, ROW_PANELS, RowProduct, SharedResults, TapProduct,
    WordFormat, narrow,
};
use crate::ops::round::copy_rounded;
use crate::ops::scratch::{with_narrow_scratch, with_scratch};
use crate::ops::stored::{Stored, ValueFormat, Values, bits_of};
use crate::ops::tensor::Images;
use crate::spec::Precision;

/// The output `[N, OH, OW, O]` of input `[N, H, W, I]`, weight `[O, I, K, K]`, finished
/// as asked for, in a format.
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
    let correlation = Correlation {
        kernels,
        source: geometry.input,
        target: geometry.output,
        padding: geometry.is_shallow().then_some(geometry.window),
        panels: &weight.live(plan, |values| pack_forward(plan, values)),
        finish,
        precision,
    };
    correlation.run(x, format)
}

/// The panels of [`forward`].
fn pack_forward(plan: &ConvPlan, values: &[f32]) -> LivePanels {
    let geometry = &plan.geometry;
    let (size, channels) = (geometry.window.size, geometry.input.channels);
    // With few channels, a whole row of the kernel is one run.
    let (axes, elements, taps): (Axes, Vec<usize>, Vec<usize>) = if geometry.is_shallow() {
        let element = |index| index % channels * size * size + index / channels;
        let row = |row| row * size;
        (
            Axes::padded(geometry),
            (0..channels * size).map(element).collect(),
            (0..size).map(row).collect(),
        )
    } else {
        let element = |channel| channel * size * size;
        (
            Axes::forward(geometry),
            (0..channels).map(element).collect(),
            (0..size * size).collect(),
        )
    };
    let source = PackSource {
        values,
        columns: geometry.output.channels,
        column: channels * size * size,
        elements: &elements,
        taps: &taps,
    };
    LivePanels::pack(plan, axes, source, geometry.is_shallow())
}

/// The gradient of the input, `[N, H, W, I]`, from that of the output, finished as asked for, in a format.
pub(super) fn input_gradient(
    plan: &ConvPlan,
    weight: ConvWeight,
    output_gradient: Stored,
    finish: Finish,
    format: ValueFormat,
) -> Values {
    let ConvPlan {
        kernels,
        ref geometry,
        precision,
    } = *plan;
    let pack = |values: &[f32]| {
        let (size, channels) = (geometry.window.size, geometry.input.channels);
        let element = |output| output * channels * size * size;
        let elements: Vec<usize> = (0..geometry.output.channels).map(element).collect();
        let taps: Vec<usize> = (0..size * size).collect();
        let source = PackSource {
            values,
            columns: channels,
            column: size * size,
            elements: &elements,
            taps: &taps,
        };
        LivePanels::pack(plan, Axes::backward(geometry), source, false)
    };
    let correlation = Correlation {
        kernels,
        source: geometry.output,
        target: geometry.input,
        padding: None,
        panels: &weight.backward(plan, pack),
        finish: Finish {
            round: precision == Precision::Bf16,
            ..finish
        },
        precision,
    };
    correlation.run(output_gradient, format)
}

/// Packed weights of the taps that are of use.
#[derive(Debug)]
pub(super) struct LivePanels {
    panels: Panels,
    /// Which pixels they are multiplied with.
    axes: Axes,
    /// Which of the packed taps each tap of the kernel is.
    places: Vec<Option<usize>>,
    /// From one row of the kernel's taps to the next.
    row: usize,
    /// A run of padding, as bytes.
    zeros: Vec<u8>,
}

impl LivePanels {
    fn pack(plan: &ConvPlan, axes: Axes, source: PackSource, shallow: bool) -> Self {
        let row = if shallow { 1 } else { plan.geometry.window.size };
        let mut places = vec![None; source.taps.len()];
        for (rows, columns) in axes.pairs() {
            for tap_row in &rows.taps {
                for tap_column in &columns.taps {
                    places[tap_row * row + tap_column] = Some(0);
                }
            }
        }
        let mut live = Vec::new();
        for (place, &tap) in places.iter_mut().zip(source.taps) {
            if place.is_some() {
                *place = Some(live.len());
                live.push(tap);
            }
        }
        let source = PackSource {
            taps: &live,
            ..source
        };
        let panels = Panels::pack(plan.kernels, source, plan.precision);
        Self {
            zeros: vec![0; panels.run(plan.kernels) * size_of::<u32>()],
            panels,
            axes,
            places,
            row,
        }
    }

    /// Where a tap of the kernel is among the packed ones.
    fn place(&self, tap_row: usize, tap_column: usize) -> usize {
        self.places[tap_row * self.row + tap_column].expect("the tap is live")
    }
}

/// Tiles of rows that are multiplied by all panels before the next ones are: of one panel, and of two.
const BLOCKS: usize = 8;
const PAIR_BLOCKS: usize = 18;
/// Words of panels that no near cache holds: they are read for twice as many rows.
const FAR_WORDS: usize = 1 << 20;
/// Rows that a task should have, and tasks that there should be.
const TASK_ROWS: usize = 216;
const TASKS: usize = 8;
/// Words of panels that a near cache holds beside the rows, and rows that are worth going through them.
const NEAR_WORDS: usize = 1 << 16;
const SHARE_ROWS: usize = 48;
/// Words of panels, and products with them, that take one thread less time than to hand a part to another one.
const FEW_WORDS: usize = 1 << 14;
const FEW_PRODUCTS: usize = 1 << 17;

struct Correlation<'a> {
    kernels: &'static Kernels,
    source: Images,
    target: Images,
    /// The window, where the source is to be copied with its padding.
    padding: Option<Window>,
    panels: &'a LivePanels,
    finish: Finish<'a>,
    precision: Precision,
}

impl Correlation<'_> {
    fn run(&self, source: Stored, format: ValueFormat) -> Values {
        // SAFETY: each pixel of the targets belongs to one pair of classes, and each channel to one panel.
        unsafe { in_places_of(format, self.target.len(), |target| self.fill(source, target)) }
    }

    /// Writes all of `target`.
    fn fill(&self, source: Stored, target: SharedResults) {
        let batch = self.source.batch;
        let rows = batch * self.target.height * self.target.width;
        let panels = self.target.channels.div_ceil(self.kernels.panel);
        let words = panels * self.panels.panels.words_of_one();
        if words <= FEW_WORDS && rows * words <= FEW_PRODUCTS {
            return self.run_task(source, (0..batch, 0, 1), 0..panels, target);
        }
        // A thread by itself has nobody to share with, and collects its rows once.
        let threads = rayon::current_num_threads();
        let tasks = if threads == 1 { 1 } else { TASKS };
        let groups = (rows / TASK_ROWS).clamp(1, batch.max(1));
        // Images of one pixel can be cut anywhere: into parts of about a block, of whole tiles, as many for each thread.
        let block = self.block(panels);
        let group = match rows == batch && rows >= 2 * TASK_ROWS {
            true => {
                let tile = match panels > 1 && self.kernels.pair_rows > 0 {
                    true => self.kernels.pair_rows,
                    false => self.kernels.rows,
                };
                let groups = rows.div_ceil(block.min(TASK_ROWS));
                let groups = groups.next_multiple_of(threads.min(TASKS));
                rows.div_ceil(groups).next_multiple_of(tile)
            }
            false => batch.div_ceil(groups).max(1),
        };
        let groups = batch.div_ceil(group);
        // Rows of few images are shared out, where there are enough: who writes whole rows writes no lines of memory that
        // others write as well.
        let shares = match words <= NEAR_WORDS && self.panels.axes.pairs().count() == 1 {
            true => tasks
                .div_ceil(groups.max(1))
                .min(rows / groups.max(1) / SHARE_ROWS),
            false => 1,
        };
        if shares > 1 {
            return (0..groups * shares).into_par_iter().for_each(|task| {
                let (index, share) = (task / shares, task % shares);
                let images = index * group..((index + 1) * group).min(batch);
                self.run_task(source, (images, share, shares), 0..panels, target);
            });
        }
        let chunk = panels.div_ceil(tasks.div_ceil(groups.max(1))).max(1);
        let chunk = match rows <= block {
            // A single row is faster with several panels at once.
            true => chunk.next_multiple_of(ROW_PANELS.min(panels.div_ceil(2))),
            // Two are faster than one after the other.
            false if chunk > 1 => chunk.next_multiple_of(2),
            false => chunk,
        };
        let chunks = panels.div_ceil(chunk);
        (0..groups * chunks).into_par_iter().for_each(|task| {
            let (index, first) = (task / chunks, task % chunks * chunk);
            let images = index * group..((index + 1) * group).min(batch);
            self.run_task(source, (images, 0, 1), first..(first + chunk).min(panels), target);
        });
    }

    /// Multiplies some of the images, or one of several shares of their rows, by some of the panels.
    fn run_task(
        &self,
        source: Stored,
        (images, share, shares): (Range<usize>, usize, usize),
        panels: Range<usize>,
        target: SharedResults,
    ) {
        let len = self.source.image_len();
        let source = source.part(images.start * len, images.len() * len);
        self.with_elements(source, |elements, layout| {
            let task = CorrelationTask {
                elements,
                layout,
                zeros: &self.panels.zeros,
                images,
                share,
                shares,
                target,
            };
            self.multiply(&task, panels);
        });
    }

    /// Rows that are multiplied by so many panels before the next ones are.
    fn block(&self, panels: usize) -> usize {
        match self.kernels.pair_rows {
            rows if rows > 0 && panels > 1 => {
                let words = panels * self.panels.panels.words_of_one();
                rows * if words > FAR_WORDS {
                    2 * PAIR_BLOCKS
                } else {
                    PAIR_BLOCKS
                }
            }
            _ => BLOCKS * self.kernels.rows,
        }
    }

    /// Calls `body` with some images as the kernels want them.
    fn with_elements(&self, images: Stored, body: impl FnOnce(Elements, SourceLayout)) {
        let Images {
            height,
            width,
            channels,
            ..
        } = self.source;
        if let Some(window) = self.padding {
            let layout = SourceLayout {
                pixel: channels,
                row: (width + 2 * window.padding) * channels,
                image: (height + 2 * window.padding) * (width + 2 * window.padding) * channels,
            };
            let count = images.len() / self.source.image_len();
            // A pair may begin with the last element.
            let len = count * layout.image + 1;
            return with_scratch(len, |padded| {
                images.with_rounded(self.precision, |images| {
                    pad(images, &self.source, window.padding, padded, self.precision);
                });
                match self.kernels.format {
                    WordFormat::F32 => body(Elements::F32(padded), layout),
                    WordFormat::Bf16Pair => with_narrow_scratch(len, |narrowed| {
                        narrow(padded, 1, narrowed, 1);
                        body(Elements::Bf16(narrowed), layout);
                    }),
                }
            });
        }
        let layout = |pixel| SourceLayout {
            pixel,
            row: width * pixel,
            image: height * width * pixel,
        };
        let pixel = channels.next_multiple_of(2);
        match (self.kernels.format, images) {
            (WordFormat::F32, images) => {
                images.with_rounded(self.precision, |rounded| {
                    body(Elements::F32(rounded), layout(channels));
                });
            }
            (WordFormat::Bf16Pair, Stored::F32(images)) => {
                with_narrow_scratch(images.len() / channels * pixel, |narrowed| {
                    narrow(images, channels, narrowed, pixel);
                    body(Elements::Bf16(narrowed), layout(pixel));
                });
            }
            (WordFormat::Bf16Pair, Stored::Bf16(_)) if !HAS_GRADIENTS => {
                unreachable!("only a tape stores bf16")
            }
            (WordFormat::Bf16Pair, Stored::Bf16(images)) if pixel == channels => {
                body(Elements::Bf16(bits_of(images)), layout(pixel));
            }
            (WordFormat::Bf16Pair, Stored::Bf16(images)) => {
                with_narrow_scratch(images.len() / channels * pixel, |padded| {
                    let pixels = bits_of(images).chunks_exact(channels);
                    for (target, source) in padded.chunks_exact_mut(pixel).zip(pixels) {
                        target[..channels].copy_from_slice(source);
                        target[channels..].fill(0);
                    }
                    body(Elements::Bf16(padded), layout(pixel));
                });
            }
        }
    }

    /// Multiplies the task's rows by `panels`.
    fn multiply<'b>(&'b self, task: &CorrelationTask<'b>, panels: Range<usize>) {
        let block = self.block(panels.len());
        let classes = self
            .panels
            .axes
            .pairs()
            .map(|(rows, columns)| PositionClass::new(rows, columns, task.layout));
        let rows = task.images.len() * self.target.height * self.target.width;
        if rows <= block && task.shares == 1 {
            let classes: Vec<_> = classes.collect();
            let holds_sums = task.target.format() == ValueFormat::F32;
            if classes.len() > 1 && holds_sums && TapProduct::suits(self.kernels, rows) {
                return self.multiply_by_taps(task, &classes, panels);
            }
            // So few rows wait for the panels, each of which is then read once for all of them.
            let classes: Vec<_> = classes
                .into_iter()
                .map(|class| {
                    let mut rows = class.product(self, panels.len());
                    self.collect(&mut rows, &class, task, task.rows(&class));
                    (class, rows)
                })
                .collect();
            let step = classes.iter().map(|(_, rows)| rows.panels_at_once()).max();
            let step = step.unwrap_or(1);
            for first in panels.clone().step_by(step) {
                for (class, rows) in &classes {
                    self.multiply_panels(class, rows, first..(first + step).min(panels.end));
                }
            }
            return;
        }
        for class in classes {
            let all = task.rows(&class);
            let mut rows = class.product(self, panels.len());
            let step = rows.panels_at_once();
            for start in all.clone().step_by(block) {
                self.collect(&mut rows, &class, task, start..(start + block).min(all.end));
                for first in panels.clone().step_by(step) {
                    self.multiply_panels(&class, &rows, first..(first + step).min(panels.end));
                }
            }
        }
    }

    /// Multiplies all of the task's rows by `panels`, tap by tap.
    fn multiply_by_taps(&self, task: &CorrelationTask, classes: &[PositionClass], panels: Range<usize>) {
        let CorrelationTask { elements, layout, .. } = *task;
        let width = self.target.channels;
        // The targets of each class, and what each of them reads by each tap, if it does.
        let mut targets = Vec::new();
        let mut reads: Vec<Vec<(usize, &[u8])>> = vec![Vec::new(); self.panels.places.len()];
        for class in classes {
            let (down, across) = (class.rows.taps.len(), class.columns.taps.len());
            for (image, y, x) in class.places(task.rows(class)) {
                let row = class.target(&self.target, task.images.start + image, y, x) * width;
                targets.push(row);
                for (tap_y, &tap_row) in class.rows.taps.iter().enumerate() {
                    for (tap_x, &tap_column) in class.columns.taps.iter().enumerate() {
                        let (above, left) = (
                            class.rows_at[y * down + tap_y],
                            class.columns_at[x * across + tap_x],
                        );
                        let run = match (above, left) {
                            (Some(above), Some(left)) => elements.from(image * layout.image + above + left),
                            _ => task.zeros,
                        };
                        reads[tap_row * self.panels.row + tap_column].push((row, run));
                    }
                }
            }
        }
        let run = self.panels.panels.run(self.kernels);
        let mut product = TapProduct::new(self.kernels, run, task.target, targets, width);
        let mut taps = Vec::new();
        for (place, reads) in self.panels.places.iter().zip(reads) {
            if let Some(place) = *place {
                taps.push(place);
                product.add_tap(reads.into_iter());
            }
        }
        let step = product.panels_at_once();
        for first in panels.clone().step_by(step) {
            let some = first..(first + step).min(panels.end);
            let (column, width) = self.columns(&some);
            let group = self.panels.panels.group(some, taps.iter().copied());
            // SAFETY: tasks differ in their images or in their panels, so no other writes here.
            unsafe { product.multiply(&group, column, width, &self.finish) };
        }
    }

    /// The first channel that some panels make, and how many.
    fn columns(&self, panels: &Range<usize>) -> (usize, usize) {
        let column = panels.start * self.kernels.panel;
        let width = (panels.len() * self.kernels.panel).min(self.target.channels - column);
        (column, width)
    }

    /// Makes `product` that of some of the class's rows, which are counted over all of the task's images.
    fn collect<'b>(
        &'b self,
        product: &mut RowProduct<'b>,
        class: &PositionClass<'b>,
        task: &CorrelationTask<'b>,
        rows: Range<usize>,
    ) {
        let CorrelationTask { elements, layout, .. } = *task;
        let width = self.target.channels;
        let pixels = |images: &Images| images.height * images.width;
        if self.padding.is_none() && pixels(&self.source) * pixels(&self.target) == 1 {
            let first = rows.start;
            return product.collect(
                rows.len(),
                width,
                task.target,
                |row| (task.images.start + first + row) * width,
                |row, _| elements.from((first + row) * layout.image),
            );
        }
        // Divided once for all taps, and for all rows.
        let (down, across) = (class.rows.taps.len(), class.columns.taps.len());
        let places: Vec<_> = class.places(rows.clone()).collect();
        let origins: Vec<_> = places
            .iter()
            .map(|&(image, y, x)| (image * layout.image, y * down, x * across))
            .collect();
        let taps: Vec<_> = (0..down * across)
            .map(|tap| (tap / across, tap % across))
            .collect();
        product.collect(
            rows.len(),
            width,
            task.target,
            |row| {
                let (image, y, x) = places[row];
                class.target(&self.target, task.images.start + image, y, x) * width
            },
            |row, tap| {
                let ((image, y, x), (tap_y, tap_x)) = (origins[row], taps[tap]);
                match (class.rows_at[y + tap_y], class.columns_at[x + tap_x]) {
                    (Some(y), Some(x)) => elements.from(image + y + x),
                    _ => task.zeros,
                }
            },
        );
    }

    /// Multiplies rows of a class by neighbouring panels.
    fn multiply_panels(&self, class: &PositionClass, rows: &RowProduct, panels: Range<usize>) {
        let (column, width) = self.columns(&panels);
        let taps = class.taps().map(|(row, column)| self.panels.place(row, column));
        let group = self.panels.panels.group(panels, taps);
        // SAFETY: tasks differ in their images or in their panels, so no other writes here.
        unsafe { rows.multiply(&group, column, width, &self.finish) };
    }
}

/// What one task multiplies.
struct CorrelationTask<'a> {
    elements: Elements<'a>,
    layout: SourceLayout,
    /// A run of padding.
    zeros: &'a [u8],
    images: Range<usize>,
    /// Which share of the rows, of how many.
    share: usize,
    shares: usize,
    target: SharedResults<'a>,
}

impl CorrelationTask<'_> {
    /// The rows of a class, counted over all images.
    fn rows(&self, class: &PositionClass) -> Range<usize> {
        let count = class.len() * self.images.len();
        let from = |share| count * share / self.shares;
        from(self.share)..from(self.share + 1)
    }
}

/// Targets with the same taps.
struct PositionClass<'a> {
    rows: &'a Positions,
    columns: &'a Positions,
    /// Elements before what each target reads by each tap, `[targets][taps]`; `None` is padding.
    rows_at: Vec<Option<usize>>,
    columns_at: Vec<Option<usize>>,
}

impl<'a> PositionClass<'a> {
    fn new(rows: &'a Positions, columns: &'a Positions, layout: SourceLayout) -> Self {
        Self {
            rows,
            columns,
            rows_at: rows.elements(layout.row),
            columns_at: columns.elements(layout.pixel),
        }
    }

    /// Targets in an image.
    fn len(&self) -> usize {
        self.rows.targets.len() * self.columns.targets.len()
    }

    /// The image, and the positions along both axes, of some rows that are counted over all images.
    fn places(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, usize, usize)> {
        let (len, across) = (self.len(), self.columns.targets.len());
        rows.map(move |row| (row / len, row % len / across, row % len % across))
    }

    /// The pixel of the target that a position of an image is.
    fn target(&self, images: &Images, image: usize, y: usize, x: usize) -> usize {
        (image * images.height + self.rows.targets[y]) * images.width + self.columns.targets[x]
    }

    /// The taps that reach them, row by row.
    fn taps(&self) -> impl Iterator<Item = (usize, usize)> {
        let columns = || self.columns.taps.iter();
        self.rows
            .taps
            .iter()
            .flat_map(move |&row| columns().map(move |&column| (row, column)))
    }

    /// A product of rows that are such targets, none yet, with so many panels.
    fn product<'b>(&self, of: &Correlation, panels: usize) -> RowProduct<'b> {
        let taps = self.rows.taps.len() * self.columns.taps.len();
        RowProduct::new(of.kernels, (taps, of.panels.panels.run(of.kernels)), panels)
    }
}

/// Elements from one pixel, row and image to the next.
#[derive(Clone, Copy)]
struct SourceLayout {
    pixel: usize,
    row: usize,
    image: usize,
}

/// Copies images into such as have `padding` zeros at each edge, rounded to the format. What is left of
/// the target becomes 0 as well.
pub(super) fn pad(source: &[f32], images: &Images, padding: usize, target: &mut [f32], precision: Precision) {
    let row = images.width * images.channels;
    let edge = padding * images.channels;
    let padded_row = row + 2 * edge;
    target.fill(0.0);
    let targets = target.chunks_exact_mut((images.height + 2 * padding) * padded_row);
    for (target, source) in targets.zip(source.chunks_exact(images.image_len())) {
        let rows = target[padding * padded_row..].chunks_exact_mut(padded_row);
        for (target, source) in rows.zip(source.chunks_exact(row)) {
            copy_rounded(source, &mut target[edge..edge + row], precision);
        }
    }
}
