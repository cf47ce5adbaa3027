//! Decoded pixels, before they are what a dataset keeps.

use crate::spec::Color;

/// The shares of red, green and blue in grey, of 65,536: ITU-R BT.601's 0.299, 0.587 and 0.114 as Pillow rounds
/// them, so that grey is that of its `convert("L")` to the bit.
const LUMA: [u32; 3] = [19_595, 38_470, 7_471];

/// An image: its channels lie beside one another, pixel by pixel, row by row.
pub(super) struct Raster {
    /// Height and width, neither of them 0.
    pub size: [usize; 2],
    /// Grey, grey and alpha, red, green and blue, or these and alpha.
    pub channels: usize,
    /// Each channel's values.
    pub values: RasterValues,
}

/// Values of 8 or 16 bits.
pub(super) enum RasterValues {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

impl Raster {
    /// The image scaled to a height and a width, with the filter that Pillow calls bilinear: averaged where the
    /// image shrinks.
    pub fn resized(self, size: [usize; 2]) -> Self {
        if self.size == size {
            return self;
        }
        let Self {
            size: [height, width],
            channels,
            values,
        } = self;
        let rows = ScaleTaps::new(height, size[0]);
        let columns = ScaleTaps::new(width, size[1]);
        let scale = RasterScale { rows, columns };
        let values = match values {
            // The casts round nothing, and cut off what lies outside.
            RasterValues::Eight(values) => {
                RasterValues::Eight(scale.of(&values, width, channels, |value| value.round() as u8))
            }
            RasterValues::Sixteen(values) => {
                RasterValues::Sixteen(scale.of(&values, width, channels, |value| value.round() as u16))
            }
        };
        Self {
            size,
            channels,
            values,
        }
    }

    /// The image's pixels as `[C, H, W]`, into `out`. An alpha channel is dropped.
    pub fn planes(&self, color: Color, out: &mut Vec<u8>) {
        out.clear();
        match &self.values {
            RasterValues::Eight(values) => {
                planes(values, self.channels, color, out, |value| value);
            }
            RasterValues::Sixteen(values) => {
                let narrow = |value: u16| ((u32::from(value) + 128) / 257) as u8;
                planes(values, self.channels, color, out, narrow);
            }
        }
    }
}

fn planes<T: Copy>(values: &[T], channels: usize, color: Color, out: &mut Vec<u8>, narrow: impl Fn(T) -> u8) {
    let pixels = values.chunks_exact(channels);
    match color {
        Color::Gray if channels < 3 => out.extend(pixels.map(|pixel| narrow(pixel[0]))),
        Color::Gray => out.extend(pixels.map(|pixel| {
            let parts = LUMA.iter().zip(pixel);
            let sum: u32 = parts
                .map(|(share, value)| share * u32::from(narrow(*value)))
                .sum();
            // The shares make up 65,536, so it fits.
            ((sum + 0x8000) >> 16) as u8
        })),
        Color::Rgb => {
            let count = values.len() / channels;
            if channels < 3 {
                let grey = pixels.map(|pixel| narrow(pixel[0]));
                out.extend(grey);
                out.extend_from_within(..count);
                out.extend_from_within(..count);
                return;
            }
            out.resize(3 * count, 0);
            match channels {
                3 => split_pixels(values.as_chunks::<3>().0, out, narrow),
                _ => split_pixels(values.as_chunks::<4>().0, out, narrow),
            }
        }
    }
}

/// The first three values of each pixel, to a plane each.
fn split_pixels<T: Copy, const CHANNELS: usize>(
    pixels: &[[T; CHANNELS]],
    planes: &mut [u8],
    narrow: impl Fn(T) -> u8,
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { split_pixels_avx2(pixels, planes, narrow) };
    }
    split_pixels_here(pixels, planes, narrow);
}

/// Compiled with the shuffles that vectors of bytes take.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn split_pixels_avx2<T: Copy, const CHANNELS: usize>(
    pixels: &[[T; CHANNELS]],
    planes: &mut [u8],
    narrow: impl Fn(T) -> u8,
) {
    split_pixels_here(pixels, planes, narrow);
}

