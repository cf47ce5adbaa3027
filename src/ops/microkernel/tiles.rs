//! Register tiles: small blocks of a product whose sums stay in registers from the first summand to
//! the last.

use super::finish::TileFinish;
use super::shared::ResultPlace;
use super::vector::{MAX_LANES, Vector};

/// Tiles of so few rows wait for the panel, which the processor reads ahead within a page of memory alone: they ask for
/// it further ahead.
const FEW_ROWS: usize = 6;
/// Words that they ask ahead.
const AHEAD: usize = 1024;

/// A block of rows times a packed panel. Row `r` is the concatenation of one run of words for each
/// tap, found anywhere in memory.
#[derive(Clone, Copy)]
pub(super) struct RowsTile {
    /// Where each run begins: `[taps][rows]`.
    pub sources: *const *const u8,
    pub taps: usize,
    /// Words of each run.
    pub run: usize,
    /// Where the panel's part for each tap begins: `[taps]`, each `[run][stride]` words.
    pub panels: *const *const u32,
    /// Words from one row of the panel to the next.
    pub stride: usize,
    /// Words from the panel to the next one, for tiles of several panels.
    pub gap: usize,
    /// Where each row's sums go: `[rows]`.
    pub targets: *const ResultPlace,
    /// Lanes that are stored.
    pub width: usize,
    /// Whether the targets hold the sums so far, and whether these are the last summands, so that results can be finished.
    /// One row and several of its panels are never cut, nor are sums whose results are stored in bf16.
    pub goes_on: bool,
    pub ends: bool,
    pub finish: TileFinish,
    /// What each row's results are added to: `[rows]`, null where nothing, all or none of them.
    pub residuals: *const *const f32,
}

/// Vectors of a panel.
const PANEL_VECTORS: usize = 2;

