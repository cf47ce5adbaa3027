//! Sizes of a convolution.

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

    /// The pixels under it where it starts at `start`, counted from the padded edge of `extent` pixels.
    pub fn inside(&self, start: usize, extent: usize) -> std::ops::Range<usize> {
        start.saturating_sub(self.padding)..(start + self.size).saturating_sub(self.padding).min(extent)
    }
}

/// How a convolution's kernel moves over its images, as the arguments of `torch.nn.Conv2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Step from one position to the next.
    pub stride: usize,
    /// Rows and columns of zeros added at each edge of the image.
    pub padding: usize,
    /// Pixels from one tap of the kernel to the next.
    pub dilation: usize,
    /// Groups of channels that are convolved apart.
    pub groups: usize,
}

impl Default for ConvOptions {
    /// Every position, no padding, taps on neighbouring pixels, one group.
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
        }
    }
}

/// A convolution's sizes. The groups divide both numbers of channels.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Geometry {
    pub input: Images,
    pub output: Images,
    /// Of as many rows and columns as there are taps.
    pub window: Window,
    /// Pixels from one tap to the next.
    pub dilation: usize,
    pub groups: usize,
}

impl Geometry {
    /// With a square kernel of `size` x `size` taps and `outputs` output channels; `None` if the kernel does
    /// not fit in the padded images, or its taps are no pixel apart.
    pub fn of(input: Images, outputs: usize, size: usize, options: ConvOptions) -> Option<Self> {
        let ConvOptions {
            stride,
            padding,
            dilation,
            groups,
        } = options;
        let window = Window {
            size,
            stride,
            padding,
        };
        if dilation == 0 {
            return None;
        }
        // The pixels from the first tap to the last one.
        let span = Window {
            size: size.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?,
            ..window
        };
        let output = Images {
            batch: input.batch,
            height: span.positions(input.height)?,
            width: span.positions(input.width)?,
            channels: outputs,
        };
        Some(Self {
            input,
            output,
            window,
            dilation,
            groups,
        })
    }

    /// The input pixel under a tap at an output position, along an axis of `extent` pixels.
    pub fn input_under(&self, extent: usize, position: usize, tap: usize) -> Option<usize> {
        let place = position * self.window.stride + tap * self.dilation;
        let pixel = place.checked_sub(self.window.padding)?;
        (pixel < extent).then_some(pixel)
    }

    /// The taps that lie on the image, along an axis of `extent` pixels, at a position of the window.
    pub fn taps_inside(&self, position: usize, extent: usize) -> std::ops::Range<usize> {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        let start = position * stride;
        // A division takes as long as a few taps.
        let before = |place: usize| match self.dilation {
            1 => place.saturating_sub(start),
            dilation => place.saturating_sub(start).div_ceil(dilation),
        };
        let first = before(padding).min(size);
        first..before(padding + extent).clamp(first, size)
    }

    /// The pixel under a tap that lies on the image.
    pub fn pixel_under(&self, position: usize, tap: usize) -> usize {
        position * self.window.stride + tap * self.dilation - self.window.padding
    }

    /// The output position, of `positions` along an axis, at which a tap lies on an input pixel.
    pub fn output_over(&self, positions: usize, pixel: usize, tap: usize) -> Option<usize> {
        let offset = (pixel + self.window.padding).checked_sub(tap * self.dilation)?;
        let position = offset / self.window.stride;
        (offset.is_multiple_of(self.window.stride) && position < positions).then_some(position)
    }

    /// Whether there are so few input channels that a kernel's row is best taken as one run of memory.
    pub fn is_shallow(&self) -> bool {
        self.window.size > 1 && self.dilation == 1 && self.input.channels < 16
    }

    /// Whether each pixel is multiplied by itself: then images are a matrix of pixels by channels.
    pub fn is_pointwise(&self) -> bool {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        (size, stride, padding, self.groups) == (1, 1, 0, 1)
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
}

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
}
