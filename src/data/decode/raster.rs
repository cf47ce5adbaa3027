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
        let length = width * channels;
        let values = match values {
            RasterValues::Eight(values) => {
                let scaled = scaled(&values, length, channels, &rows, &columns);
                // The cast rounds nothing, and cuts off what lies outside.
                RasterValues::Eight(scaled.iter().map(|value| value.round() as u8).collect())
            }
            RasterValues::Sixteen(values) => {
                let scaled = scaled(&values, length, channels, &rows, &columns);
                RasterValues::Sixteen(scaled.iter().map(|value| value.round() as u16).collect())
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
            for channel in 0..3 {
                let channel = if channels < 3 { 0 } else { channel };
                out.extend(pixels.clone().map(|pixel| narrow(pixel[channel])));
            }
        }
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

/// The values scaled along the columns, then along the rows. Sums go from the first tap to the last, so that the
/// result is the same wherever it is computed.
fn scaled<T: Copy + Into<f32>>(
    values: &[T],
    length: usize,
    channels: usize,
    rows: &ScaleTaps,
    columns: &ScaleTaps,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.0.len() * columns.0.len() * channels);
    let mut row = vec![0.0; length];
    for (first, weights) in &rows.0 {
        row.fill(0.0);
        for (place, weight) in (*first..).zip(weights) {
            let source = &values[place * length..(place + 1) * length];
            for (sum, value) in row.iter_mut().zip(source) {
                let value: f32 = (*value).into();
                *sum += value * weight;
            }
        }
        for (first, weights) in &columns.0 {
            let mut pixel = [0.0; 4];
            for (source, weight) in row[first * channels..].chunks_exact(channels).zip(weights) {
                for (sum, value) in pixel.iter_mut().zip(source) {
                    *sum += value * weight;
                }
            }
            out.extend_from_slice(&pixel[..channels]);
        }
    }
    out
}