/// The rows times one panel, or two where there are more vectors than one has.
///
/// # Safety
/// That of [`Vector`]: `tile` describes `ROWS` rows and at most `VECTORS` vectors of lanes.
#[inline(always)]
pub(super) unsafe fn rows_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(tile: &RowsTile) {
    // SAFETY: the caller's.
    unsafe {
        let of_panel = |vector: usize| vector / PANEL_VECTORS * tile.gap + vector % PANEL_VECTORS * V::LANES;
        let lanes = |vector: usize| tile.width.saturating_sub(vector * V::LANES).min(V::LANES);
        let mut sums = [[V::zero(); VECTORS]; ROWS];
        if tile.goes_on {
            for (row, sums) in sums.iter_mut().enumerate() {
                let target = (*tile.targets.add(row)).wide();
                for (vector, sums) in sums.iter_mut().enumerate() {
                    *sums = V::load_some(target.wrapping_add(vector * V::LANES), lanes(vector));
                }
            }
        }
        for tap in 0..tile.taps {
            let mut panel = *tile.panels.add(tap);
            let mut rows = [std::ptr::null::<u32>(); ROWS];
            for (row, source) in rows.iter_mut().enumerate() {
                *source = (*tile.sources.add(tap * ROWS + row)).cast();
            }
            // The places of the results are brought near one row after the other: stores that all wait for memory
            // would hold up the words of the next tile.
            let is_last = tap + 1 == tile.taps;
            let part = if is_last {
                tile.run.div_ceil(ROWS)
            } else {
                tile.run
            };
            for (row, start) in (0..tile.run).step_by(part.max(1)).enumerate() {
                if is_last {
                    prefetch_row::<V>((*tile.targets.add(row)).wide(), tile.width);
                }
                for index in start..(start + part).min(tile.run) {
                    if ROWS <= FEW_ROWS {
                        for vector in 0..VECTORS {
                            V::prefetch(panel.wrapping_add(of_panel(vector) + AHEAD).cast());
                        }
                    }
                    let mut right = [V::words(panel); VECTORS];
                    for (vector, right) in right.iter_mut().enumerate().skip(1) {
                        *right = V::words(panel.add(of_panel(vector)));
                    }
                    for (source, sums) in rows.iter().zip(&mut sums) {
                        let left = V::splat(source.add(index));
                        for (sums, &right) in sums.iter_mut().zip(&right) {
                            *sums = V::add_products(*sums, left, right);
                        }
                    }
                    panel = panel.add(tile.stride);
                }
            }
        }
        if !tile.ends {
            for (row, sums) in sums.iter().enumerate() {
                let target = (*tile.targets.add(row)).wide();
                for (vector, &sums) in sums.iter().enumerate() {
                    V::store_some(target.wrapping_add(vector * V::LANES), sums, lanes(vector));
                }
            }
            return;
        }
        let is_whole = tile.width == VECTORS * V::LANES;
        if is_whole && tile.finish.narrows() && tile.finish.is_nothing() && (*tile.residuals).is_null() {
            for (row, sums) in sums.iter().enumerate() {
                let target = (*tile.targets.add(row)).narrow();
                for (vector, &sums) in sums.iter().enumerate() {
                    V::store_bf16(target.add(vector * V::LANES), sums, V::LANES);
                }
            }
            return;
        }
        if is_whole && !tile.finish.round && !tile.finish.narrows() {
            // One simple loop after the other, so that each is unrolled.
            let TileFinish {
                scale, shift, relu, ..
            } = tile.finish;
            if !scale.is_null() {
                for (vector, scale) in
                    (0..VECTORS).map(|vector| (vector, V::load(scale.add(vector * V::LANES))))
                {
                    for sums in &mut sums {
                        sums[vector] = V::multiply_add(sums[vector], scale, V::zero());
                    }
                }
            }
            if !shift.is_null() {
                for (vector, shift) in
                    (0..VECTORS).map(|vector| (vector, V::load(shift.add(vector * V::LANES))))
                {
                    for sums in &mut sums {
                        sums[vector] = V::add(sums[vector], shift);
                    }
                }
            }
            if !(*tile.residuals).is_null() {
                for (row, sums) in sums.iter_mut().enumerate() {
                    let residual = *tile.residuals.add(row);
                    for (vector, sums) in sums.iter_mut().enumerate() {
                        *sums = V::add(*sums, V::load(residual.add(vector * V::LANES)));
                    }
                }
            }
            if relu {
                for sums in &mut sums {
                    for sums in sums {
                        *sums = V::relu(*sums);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let target = (*tile.targets.add(row)).wide();
                for (vector, &sums) in sums.iter().enumerate() {
                    V::store(target.add(vector * V::LANES), sums);
                }
            }
            return;
        }
        // Only loops that are wholly unrolled may touch the sums, or they would live in memory.
        let mut finished = [[[0.0f32; MAX_LANES]; VECTORS]; ROWS];
        for (finished, sums) in finished.iter_mut().zip(&sums) {
            for (finished, &sums) in finished.iter_mut().zip(sums) {
                V::store(finished.as_mut_ptr(), sums);
            }
        }
        for (row, finished) in finished.iter().enumerate() {
            let (target, residual) = (*tile.targets.add(row), *tile.residuals.add(row));
            finish_row::<V>(tile, finished.iter(), target, residual);
        }
    }
}

/// Panels that [`row_tile`] takes at once.
pub(in crate::ops) const ROW_PANELS: usize = 4;

/// A single row times [`ROW_PANELS`] neighbouring panels, of which the last may be cut short. One panel after the other
/// would come from memory at two thirds of the speed: the processor reads ahead by itself in each of several places.
///
/// # Safety
/// That of [`Vector`]: `tile` describes one row, and lanes of all the panels.
#[inline(always)]
pub(super) unsafe fn row_tile<V: Vector>(tile: &RowsTile) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::zero(); 2]; ROW_PANELS];
        for tap in 0..tile.taps {
            let mut panel = *tile.panels.add(tap);
            let row = (*tile.sources.add(tap)).cast::<u32>();
            for index in 0..tile.run {
                let left = V::splat(row.add(index));
                for (place, sums) in sums.iter_mut().enumerate() {
                    let panel = panel.add(place * tile.gap);
                    for (vector, sums) in sums.iter_mut().enumerate() {
                        let words = panel.add(vector * V::LANES);
                        V::prefetch(words.wrapping_add(AHEAD).cast());
                        *sums = V::add_products(*sums, left, V::words(words));
                    }
                }
                panel = panel.add(tile.stride);
            }
        }
        // Only loops that are wholly unrolled may touch the sums, or they would live in memory.
        let mut finished = [[[0.0f32; MAX_LANES]; 2]; ROW_PANELS];
        for (finished, sums) in finished.iter_mut().flatten().zip(sums.iter().flatten()) {
            V::store(finished.as_mut_ptr(), *sums);
        }
        let target = *tile.targets;
        finish_row::<V>(tile, finished.iter().flatten(), target, *tile.residuals);
    }
}

