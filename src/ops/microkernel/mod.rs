//! Matrix products from the inside: tiles of sums that stay in registers, for the processor at hand.
//!
//! Two shapes of product cover convolutions and fully connected layers, forward and backward:
//! [`Rows`] times a packed panel, where each row is put together from runs of memory that may lie
//! anywhere (so that a convolution needs no copy of its windows), and [`Outer`] products summed over
//! steps (pixels, rows of a batch).
//!
//! An operand's unit is the 32-bit word: one f32 value, or two neighbouring bf16 values where the
//! processor multiplies those. Which of the two a set of [`Kernels`] takes is its [`Format`].

mod finish;
mod pack;
mod tiles;
mod transforms;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::marker::PhantomData;
use std::mem::MaybeUninit;

pub(super) use finish::Finish;
pub(super) use pack::{Elements, Panels, Source, interleave_pairs, narrow, words_of};
use tiles::{OuterTile, RowsTile, Segment, outer_tile, rows_tile};
use transforms::TileTransform;
use vector::{Portable, Vector};

use crate::spec::Precision;

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One f32.
    F32,
    /// Two bf16, the first in the lower half.
    Bf16Pair,
}

impl Format {
    /// Elements of a word.
    pub fn elements(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16Pair => 2,
        }
    }

    /// Words that hold so many elements.
    pub fn words(self, elements: usize) -> usize {
        elements.div_ceil(self.elements())
    }
}

/// The tiles of one instruction set.
#[derive(Debug)]
pub(super) struct Kernels {
    pub name: &'static str,
    pub format: Format,
    /// Rows of the largest tile of [`Rows`].
    pub rows: usize,
    /// Lanes of a packed panel.
    pub panel: usize,
    /// Left words of the largest tile of [`Outer`].
    pub outer_rows: usize,
    rows_tile: unsafe fn(usize, &RowsTile),
    outer_tile: unsafe fn(usize, &OuterTile),
    transform: unsafe fn(Transform, &TileTransform),
}

/// A transform of Winograd's minimal filtering, from tiles of so many elements to tiles of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    /// Pixels, 6x6 to 6x6.
    Pixels,
    /// Products, 6x6 to 4x4 pixels of the result.
    Products,
    /// Gradients of the result, 4x4 to 6x6 gradients of products.
    Gradients,
    /// Weights, 3x3 to 6x6.
    Weights,
    /// Gradients of transformed weights, 6x6 to 3x3.
    WeightGradients,
}

impl Kernels {
    /// The fastest for operands of this precision. Where a narrow format has no kernels of its own,
    /// its values are multiplied as f32.
    pub fn best(precision: Precision) -> &'static Self {
        let bf16 = precision == Precision::Bf16;
        let fits = |kernels: &&&Self| bf16 || kernels.format == Format::F32;
        let available = Self::available();
        available.iter().find(fits).copied().unwrap_or(&PORTABLE)
    }

    /// These, or the fastest that take f32.
    pub fn of_f32(&'static self) -> &'static Self {
        match self.format {
            Format::F32 => self,
            Format::Bf16Pair => Self::best(Precision::F32),
        }
    }

    /// All that this processor can run, the fastest first.
    pub fn available() -> &'static [&'static Self] {
        static AVAILABLE: std::sync::OnceLock<Vec<&'static Kernels>> = std::sync::OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let mut available = Vec::new();
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
                    available.push(&AVX512_BF16);
                }
                if is_x86_feature_detected!("avx512f") {
                    available.push(&AVX512);
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    available.push(&AVX2);
                }
            }
            available.push(&PORTABLE);
            available
        })
    }
}

