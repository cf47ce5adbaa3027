//! Where everything lies in a dataset file, once it has been checked.

use std::ops::Range;

use super::bytes::{item, read_f32, read_u32, read_u64};
use crate::data::layout::{ALIGNMENT, Header, MAGIC, PROLOGUE, Samples, Section, Targets, VERSION};
use crate::data::shape::SampleShape;
use crate::spec::{Color, SplitName, Task};

/// What a file holds, and where. All ranges lie in the file and have the right lengths, all indices
/// and ends point to where something is, all labels and numbers are valid.
#[derive(Debug)]
pub(super) struct Contents {
    pub shape: SampleShape,
    pub columns: Vec<String>,
    pub samples: SampleData,
    pub targets: TargetData,
    pub splits: Vec<(SplitName, Range<usize>)>,
    pub origin_ends: Range<usize>,
    pub origin_text: Range<usize>,
}

/// How and where samples are kept; [`Samples`] has the layouts.
#[derive(Debug)]
pub(super) enum SampleData {
    Pixels {
        /// Height and width.
        size: [usize; 2],
        /// Pixels of all channels.
        len: usize,
        data: Range<usize>,
    },
    Features {
        columns: usize,
        data: Range<usize>,
    },
    Images {
        sizes: Range<usize>,
        ends: Range<usize>,
        data: Range<usize>,
    },
    Files {
        color: Color,
        ends: Range<usize>,
        data: Range<usize>,
    },
}

/// What is to be predicted, and where; [`Targets`] has the layouts.
#[derive(Debug)]
pub(super) enum TargetData {
    Classes { names: Vec<String>, data: Range<usize> },
    Labels { names: Vec<String>, data: Range<usize> },
    Values { names: Vec<String>, data: Range<usize> },
}

impl TargetData {
    /// What is to be predicted.
    pub fn task(&self) -> Task {
        match self {
            Self::Classes { .. } => Task::Classification,
            Self::Labels { .. } => Task::MultiLabel,
            Self::Values { .. } => Task::Regression,
        }
    }

    /// Of classes, labels or numbers.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Classes { names, .. } | Self::Labels { names, .. } | Self::Values { names, .. } => names,
        }
    }
}

impl Contents {
    /// Finds and checks everything in a file. An error says what is wrong with the file.
    pub fn parse(map: &[u8]) -> Result<Self, String> {
        let header = read_header(map)?;
        let count = usize::try_from(header.count)
            .ok()
            .filter(|count| u32::try_from(*count).is_ok())
            .ok_or("it claims more samples than can be")?;
        let (shape, columns, samples) = parse_samples(map, count, header.samples)?;
        let targets = parse_targets(map, count, header.targets)?;

        let mut splits = Vec::new();
        for (name, section) in header.splits {
            let len = usize::try_from(section.length / 4).map_err(|_| "a split is too long")?;
            let indices = array(map, section, len, 4, name.as_str())?;
            check_rising(&map[indices.clone()], count, name)?;
            splits.push((name, indices));
        }
        if !matches!(splits.first(), Some((SplitName::Train, _))) {
            return Err("it has no train split".into());
        }

        let (origin_ends, origin_text) =
            items(map, header.origins.ends, header.origins.text, count, "origins")?;
        Ok(Self {
            shape,
            columns,
            samples,
            targets,
            splits,
            origin_ends,
            origin_text,
        })
    }
}

fn parse_samples(
    map: &[u8],
    count: usize,
    samples: Samples,
) -> Result<(SampleShape, Vec<String>, SampleData), String> {
    match samples {
        Samples::Pixels { shape, data } => {
            let SampleShape::Image { height, width, .. } = shape else {
                return Err("its pixels have no image's shape".into());
            };
            let len = shape.checked_len().ok_or("its images are empty")?;
            let samples = SampleData::Pixels {
                size: [height, width],
                len,
                data: array(map, data, count, len, "samples")?,
            };
            Ok((shape, Vec::new(), samples))
        }
        Samples::Features { columns, data } => {
            let shape = SampleShape::Features {
                columns: columns.len(),
            };
            let len = shape.checked_len().ok_or("it has no feature columns")?;
            let samples = SampleData::Features {
                columns: len,
                data: array(map, data, count, len * 4, "samples")?,
            };
            Ok((shape, columns, samples))
        }
        Samples::Images {
            channels,
            sizes,
            ends,
            data,
        } => {
            let (ends, data) = items(map, ends, data, count, "samples")?;
            let sizes = array(map, sizes, count, 8, "images' sizes")?;
            check_sizes(&map[sizes.clone()], &map[ends.clone()], channels)?;
            let shape = SampleShape::Images { channels };
            Ok((shape, Vec::new(), SampleData::Images { sizes, ends, data }))
        }
        Samples::Files {
            color,
            shape,
            ends,
            data,
        } => {
            let fits = match shape {
                SampleShape::Image { .. } => shape.checked_len().is_some(),
                SampleShape::Images { .. } => true,
                SampleShape::Features { .. } => false,
            };
            if !fits || shape.channels() != color.channels() {
                return Err("its image files have no image's shape".into());
            }
            let (ends, data) = items(map, ends, data, count, "samples")?;
            Ok((shape, Vec::new(), SampleData::Files { color, ends, data }))
        }
    }
}

