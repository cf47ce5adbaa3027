//! Tiles of bf16 by the matrix unit: 32 rows times 32 lanes in four tiles of sums.
//!
//! The unit adds products in an order of its own: for each 16 words of a row, those of the even and those of the odd
//! elements one after the other, and the sum of both to what is there. So its results are not the bytes of
//! `vdpbf16ps`; they are the same whatever the number of rows and panels that are multiplied at once.

use std::arch::asm;
use std::arch::x86_64::*;

use super::tiles::{OuterTile, ROW_PANELS, RowsTile, finish_row};
use super::x86::Avx512;
use crate::ops::matrix_unit::{ROW_BYTES, TILE_ROWS, TileShapes};
use crate::ops::scratch::with_scratch;

/// Rows whose sums two tiles below each other hold.
pub(super) const ROWS: usize = 2 * TILE_ROWS;
/// Lanes of a panel, whose sums two tiles beside each other hold.
pub(super) const PANEL: usize = 2 * LANES;
const LANES: usize = 16;
/// Words of a tile's row.
const STEP: usize = ROW_BYTES / 4;
/// Words of a row that are collected before they are multiplied.
const COLLECTED: usize = 512;

/// The sums of a tile, row by row.
type Sums = [[[f32; LANES]; 2]; ROWS];

/// Rows and lanes of some steps, as the unit loads them: `steps` times 16 words of each.
#[derive(Clone, Copy)]
#[repr(C)]
struct UnitPart {
    upper: *const u8,
    lower: *const u8,
    /// Bytes from one row to the next.
    rows_stride: usize,
    left: *const u8,
    right: *const u8,
    /// Bytes from the lanes of one word to those of the next.
    lanes_stride: usize,
    steps: usize,
}

/// Adds the products of `parts` to the sums of `rows` rows.
///
/// # Safety
/// The processor has the unit, and this process may use it. All that the parts tell of is readable.
unsafe fn add(parts: &[UnitPart], rows: usize, sums: &mut Sums) {
    if parts.is_empty() {
        return;
    }
    let (above, below) = (rows.min(TILE_ROWS) as u8, rows.saturating_sub(TILE_ROWS) as u8);
    let words = STEP as u8;
    // Sums, two of each tile of rows; rows; lanes.
    let shapes = TileShapes::new([above, above, below, below, above, below, words, words]);
    let add = if below > 0 { add_to_32 } else { add_to_16 };
    // SAFETY: the caller's.
    unsafe { add(parts, &shapes, sums) }
}

