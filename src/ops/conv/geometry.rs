//! Sizes of a convolution, and which taps of its kernel ever meet the image.

use std::ops::Range;

use crate::ops::tensor::Images;

/// How a square window moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the window.
    pub size: usize,
    /// Step from one position to the next.
    pub stride: usize,
    /// Rows and columns added at each edge of the image.
    pub padding: usize,
}

impl Window {
    /// How many positions the window has along `extent` pixels; `None` if it does not fit once.
    pub fn positions(&self, extent: usize) -> Option<usize> {
        let room = (extent + 2 * self.padding).checked_sub(self.size.max(1))?;
        Some(room.checked_div(self.stride)? + 1)
    }
}

/// How a convolution's kernel moves over its images, as the arguments of `torch.nn.Conv2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Step from one position to the next.
    pub stride: usize,
    /// Rows and columns of zeros added at each edge of the image.
    pub padding: usize,
    /// Groups of channels that are convolved apart.
    pub groups: usize,
}

impl Default for ConvOptions {
    /// Every position, no padding, one group.
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            groups: 1,
        }
    }
}

/// A convolution's sizes. The groups divide both numbers of channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub input: Images,
    pub output: Images,
    pub window: Window,
    pub groups: usize,
}

/// A rectangle of the kernel's taps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taps {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Taps {
    pub fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

impl Geometry {
    /// The smallest rectangle of taps outside of which a tap only ever meets padding. On images as
    /// small as the kernel this saves most of the work: a 3x3 kernel on a 1x1 image is one tap.
    pub fn live_taps(&self) -> Taps {
        Taps {
            rows: self.live(self.input.height, self.output.height),
            columns: self.live(self.input.width, self.output.width),
        }
    }

    fn live(&self, extent: usize, positions: usize) -> Range<usize> {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        let meets = |tap: &usize| {
            (0..positions).any(|position| (padding..padding + extent).contains(&(position * stride + tap)))
        };
        // Where no tap meets the image, one that does not stands for them all.
        let first = (0..size).find(meets).unwrap_or(0);
        let last = (0..size).rfind(meets).unwrap_or(first);
        first..last + 1
    }

    /// Whether each output pixel is a function of the same input pixel alone.
    pub fn is_pointwise(&self) -> bool {
        self.window
            == Window {
                size: 1,
                stride: 1,
                padding: 0,
            }
    }

    /// Whether each channel is convolved by itself, with one kernel.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.input.channels && self.groups == self.output.channels
    }

    /// The sizes of a single group's convolution.
    pub fn of_group(&self) -> Self {
        let share = |images: Images| Images {
            channels: images.channels / self.groups,
            ..images
        };
        Self {
            input: share(self.input),
            output: share(self.output),
            groups: 1,
            ..*self
        }
    }

    /// Values of the weight `[O, I / groups, K, K]`.
    pub fn weight_len(&self) -> usize {
        self.output.channels * (self.input.channels / self.groups) * self.window.size * self.window.size
    }

    /// Output pixels of one image.
    pub fn positions(&self) -> usize {
        self.output.height * self.output.width
    }

    /// Images that are handled as one matrix, so that it is neither too flat nor too large for the
    /// cache, and at least eight such groups exist where the batch allows.
    pub fn group(&self, columns: usize) -> usize {
        let rows = (COLUMN_VALUES / columns.max(1)).clamp(256, 4096);
        (rows / self.positions()).min(self.input.batch.div_ceil(8)).max(1)
    }
}

/// Values that a group's matrix of columns should hold, roughly.
const COLUMN_VALUES: usize = 1 << 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_a_window() {
        let window = Window {
            size: 3,
            stride: 2,
            padding: 1,
        };
        assert_eq!(window.positions(32), Some(16));
        assert_eq!(window.positions(1), Some(1));
        assert_eq!(
            Window {
                size: 3,
                stride: 1,
                padding: 0
            }
            .positions(2),
            None
        );
        assert_eq!(
            Window {
                size: 3,
                stride: 0,
                padding: 1
            }
            .positions(2),
            None
        );
    }

    #[test]
    fn taps_that_only_meet_padding_are_left_out() {
        let taps = |extent, size, stride, padding| {
            let window = Window {
                size,
                stride,
                padding,
            };
            let out = window.positions(extent).expect("fits");
            let image = |height, width| Images {
                batch: 1,
                height,
                width,
                channels: 1,
            };
            let geometry = Geometry {
                input: image(extent, extent),
                output: image(out, out),
                window,
                groups: 1,
            };
            geometry.live_taps()
        };
        assert_eq!(
            taps(1, 3, 1, 1),
            Taps {
                rows: 1..2,
                columns: 1..2
            }
        );
        assert_eq!(
            taps(2, 3, 2, 1),
            Taps {
                rows: 1..3,
                columns: 1..3
            }
        );
        assert_eq!(taps(2, 3, 1, 1).len(), 9);
        assert_eq!(taps(5, 3, 1, 0).len(), 9);
        assert_eq!(taps(1, 7, 2, 3).len(), 1);
    }
}
