//! The MNIST family: IDX files of images and labels.
//!
//! Layout (Y. LeCun, "The MNIST database"): two zero bytes, the type of values (8: u8), the number
//! of dimensions, each dimension as a big-endian u32, then the values.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::{MOST_VALUES, at_end, entries, holding_folder, name_of, open, read_full};
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::{Classes, LabelIndex};
use crate::data::shape::SampleShape;
use crate::data::writer::Sample;
use crate::spec::SplitName;

/// Each split, and what its files' names begin with.
const SPLITS: [(SplitName, &str); 2] = [(SplitName::Train, "train"), (SplitName::Test, "t10k")];

/// Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and their `t10k-` twins, plain or
/// gzipped. The test files may both be absent. The classes are the labels that occur in training.
pub(super) fn read(input: &Path, intake: &mut Intake<'_>) -> Result<Classes, DataError> {
    let folder = holding_folder(input, "`train-images-idx3-ubyte` (or `.gz`)", |folder| {
        Ok(find(folder, "train-images-idx3-ubyte")?.is_some())
    })?;
    let mut pairs = Vec::new();
    for (split, prefix) in SPLITS {
        let names = [
            format!("{prefix}-images-idx3-ubyte"),
            format!("{prefix}-labels-idx1-ubyte"),
        ];
        match (find(&folder, &names[0])?, find(&folder, &names[1])?) {
            (Some(images), Some(labels)) => {
                pairs.push((split, Idx::open::<3>(images)?, Idx::open::<1>(labels)?));
            }
            (None, None) => {}
            (images, _) => {
                let missing = if images.is_none() { &names[0] } else { &names[1] };
                return Err(DataError::input(
                    &folder,
                    format!("`{missing}` (or `.gz`) is missing"),
                ));
            }
        }
    }
    intake.expect(
        pairs
            .iter()
            .map(|(_, images, _)| images.dimensions[0] as u64)
            .sum(),
    );

    let mut classes = LabelIndex::default();
    for (split, mut images, mut labels) in pairs {
        read_split(split, &mut images, &mut labels, &mut classes, intake)?;
    }
    Ok(classes.classes())
}

fn read_split(
    split: SplitName,
    images: &mut Idx,
    labels: &mut Idx,
    classes: &mut LabelIndex,
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let count = images.dimensions[0];
    if labels.dimensions[0] != count {
        let problem = format!("it has {} labels for {count} images", labels.dimensions[0]);
        return Err(DataError::input(&labels.path, problem));
    }
    let shape = SampleShape::Image {
        channels: 1,
        height: images.dimensions[1],
        width: images.dimensions[2],
    };
    let len = shape.checked_len().filter(|len| *len <= MOST_VALUES);
    let len = len.ok_or_else(|| DataError::input(&images.path, format!("it claims images of {shape}")))?;
    intake.begin(shape, &[], &images.path)?;
    let file = name_of(&images.path);
    let mut pixels = vec![0; len];
    let mut label = [0];
    for index in 0..count {
        images.read(&mut pixels, index)?;
        labels.read(&mut label, index)?;
        let text = label[0].to_string();
        let class = match split {
            SplitName::Train => Some(classes.index(&text)),
            _ => classes.known(&text),
        };
        match class {
            Some(class) => intake.push(split, class, Sample::Pixels(&pixels), &format!("{file}#{index}"))?,
            None => {
                let problem =
                    format!("sample {index} (from 0) has label {text}, which no training sample has");
                intake.reject(DataError::input(&labels.path, problem))?;
            }
        }
    }
    images.end()?;
    labels.end()
}

/// The file called `name`, with or without `.gz`, its first `-idx` also written `.idx`.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>, DataError> {
    let wanted = |path: &PathBuf| {
        let file = name_of(path);
        file.strip_suffix(".gz").unwrap_or(&file).replace(".idx", "-idx") == name && path.is_file()
    };
    Ok(entries(folder)?.into_iter().find(wanted))
}

/// An IDX file of bytes, its header read.
struct Idx {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    dimensions: Vec<usize>,
}

impl Idx {
    fn open<const DIMENSIONS: usize>(path: PathBuf) -> Result<Self, DataError> {
        let mut reader = open(&path)?;
        let mut header = [[0; 4]; 4];
        let header = &mut header[..=DIMENSIONS];
        if !read_full(&mut *reader, header.as_flattened_mut(), &path)? {
            return Err(DataError::input(&path, "it ends within its header"));
        }
        let magic = [0, 0, 8, DIMENSIONS as u8];
        if header[0] != magic {
            let problem = format!(
                "it begins with {:?}, not {magic:?} as IDX files of bytes do",
                header[0]
            );
            return Err(DataError::input(&path, problem));
        }
        let dimensions = header[1..]
            .iter()
            .map(|bytes| u32::from_be_bytes(*bytes) as usize)
            .collect();
        Ok(Self {
            path,
            reader,
            dimensions,
        })
    }

    fn read(&mut self, item: &mut [u8], index: usize) -> Result<(), DataError> {
        if read_full(&mut *self.reader, item, &self.path)? {
            return Ok(());
        }
        let problem = format!(
            "it is truncated: item {index} of {} is not whole",
            self.dimensions[0]
        );
        Err(DataError::input(&self.path, problem))
    }

    fn end(&mut self) -> Result<(), DataError> {
        if at_end(&mut *self.reader, &self.path)? {
            return Ok(());
        }
        let problem = format!(
            "it goes on after the {} items that its header names",
            self.dimensions[0]
        );
        Err(DataError::input(&self.path, problem))
    }
}
