//! Rows times packed panels.

use std::marker::PhantomData;

use super::shared::ResultPlace;
use super::tiles::RowsTile;
use super::{Finish, Kernels, PanelGroup, ROW_PANELS, SharedResults};
use crate::ops::activation::ElementwiseFunction;
use crate::ops::stored::ValueFormat;

/// Rows of a left factor and where their products go, collected once and then multiplied by any
/// number of panels.
pub(in crate::ops) struct RowProduct<'a> {
    kernels: &'static Kernels,
    taps: usize,
    run: usize,
    /// Whether tiles take two panels, where there are two.
    pairs: bool,
    /// In blocks of the tile's rows (the last may have fewer): `[block][taps][rows]`.
    sources: Vec<*const u8>,
    /// Where in the target each row begins.
    targets: Vec<usize>,
    target: Option<SharedResults<'a>>,
    starts: Vec<usize>,
    width: usize,
    life: PhantomData<&'a [u8]>,
}

impl<'a> RowProduct<'a> {
    /// No rows yet, of so many runs of so many words each, which are to be multiplied by so many panels.
    pub fn new(kernels: &'static Kernels, (taps, run): (usize, usize), panels: usize) -> Self {
        Self {
            kernels,
            taps,
            run,
            pairs: panels > 1 && kernels.pair_rows > 0,
            sources: Vec::new(),
            targets: Vec::new(),
            target: None,
            starts: Vec::new(),
            width: 0,
            life: PhantomData,
        }
    }

    /// Rows of a tile.
    fn block(&self) -> usize {
        match self.pairs {
            true => self.kernels.pair_rows,
            false => self.kernels.rows,
        }
    }

    /// Forgets the rows, and takes `rows` anew: `source(row, tap)` is where its run for that tap begins
    /// and `target(row)` where its products begin, of `width` columns.
    pub fn collect(
        &mut self,
        rows: usize,
        width: usize,
        target: impl Into<SharedResults<'a>>,
        target_of: impl Fn(usize) -> usize,
        source_of: impl Fn(usize, usize) -> &'a [u8],
    ) {
        self.sources.clear();
        self.starts.clear();
        self.targets.clear();
        self.width = width;
        self.targets.extend((0..rows).map(target_of));
        self.target = Some(target.into());
        let block = self.block();
        for start in (0..rows).step_by(block) {
            self.starts.push(self.sources.len());
            for tap in 0..self.taps {
                let bytes = self.run * 4;
                self.sources.extend((start..(start + block).min(rows)).map(|row| {
                    let run = source_of(row, tap);
                    assert!(run.len() >= bytes, "a run of {bytes} bytes");
                    run.as_ptr()
                }));
            }
        }
    }

    /// How many neighbouring panels to multiply by at once.
    pub fn panels_at_once(&self) -> usize {
        match (self.targets.len(), self.pairs) {
            // A single row is faster with several.
            (1, _) => ROW_PANELS,
            (_, true) => 2,
            (_, false) => 1,
        }
    }

