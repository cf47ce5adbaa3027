//! A mask as its file holds it: the values themselves, whatever colours a palette gives them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::Hash;
use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::pixel_table::PixelTable;
use super::problem_kind::MaskProblemKind;
use crate::data::decode::{ImageForm, MOST_VALUES};
use crate::data::formats::scenes::resized_classes;
use crate::schema::NO_PIXEL_CLASS;
use crate::spec::counted;

/// How many unknown values are told one by one.
const TOLD: usize = 8;

/// A mask: of each pixel the class.
pub(super) struct DecodedMask {
    pub size: [usize; 2],
    /// Row by row; [`NO_PIXEL_CLASS`] where a pixel does not count.
    pub classes: Vec<u8>,
    /// Whether a pixel has the value 255.
    pub has_255: bool,
    /// Whether a pixel has another value than 0 and 255, or masks have colours.
    pub has_others: bool,
    /// Values of no class, each with its pixels.
    unknown: BTreeMap<u32, u64>,
    are_colors: bool,
}

/// What is wrong with a mask.
type MaskFault = (MaskProblemKind, String);

/// The pixels of a file.
struct MaskPixels {
    size: [usize; 2],
    values: MaskValues,
}

enum MaskValues {
    Indices(Vec<u16>),
    Colors(Vec<[u8; 3]>),
}

impl DecodedMask {
    /// The mask in a file of these bytes.
    pub fn of(bytes: &[u8], table: &PixelTable) -> Result<Self, MaskFault> {
        match ImageForm::of(bytes) {
            Some(ImageForm::Png) => {}
            Some(ImageForm::Jpeg) => {
                let problem = "it is a JPEG, which changes values where classes meet: make masks anew as PNG";
                return Err((MaskProblemKind::WrongForm, problem.to_owned()));
            }
            _ => {
                let problem = "it is no PNG: save masks as PNG, grey or with a palette";
                return Err((MaskProblemKind::WrongForm, problem.to_owned()));
            }
        }
        let by_color = matches!(table, PixelTable::Colors(_));
        // What damaged files make a decoder of another crate do is not in our hands.
        let read = std::panic::catch_unwind(|| pixels_of(bytes, by_color));
        let gave_up = |_| Err((MaskProblemKind::UnreadableMask, "decoding broke off".to_owned()));
        let MaskPixels { size, values } = read.unwrap_or_else(gave_up)?;
        let mut mask = Self {
            size,
            classes: Vec::new(),
            has_255: false,
            has_others: by_color,
            unknown: BTreeMap::new(),
            are_colors: by_color,
        };
        match (values, table) {
            (MaskValues::Indices(values), PixelTable::Values(table)) => {
                mask.has_255 = values.contains(&255);
                mask.has_others = values.iter().any(|value| ![0, 255].contains(value));
                mask.fill(&values, table, |value| u32::from(*value));
            }
            (MaskValues::Colors(colors), PixelTable::Colors(table)) => {
                mask.fill(&colors, table, |[red, green, blue]| {
                    u32::from_be_bytes([0, *red, *green, *blue])
                });
            }
            _ => {
                let problem = "it has values, and `colors` tells classes by colours".to_owned();
                return Err((MaskProblemKind::WrongForm, problem));
            }
        }
        Ok(mask)
    }

    /// Looks up the class of each pixel. Most have the value of the one before.
    fn fill<V: Copy + Eq + Hash>(&mut self, pixels: &[V], table: &HashMap<V, u8>, key: fn(&V) -> u32) {
        self.classes.reserve_exact(pixels.len());
        for run in pixels.chunk_by(|one, next| one == next) {
            let class = table.get(&run[0]);
            if class.is_none() {
                *self.unknown.entry(key(&run[0])).or_default() += run.len() as u64;
            }
            let class = class.copied().unwrap_or(NO_PIXEL_CLASS);
            self.classes.resize(self.classes.len() + run.len(), class);
        }
    }

    /// What is told of values of no class, where there are some.
    pub fn unknown_values(&self) -> Option<String> {
        let value = |value: u32| match self.are_colors {
            true => {
                let [_, red, green, blue] = value.to_be_bytes();
                format!("[{red}, {green}, {blue}]")
            }
            false => value.to_string(),
        };
        let mut told = String::new();
        for (key, pixels) in self.unknown.iter().take(TOLD) {
            let separator = if told.is_empty() { "" } else { ", " };
            // Writing to a text does not fail.
            let _ = write!(told, "{separator}{} ({})", value(*key), counted(*pixels, "pixel"));
        }
        let (what, options) = match self.are_colors {
            true => ("colours", "`colors`"),
            false => ("values", "`classes`, `values` or `ignore`"),
        };
        match self.unknown.len() {
            0 => None,
            count if count > TOLD => Some(format!(
                "its pixels have {count} {what} of no class: {told}, ...; edges that were smoothed have such: save masks \
                 without, or name what is meant in {options}"
            )),
            _ => Some(format!(
                "its pixels have {what} of no class: {told}; name them in {options}"
            )),
        }
    }