/// Makes a function that adds the products of all parts to tiles of sums, of which there are some at their places.
macro_rules! products {
    ($name:ident: sums [$($sum:literal at $place:literal),*], step [$($line:literal),* $(,)?]) => {
        /// # Safety
        /// As [`add`]; there is a part, and each has a step.
        unsafe fn $name(parts: &[UnitPart], shapes: &TileShapes, sums: &mut Sums) {
            // SAFETY: the caller's; the sums have room for all tiles, which are given back at the end.
            unsafe {
                asm!(
                    "ldtilecfg [{shapes}]",
                    $(concat!("tileloadd ", $sum, ", [{sums} + {sums_stride}*1 + ", $place, "]"),)*
                    "2:",
                    "mov {upper}, [{parts}]",
                    "mov {lower}, [{parts} + 8]",
                    "mov {rows_stride}, [{parts} + 16]",
                    "mov {left}, [{parts} + 24]",
                    "mov {right}, [{parts} + 32]",
                    "mov {lanes_stride}, [{parts} + 40]",
                    "mov {steps}, [{parts} + 48]",
                    "3:",
                    $($line,)*
                    "add {upper}, 64",
                    "add {lower}, 64",
                    "mov {shapes}, {lanes_stride}",
                    "shl {shapes}, 4",
                    "add {left}, {shapes}",
                    "add {right}, {shapes}",
                    "dec {steps}",
                    "jnz 3b",
                    "add {parts}, 56",
                    "dec {count}",
                    "jnz 2b",
                    $(concat!("tilestored [{sums} + {sums_stride}*1 + ", $place, "], ", $sum),)*
                    "tilerelease",
                    // Later what a step is long.
                    shapes = inout(reg) shapes => _,
                    sums = in(reg) sums.as_mut_ptr(),
                    sums_stride = in(reg) size_of::<[[f32; LANES]; 2]>(),
                    parts = inout(reg) parts.as_ptr() => _,
                    count = inout(reg) parts.len() => _,
                    upper = out(reg) _,
                    lower = out(reg) _,
                    rows_stride = out(reg) _,
                    left = out(reg) _,
                    right = out(reg) _,
                    lanes_stride = out(reg) _,
                    steps = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

products!(add_to_16: sums ["tmm0" at 0, "tmm1" at 64], step [
    "tileloadd tmm6, [{left} + {lanes_stride}*1]",
    "tileloadd tmm4, [{upper} + {rows_stride}*1]",
    "tileloadd tmm7, [{right} + {lanes_stride}*1]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm1, tmm4, tmm7",
]);
// The lower rows' sums stand 16 times 128 bytes behind.
products!(add_to_32: sums ["tmm0" at 0, "tmm1" at 64, "tmm2" at 2048, "tmm3" at 2112], step [
    "tileloadd tmm6, [{left} + {lanes_stride}*1]",
    "tileloadd tmm4, [{upper} + {rows_stride}*1]",
    "tileloadd tmm7, [{right} + {lanes_stride}*1]",
    "tileloadd tmm5, [{lower} + {rows_stride}*1]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7",
]);

/// Words from one collected row to the next: no power of 2, so that rows do not share the places of a near cache.
const ROW_WORDS: usize = COLLECTED + STEP;
/// Panels that a tile has, at most.
const MOST_PANELS: usize = ROW_PANELS;
/// Steps whose lanes are collected before they are multiplied.
const COLLECTED_LANES: usize = 128;

/// Steps on their way to the unit: what lies as it loads it is left where it is, all else is collected.
struct Steps<'a> {
    rows: usize,
    panels: usize,
    /// Each part with the bytes from its lanes to those of the next panel.
    parts: Vec<(UnitPart, usize)>,
    /// `[ROWS][ROW_WORDS]`.
    left: &'a mut [f32],
    left_used: usize,
    /// `[COLLECTED_LANES][panels][PANEL]`.
    right: &'a mut [f32],
    right_used: usize,
    sums: [Sums; MOST_PANELS],
}

impl Steps<'_> {
    /// Calls `body` with none yet, for `rows` rows and `panels` panels whose sums are 0.
    fn with<T>(rows: usize, panels: usize, body: impl FnOnce(&mut Steps<'_>) -> T) -> T {
        let (left, right) = (ROWS * ROW_WORDS, COLLECTED_LANES * panels * PANEL);
        with_scratch(left + right, |scratch| {
            let (left, right) = scratch.split_at_mut(left);
            body(&mut Steps {
                rows,
                panels,
                parts: Vec::new(),
                left,
                left_used: 0,
                right,
                right_used: 0,
                sums: [[[[0.0; LANES]; 2]; ROWS]; MOST_PANELS],
            })
        })
    }

    /// Adds the products of what is there to the sums.
    ///
    /// # Safety
    /// As [`add`].
    unsafe fn multiply(&mut self) {
        let mut parts = Vec::with_capacity(self.parts.len());
        for (panel, sums) in self.sums[..self.panels].iter_mut().enumerate() {
            parts.clear();
            parts.extend(self.parts.iter().map(|&(part, gap)| UnitPart {
                left: part.left.wrapping_add(panel * gap),
                right: part.right.wrapping_add(panel * gap),
                ..part
            }));
            // SAFETY: the caller's.
            unsafe { add(&parts, self.rows, sums) };
        }
        self.parts.clear();
        (self.left_used, self.right_used) = (0, 0);
    }

    /// Where the next `steps` times 16 words of the rows go; what is there is multiplied first if there is no room.
    ///
    /// # Safety
    /// As [`add`].
    unsafe fn next_left(&mut self, steps: usize) -> *mut u32 {
        if self.left_used + steps * STEP > COLLECTED {
            // SAFETY: the caller's.
            unsafe { self.multiply() };
        }
        let place = self.left[self.left_used..].as_mut_ptr();
        self.left_used += steps * STEP;
        place.cast()
    }

    /// Where the lanes of the next 16 words go, and the words from one word's lanes to the next one's.
    ///
    /// # Safety
    /// As [`add`].
    unsafe fn next_right(&mut self) -> (*mut u32, usize) {
        let stride = self.panels * PANEL;
        if self.right_used + STEP > COLLECTED_LANES {
            // SAFETY: the caller's.
            unsafe { self.multiply() };
        }
        let place = self.right[self.right_used * stride..].as_mut_ptr();
        self.right_used += STEP;
        (place.cast(), stride)
    }

    /// Takes `steps` of rows that are collected at `left`, with lanes from `right` on.
    fn take(&mut self, left: *const u32, right: *const u32, (stride, gap): (usize, usize), steps: usize) {
        let upper: *const u8 = left.cast();
        self.parts.push((
            UnitPart {
                upper,
                lower: upper.wrapping_add(TILE_ROWS * ROW_WORDS * 4),
                rows_stride: ROW_WORDS * 4,
                left: right.cast(),
                right: right.wrapping_add(LANES).cast(),
                lanes_stride: stride * 4,
                steps,
            },
            gap * 4,
        ));
    }
}

/// Up to 32 rows times a panel.
///
/// # Safety
/// The processor has the unit and AVX-512, this process may use it, and `tile` describes `rows` rows and a panel.
pub(super) unsafe fn rows(rows: usize, tile: &RowsTile) {
    // SAFETY: the caller's.
    unsafe { rows_by_panels(rows, 1, tile) }
}

/// The same times two panels.
///
/// # Safety
/// As [`rows`].
pub(super) unsafe fn pairs(rows: usize, tile: &RowsTile) {
    // SAFETY: the caller's.
    unsafe { rows_by_panels(rows, 2, tile) }
}

/// A row times [`ROW_PANELS`] panels.
///
/// # Safety
/// As [`rows`].
pub(super) unsafe fn row(tile: &RowsTile) {
    // SAFETY: the caller's.
    unsafe { rows_by_panels(1, ROW_PANELS, tile) }
}

/// # Safety
/// As [`rows`].
unsafe fn rows_by_panels(rows: usize, panels: usize, tile: &RowsTile) {
    Steps::with(rows, panels, |steps| {
        // SAFETY: the caller's; rows have as many words as the tile says, and panels as many lanes of each.
        unsafe {
            for row in (0..rows).filter(|_| tile.goes_on) {
                let target = (*tile.targets.add(row)).wide();
                for (vector, sums) in vectors(&mut steps.sums, row, tile.width) {
                    let len = (tile.width - vector).min(LANES);
                    sums.as_mut_ptr()
                        .copy_from_nonoverlapping(target.add(vector), len);
                }
            }
            for tap in 0..tile.taps {
                let sources = std::slice::from_raw_parts(tile.sources.add(tap * rows), rows);
                take_rows(steps, tile, sources, *tile.panels.add(tap));
            }
            steps.multiply();
            store(&mut steps.sums, rows, panels, tile);
        }
    });
}

/// Takes the run of each row, and the lanes of the panels for it.
///
/// # Safety
/// As [`rows`].
unsafe fn take_rows(steps: &mut Steps<'_>, tile: &RowsTile, sources: &[*const u8], panel: *const u32) {
    let (whole, rest) = (tile.run / STEP, tile.run % STEP);
    // SAFETY: the caller's.
    unsafe {
        match stride_of(sources) {
            Some(stride) if whole > 0 => steps.parts.push((
                UnitPart {
                    upper: sources[0],
                    lower: sources[0].wrapping_add(TILE_ROWS.wrapping_mul(stride)),
                    rows_stride: stride,
                    left: panel.cast(),
                    right: panel.wrapping_add(LANES).cast(),
                    lanes_stride: tile.stride * 4,
                    steps: whole,
                },
                tile.gap * 4,
            )),
            _ => {
                let most = COLLECTED / STEP;
                for start in (0..whole).step_by(most) {
                    let count = most.min(whole - start);
                    let left = steps.next_left(count);
                    for (row, source) in sources.iter().enumerate() {
                        let target = left.add(row * ROW_WORDS).cast::<u8>();
                        target.copy_from_nonoverlapping(source.add(start * ROW_BYTES), count * ROW_BYTES);
                    }
                    let right = panel.wrapping_add(start * STEP * tile.stride);
                    steps.take(left, right, (tile.stride, tile.gap), count);
                }
            }
        }
        if rest == 0 {
            return;
        }
        // Both first: what makes room for one forgets the other.
        if steps.left_used + STEP > COLLECTED {
            steps.multiply();
        }
        let (right, stride) = steps.next_right();
        let left = steps.next_left(1);
        for (row, source) in sources.iter().enumerate() {
            let target = left.add(row * ROW_WORDS).cast::<u8>();
            target.write_bytes(0, ROW_BYTES);
            target.copy_from_nonoverlapping(source.add(whole * ROW_BYTES), rest * 4);
        }
        right.write_bytes(0, STEP * stride);
        for word in 0..rest {
            for index in 0..steps.panels {
                // The last of several panels may not be there.
                if index * PANEL >= tile.width {
                    break;
                }
                let source = panel.add((whole * STEP + word) * tile.stride + index * tile.gap);
                let target = right.add(word * stride + index * PANEL);
                target.copy_from_nonoverlapping(source, PANEL);
            }
        }
        steps.take(left, right, (stride, PANEL), 1);
    }
}

/// The bytes from one row to the next, where these are the same for all.
fn stride_of(sources: &[*const u8]) -> Option<usize> {
    let [first, second, rest @ ..] = sources else {
        return Some(0);
    };
    let stride = second.addr().wrapping_sub(first.addr());
    let mut last = second.addr();
    for source in rest {
        last = last.wrapping_add(stride);
        if source.addr() != last {
            return None;
        }
    }
    Some(stride)
}

/// The vectors of a row's sums that lie within `width`, each with its first lane.
fn vectors(
    sums: &mut [Sums; MOST_PANELS],
    row: usize,
    width: usize,
) -> impl Iterator<Item = (usize, &mut [f32; LANES])> {
    let of_row = sums.iter_mut().flat_map(move |sums| sums[row].iter_mut());
    let starts = (0..width).step_by(LANES);
    starts.zip(of_row)
}

/// Stores the sums of some rows, finished where they end.
///
/// # Safety
/// As [`rows`].
#[target_feature(enable = "avx512f")]
unsafe fn store(sums: &mut [Sums; MOST_PANELS], rows: usize, panels: usize, tile: &RowsTile) {
    for row in 0..rows {
        // SAFETY: the caller's.
        unsafe {
            let target = *tile.targets.add(row);
            if tile.ends {
                let of_row = sums[..panels].iter().flat_map(|sums| sums[row].iter());
                finish_row::<Avx512>(tile, of_row, target, *tile.residuals.add(row));
                continue;
            }
            for (vector, sums) in vectors(sums, row, tile.width) {
                let len = (tile.width - vector).min(LANES);
                target
                    .wide()
                    .add(vector)
                    .copy_from_nonoverlapping(sums.as_ptr(), len);
            }
        }
    }
}

/// The sum of outer products of up to 32 left words and two panels of right ones.
///
/// # Safety
/// The processor has the unit and AVX-512, this process may use it, and every step has `rows` left and `tile.width`
/// right words.
pub(super) unsafe fn outer(rows: usize, tile: &OuterTile) {
    let panels = tile.width.div_ceil(PANEL);
    Steps::with(rows, panels, |steps| {
        // SAFETY: the caller's.
        unsafe {
            // The places of steps that are too few for the unit yet.
            let mut waiting: Vec<[*const u32; 2]> = Vec::with_capacity(STEP);
            for index in 0..tile.segment_count {
                let segment = &*tile.segments.add(index);
                let place = |step: usize| {
                    [
                        segment
                            .left
                            .wrapping_add(tile.left_offset + step * tile.left_stride),
                        segment
                            .right
                            .wrapping_add(tile.right_offset + step * tile.right_stride),
                    ]
                };
                for step in 0..segment.len {
                    waiting.push(place(step));
                    if waiting.len() == STEP {
                        take_outer(steps, tile, rows, &waiting);
                        waiting.clear();
                    }
                }
            }
            if !waiting.is_empty() {
                take_outer(steps, tile, rows, &waiting);
            }
            steps.multiply();
            for row in 0..rows {
                let target = tile.target.add(row * tile.target_stride);
                for (vector, sums) in vectors(&mut steps.sums, row, tile.width) {
                    let len = (tile.width - vector).min(LANES);
                    for (lane, sum) in sums[..len].iter().enumerate() {
                        *target.add(vector + lane) += sum;
                    }
                }
            }
        }
    });
}

/// Takes up to 16 steps.
///
/// # Safety
/// As [`outer`].
unsafe fn take_outer(steps: &mut Steps<'_>, tile: &OuterTile, rows: usize, places: &[[*const u32; 2]]) {
    let first = places[0][1];
    let follow = (0..)
        .zip(places)
        .all(|(step, place)| place[1] == first.wrapping_add(step * tile.right_stride));
    let is_whole = follow && places.len() == STEP && tile.width.is_multiple_of(PANEL);
    // SAFETY: the caller's.
    unsafe {
        // Both first: what makes room for one forgets the other.
        if steps.left_used + STEP > COLLECTED {
            steps.multiply();
        }
        let collected = if is_whole { None } else { Some(steps.next_right()) };
        let left = steps.next_left(1);
        for upper in (0..rows).step_by(TILE_ROWS) {
            let of_step = |step: usize| places.get(step).map(|place| place[0].wrapping_add(upper));
            let target = left.add(upper * ROW_WORDS);
            transpose(of_step, (rows - upper).min(TILE_ROWS), target);
        }
        let Some((right, stride)) = collected else {
            steps.take(left, first, (tile.right_stride, PANEL), 1);
            return;
        };
        right.write_bytes(0, STEP * stride);
        for (step, place) in places.iter().enumerate() {
            let target = right.add(step * stride);
            target.copy_from_nonoverlapping(place[1], tile.width);
        }
        steps.take(left, right, (stride, PANEL), 1);
    }
}

/// Writes the words of 16 steps, of which each has `rows`, row by row; of steps that are not there 0.
///
/// # Safety
/// The processor has AVX-512; steps have as many words, and there is room for 16 rows of [`ROW_WORDS`].
#[target_feature(enable = "avx512f")]
unsafe fn transpose(step: impl Fn(usize) -> Option<*const u32>, rows: usize, target: *mut u32) {
    let mask = ((1u32 << rows) - 1) as __mmask16;
    let mut words = [_mm512_setzero_si512(); STEP];
    for (index, words) in words.iter_mut().enumerate() {
        if let Some(source) = step(index) {
            // SAFETY: the caller's.
            *words = unsafe { _mm512_maskz_loadu_epi32(mask, source.cast()) };
        }
    }
    // Pairs of steps, then fours: then each quarter of a vector has four steps of one row.
    let mut fours = [_mm512_setzero_si512(); STEP];
    for (fours, words) in fours
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(words.as_chunks::<4>().0)
    {
        let [a, b, c, d] = *words;
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        *fours = [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    for row in 0..4 {
        let [a, b, c, d] = [fours[row], fours[4 + row], fours[8 + row], fours[12 + row]];
        let (ab, cd) = (
            _mm512_shuffle_i32x4::<EVEN>(a, b),
            _mm512_shuffle_i32x4::<EVEN>(c, d),
        );
        let (ab_odd, cd_odd) = (
            _mm512_shuffle_i32x4::<ODD>(a, b),
            _mm512_shuffle_i32x4::<ODD>(c, d),
        );
        let results = [
            _mm512_shuffle_i32x4::<EVEN>(ab, cd),
            _mm512_shuffle_i32x4::<EVEN>(ab_odd, cd_odd),
            _mm512_shuffle_i32x4::<ODD>(ab, cd),
            _mm512_shuffle_i32x4::<ODD>(ab_odd, cd_odd),
        ];
        for (quarter, result) in results.into_iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { _mm512_storeu_si512(target.add((4 * quarter + row) * ROW_WORDS).cast(), result) };
        }
    }
}