/// Finishes the sums of one row, vector by vector, and stores them.
///
/// # Safety
/// That of [`Vector`]; there are as many vectors as the tile's width needs.
#[inline(always)]
pub(super) unsafe fn finish_row<'a, V: Vector>(
    tile: &RowsTile,
    sums: impl Iterator<Item = &'a [f32; MAX_LANES]>,
    target: ResultPlace,
    residual: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        for (vector, sums) in sums.enumerate() {
            let start = vector * V::LANES;
            if start >= tile.width {
                break;
            }
            let len = (tile.width - start).min(V::LANES);
            let residual = if residual.is_null() {
                residual
            } else {
                residual.add(start)
            };
            let sums = tile
                .finish
                .apply::<V>(V::load(sums.as_ptr()), start, len, residual);
            tile.finish.store::<V>(target, start, sums, len);
        }
    }
}

/// Has the memory of `width` values brought near; of as many bytes where they are stored in fewer.
///
/// # Safety
/// That of [`Vector`].
#[inline(always)]
unsafe fn prefetch_row<V: Vector>(target: *const f32, width: usize) {
    /// Values of a line of the caches.
    const LINE: usize = 16;
    // SAFETY: the caller's.
    unsafe {
        for start in (0..width).step_by(LINE) {
            V::prefetch(target.wrapping_add(start));
        }
        V::prefetch(target.wrapping_add(width.max(1) - 1));
    }
}

/// Steps whose right words are asked for ahead, where they come too fast for the processor's own reading ahead.
const STEPS_AHEAD: usize = 8;

/// Steps that follow each other at fixed distances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// The first step's words of the left operand.
    pub left: *const u32,
    /// And of the right one.
    pub right: *const u32,
    /// How many steps.
    pub len: usize,
}

/// A block of a sum of outer products: the left words of each step, broadcast, times its right words.
#[derive(Clone, Copy)]
pub(super) struct OuterTile {
    pub segments: *const Segment,
    pub segment_count: usize,
    /// Words from one step to the next.
    pub left_stride: usize,
    pub right_stride: usize,
    /// Words to add to every segment's addresses.
    pub left_offset: usize,
    pub right_offset: usize,
    /// What the sums are added to: rows of `target_stride` values.
    pub target: *mut f32,
    pub target_stride: usize,
    /// Lanes that exist.
    pub width: usize,
}

/// # Safety
/// That of [`Vector`]: every step has `ROWS` left and `tile.width` right words, and `tile.width` is
/// that of the tile, unless `PARTIAL`: then it may be less.
#[inline(always)]
pub(super) unsafe fn outer_tile<V: Vector, const ROWS: usize, const VECTORS: usize, const PARTIAL: bool>(
    tile: &OuterTile,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut len = [V::LANES; VECTORS];
        if PARTIAL {
            for (vector, len) in len.iter_mut().enumerate() {
                *len = tile.width.saturating_sub(vector * V::LANES).min(V::LANES);
            }
        }
        let mut sums = [[V::zero(); VECTORS]; ROWS];
        for index in 0..tile.segment_count {
            let segment = &*tile.segments.add(index);
            let mut left = segment.left.add(tile.left_offset);
            let mut right = segment.right.add(tile.right_offset);
            // What is added to is brought near, one row after the other.
            let is_last = index + 1 == tile.segment_count;
            let part = if is_last {
                segment.len.div_ceil(ROWS)
            } else {
                segment.len
            };
            for (row, start) in (0..segment.len).step_by(part.max(1)).enumerate() {
                if is_last {
                    prefetch_row::<V>(tile.target.add(row * tile.target_stride), tile.width);
                }
                for _ in start..(start + part).min(segment.len) {
                    if VECTORS > PANEL_VECTORS {
                        let ahead = right.wrapping_add(STEPS_AHEAD * tile.right_stride);
                        for vector in 0..VECTORS {
                            V::prefetch(ahead.wrapping_add(vector * V::LANES).cast());
                        }
                    }
                    let mut words = [V::words_some(right, 0); VECTORS];
                    for (vector, words) in words.iter_mut().enumerate() {
                        let source = right.wrapping_add(vector * V::LANES);
                        *words = if PARTIAL {
                            V::words_some(source, len[vector])
                        } else {
                            V::words(source)
                        };
                    }
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let left = V::splat(left.add(row));
                        for (sums, &right) in sums.iter_mut().zip(&words) {
                            *sums = V::add_products(*sums, left, right);
                        }
                    }
                    left = left.wrapping_add(tile.left_stride);
                    right = right.wrapping_add(tile.right_stride);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let target = tile.target.add(row * tile.target_stride);
            for (vector, &sums) in sums.iter().enumerate() {
                let target = target.wrapping_add(vector * V::LANES);
                if PARTIAL {
                    let old = V::load_some(target, len[vector]);
                    V::store_some(target, V::add(old, sums), len[vector]);
                } else {
                    V::store(target, V::add(V::load(target), sums));
                }
            }
        }
    }
}