    /// The mask with another height and width: each pixel is one of those that were there, the [`nearest`].
    pub fn resized(mut self, [height, width]: [usize; 2]) -> Self {
        if [height, width] != self.size {
            self.classes = resized_classes(&self.classes, self.size, [height, width]);
            self.size = [height, width];
        }
        self
    }
}

/// The values of a PNG file, or its colours.
fn pixels_of(bytes: &[u8], by_color: bool) -> Result<MaskPixels, MaskFault> {
    let corrupt = |problem: String| {
        (
            MaskProblemKind::UnreadableMask,
            format!("the PNG is corrupt: {problem}"),
        )
    };
    let too_large = || {
        (
            MaskProblemKind::UnreadableMask,
            "it is too large: make it smaller".to_owned(),
        )
    };
    let limits = Limits {
        bytes: 8 * MOST_VALUES,
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| corrupt(error.to_string()))?;
    let info = reader.info();
    let size = [info.height as usize, info.width as usize];
    let (form, depth) = (info.color_type, info.bit_depth);
    let palette = info.palette.as_ref().map(|palette| palette.to_vec());
    if size[0].saturating_mul(size[1]) > MOST_VALUES {
        return Err(too_large());
    }
    let length = reader.output_buffer_size().ok_or_else(too_large)?;
    let mut data = vec![0; length];
    reader
        .next_frame(&mut data)
        .map_err(|error| corrupt(error.to_string()))?;
    let line = length / size[0].max(1);
    let wrong = |problem: &str| Err((MaskProblemKind::WrongForm, problem.to_owned()));
    let values = match (form, by_color) {
        (ColorType::Indexed, true) => {
            let palette = palette.unwrap_or_default();
            let (colors, _) = palette.as_chunks::<3>();
            let color = |index: u16| colors.get(usize::from(index)).copied();
            let found: Option<Vec<[u8; 3]>> = unpacked(&data, line, size, depth)
                .into_iter()
                .map(color)
                .collect();
            MaskValues::Colors(
                found.ok_or_else(|| corrupt("a pixel has no colour in its palette".to_owned()))?,
            )
        }
        (ColorType::Indexed | ColorType::Grayscale, false) => {
            MaskValues::Indices(unpacked(&data, line, size, depth))
        }
        (ColorType::Rgb | ColorType::Rgba, true) if depth == BitDepth::Eight => {
            let pixels = data.chunks_exact(form.samples());
            MaskValues::Colors(pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
        }
        (ColorType::Rgb | ColorType::Rgba, false) => {
            return wrong(
                "it has colours, which tell no classes by themselves: give the colour of each class in `colors`, or save \
                 masks with values, grey or with a palette",
            );
        }
        (ColorType::Grayscale, true) => {
            return wrong(
                "it is grey, and `colors` tells classes by colours: remove `colors`, or save it in colour",
            );
        }
        (ColorType::GrayscaleAlpha, _) => {
            return wrong("it has an alpha channel: save it grey or with a palette");
        }
        (ColorType::Rgb | ColorType::Rgba, true) => {
            return wrong("its colours have 16 bits a channel: save it with 8");
        }
    };
    Ok(MaskPixels { size, values })
}

/// The values of rows of `line` bytes, the first of those that share a byte in its high bits.
fn unpacked(data: &[u8], line: usize, [_, width]: [usize; 2], depth: BitDepth) -> Vec<u16> {
    let lines = data.chunks_exact(line.max(1));
    match depth {
        BitDepth::Sixteen => {
            let (pairs, _) = data.as_chunks::<2>();
            pairs.iter().copied().map(u16::from_be_bytes).collect()
        }
        BitDepth::Eight => data.iter().copied().map(u16::from).collect(),
        BitDepth::One | BitDepth::Two | BitDepth::Four => {
            let bits = depth as usize;
            let (each, most) = (8 / bits, (1u16 << bits) - 1);
            let value = move |line: &[u8], x: usize| {
                let shift = 8 - bits * (x % each + 1);
                u16::from(line[x / each]) >> shift & most
            };
            lines
                .flat_map(|line| (0..width).map(move |x| value(line, x)))
                .collect()
        }
    }
}
