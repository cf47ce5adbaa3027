//! Rows of bytes times panels of weights.

use std::ops::Range;

use super::ByteLayer;
use super::finish::{PanelFinish, ResultElement};
use super::kernels::{ByteKernels, ByteRows, LANES, PanelWord, TILE_PANELS, TILE_ROWS, TileSums};
use super::lanes::{Lanes, PanelWork, with_lanes};
use crate::ops::conv::Geometry;
use crate::ops::microkernel::SharedValues;
use crate::ops::scratch::with_byte_scratch;

/// Some pixels of the result, and some panels of a group's outputs.
pub(super) struct BlockOfRows<'a> {
    pub layer: &'a ByteLayer,
    pub geometry: &'a Geometry,
    pub group: usize,
    pub rows: Range<usize>,
    pub panels: Range<usize>,
}

impl BlockOfRows<'_> {
    pub fn run<'a, T: ResultElement + 'a>(
        &self,
        x: &[u8],
        finish: &impl Fn(usize) -> PanelFinish<'a, T>,
        target: &SharedValues<T>,
    ) {
        let (rows, words) = (self.rows.len(), self.layer.words);
        let channels = self.geometry.input.channels;
        if self.geometry.is_pointwise() && channels.is_multiple_of(4) {
            let bytes = &x[self.rows.start * channels..self.rows.end * channels];
            return self.multiply(bytes, channels, finish, target);
        }
        with_byte_scratch(rows * words * 4, |bytes| {
            let output = self.geometry.output;
            let mut column = self.rows.start % output.width;
            let mut line = self.rows.start / output.width % output.height;
            let mut image = self.rows.start / (output.width * output.height);
            for bytes in bytes.chunks_exact_mut(words * 4) {
                self.gather(x, (image, line, column), bytes);
                column += 1;
                if column == output.width {
                    (line, column) = (line + 1, 0);
                }
                if line == output.height {
                    (image, line) = (image + 1, 0);
                }
            }
            self.multiply(bytes, words * 4, finish, target);
        });
    }

    /// The bytes under the kernel where it gives the pixel of a line and a column of an image.
    fn gather(&self, x: &[u8], (image, line, column): (usize, usize, usize), bytes: &mut [u8]) {
        let Geometry {
            input,
            window,
            dilation,
            groups,
            ..
        } = *self.geometry;
        let image = &x[image * input.image_len()..][..input.image_len()];
        let channels = input.channels / groups;
        let zero = self.layer.input.zero_point;
        let len = window.size * channels;
        // Those that lie in the image.
        let lines = self.geometry.taps_inside(line, input.height);
        let columns = self.geometry.taps_inside(column, input.width);
        for tap in 0..window.size {
            let of_tap = tap * len;
            if !lines.contains(&tap) || columns.is_empty() {
                bytes[of_tap..of_tap + len].fill(zero);
                continue;
            }
            let pixel = self.geometry.pixel_under(line, tap) * input.width
                + self.geometry.pixel_under(column, columns.start);
            let pixels = &image[pixel * input.channels..];
            let (start, stop) = (of_tap + columns.start * channels, of_tap + columns.end * channels);
            if groups == 1 && dilation == 1 {
                copy_run(pixels, &mut bytes[start..], stop - start);
            } else {
                let pixels = pixels.chunks(input.channels).step_by(dilation);
                for (inside, pixel) in bytes[start..stop].chunks_exact_mut(channels).zip(pixels) {
                    inside.copy_from_slice(&pixel[self.group * channels..][..channels]);
                }
            }
            if columns.start > 0 {
                bytes[of_tap..start].fill(zero);
            }
            if columns.end < window.size {
                bytes[stop..of_tap + len].fill(zero);
            }
        }
        bytes[window.size * len..].fill(0);
    }

    fn multiply<'a, T: ResultElement + 'a>(
        &self,
        bytes: &[u8],
        stride: usize,
        finish: &impl Fn(usize) -> PanelFinish<'a, T>,
        target: &SharedValues<T>,
    ) {
        let ByteLayer {
            panels,
            words,
            outputs,
            kernels,
            ..
        } = self.layer;
        let of_group = outputs / self.geometry.groups;
        let first = self.group * of_group.div_ceil(LANES);
        let rows = RowsOfBytes {
            kernels,
            bytes,
            count: self.rows.len(),
            stride,
            words: *words,
            place: self.rows.start * outputs + self.group * of_group,
            gap: *outputs,
            width: of_group,
        };
        for pair in self.panels.clone().step_by(TILE_PANELS) {
            let last = (self.panels.end - 1).min(pair + TILE_PANELS - 1);
            let right = [pair, last].map(|panel| &panels[(first + panel) * words..][..*words]);
            let finish = [finish(first + pair), finish(first + last)];
            rows.multiply(pair, &right[..last - pair + 1], finish, target);
        }
    }
}

