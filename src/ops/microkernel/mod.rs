//! Matrix products from the inside: tiles of sums that stay in registers, for the processor at hand.
//!
//! Two shapes of product cover convolutions and fully connected layers, forward and backward:
//! [`RowProduct`] times a packed panel, where each row is put together from runs of memory that may lie
//! anywhere (so that a convolution needs no copy of its windows), and [`Outer`] products summed over
//! steps (pixels, rows of a batch); [`ColumnProducts`] are the latter of whole matrices.
//!
//! An operand's unit is the 32-bit word: one f32 value, or two neighbouring bf16 values where the
//! processor multiplies those. Which of the two a set of [`Kernels`] takes is its [`WordFormat`].

mod column_products;
mod finish;
#[cfg(target_arch = "x86_64")]
mod matrix_unit;
mod outer;
mod pack;
mod rows;
mod shared;
mod tile;
mod tiles;
mod transforms;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use column_products::ColumnProducts;
pub(super) use finish::Finish;
pub(super) use outer::{Outer, OuterSteps};
pub(super) use pack::{Elements, PackSource, PanelGroup, Panels, interleave_pairs, narrow, words_of};
pub(super) use rows::{RowProduct, TapProduct};
pub(super) use shared::{SharedResults, SharedValues};
pub(super) use tile::{Tile, Transform};
pub(super) use tiles::ROW_PANELS;
use tiles::{OuterTile, RowsTile, outer_tile, row_tile, rows_tile};
pub(super) use transforms::FILTER_BLOCK;
use transforms::{FILTER_TILES, FilteredTiles, TileTransform};
use vector::{Portable, Vector, Widened};

use super::HAS_GRADIENTS;
#[cfg(target_arch = "x86_64")]
use crate::ops::matrix_unit::MatrixUnit;
use crate::spec::Precision;

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordFormat {
    /// One f32.
    F32,
    /// Two bf16, the first in the lower half.
    Bf16Pair,
}

impl WordFormat {
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
    pub format: WordFormat,
    /// Rows of the largest tile of [`RowProduct`] over one panel.
    pub rows: usize,
    /// And over two neighbouring panels, or left words of an [`Outer`] of as many lanes: fewer loads for as many products.
    /// 0 where the processor has no registers for it.
    pub pair_rows: usize,
    /// Lanes of a packed panel.
    pub panel: usize,
    /// Left words of the largest tile of [`Outer`] over one panel.
    outer_rows: usize,
    rows_tile: unsafe fn(usize, &RowsTile),
    pair_tile: unsafe fn(usize, &RowsTile),
    row_tile: unsafe fn(&RowsTile),
    outer_tile: unsafe fn(usize, &OuterTile),
    transform: unsafe fn(Transform, &TileTransform),
    filtered: unsafe fn(&FilteredTiles),
    /// Tiles that weights of 3x3 taps are multiplied with as they are transformed, at most.
    pub filter_tiles: usize,
}