/// Makes the tiles of an instruction set: `$rows` rows (or left words) at most, one function for each
/// number of them, and one or two vectors of lanes.
macro_rules! kernels {
    (
        $kernels:ident, $name:literal, $format:expr, $module:ident, $vector:ty, $(#[$feature:meta])?
        rows: $rows:literal of [$($row:literal)*], outer: $outer_rows:literal of [$($outer_row:literal)*]
    ) => {
        mod $module {
            use super::*;

            pub(super) const LANES: usize = <$vector as Vector>::LANES;

            $(#[$feature])?
            unsafe fn rows_of<const ROWS: usize, const VECTORS: usize>(tile: &RowsTile) {
                // SAFETY: the caller's.
                unsafe { rows_tile::<$vector, ROWS, VECTORS>(tile) }
            }

            $(#[$feature])?
            unsafe fn outer_of<const ROWS: usize, const VECTORS: usize, const PARTIAL: bool>(tile: &OuterTile) {
                // SAFETY: the caller's.
                unsafe { outer_tile::<$vector, ROWS, VECTORS, PARTIAL>(tile) }
            }

            $(#[$feature])?
            pub(super) unsafe fn transform(transform: Transform, tile: &TileTransform) {
                // SAFETY: the caller's.
                unsafe {
                    match transform {
                        Transform::Pixels => transforms::pixels::<$vector>(tile),
                        Transform::Products => transforms::products::<$vector>(tile),
                        Transform::Gradients => transforms::gradients::<$vector>(tile),
                        Transform::Weights => transforms::weights::<$vector>(tile),
                        Transform::WeightGradients => transforms::weight_gradients::<$vector>(tile),
                    }
                }
            }

            pub(super) unsafe fn rows(rows: usize, tile: &RowsTile) {
                // SAFETY: the caller's.
                unsafe {
                    match (rows, tile.width > LANES) {
                        $(($row, false) => rows_of::<$row, 1>(tile), ($row, true) => rows_of::<$row, 2>(tile),)*
                        _ => unreachable!("a tile has at most {} rows", $rows),
                    }
                }
            }

            pub(super) unsafe fn outer(rows: usize, tile: &OuterTile) {
                // SAFETY: the caller's.
                unsafe {
                    match (rows, tile.width) {
                        $(($outer_row, width) if width == 2 * LANES => outer_of::<$outer_row, 2, false>(tile),)*
                        $(($outer_row, width) if width > LANES => outer_of::<$outer_row, 2, true>(tile),)*
                        $(($outer_row, width) if width == LANES => outer_of::<$outer_row, 1, false>(tile),)*
                        $(($outer_row, _) => outer_of::<$outer_row, 1, true>(tile),)*
                        _ => unreachable!("a tile has at most {} left words", $outer_rows),
                    }
                }
            }
        }

        static $kernels: Kernels = Kernels {
            transform: $module::transform,
            name: $name,
            format: $format,
            rows: $rows,
            panel: 2 * $module::LANES,
            outer_rows: $outer_rows,
            rows_tile: $module::rows,
            outer_tile: $module::outer,
        };
    };
}

kernels!(
    PORTABLE, "portable", Format::F32, portable, Portable,
    rows: 3 of [1 2 3], outer: 3 of [1 2 3]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX2, "AVX2", Format::F32, avx2, x86::Avx2, #[target_feature(enable = "avx2,fma")]
    rows: 6 of [1 2 3 4 5 6], outer: 6 of [1 2 3 4 5 6]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512, "AVX-512", Format::F32, avx512, x86::Avx512, #[target_feature(enable = "avx512f")]
    rows: 14 of [1 2 3 4 5 6 7 8 9 10 11 12 13 14], outer: 8 of [1 2 3 4 5 6 7 8]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512_BF16, "AVX-512 bf16", Format::Bf16Pair, avx512_bf16, x86::Avx512Bf16,
    #[target_feature(enable = "avx512f,avx512bf16")]
    rows: 14 of [1 2 3 4 5 6 7 8 9 10 11 12 13 14], outer: 8 of [1 2 3 4 5 6 7 8]
);

impl Transform {
    /// Elements of a transformed tile.
    fn results(self) -> usize {
        match self {
            Self::Pixels | Self::Gradients | Self::Weights => 36,
            Self::Products => 16,
            Self::WeightGradients => 9,
        }
    }
}

/// A tile whose elements are rows of channels, to be transformed.
pub(super) struct Tile<'a> {
    sources: [*const f32; 36],
    source_count: usize,
    life: PhantomData<&'a [f32]>,
    channels: usize,
}

impl<'a> Tile<'a> {
    /// A tile whose `count` elements begin at `element(index)`.
    pub fn new(channels: usize, count: usize, element: impl Fn(usize) -> &'a [f32]) -> Self {
        let mut sources = [std::ptr::null(); 36];
        for (index, source) in sources[..count].iter_mut().enumerate() {
            let values = element(index);
            assert!(values.len() >= channels, "{channels} channels");
            *source = values.as_ptr();
        }
        Self {
            sources,
            source_count: count,
            life: PhantomData,
            channels,
        }
    }

    /// Writes the transform's element `index` to `target` from `place(index)`, unless that
    /// is `None`.
    ///
    /// # Safety
    /// Nobody else reads or writes these places at the same time, and they do not overlap.
    pub unsafe fn transform(
        &self,
        kernels: &Kernels,
        transform: Transform,
        target: &Shared,
        place: impl Fn(usize) -> Option<usize>,
        round_sources: bool,
        finish: Finish,
    ) {
        assert!(finish.is_for(self.channels), "scale and shift of each channel");
        let count = transform.results();
        let mut residuals = [std::ptr::null(); 36];
        let mut targets = [std::ptr::null_mut(); 36];
        for (index, element) in targets[..count].iter_mut().enumerate() {
            *element = match place(index) {
                Some(start) => {
                    residuals[index] = finish.residual(start, self.channels);
                    target.address(start, self.channels)
                }
                None => std::ptr::null_mut(),
            };
        }
        let tile = TileTransform {
            sources: &self.sources[..self.source_count],
            targets: &targets[..count],
            channels: self.channels,
            round_sources,
            finish: finish.from(0),
            residuals: &residuals[..count],
        };
        // SAFETY: `available` only gives kernels that the processor can run; sources and targets
        // have as many values as there are channels, as scale, shift and residuals do; that nobody else uses the targets is the caller's.
        unsafe { (kernels.transform)(transform, &tile) };
    }
}

/// A slice that several threads write to, each to its own part.
pub(super) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is only a place and a length; who writes through it promises to keep to his own part.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub fn new(values: &'a mut [f32]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            len: values.len(),
            life: PhantomData,
        }
    }

    /// The same for values that are yet to be written.
    pub fn of_spare(values: &'a mut [MaybeUninit<f32>]) -> Self {
        Self {
            start: values.as_mut_ptr().cast(),
            len: values.len(),
            life: PhantomData,
        }
    }

    /// The same for words that are to hold f32 values.
    fn of_spare_words(words: &'a mut [MaybeUninit<u32>]) -> Self {
        Self {
            start: words.as_mut_ptr().cast(),
            len: words.len(),
            life: PhantomData,
        }
    }

    /// The address of `len` values from `start`.
    fn address(&self, start: usize, len: usize) -> *mut f32 {
        assert!(
            start <= self.len && len <= self.len - start,
            "a part of the slice"
        );
        self.start.wrapping_add(start)
    }
}

/// Rows of a left factor and where their products go, collected once and then multiplied by any
/// number of panels.
pub(super) struct Rows<'a> {
    kernels: &'static Kernels,
    taps: usize,
    run: usize,
    /// In blocks of the tile's rows (the last may have fewer): `[block][taps][rows]`.
    sources: Vec<*const u8>,
    /// Where in the target each row begins.
    targets: Vec<usize>,
    target: Option<&'a Shared<'a>>,
    starts: Vec<usize>,
    width: usize,
    life: PhantomData<&'a [u8]>,
}