/// Rows of bytes to be multiplied with panels, and where their results stand.
pub(super) struct RowsOfBytes<'a> {
    pub kernels: &'static ByteKernels,
    pub bytes: &'a [u8],
    pub count: usize,
    /// From one row to the next.
    pub stride: usize,
    /// Words of a row.
    pub words: usize,
    /// Where the first row's results begin.
    pub place: usize,
    /// From one row's results to the next one's.
    pub gap: usize,
    /// How many results a row has.
    pub width: usize,
}

impl RowsOfBytes<'_> {
    /// Multiplies all rows with one or two panels, of which `number` is the number of the first.
    pub fn multiply<T: ResultElement>(
        &self,
        number: usize,
        panels: &[&[PanelWord]],
        finish: [PanelFinish<'_, T>; TILE_PANELS],
        target: &SharedValues<T>,
    ) {
        let mut sums: TileSums = [[[0; LANES]; TILE_PANELS]; TILE_ROWS];
        for start in (0..self.count).step_by(self.kernels.rows) {
            let rows = self.kernels.rows.min(self.count - start);
            let bytes = &self.bytes[start * self.stride..];
            let left = ByteRows::new(bytes, rows, self.stride, self.words);
            self.kernels.multiply(left, panels, &mut sums);
            with_lanes(&TileOfResults {
                sums: &sums[..rows],
                panels: finish,
                count: panels.len(),
                gap: self.gap,
                place: self.place + start * self.gap + number * LANES,
                width: self.width - number * LANES,
                target,
            });
        }
    }
}

/// A tile's sums on their way to results.
struct TileOfResults<'a, 'b, T: ResultElement> {
    sums: &'a [[[i32; LANES]; TILE_PANELS]],
    panels: [PanelFinish<'b, T>; TILE_PANELS],
    /// How many of the panels there are.
    count: usize,
    /// From one row of results to the next.
    gap: usize,
    /// Where the first result stands.
    place: usize,
    /// Outputs from there on.
    width: usize,
    target: &'a SharedValues<'a, T>,
}

impl<T: ResultElement> PanelWork for TileOfResults<'_, '_, T> {
    #[inline(always)]
    fn run<L: Lanes>(&self) {
        for (panel, finish) in self.panels[..self.count].iter().enumerate() {
            let width = LANES.min(self.width - panel * LANES);
            for (row, sums) in self.sums.iter().enumerate() {
                let place = self.place + row * self.gap + panel * LANES;
                // SAFETY: a task writes its own rows and outputs; the processor is what `L` was chosen for.
                unsafe { finish.write::<L>(&sums[panel], self.target, place, width) };
            }
        }
    }
}

/// Copies the first `len` bytes. Where there is room, short runs are copied with what follows, which takes an instruction
/// where a call would be: it is written over later.
#[inline(always)]
fn copy_run(source: &[u8], target: &mut [u8], len: usize) {
    const SHORT: usize = 32;
    match (source.first_chunk::<SHORT>(), target.first_chunk_mut::<SHORT>()) {
        (Some(source), Some(target)) if len <= SHORT => *target = *source,
        _ => target[..len].copy_from_slice(&source[..len]),
    }
}