impl Kernels {
    /// The fastest for operands of this precision. Where a narrow format has no kernels of its own,
    /// its values are multiplied as f32.
    pub fn best(precision: Precision) -> &'static Self {
        let bf16 = precision == Precision::Bf16;
        let fits = |kernels: &&&Self| bf16 || kernels.format == WordFormat::F32;
        let available = Self::available();
        available.iter().find(fits).copied().unwrap_or(&PORTABLE)
    }

    /// What the bytes of results depend on.
    pub fn arithmetic(&self) -> &'static str {
        match self.format {
            WordFormat::F32 => "f32",
            WordFormat::Bf16Pair => self.name,
        }
    }

    /// Those whose packed panels take the fewest bytes. Where the processor does not multiply bf16, its values are widened
    /// as they are read, which costs time where there are many rows; the results are the same bytes.
    pub fn smallest(precision: Precision) -> &'static Self {
        let best = Self::best(precision);
        // It is for texts that a model goes on with: not linked in a program that only asks models of other things.
        if !cfg!(feature = "full") {
            return best;
        }
        let is_best =
            |(plain, _): &&(&Self, &'static Self)| precision == Precision::Bf16 && plain.name == best.name;
        WIDENED.iter().find(is_best).map_or(best, |(_, widened)| widened)
    }

    /// These, or the fastest that take f32.
    pub fn of_f32(&'static self) -> &'static Self {
        match self.format {
            WordFormat::F32 => self,
            WordFormat::Bf16Pair => Self::best(Precision::F32),
        }
    }

    /// Left words and lanes of the largest tile of [`Outer`] for so many right columns.
    pub fn outer_tile_for(&self, columns: usize) -> (usize, usize) {
        match columns > self.panel && self.pair_rows > 0 {
            true => (self.pair_rows, 2 * self.panel),
            false => (self.outer_rows, self.panel),
        }
    }

    /// All that this processor can run, the fastest first.
    pub fn available() -> &'static [&'static Self] {
        static AVAILABLE: std::sync::OnceLock<Vec<&'static Kernels>> = std::sync::OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let mut available = Vec::new();
            #[cfg(target_arch = "x86_64")]
            {
                let has_bf16 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
                if has_bf16 && MatrixUnit::get().bf16 {
                    available.push(&AMX_BF16);
                }
                let pairs = has_bf16.then_some(&AVX512_BF16);
                let plain = is_x86_feature_detected!("avx512f").then_some(&AVX512);
                // AMD's processors multiply pairs twice as fast as f32, Intel's half as fast.
                let by_speed = match is_of_intel() {
                    true => [plain, pairs],
                    false => [pairs, plain],
                };
                available.extend(by_speed.into_iter().flatten());
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    available.push(&AVX2);
                }
            }
            available.push(&PORTABLE);
            available
        })
    }
}

/// Whether Intel made the processor.
#[cfg(target_arch = "x86_64")]
fn is_of_intel() -> bool {
    let maker = std::arch::x86_64::__cpuid(0);
    let words = [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes);
    words.as_flattened() == b"GenuineIntel"
}

/// Those that take f32, and beside each those that widen bf16 to them.
pub(super) static WIDENED: &[(&Kernels, &Kernels)] = &[
    #[cfg(target_arch = "x86_64")]
    (&AVX512, &AVX512_WIDENED),
    #[cfg(target_arch = "x86_64")]
    (&AVX2, &AVX2_WIDENED),
    (&PORTABLE, &PORTABLE_WIDENED),
];

/// [`Kernels::outer_tile`] of a program without gradients.
unsafe fn no_outer_tile(_rows: usize, _tile: &OuterTile) {
    unreachable!("a program without gradients sums no outer products");
}

/// [`Kernels::filtered`] of those that take bf16.
unsafe fn no_filter(_tiles: &FilteredTiles) {
    unreachable!("transformed weights are f32");
}

