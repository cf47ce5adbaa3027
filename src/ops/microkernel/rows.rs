//! Rows times packed panels.

use std::marker::PhantomData;

use super::tiles::RowsTile;
use super::{Finish, Kernels, SharedValues};

/// Rows of a left factor and where their products go, collected once and then multiplied by any
/// number of panels.
pub(in crate::ops) struct RowProduct<'a> {
    kernels: &'static Kernels,
    taps: usize,
    run: usize,
    /// In blocks of the tile's rows (the last may have fewer): `[block][taps][rows]`.
    sources: Vec<*const u8>,
    /// Where in the target each row begins.
    targets: Vec<usize>,
    target: Option<&'a SharedValues<'a>>,
    starts: Vec<usize>,
    width: usize,
    life: PhantomData<&'a [u8]>,
}

impl<'a> RowProduct<'a> {
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
        target: &'a SharedValues<'a>,
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
