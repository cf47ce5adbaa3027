//! Products of bytes by the matrix unit: tiles of 16 rows of 64 bytes, times 16 words of a panel, as panels lie in memory.

use std::arch::asm;

use super::{ByteKernels, ByteRows, LANES, PanelWord, TILE_PANELS, TILE_ROWS, TileSums};
use crate::ops::matrix_unit::{ROW_BYTES, TILE_ROWS as UNIT_ROWS, TileShapes};

pub(super) static KERNELS: ByteKernels = ByteKernels {
    name: "AMX",
    rows: 2 * UNIT_ROWS,
    product,
};

/// Words that a tile's row holds.
const STEP: usize = ROW_BYTES / 4;
/// From the sums of a row to those of the next.
const SUMS_STRIDE: usize = TILE_PANELS * LANES * 4;

/// Rows and panels that are as long as whole tiles, of which there are `steps`.
struct WholeSteps<'a> {
    rows: *const u8,
    stride: usize,
    panels: [*const PanelWord; TILE_PANELS],
    steps: usize,
    shapes: &'a TileShapes,
}

/// # Safety
/// As [`TileProduct`](super::TileProduct).
unsafe fn product(left: ByteRows<'_>, panels: &[&[PanelWord]], sums: &mut TileSums) {
    let above = left.rows.min(UNIT_ROWS) as u8;
    let below = left.rows.saturating_sub(UNIT_ROWS) as u8;
    let words = STEP as u8;
    // Sums, of a pair of panels each; rows; panels.
    let shapes = TileShapes::new([above, above, below, below, above, below, words, words]);
    let last = panels.len() - 1;
    let (steps, rest) = (left.words / STEP, left.words % STEP);
    let whole = WholeSteps {
        rows: left.bytes.as_ptr(),
        stride: left.stride,
        panels: [panels[0].as_ptr(), panels[last].as_ptr()],
        steps,
        shapes: &shapes,
    };
    // What is left over of rows and panels, with zeros behind it.
    let mut rows_rest = [[0u8; ROW_BYTES]; TILE_ROWS];
    let mut panels_rest = [[PanelWord([[0; 4]; LANES]); STEP]; TILE_PANELS];
    let padded = (rest > 0).then(|| {
        for (row, bytes) in rows_rest[..left.rows].iter_mut().enumerate() {
            let rest_of_row = &left.bytes[row * left.stride + steps * ROW_BYTES..][..rest * 4];
            bytes[..rest * 4].copy_from_slice(rest_of_row);
        }
        for (words, panel) in panels_rest.iter_mut().zip(panels) {
            words[..rest].copy_from_slice(&panel[steps * STEP..]);
        }
        WholeSteps {
            rows: rows_rest.as_ptr().cast(),
            stride: ROW_BYTES,
            panels: [panels_rest[0].as_ptr(), panels_rest[last].as_ptr()],
            steps: 1,
            shapes: &shapes,
        }
    });
    let add = match (below > 0, last > 0) {
        (false, false) => one_by_one,
        (false, true) => one_by_two,
        (true, false) => two_by_one,
        (true, true) => two_by_two,
    };
    *sums = [[[0; LANES]; TILE_PANELS]; TILE_ROWS];
    for part in [Some(whole), padded].into_iter().flatten() {
        if part.steps > 0 {
            // SAFETY: rows and panels are as long as the steps; tiles have as many rows as there are; the sums have room
            // for two tiles of rows.
            unsafe { add(&part, sums) };
        }
    }
}

/// Makes a function that adds the products of one or two tiles of rows with one or two panels: the tiles of sums with their
/// places, and what a step does.
macro_rules! tile_products {
    ($name:ident: sums [$($sum:literal at $place:literal),*], step [$($line:literal),* $(,)?]) => {
        /// # Safety
        /// The processor has the unit, the process may use it, and all places are readable as far as the shapes say.
        unsafe fn $name(part: &WholeSteps<'_>, sums: &mut TileSums) {
            // SAFETY: the caller's; tiles are given back at the end.
            unsafe {
                asm!(
                    "ldtilecfg [{shapes}]",
                    $(concat!("tileloadd ", $sum, ", [{sums} + {sums_stride}*1 + ", $place, "]"),)*
                    "2:",
                    $($line,)*
                    "add {rows}, 64",
                    "add {lower}, 64",
                    "add {first}, 1024",
                    "add {second}, 1024",
                    "dec {steps}",
                    "jnz 2b",
                    $(concat!("tilestored [{sums} + {sums_stride}*1 + ", $place, "], ", $sum),)*
                    "tilerelease",
                    shapes = in(reg) part.shapes,
                    sums = in(reg) sums.as_mut_ptr(),
                    sums_stride = in(reg) SUMS_STRIDE,
                    rows = inout(reg) part.rows => _,
                    lower = inout(reg) part.rows.wrapping_add(UNIT_ROWS * part.stride) => _,
                    stride = in(reg) part.stride,
                    word = in(reg) size_of::<PanelWord>(),
                    first = inout(reg) part.panels[0] => _,
                    second = inout(reg) part.panels[1] => _,
                    steps = inout(reg) part.steps => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

tile_products!(one_by_one: sums ["tmm0" at 0], step [
    "tileloadd tmm6, [{first} + {word}*1]",
    "tileloadd tmm4, [{rows} + {stride}*1]",
    "tdpbusd tmm0, tmm4, tmm6",
]);
tile_products!(one_by_two: sums ["tmm0" at 0, "tmm1" at 64], step [
    "tileloadd tmm6, [{first} + {word}*1]",
    "tileloadd tmm4, [{rows} + {stride}*1]",
    "tileloadd tmm7, [{second} + {word}*1]",
    "tdpbusd tmm0, tmm4, tmm6",
    "tdpbusd tmm1, tmm4, tmm7",
]);
// The lower rows' sums stand 16 times 128 bytes behind.
tile_products!(two_by_one: sums ["tmm0" at 0, "tmm2" at 2048], step [
    "tileloadd tmm6, [{first} + {word}*1]",
    "tileloadd tmm4, [{rows} + {stride}*1]",
    "tileloadd tmm5, [{lower} + {stride}*1]",
    "tdpbusd tmm0, tmm4, tmm6",
    "tdpbusd tmm2, tmm5, tmm6",
]);
tile_products!(two_by_two: sums ["tmm0" at 0, "tmm1" at 64, "tmm2" at 2048, "tmm3" at 2112], step [
    "tileloadd tmm6, [{first} + {word}*1]",
    "tileloadd tmm4, [{rows} + {stride}*1]",
    "tileloadd tmm7, [{second} + {word}*1]",
    "tileloadd tmm5, [{lower} + {stride}*1]",
    "tdpbusd tmm0, tmm4, tmm6",
    "tdpbusd tmm1, tmm4, tmm7",
    "tdpbusd tmm2, tmm5, tmm6",
    "tdpbusd tmm3, tmm5, tmm7",
]);