    /// Stores, in columns `column..` of the targets, the rows times some panels: `width` columns of them,
    /// finished as `finish` says for all columns.
    ///
    /// # Safety
    /// Nobody else reads or writes the targets' columns at the same time.
    pub unsafe fn multiply(&self, panels: &PanelGroup, column: usize, width: usize, finish: &Finish) {
        let Some(target) = self.target else { return };
        let PanelGroup {
            ref parts,
            gap,
            count,
        } = *panels;
        let stride = self.kernels.panel;
        panels.check((self.taps, self.run), stride, width);
        finish.check(column, width, self.width);
        let block = self.block();
        let mut targets = [ResultPlace::NONE; MAX_ROWS];
        let mut residuals = [std::ptr::null::<f32>(); MAX_ROWS];
        let mut addresses: Vec<*const u32> = Vec::with_capacity(parts.len());
        // Long runs are cut, so that rows and panels are read from a near cache. A sum goes on where it was, if that can
        // hold it.
        let is_wide = target.format() == ValueFormat::F32;
        let piece = match self.taps == 1 && self.targets.len() > block && is_wide {
            true => LONG_RUN,
            false => self.run.max(1),
        };
        // Without words the sums are 0 all the same.
        for start in (0..self.run.max(1)).step_by(piece) {
            let run = piece.min(self.run - start);
            for (index, rows) in self.targets.chunks(block).enumerate() {
                let sources = &self.sources[self.starts[index]..];
                let mut sources_of_piece = [std::ptr::null::<u8>(); MAX_ROWS];
                for (source, &whole) in sources_of_piece.iter_mut().zip(sources).take(rows.len()) {
                    *source = whole.wrapping_add(start * 4);
                }
                let step = match (self.targets.len(), count) {
                    (1, ROW_PANELS) => ROW_PANELS,
                    _ if self.pairs => 2,
                    _ => 1,
                };
                for panel in (0..count).step_by(step) {
                    let (column, panels) = (column + panel * stride, step.min(count - panel));
                    let Some(left) = width.checked_sub(panel * stride).filter(|left| *left > 0) else {
                        break;
                    };
                    let width = left.min(panels * stride);
                    for ((address, residual), &row) in targets.iter_mut().zip(&mut residuals).zip(rows) {
                        *address = target.address(row + column, width);
                        *residual = finish.residual(row + column, width);
                    }
                    addresses.clear();
                    let first = panel * gap + start * stride;
                    addresses.extend(parts.iter().map(|part| part[first..].as_ptr()));
                    let tile = RowsTile {
                        sources: match self.taps {
                            1 => sources_of_piece.as_ptr(),
                            _ => sources.as_ptr(),
                        },
                        taps: self.taps,
                        run,
                        panels: addresses.as_ptr(),
                        stride,
                        gap,
                        targets: targets.as_ptr(),
                        width,
                        goes_on: start > 0,
                        ends: start + run == self.run,
                        finish: finish.from(column, target.format()),
                        residuals: residuals.as_ptr(),
                    };
                    // SAFETY: `available` only gives kernels that the processor can run. `collect` made sure
                    // that sources have the words that are touched, the assertions above that panels, targets
                    // and what finishes them do; that nobody else uses the targets is the caller's.
                    unsafe {
                        match panels {
                            ROW_PANELS => (self.kernels.row_tile)(&tile),
                            2 => (self.kernels.pair_tile)(rows.len(), &tile),
                            _ => (self.kernels.rows_tile)(rows.len(), &tile),
                        }
                    }
                    if let Some(function) = finish.function.filter(|_| tile.ends) {
                        assert!(is_wide, "functions are of f32");
                        // SAFETY: the tile has just stored so many of them; that nobody else uses them is the caller's.
                        unsafe { apply_to(function, &targets[..rows.len()], width) };
                    }
                }
            }
        }
    }
}

/// Few rows that differ in the taps that reach them, so that each word of a panel is read once for all of them.
pub(in crate::ops) struct TapProduct<'a> {
    kernels: &'static Kernels,
    run: usize,
    /// Where each tap's runs begin, and the targets of its rows.
    taps: Vec<(Vec<*const u8>, Vec<usize>)>,
    /// Where in the target each row begins.
    targets: Vec<usize>,
    target: SharedResults<'a>,
    width: usize,
    life: PhantomData<&'a [u8]>,
}

impl<'a> TapProduct<'a> {
    /// Whether so many rows are few enough.
    pub fn suits(kernels: &Kernels, rows: usize) -> bool {
        (1..=kernels.rows).contains(&rows)
    }

    /// Rows whose `width` products begin at `targets`, with runs of so many words.
    ///
    /// # Panics
    /// More rows than suit.
    pub fn new(
        kernels: &'static Kernels,
        run: usize,
        target: SharedResults<'a>,
        targets: Vec<usize>,
        width: usize,
    ) -> Self {
        assert!(Self::suits(kernels, targets.len()), "few rows");
        assert!(target.format() == ValueFormat::F32, "a target that holds sums");
        Self {
            kernels,
            run,
            taps: Vec::new(),
            targets,
            target,
            width,
            life: PhantomData,
        }
    }