#[inline(always)]
fn split_pixels_here<T: Copy, const CHANNELS: usize>(
    pixels: &[[T; CHANNELS]],
    planes: &mut [u8],
    narrow: impl Fn(T) -> u8,
) {
    let (red, others) = planes.split_at_mut(pixels.len());
    let (green, blue) = others.split_at_mut(pixels.len());
    // All planes in one pass over the pixels.
    for (((pixel, red), green), blue) in pixels.iter().zip(red).zip(green).zip(blue) {
        (*red, *green, *blue) = (narrow(pixel[0]), narrow(pixel[1]), narrow(pixel[2]));
    }
}

/// Which values along one side make up each value of the scaled side, and how much each of them counts.
struct ScaleTaps(Vec<(usize, Vec<f32>)>);

impl ScaleTaps {
    fn new(from: usize, to: usize) -> Self {
        let ratio = from as f32 / to as f32;
        // Where the image grows, the two nearest values count.
        let reach = ratio.max(1.0);
        let taps = (0..to).map(|index| {
            let middle = (index as f32 + 0.5) * ratio;
            let first = ((middle - reach).floor().max(0.0) as usize).min(from - 1);
            let end = ((middle + reach).ceil() as usize).clamp(first + 1, from);
            let mut weights: Vec<f32> = (first..end)
                .map(|place| {
                    let distance = ((place as f32 - (middle - 0.5)) / reach).abs();
                    if distance < 1.0 { 1.0 - distance } else { 0.0 }
                })
                .collect();
            let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
            for weight in &mut weights {
                *weight /= sum;
            }
            (first, weights)
        });
        Self(taps.collect())
    }
}

/// How an image is scaled along both sides.
struct RasterScale {
    rows: ScaleTaps,
    columns: ScaleTaps,
}

impl RasterScale {
    /// The values of an image of `width` pixels of `channels` values, scaled along the columns, then along the rows, each
    /// as `round` makes it. Sums go from the first tap to the last, so that the result is the same wherever it is
    /// computed.
    fn of<T: Copy + Into<f32>, U>(
        &self,
        values: &[T],
        width: usize,
        channels: usize,
        round: impl Fn(f32) -> U + Copy,
    ) -> Vec<U> {
        match channels {
            1 => self.of_pixels::<T, U, 1>(values, width, round),
            2 => self.of_pixels::<T, U, 2>(values, width, round),
            3 => self.of_pixels::<T, U, 3>(values, width, round),
            _ => self.of_pixels::<T, U, 4>(values, width, round),
        }
    }

    fn of_pixels<T: Copy + Into<f32>, U, const CHANNELS: usize>(
        &self,
        values: &[T],
        width: usize,
        round: impl Fn(f32) -> U + Copy,
    ) -> Vec<U> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { self.of_pixels_avx2::<T, U, CHANNELS>(values, width, round) };
        }
        self.of_pixels_here::<T, U, CHANNELS>(values, width, round)
    }

    /// Compiled with longer vectors, and an instruction that rounds.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn of_pixels_avx2<T: Copy + Into<f32>, U, const CHANNELS: usize>(
        &self,
        values: &[T],
        width: usize,
        round: impl Fn(f32) -> U + Copy,
    ) -> Vec<U> {
        self.of_pixels_here::<T, U, CHANNELS>(values, width, round)
    }

    #[inline(always)]
    fn of_pixels_here<T: Copy + Into<f32>, U, const CHANNELS: usize>(
        &self,
        values: &[T],
        width: usize,
        round: impl Fn(f32) -> U + Copy,
    ) -> Vec<U> {
        let (rows, columns) = (&self.rows.0, &self.columns.0);
        let length = width * CHANNELS;
        let mut out = Vec::with_capacity(rows.len() * columns.len() * CHANNELS);
        // Four values are read of each pixel, whatever it has.
        let mut row = vec![0f32; length + 4];
        for (first, weights) in rows {
            row[..length].fill(0.0);
            for (place, weight) in (*first..).zip(weights) {
                let source = &values[place * length..(place + 1) * length];
                for (sum, value) in row.iter_mut().zip(source) {
                    let value: f32 = (*value).into();
                    *sum += value * weight;
                }
            }
            for (first, weights) in columns {
                let mut sums = [0f32; 4];
                for (place, weight) in (*first..).zip(weights) {
                    let pixel: &[f32] = &row[place * CHANNELS..][..4];
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += value * weight;
                    }
                }
                out.extend(sums[..CHANNELS].iter().map(|sum| round(*sum)));
            }
        }
        out
    }
}
