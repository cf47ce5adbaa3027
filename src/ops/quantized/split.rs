//! How a product is shared out among tasks.

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::{LANES, TILE_PANELS};

/// Rows that a task multiplies with panel after panel: whole tiles of all kernels.
const BLOCK_ROWS: usize = 96;
/// Tasks that there are at least, where the work is enough for several.
const TASKS: usize = 16;
/// Products of a task, at least: fewer are done sooner than handed over.
const TASK_PRODUCTS: usize = 1 << 21;
/// A product of rows with panels of weights, in so many parts of equal size.
pub(super) struct ProductSplit {
    /// Parts with rows and panels of their own.
    pub parts: usize,
    /// Rows of a part.
    pub rows: usize,
    /// Words of a row.
    pub words: usize,
    /// Outputs of a part.
    pub outputs: usize,
}

impl ProductSplit {
    /// Runs `task` for each part, some of its rows and some of its panels, so that each row meets each panel once.
    pub fn run(&self, task: impl Fn(usize, Range<usize>, Range<usize>) + Sync + Send) {
        let (rows, panels) = (self.rows, self.outputs.div_ceil(LANES));
        let blocks = rows.div_ceil(BLOCK_ROWS).max(1);
        let chunk = self.panels_of_task(panels, blocks);
        let chunks = panels.div_ceil(chunk);
        let run_task = |index: usize| {
            let (part, rest) = (index / (blocks * chunks), index % (blocks * chunks));
            let (block, chunk_index) = (rest / chunks, rest % chunks);
            let first = block * BLOCK_ROWS;
            task(
                part,
                first..rows.min(first + BLOCK_ROWS),
                chunk_index * chunk..panels.min((chunk_index + 1) * chunk),
            );
        };
        let tasks = self.parts * blocks * chunks;
        let products = self.parts * rows * self.words * 4 * self.outputs;
        match products < 2 * TASK_PRODUCTS {
            true => (0..tasks).for_each(run_task),
            false => (0..tasks).into_par_iter().for_each(run_task),
        }
    }

    /// Where there are few rows, the panels are shared among the tasks too.
    fn panels_of_task(&self, panels: usize, blocks: usize) -> usize {
        let wanted = TASKS.div_ceil(blocks * self.parts);
        let products = self.rows.min(BLOCK_ROWS) * self.words * 4 * LANES;
        let least = TASK_PRODUCTS
            .div_ceil(products.max(1))
            .next_multiple_of(TILE_PANELS);
        panels
            .div_ceil(wanted)
            .next_multiple_of(TILE_PANELS)
            .max(least)
            .min(panels.max(1))
    }
}