    /// Adds a tap that reaches some of the rows, by their targets, each with the run that it is multiplied with.
    pub fn add_tap(&mut self, rows: impl Iterator<Item = (usize, &'a [u8])>) {
        let bytes = self.run * 4;
        let (sources, targets) = rows
            .map(|(target, run)| {
                assert!(run.len() >= bytes, "a run of {bytes} bytes");
                (run.as_ptr(), target)
            })
            .unzip();
        self.taps.push((sources, targets));
    }

    /// Panels that are multiplied at once.
    pub fn panels_at_once(&self) -> usize {
        match self.targets.len() <= self.kernels.pair_rows {
            true => 2,
            false => 1,
        }
    }

    /// Stores, in columns `column..` of the targets, the rows times one or two panels with a part for each tap: `width`
    /// columns of them, finished as `finish` says for all columns. The bytes are those of [`RowProduct`].
    ///
    /// # Safety
    /// Nobody else reads or writes the targets' columns at the same time.
    pub unsafe fn multiply(&self, panels: &PanelGroup, column: usize, width: usize, finish: &Finish) {
        let PanelGroup {
            ref parts,
            gap,
            count,
        } = *panels;
        let stride = self.kernels.panel;
        assert!(count <= self.panels_at_once(), "as many panels as a tile takes");
        panels.check((self.taps.len(), self.run), stride, width);
        finish.check(column, width, self.width);
        // Each tap's sums go on where those of the one before were stored.
        // SAFETY: of sources, panels, targets and what finishes them the assertions here and in `add_tap` are; `available`
        // only gives kernels that the processor can run; that nobody else uses the targets is the caller's.
        let run_tile = |rows: &[usize], tap: Option<(&[*const u8], *const u32)>, goes_on, ends| unsafe {
            let mut targets = [ResultPlace::NONE; MAX_ROWS];
            let mut residuals = [std::ptr::null::<f32>(); MAX_ROWS];
            for ((address, residual), &row) in targets.iter_mut().zip(&mut residuals).zip(rows) {
                *address = self.target.address(row + column, width);
                *residual = finish.residual(row + column, width);
            }
            let (sources, panel) = tap.unwrap_or((&[], std::ptr::null()));
            let tile = RowsTile {
                sources: sources.as_ptr(),
                taps: usize::from(tap.is_some()),
                run: self.run,
                panels: &raw const panel,
                stride,
                gap,
                targets: targets.as_ptr(),
                width,
                goes_on,
                ends,
                finish: finish.from(column, ValueFormat::F32),
                residuals: residuals.as_ptr(),
            };
            match count {
                2 => (self.kernels.pair_tile)(rows.len(), &tile),
                _ => (self.kernels.rows_tile)(rows.len(), &tile),
            }
            if let Some(function) = finish.function.filter(|_| ends) {
                apply_to(function, &targets[..rows.len()], width);
            }
        };
        run_tile(&self.targets, None, false, false);
        for ((sources, targets), part) in self.taps.iter().zip(parts) {
            run_tile(targets, Some((sources, part.as_ptr())), true, false);
        }
        run_tile(&self.targets, None, true, true);
    }
}

/// Sets what a tile has stored in each of `rows`, `width` values of f32, to the function of it.
///
/// # Safety
/// The rows lie apart, and nobody else reads or writes so many of their values at the same time.
unsafe fn apply_to(function: ElementwiseFunction, rows: &[ResultPlace], width: usize) {
    let mut slices: [&mut [f32]; MAX_ROWS] = Default::default();
    for (slice, &row) in slices.iter_mut().zip(rows) {
        // SAFETY: the caller's.
        *slice = unsafe { std::slice::from_raw_parts_mut(row.wide(), width) };
    }
    function.apply_to_rows(&mut slices[..rows.len()]);
}

/// Rows of the largest tile of any instruction set.
const MAX_ROWS: usize = 32;
/// Words of a run that are multiplied at once where there are several blocks of rows.
const LONG_RUN: usize = 2048;