impl<'a> Rows<'a> {
    /// No rows yet, of so many runs of so many words each.
    pub fn new(kernels: &'static Kernels, taps: usize, run: usize) -> Self {
        Self {
            kernels,
            taps,
            run,
            sources: Vec::new(),
            targets: Vec::new(),
            target: None,
            starts: Vec::new(),
            width: 0,
            life: PhantomData,
        }
    }

    /// Forgets the rows, and takes `rows` anew: `source(row, tap)` is where its run for that tap begins
    /// and `target(row)` where its products begin, of `width` columns.
    pub fn collect(
        &mut self,
        rows: usize,
        width: usize,
        target: &'a Shared<'a>,
        target_of: impl Fn(usize) -> usize,
        source_of: impl Fn(usize, usize) -> &'a [u8],
    ) {
        self.sources.clear();
        self.starts.clear();
        self.targets.clear();
        self.width = width;
        self.targets.extend((0..rows).map(target_of));
        self.target = Some(target);
        let block = self.kernels.rows;
        for start in (0..rows).step_by(block) {
            self.starts.push(self.sources.len());
            for tap in 0..self.taps {
                for row in start..(start + block).min(rows) {
                    let run = source_of(row, tap);
                    assert!(run.len() >= self.run * 4, "a run of {} words", self.run);
                    self.sources.push(run.as_ptr());
                }
            }
        }
    }

