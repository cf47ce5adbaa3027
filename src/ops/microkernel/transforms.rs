//! The transforms of Winograd's minimal filtering F(4x4, 3x3), by the matrices of Lavin and Gray (2015):
//! `y = A^T [(G w G^T) * (B^T d B)] A` for tiles `d` of 6x6 pixels, `y` of 4x4 and weights `w` of 3x3.
//!
//! Each runs over a tile whose elements are rows of channels.

use super::finish::TileFinish;
use super::shared::ResultPlace;
use super::vector::Vector;
use crate::ops::HAS_GRADIENTS;
use crate::ops::stored::ValueFormat;

/// Where the elements of a tile are and where those of its transform go, row after row.
pub(super) struct TileTransform<'a> {
    pub sources: &'a [*const u8],
    /// Of the sources.
    pub format: ValueFormat,
    /// None where an element is not wanted.
    pub targets: &'a [ResultPlace],
    /// Values of each element.
    pub channels: usize,
    /// Whether sources of f32 are rounded to bf16.
    pub round_sources: bool,
    pub finish: TileFinish,
    /// What each element of the result is added to: null where nothing.
    pub residuals: &'a [*const f32],
}

impl TileTransform<'_> {
    /// Whether all results are stored as they are, in f32.
    fn has_plain_results(&self) -> bool {
        let is_nothing = |residual: &*const f32| residual.is_null();
        self.finish.is_nothing()
            && !self.finish.narrows()
            && self.targets.iter().all(|target| !target.is_none())
            && self.residuals.iter().all(is_nothing)
    }

    fn way(&self) -> u8 {
        match (self.format, self.has_plain_results()) {
            (ValueFormat::F32, true) if !self.round_sources => PLAIN,
            (ValueFormat::Bf16, true) if HAS_GRADIENTS => WIDENED,
            _ => ANY,
        }
    }
}

/// The ways of a transform: of any tile; of f32 that is taken and stored as it is; of bf16 whose results are so stored.
const ANY: u8 = 0;
const PLAIN: u8 = 1;
const WIDENED: u8 = 2;

