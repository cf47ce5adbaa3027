//! Convolutions of small images, of which much that lies under the kernel is padding: position by position of the result,
//! each with the taps alone that lie in the image.
//!
//! What the padding, bytes of 0 as the input has it, adds to a position's sums is known beforehand, so that they are the
//! same whole numbers.

use std::ops::Range;

use super::ByteLayer;
use super::finish::{PanelFinish, ResultElement};
use super::kernels::{LANES, PanelWord, TILE_PANELS};
use super::rows::RowsOfBytes;
use super::split::ProductSplit;
use crate::ops::conv::{ConvOptions, Geometry};
use crate::ops::fill::in_places;
use crate::ops::microkernel::SharedValues;
use crate::ops::scratch::with_byte_scratch;

/// Images that are worth putting the weights of each position's taps side by side.
const MANY_IMAGES: usize = 16;

/// A pixel of the result, and the taps that lie in the image there.
#[derive(Clone, Debug)]
struct Position {
    /// Its number within an image of results.
    place: usize,
    lines: Range<usize>,
    columns: Range<usize>,
    /// Where the first of them lies in the image.
    first: (usize, usize),
}

/// Whether a layer of so many channels a group has positions whose taps in the image are runs of whole words.
pub(super) fn suit(convolution: ConvOptions, channels: usize) -> bool {
    let ConvOptions {
        padding,
        dilation,
        groups,
        ..
    } = convolution;
    padding > 0 && dilation == 1 && groups == 1 && channels.is_multiple_of(4)
}

/// The positions of an image where most that is multiplied would otherwise be padding.
fn positions_of(geometry: &Geometry) -> Option<Vec<Position>> {
    let Geometry {
        input,
        output,
        window,
        ..
    } = *geometry;
    let of_axis = |count: usize, extent: usize| -> usize {
        let taps = (0..count).map(|position| geometry.taps_inside(position, extent).len());
        taps.sum()
    };
    let (width, height) = (output.width, output.height);
    let used = of_axis(height, input.height) * of_axis(width, input.width);
    let all = height * width * window.size * window.size;
    if used * 4 > all * 3 {
        return None;
    }
    let mut positions = Vec::with_capacity(height * width);
    for (line, column) in (0..height).flat_map(|line| (0..width).map(move |column| (line, column))) {
        let lines = geometry.taps_inside(line, input.height);
        let columns = geometry.taps_inside(column, input.width);
        if lines.is_empty() || columns.is_empty() {
            return None;
        }
        let first = (
            geometry.pixel_under(line, lines.start),
            geometry.pixel_under(column, columns.start),
        );
        positions.push(Position {
            place: line * width + column,
            lines,
            columns,
            first,
        });
    }
    // One that has few images puts no weights side by side.
    let is_run = |position: &Position| position.lines.len() == 1 || position.columns.len() == window.size;
    (input.batch >= MANY_IMAGES || (positions.len() == 1 && positions.iter().all(is_run)))
        .then_some(positions)
}

impl ByteLayer {
    /// The product, where it is worth going position by position.
    pub(super) fn product_of_positions<'a, T: ResultElement + 'a>(
        &self,
        x: &[u8],
        geometry: &Geometry,
        finish: &(impl Fn(usize) -> PanelFinish<'a, T> + Sync),
    ) -> Option<Vec<T>> {
        if self.padding.is_empty() {
            return None;
        }
        let positions = positions_of(geometry)?;
        let used = |position: &Position| position.lines.len() * position.columns.len();
        let split = ProductSplit {
            parts: positions.len(),
            rows: geometry.output.batch,
            words: positions.iter().map(used).max().unwrap_or(0) * geometry.input.channels / 4,
            outputs: self.outputs,
        };
        let bias: Vec<Vec<[i32; LANES]>> = positions.iter().map(|position| self.bias_of(position)).collect();
        let write = |target: &SharedValues<T>| {
            split.run(|number, images, panels| {
                let of_task = BlockOfImages {
                    layer: self,
                    geometry,
                    position: &positions[number],
                    images,
                    panels,
                };
                let bias = &bias[number];
                let finish = |panel: usize| PanelFinish {
                    bias: &bias[panel],
                    ..finish(panel)
                };
                of_task.run(x, &finish, target);
            });
        };
        // SAFETY: every pixel and every panel is of one task.
        Some(unsafe { in_places(geometry.output.len(), write) })
    }

    /// What is added to a position's sums: its taps outside of the image have the byte of 0 each.
    fn bias_of(&self, position: &Position) -> Vec<[i32; LANES]> {
        let taps = self.size * self.size;
        let is_outside = |tap: &usize| {
            let (line, column) = (tap / self.size, tap % self.size);
            !(position.lines.contains(&line) && position.columns.contains(&column))
        };
        let of_panel = |(bias, of_taps): (&[i32; LANES], &[[i32; LANES]])| {
            let mut bias = *bias;
            for tap in (0..taps).filter(is_outside) {
                for (bias, padding) in bias.iter_mut().zip(of_taps[tap]) {
                    *bias += padding;
                }
            }
            bias
        };
        let of_taps = self.padding.chunks_exact(taps);
        self.bias.iter().zip(of_taps).map(of_panel).collect()
    }

    /// Of each panel and each tap, what the tap adds to each output's sums where it has the byte of 0.
    pub(super) fn padding_of_taps(&self, channels: usize) -> Vec<[i32; LANES]> {
        let zero = i32::from(self.input.zero_point);
        let of_tap = |words: &[PanelWord]| {
            let mut sums = [0; LANES];
            for word in words {
                for (sum, weights) in sums.iter_mut().zip(&word.0) {
                    *sum += zero * weights.iter().map(|&weight| i32::from(weight)).sum::<i32>();
                }
            }
            sums
        };
        self.panels
            .chunks_exact((channels / 4).max(1))
            .map(of_tap)
            .collect()
    }
}

/// One position of some images, and some panels of its outputs.
struct BlockOfImages<'a> {
    layer: &'a ByteLayer,
    geometry: &'a Geometry,
    position: &'a Position,
    images: Range<usize>,
    panels: Range<usize>,
}