    /// Stores, in columns `column..` of the targets, the rows times one panel: `width` columns of it,
    /// whose parts for the taps begin at `panels`, finished as `finish` says for all columns.
    ///
    /// # Safety
    /// Nobody else reads or writes the targets' columns at the same time.
    pub unsafe fn multiply(&self, panels: &[&[u32]], column: usize, width: usize, finish: &Finish) {
        let Some(target) = self.target else { return };
        let stride = self.kernels.panel;
        assert!(panels.len() == self.taps && column + width <= self.width && width <= stride);
        assert!(panels.iter().all(|panel| panel.len() >= self.run * stride));
        assert!(finish.is_for(column + width), "scale and shift of each column");
        let block = self.kernels.rows;
        let mut targets = [std::ptr::null_mut::<f32>(); MAX_ROWS];
        let mut residuals = [std::ptr::null::<f32>(); MAX_ROWS];
        let panels: Vec<*const u32> = panels.iter().map(|panel| panel.as_ptr()).collect();
        for (index, rows) in self.targets.chunks(block).enumerate() {
            for ((address, residual), &row) in targets.iter_mut().zip(&mut residuals).zip(rows) {
                *address = target.address(row + column, width);
                *residual = finish.residual(row + column, width);
            }
            let tile = RowsTile {
                sources: self.sources[self.starts[index]..].as_ptr(),
                taps: self.taps,
                run: self.run,
                panels: panels.as_ptr(),
                stride,
                targets: targets.as_ptr(),
                width,
                finish: finish.from(column),
                residuals: residuals.as_ptr(),
            };
            // SAFETY: `available` only gives kernels that the processor can run. `collect` made sure
            // that sources have the words that are touched, the assertions above that panels, targets
            // and what finishes them do; that nobody else uses the targets is the caller's.
            unsafe { (self.kernels.rows_tile)(rows.len(), &tile) };
        }
    }
}

/// Rows of the largest tile of any instruction set.
const MAX_ROWS: usize = 14;

/// A sum of outer products over steps.
pub(super) struct Outer<'a> {
    pub kernels: &'static Kernels,
    /// Words of the left operand that a step's words lie in, and from one step to the next.
    pub left: &'a [u32],
    pub left_stride: usize,
    pub right: &'a [u32],
    pub right_stride: usize,
}

/// Which steps: indices of the first left and right word, and how many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub left: usize,
    pub right: usize,
    pub len: usize,
}

impl Outer<'_> {
    /// Whether `next` goes on where `last` ends.
    pub fn continues(&self, last: &Steps, next: &Steps) -> bool {
        let left = last.left + last.len * self.left_stride;
        let right = last.right + last.len * self.right_stride;
        (left, right) == (next.left, next.right)
    }

    /// Adds to `target`, `[rows][columns]`, the outer products of `rows` left words with `columns`
    /// right words of all steps. `steps` are the places of the first of them.
    pub fn add(&self, steps: &[Steps], rows: usize, columns: usize, target: &mut [f32]) {
        assert_eq!(target.len(), rows * columns, "the target's size");
        let segments: Vec<Segment> = steps
            .iter()
            .filter(|steps| steps.len > 0)
            .map(|steps| {
                let last = steps.len - 1;
                assert!(
                    steps.left + last * self.left_stride + rows <= self.left.len(),
                    "left words"
                );
                assert!(
                    steps.right + last * self.right_stride + columns <= self.right.len(),
                    "right words"
                );
                Segment {
                    left: self.left[steps.left..].as_ptr(),
                    right: self.right[steps.right..].as_ptr(),
                    len: steps.len,
                }
            })
            .collect();
        let (block, panel) = (self.kernels.outer_rows, self.kernels.panel);
        for column in (0..columns).step_by(panel) {
            for row in (0..rows).step_by(block) {
                let tile = OuterTile {
                    segments: segments.as_ptr(),
                    segment_count: segments.len(),
                    left_stride: self.left_stride,
                    right_stride: self.right_stride,
                    left_offset: row,
                    right_offset: column,
                    target: target[row * columns + column..].as_mut_ptr(),
                    target_stride: columns,
                    width: panel.min(columns - column),
                };
                // SAFETY: `available` only gives kernels that the processor can run, and the
                // assertions above hold all that they touch within the slices.
                unsafe { (self.kernels.outer_tile)(block.min(rows - row), &tile) };
            }
        }
    }
}