/// Makes the tiles of an instruction set: `$rows` rows (or left words) at most, one function for each
/// number of them, and one or two vectors of lanes.
macro_rules! kernels {
    (
        $kernels:ident, $name:literal, $format:expr, $module:ident, $vector:ty, $(#[$feature:meta])?
        rows: $rows:literal of [$($row:literal)*], pairs: $pairs:literal of [$($pair:literal)*],
        outer: $outer_rows:literal of [$($outer_row:literal)*]
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
                        Transform::Weights => transforms::weights::<$vector>(tile),
                        Transform::Gradients | Transform::WeightGradients if !HAS_GRADIENTS => {
                            unreachable!("a program without gradients transforms none")
                        }
                        Transform::Gradients => transforms::gradients::<$vector>(tile),
                        Transform::WeightGradients => transforms::weight_gradients::<$vector>(tile),
                    }
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn filtered(tiles: &FilteredTiles) {
                // SAFETY: the caller's.
                unsafe {
                    match $pairs > 0 {
                        true => transforms::filtered::<$vector>(tiles),
                        false => transforms::filtered_alone::<$vector>(tiles),
                    }
                }
            }

            $(#[$feature])?
            pub(super) unsafe fn row(tile: &RowsTile) {
                // SAFETY: the caller's.
                unsafe { row_tile::<$vector>(tile) }
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

            pub(super) unsafe fn pairs(rows: usize, tile: &RowsTile) {
                match rows {
                    // SAFETY: the caller's.
                    $($pair => unsafe { rows_of::<$pair, 4>(tile) },)*
                    _ => unreachable!("a tile of two panels has at most {} rows: {tile:p}", $pairs),
                }
            }

            pub(super) unsafe fn outer(rows: usize, tile: &OuterTile) {
                // SAFETY: the caller's.
                unsafe {
                    match (rows, tile.width) {
                        $(($pair, width) if width == 4 * LANES => outer_of::<$pair, 4, false>(tile),)*
                        $(($pair, width) if width > 2 * LANES => outer_of::<$pair, 4, true>(tile),)*
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
            name: $name,
            format: $format,
            rows: $rows,
            pair_rows: $pairs,
            panel: 2 * $module::LANES,
            outer_rows: $outer_rows,
            rows_tile: $module::rows,
            pair_tile: $module::pairs,
            row_tile: $module::row,
            outer_tile: if HAS_GRADIENTS { $module::outer } else { no_outer_tile },
            transform: $module::transform,
            filtered: match $format {
                WordFormat::F32 => $module::filtered,
                WordFormat::Bf16Pair => no_filter,
            },
            filter_tiles: if $pairs > 0 { FILTER_TILES } else { 1 },
        };
    };
}

kernels!(
    PORTABLE, "portable", WordFormat::F32, portable, Portable,
    rows: 3 of [1 2 3], pairs: 0 of [], outer: 3 of [1 2 3]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX2, "AVX2", WordFormat::F32, avx2, x86::Avx2, #[target_feature(enable = "avx2,fma")]
    rows: 6 of [1 2 3 4 5 6], pairs: 0 of [], outer: 6 of [1 2 3 4 5 6]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512, "AVX-512", WordFormat::F32, avx512, x86::Avx512, #[target_feature(enable = "avx512f")]
    rows: 14 of [1 2 3 4 5 6 7 8 9 10 11 12 13 14], pairs: 6 of [1 2 3 4 5 6],
    outer: 14 of [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512_BF16, "AVX-512 bf16", WordFormat::Bf16Pair, avx512_bf16, x86::Avx512Bf16,
    #[target_feature(enable = "avx512f,avx512bf16")]
    rows: 14 of [1 2 3 4 5 6 7 8 9 10 11 12 13 14], pairs: 6 of [1 2 3 4 5 6],
    outer: 14 of [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
);
#[cfg(target_arch = "x86_64")]
static AMX_BF16: Kernels = Kernels {
    name: "AMX bf16",
    format: WordFormat::Bf16Pair,
    rows: matrix_unit::ROWS,
    pair_rows: matrix_unit::ROWS,
    panel: matrix_unit::PANEL,
    outer_rows: matrix_unit::ROWS,
    rows_tile: matrix_unit::rows,
    pair_tile: matrix_unit::pairs,
    row_tile: matrix_unit::row,
    outer_tile: if HAS_GRADIENTS {
        matrix_unit::outer
    } else {
        no_outer_tile
    },
    transform: avx512_bf16::transform,
    filtered: no_filter,
    filter_tiles: 1,
};
kernels!(
    PORTABLE_WIDENED, "portable, bf16 widened", WordFormat::Bf16Pair, portable_widened, Widened<Portable>,
    rows: 3 of [1 2 3], pairs: 0 of [], outer: 1 of [1]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX2_WIDENED, "AVX2, bf16 widened", WordFormat::Bf16Pair, avx2_widened, Widened<x86::Avx2>,
    #[target_feature(enable = "avx2,fma")]
    rows: 4 of [1 2 3 4], pairs: 0 of [], outer: 1 of [1]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512_WIDENED, "AVX-512, bf16 widened", WordFormat::Bf16Pair, avx512_widened, Widened<x86::Avx512>,
    #[target_feature(enable = "avx512f")]
    rows: 12 of [1 2 3 4 5 6 7 8 9 10 11 12], pairs: 0 of [], outer: 1 of [1]
);