impl BlockOfImages<'_> {
    fn run<'a, T: ResultElement + 'a>(
        &self,
        x: &[u8],
        finish: &impl Fn(usize) -> PanelFinish<'a, T>,
        target: &SharedValues<T>,
    ) {
        let Position {
            ref lines,
            ref columns,
            first: (line, column),
            ..
        } = *self.position;
        let input = self.geometry.input;
        let (len, of_line) = (columns.len() * input.channels, input.width * input.channels);
        let used = lines.len() * len;
        let start = line * of_line + column * input.channels;
        let images = &x[self.images.start * input.image_len()..self.images.end * input.image_len()];
        if lines.len() == 1 || len == of_line {
            // They lie side by side as it is.
            return self.multiply(&images[start..], input.image_len(), used, finish, target);
        }
        with_byte_scratch(self.images.len() * used, |bytes| {
            let images = images.chunks_exact(input.image_len());
            for (image, bytes) in images.zip(bytes.chunks_exact_mut(used)) {
                let of_lines = image[start..].chunks(of_line);
                for (source, target) in of_lines.zip(bytes.chunks_exact_mut(len)) {
                    target.copy_from_slice(&source[..len]);
                }
            }
            self.multiply(bytes, used, used, finish, target);
        });
    }

    /// Multiplies rows of `len` bytes, `stride` apart, with the weights of the position's taps.
    fn multiply<'a, T: ResultElement + 'a>(
        &self,
        bytes: &[u8],
        stride: usize,
        len: usize,
        finish: &impl Fn(usize) -> PanelFinish<'a, T>,
        target: &SharedValues<T>,
    ) {
        let Position {
            ref lines,
            ref columns,
            place,
            ..
        } = *self.position;
        let layer = self.layer;
        let pixels = self.geometry.output.width * self.geometry.output.height;
        let of_tap = self.geometry.input.channels / 4;
        let of_panel = |panel: usize| &layer.panels[panel * layer.words..(panel + 1) * layer.words];
        let of_line = |line: usize| {
            (line * layer.size + columns.start) * of_tap..(line * layer.size + columns.end) * of_tap
        };
        let is_run = lines.len() == 1 || columns.len() == layer.size;
        let run = of_line(lines.start).start..of_line(lines.end - 1).end;
        let rows = RowsOfBytes {
            kernels: layer.kernels,
            bytes,
            count: self.images.len(),
            stride,
            words: len / 4,
            place: (self.images.start * pixels + place) * layer.outputs,
            gap: pixels * layer.outputs,
            width: layer.outputs,
        };
        let mut side_by_side: [Vec<PanelWord>; TILE_PANELS] = Default::default();
        for pair in self.panels.clone().step_by(TILE_PANELS) {
            let last = (self.panels.end - 1).min(pair + TILE_PANELS - 1);
            let finish = [finish(pair), finish(last)];
            if is_run {
                let right = [pair, last].map(|panel| &of_panel(panel)[run.clone()]);
                rows.multiply(pair, &right[..last - pair + 1], finish, target);
                continue;
            }
            for (words, panel) in side_by_side.iter_mut().zip(pair..=last) {
                words.clear();
                for line in lines.clone() {
                    words.extend_from_slice(&of_panel(panel)[of_line(line)]);
                }
            }
            let right = side_by_side.each_ref().map(Vec::as_slice);
            rows.multiply(pair, &right[..last - pair + 1], finish, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tensor::Images;

    #[test]
    fn positions_are_taken_one_by_one_where_much_is_padding() {
        let convolution = ConvOptions {
            padding: 1,
            ..ConvOptions::default()
        };
        let positions = |batch, side| {
            let images = Images {
                batch,
                height: side,
                width: side,
                channels: 8,
            };
            let geometry = Geometry::of(images, 8, 3, convolution).expect("fits");
            positions_of(&geometry).map(|positions| positions.len())
        };
        assert_eq!(positions(1, 1), Some(1));
        assert_eq!(positions(MANY_IMAGES, 2), Some(4));
        assert_eq!(positions(MANY_IMAGES, 4), Some(16));
        // Little is padding, or there are few images.
        assert_eq!(positions(MANY_IMAGES, 8), None);
        assert_eq!(positions(MANY_IMAGES - 1, 2), None);
        // Channels that make no whole words, and taps that are no run.
        let dilated = ConvOptions {
            dilation: 2,
            ..convolution
        };
        assert!(suit(convolution, 8) && !suit(convolution, 6) && !suit(dilated, 8));
    }
}
