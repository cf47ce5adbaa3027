//! Images as matrices: a row for each output pixel, holding the input values under its window.

use super::geometry::{Geometry, Taps, Window};
use crate::ops::round::copy_rounded;
use crate::spec::Precision;

/// Writes the windows of `images` (whole images) to `columns`, a matrix of one row for each output
/// pixel and one column for each of (tap row, tap column, channel); padding reads as 0.
pub(super) fn gather(
    geometry: &Geometry,
    taps: &Taps,
    images: &[f32],
    columns: &mut [f32],
    precision: Precision,
) {
    let width = taps.columns.len() * geometry.input.channels;
    let mut segments = columns.chunks_exact_mut(width);
    for image in images.chunks_exact(geometry.input.image_len()) {
        for_each_segment(geometry, taps, |source| {
            let Some(segment) = segments.next() else { return };
            match source {
                None => segment.fill(0.0),
                Some(Run { skip, start, len }) => {
                    segment[..skip].fill(0.0);
                    copy_rounded(
                        &image[start..start + len],
                        &mut segment[skip..skip + len],
                        precision,
                    );
                    segment[skip + len..].fill(0.0);
                }
            }
        });
    }
}

/// The transpose of [`gather`]: adds each row of `columns` to the pixels that it was taken from.
pub(super) fn scatter_add(geometry: &Geometry, taps: &Taps, columns: &[f32], images: &mut [f32]) {
    let width = taps.columns.len() * geometry.input.channels;
    let mut segments = columns.chunks_exact(width);
    for image in images.chunks_exact_mut(geometry.input.image_len()) {
        for_each_segment(geometry, taps, |target| {
            let Some(segment) = segments.next() else { return };
            if let Some(Run { skip, start, len }) = target {
                let pixels = &mut image[start..start + len];
                for (pixel, &value) in pixels.iter_mut().zip(&segment[skip..skip + len]) {
                    *pixel += value;
                }
            }
        });
    }
}

/// Values of an image that lie side by side, both in it and in a segment of a row of columns.
struct Run {
    /// Values of the segment before the run that fall on padding.
    skip: usize,
    /// Where the run starts in the image.
    start: usize,
    /// Its length.
    len: usize,
}

/// Visits, for each output pixel and row of taps, the run of the image under them.
fn for_each_segment(geometry: &Geometry, taps: &Taps, mut visit: impl FnMut(Option<Run>)) {
    let (input, output) = (&geometry.input, &geometry.output);
    let Window { stride, padding, .. } = geometry.window;
    for row in 0..output.height {
        for column in 0..output.width {
            // Both counted from the padded image's edge.
            let left = column * stride + taps.columns.start;
            let inside = left.max(padding)..(left + taps.columns.len()).min(padding + input.width);
            for tap_row in taps.rows.clone() {
                let y = row * stride + tap_row;
                if inside.is_empty() || !(padding..padding + input.height).contains(&y) {
                    visit(None);
                    continue;
                }
                visit(Some(Run {
                    skip: (inside.start - left) * input.channels,
                    start: ((y - padding) * input.width + inside.start - padding) * input.channels,
                    len: inside.len() * input.channels,
                }));
            }
        }
    }
}