/// Makes the function of a separable transform of `$inputs` x `$inputs` elements to `$outputs` x
/// `$outputs` from its effect on one row.
macro_rules! transform {
    ($(#[$doc:meta])* $name:ident, $inputs:literal => $outputs:literal, $vector:ident, $line:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// That of [`Vector`]: each source and each target that is not null has `channels` values.
        #[inline(always)]
        pub(super) unsafe fn $name<$vector: Vector>(tile: &TileTransform) {
            assert!(tile.sources.len() == $inputs * $inputs && tile.targets.len() == $outputs * $outputs
                && tile.residuals.len() == tile.targets.len());
            /// The vector from `channel` on, of `len` channels, in one of the ways; whole in all but the first.
            ///
            /// # Safety
            /// As above.
            #[inline(always)]
            unsafe fn vector<$vector: Vector, const WAY: u8>(tile: &TileTransform, channel: usize, len: usize) {
                // SAFETY: the caller's.
                unsafe {
                    let load = |source: *const f32| {
                        let source = source.add(channel);
                        if len == V::LANES { V::load(source) } else { V::load_some(source, len) }
                    };
                    let read = |source: *const u8| match WAY {
                        PLAIN => V::load(source.cast::<f32>().add(channel)),
                        WIDENED => V::load_bf16(source.cast::<half::bf16>().add(channel), V::LANES),
                        _ if HAS_GRADIENTS && tile.format == ValueFormat::Bf16 => {
                            V::load_bf16(source.cast::<half::bf16>().add(channel), len)
                        }
                        _ if tile.round_sources => V::round_bf16(load(source.cast())),
                        _ => load(source.cast()),
                    };
                    let mut columns = [[V::zero(); $inputs]; $outputs];
                    for column in 0..$inputs {
                        let mut line = [V::zero(); $inputs];
                        for (row, element) in line.iter_mut().enumerate() {
                            *element = read(tile.sources[row * $inputs + column]);
                        }
                        let line: [V::Sums; $outputs] = $line(line);
                        for (columns, element) in columns.iter_mut().zip(line) {
                            columns[column] = element;
                        }
                    }
                    for (row, &line) in columns.iter().enumerate() {
                        let line: [V::Sums; $outputs] = $line(line);
                        for (column, element) in line.into_iter().enumerate() {
                            let target = tile.targets[row * $outputs + column];
                            if WAY != ANY {
                                V::store(target.wide().add(channel), element);
                                continue;
                            }
                            if target.is_none() {
                                continue;
                            }
                            let residual = tile.residuals[row * $outputs + column];
                            let residual =
                                if residual.is_null() { residual } else { residual.add(channel) };
                            let element = tile.finish.apply::<V>(element, channel, len, residual);
                            tile.finish.store::<V>(target, channel, element, len);
                        }
                    }
                }
            }
            let way = tile.way();
            let whole = match way {
                ANY => 0,
                _ => tile.channels / V::LANES * V::LANES,
            };
            for channel in (0..whole).step_by(V::LANES) {
                // SAFETY: the caller's.
                unsafe {
                    match way {
                        WIDENED => vector::<V, WIDENED>(tile, channel, V::LANES),
                        _ => vector::<V, PLAIN>(tile, channel, V::LANES),
                    }
                }
            }
            for channel in (whole..tile.channels).step_by(V::LANES) {
                // SAFETY: the caller's.
                unsafe { vector::<V, ANY>(tile, channel, (tile.channels - channel).min(V::LANES)) };
            }
        }
    };
}

transform!(
    /// `B^T d B`: of a tile of pixels.
    pixels, 6 => 6, V, |d: [V::Sums; 6]| {
        let difference = |left, right| V::add_scaled(left, -1.0, right);
        let (a, b) = (V::add_scaled(d[4], -4.0, d[2]), V::add_scaled(d[3], -4.0, d[1]));
        let (c, e) = (difference(d[4], d[2]), difference(d[3], d[1]));
        [
            V::add_scaled(V::add_scaled(d[4], -5.0, d[2]), 4.0, d[0]),
            V::add(a, b),
            difference(a, b),
            V::add_scaled(c, 2.0, e),
            V::add_scaled(c, -2.0, e),
            V::add_scaled(V::add_scaled(d[5], -5.0, d[3]), 4.0, d[1]),
        ]
    }
);

transform!(
    /// `A^T m A`: of a tile of products, to pixels of the result.
    products, 6 => 4, V, |m: [V::Sums; 6]| {
        let (s1, d1) = (V::add(m[1], m[2]), V::add_scaled(m[1], -1.0, m[2]));
        let (s2, d2) = (V::add(m[3], m[4]), V::add_scaled(m[3], -1.0, m[4]));
        [
            V::add(V::add(m[0], s1), s2),
            V::add_scaled(d1, 2.0, d2),
            V::add_scaled(s1, 4.0, s2),
            V::add(V::add_scaled(d1, 8.0, d2), m[5]),
        ]
    }
);

transform!(
    /// `A y A^T`: of a tile of the result's gradient, to gradients of products.
    gradients, 4 => 6, V, |y: [V::Sums; 4]| {
        let (even, odd) = (V::add(y[0], y[2]), V::add(y[1], y[3]));
        let (even4, odd4) = (V::add_scaled(y[0], 4.0, y[2]), V::add_scaled(y[1], 4.0, y[3]));
        [
            y[0],
            V::add(even, odd),
            V::add_scaled(even, -1.0, odd),
            V::add_scaled(even4, 2.0, odd4),
            V::add_scaled(even4, -2.0, odd4),
            y[3],
        ]
    }
);

/// `G w` of a row of weights.
///
/// # Safety
/// That of [`Vector`].
#[inline(always)]
unsafe fn weight_line<V: Vector>(w: [V::Sums; 3]) -> [V::Sums; 6] {
    // SAFETY: the caller's.
    unsafe {
        let scaled = |factor, values| V::add_scaled(V::zero(), factor, values);
        let outer = scaled(-1.0 / 6.0, V::add(w[0], w[2]));
        let far = V::add_scaled(scaled(1.0 / 24.0, w[0]), 1.0 / 6.0, w[2]);
        [
            scaled(0.25, w[0]),
            V::add_scaled(outer, -1.0 / 6.0, w[1]),
            V::add_scaled(outer, 1.0 / 6.0, w[1]),
            V::add_scaled(far, 1.0 / 12.0, w[1]),
            V::add_scaled(far, -1.0 / 12.0, w[1]),
            w[2],
        ]
    }
}

transform!(
    /// `G w G^T`: of weights.
    weights, 3 => 6, V, |w: [V::Sums; 3]| weight_line::<V>(w)
);

/// Inputs whose weights and pixels are gone through several times while they are in the nearest cache.
pub(in crate::ops) const FILTER_BLOCK: usize = 16;
/// Tiles that a panel is multiplied with at once, at most, where there are registers for their sums.
pub(super) const FILTER_TILES: usize = 4;

/// A panel of weights of 3x3 taps of f32, and transformed tiles of pixels that it is multiplied with.
pub(super) struct FilteredTiles {
    /// Where the panel's part for each tap begins: `[inputs][lanes]` values each.
    pub taps: [*const f32; 9],
    pub inputs: usize,
    pub tiles: usize,
    /// Transformed pixels, `[inputs / FILTER_BLOCK][tiles][36][FILTER_BLOCK]`, the last of which may be cut short.
    pub pixels: *const f32,
    /// `[tiles][36][lanes]` sums, which are overwritten.
    pub sums: *mut f32,
}

/// Transforms weights and adds their products with one tile in one go: nothing but the sums is stored. They are the bytes
/// that weights give which are transformed first.
///
/// # Safety
/// That of [`Vector`]; taps, pixels and sums have as many values as the tiles tell, for two vectors of lanes.
#[inline(always)]
pub(super) unsafe fn filtered_alone<V: Vector>(tiles: &FilteredTiles) {
    assert!(tiles.tiles == 1, "one tile");
    // SAFETY: the caller's.
    unsafe { filtered_by_rows::<V, 1>(tiles) };
}

/// The same with up to [`FILTER_TILES`] tiles, where there are twice as many registers.
///
/// # Safety
/// As above.
#[inline(always)]
pub(super) unsafe fn filtered<V: Vector>(tiles: &FilteredTiles) {
    // SAFETY: the caller's.
    unsafe {
        match tiles.tiles {
            1 => for_each_filter_block::<V>(
                tiles,
                #[inline(always)]
                |block| {
                    block.add_products::<V, 1, 2, 0>();
                    block.add_products::<V, 1, 2, 1>();
                    block.add_products::<V, 1, 2, 2>();
                },
            ),
            2 => for_each_filter_block::<V>(
                tiles,
                #[inline(always)]
                |block| {
                    block.add_products::<V, 2, 2, 0>();
                    block.add_products::<V, 2, 2, 1>();
                    block.add_products::<V, 2, 2, 2>();
                },
            ),
            3 => filtered_by_rows::<V, 3>(tiles),
            4 => filtered_by_rows::<V, 4>(tiles),
            other => unreachable!("{other} tiles"),
        }
    }
}

/// # Safety
/// As above, with `TILES` tiles.
#[inline(always)]
unsafe fn filtered_by_rows<V: Vector, const TILES: usize>(tiles: &FilteredTiles) {
    for_each_filter_block::<V>(
        tiles,
        #[inline(always)]
        |block| {
            // SAFETY: the caller's.
            unsafe {
                block.add_products::<V, TILES, 1, 0>();
                block.add_products::<V, TILES, 1, 1>();
                block.add_products::<V, TILES, 1, 2>();
                block.add_products::<V, TILES, 1, 3>();
                block.add_products::<V, TILES, 1, 4>();
                block.add_products::<V, TILES, 1, 5>();
            }
        },
    );
}

/// Some inputs of [`FilteredTiles`], and one vector of lanes.
struct FilterBlock {
    taps: [*const f32; 9],
    inputs: usize,
    lanes: usize,
    pixels: *const f32,
    sums: *mut f32,
    /// Whether the sums hold those of other inputs.
    goes_on: bool,
}

#[inline(always)]
fn for_each_filter_block<V: Vector>(tiles: &FilteredTiles, mut body: impl FnMut(&FilterBlock)) {
    const PANEL_VECTORS: usize = 2;
    let lanes = PANEL_VECTORS * V::LANES;
    for start in (0..tiles.inputs).step_by(FILTER_BLOCK) {
        for first in (0..lanes).step_by(V::LANES) {
            body(&FilterBlock {
                taps: tiles.taps.map(|tap| tap.wrapping_add(start * lanes + first)),
                inputs: (tiles.inputs - start).min(FILTER_BLOCK),
                lanes,
                pixels: tiles.pixels.wrapping_add(start * tiles.tiles * 36),
                sums: tiles.sums.wrapping_add(first),
                goes_on: start > 0,
            });
        }
    }
}

impl FilterBlock {
    /// The products of `ROWS` rows of transformed pixels: of those with much in common, where there are two.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn add_products<V: Vector, const TILES: usize, const ROWS: usize, const PASS: usize>(&self) {
        const PAIRS: [[usize; 2]; 3] = [[0, 5], [1, 2], [3, 4]];
        let row_of = |index: usize| if ROWS == 2 { PAIRS[PASS % 3][index] } else { PASS };
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[[V::zero(); 6]; ROWS]; TILES];
            let place =
                |tile: usize, row: usize, column: usize| (tile * 36 + row_of(row) * 6 + column) * self.lanes;
            if self.goes_on {
                for (tile, sums) in sums.iter_mut().enumerate() {
                    for (row, sums) in sums.iter_mut().enumerate() {
                        for (column, sums) in sums.iter_mut().enumerate() {
                            *sums = V::load(self.sums.add(place(tile, row, column)));
                        }
                    }
                }
            }
            for input in 0..self.inputs {
                let mut elements = [[V::zero(); 3]; ROWS];
                for column in 0..3 {
                    let tap = |row: usize| {
                        let weights = self.taps[row * 3 + column].add(input * self.lanes);
                        if PASS == 0 {
                            // Weights come from memory that is far away.
                            V::prefetch(weights.wrapping_add(FILTER_BLOCK * self.lanes));
                        }
                        V::load(weights)
                    };
                    let line = weight_line::<V>([tap(0), tap(1), tap(2)]);
                    for (row, elements) in elements.iter_mut().enumerate() {
                        elements[column] = line[row_of(row)];
                    }
                }
                for (row, &elements) in elements.iter().enumerate() {
                    let line = weight_line::<V>(elements);
                    for (tile, sums) in sums.iter_mut().enumerate() {
                        for (column, (&element, sums)) in line.iter().zip(&mut sums[row]).enumerate() {
                            let product = tile * 36 + row_of(row) * 6 + column;
                            let pixel = *self.pixels.add(product * FILTER_BLOCK + input);
                            *sums = V::add_scaled(*sums, pixel, element);
                        }
                    }
                }
            }
            for (tile, sums) in sums.iter().enumerate() {
                for (row, sums) in sums.iter().enumerate() {
                    for (column, &sums) in sums.iter().enumerate() {
                        V::store(self.sums.add(place(tile, row, column)), sums);
                    }
                }
            }
        }
    }
}

transform!(
    /// `G^T u G`: of the gradients of transformed weights, to those of the weights.
    weight_gradients, 6 => 3, V, |u: [V::Sums; 6]| {
        let scaled = |factor, values| V::add_scaled(V::zero(), factor, values);
        let (s1, d1) = (V::add(u[1], u[2]), V::add_scaled(u[2], -1.0, u[1]));
        let (s2, d2) = (V::add(u[3], u[4]), V::add_scaled(u[3], -1.0, u[4]));
        let near = scaled(-1.0 / 6.0, s1);
        [
            V::add_scaled(V::add_scaled(near, 1.0 / 24.0, s2), 0.25, u[0]),
            V::add_scaled(scaled(1.0 / 6.0, d1), 1.0 / 12.0, d2),
            V::add(V::add_scaled(near, 1.0 / 6.0, s2), u[5]),
        ]
    }
);