fn parse_targets(map: &[u8], count: usize, targets: Targets) -> Result<TargetData, String> {
    let columns = |names: &[String], item: usize, what: &str| match names.len().checked_mul(item) {
        Some(0) => Err(format!("it has no {what}")),
        Some(len) => Ok(len),
        None => Err(format!("it claims more {what} than can be")),
    };
    match targets {
        Targets::Classes { classes, data } => {
            let data = array(map, data, count, 4, "labels")?;
            check_classes(&map[data.clone()], classes.len())?;
            Ok(TargetData::Classes { names: classes, data })
        }
        Targets::Labels { names, data } => {
            let len = columns(&names, 1, "labels")?;
            let data = array(map, data, count, len, "labels")?;
            match map[data.clone()].iter().position(|label| *label > 1) {
                Some(at) => Err(format!("the labels of sample {} are neither 0 nor 1", at / len)),
                None => Ok(TargetData::Labels { names, data }),
            }
        }
        Targets::Values { names, data } => {
            let len = columns(&names, 4, "targets")?;
            let data = array(map, data, count, len, "targets")?;
            let numbers = &map[data.clone()];
            match (0..numbers.len() / 4).find(|index| !read_f32(numbers, *index).is_finite()) {
                Some(at) => Err(format!(
                    "the targets of sample {} are not finite",
                    at / names.len()
                )),
                None => Ok(TargetData::Values { names, data }),
            }
        }
    }
}

fn read_header(map: &[u8]) -> Result<Header, String> {
    if map.len() < PROLOGUE || map[..8] != MAGIC {
        return Err("it does not begin as a dataset does".into());
    }
    let version = read_u32(&map[8..12], 0);
    if version != VERSION {
        return Err(format!(
            "it has version {version} of the layout, and this Erlen reads version {VERSION}"
        ));
    }
    let [offset, length, total] = [0, 1, 2].map(|index| read_u64(&map[16..40], index));
    if total != map.len() as u64 {
        return Err(format!("it has {} bytes and should have {total}", map.len()));
    }
    let json = offset
        .checked_add(length)
        .filter(|end| *end == total && offset >= PROLOGUE as u64)
        .map(|end| &map[offset as usize..end as usize])
        .ok_or("its header lies outside the file")?;
    serde_json::from_slice(json).map_err(|error| format!("its header is not right: {error}"))
}

/// The bytes of `count` items of `item` bytes each, if `section` is just that and in the file.
fn array(
    map: &[u8],
    section: Section,
    count: usize,
    item: usize,
    what: &str,
) -> Result<Range<usize>, String> {
    let wanted = count.checked_mul(item).map(|length| length as u64);
    if wanted != Some(section.length) {
        return Err(format!(
            "its {what} have {} bytes, which is not right",
            section.length
        ));
    }
    let end = section.offset.checked_add(section.length);
    match end {
        Some(end) if end <= map.len() as u64 && section.offset.is_multiple_of(ALIGNMENT) => {
            Ok(section.offset as usize..end as usize)
        }
        _ => Err(format!("its {what} lie outside the file or are not aligned")),
    }
}

/// The ends and the bytes of `count` items of various lengths, if the ends rise to the last byte.
fn items(
    map: &[u8],
    ends: Section,
    data: Section,
    count: usize,
    what: &str,
) -> Result<(Range<usize>, Range<usize>), String> {
    let length = data.length;
    let bytes = usize::try_from(length).map_err(|_| format!("its {what} are too long"))?;
    let data = array(map, data, bytes, 1, what)?;
    let ends = array(map, ends, count, 8, what)?;
    let mut least = 0;
    for index in 0..count {
        let end = read_u64(&map[ends.clone()], index);
        if end < least || end > length {
            return Err(format!("the ends of its {what} are not right"));
        }
        least = end;
    }
    if least != length {
        return Err(format!("the ends of its {what} are not right"));
    }
    Ok((ends, data))
}

/// Checks that each image has as many pixels as its size says.
fn check_sizes(sizes: &[u8], ends: &[u8], channels: usize) -> Result<(), String> {
    let mut start = 0;
    for index in 0..sizes.len() / 8 {
        let size = item(sizes, index, 8);
        let [height, width] = [0, 1].map(|side| u64::from(read_u32(size, side)));
        let end = read_u64(ends, index);
        let pixels = height
            .checked_mul(width)
            .and_then(|len| len.checked_mul(channels as u64));
        if pixels != Some(end - start) || start == end {
            return Err(format!(
                "image {index} claims {height}x{width} pixels and has {} values",
                end - start
            ));
        }
        start = end;
    }
    Ok(())
}

fn check_classes(labels: &[u8], classes: usize) -> Result<(), String> {
    let wrong = (0..labels.len() / 4).find(|index| read_u32(labels, *index) as usize >= classes);
    match wrong {
        Some(index) => Err(format!(
            "sample {index} has label {}, and there are {classes} classes",
            read_u32(labels, index)
        )),
        None => Ok(()),
    }
}

fn check_rising(indices: &[u8], count: usize, name: SplitName) -> Result<(), String> {
    let mut least = 0;
    for position in 0..indices.len() / 4 {
        let index = read_u32(indices, position) as usize;
        if index < least || index >= count {
            return Err(format!(
                "the indices of its {} split are not right",
                name.as_str()
            ));
        }
        least = index + 1;
    }
    Ok(())
}
