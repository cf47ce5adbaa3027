//! The MNIST family: IDX files of images and labels.
//!
//! Layout (Y. LeCun, "The MNIST database"): two zero bytes, the type of values (8: u8), the number
//! of dimensions, each dimension as a big-endian u32, then the values.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::{FormatReader, at_end, entries, holding_folder, images_with_classes, name_of, open, read_full};
use crate::data::decode::MOST_VALUES;
use crate::data::error::DataError;
use crate::data::intake::{Intake, IntakeSample};
use crate::data::labels::{Classes, LabelIndex};
use crate::data::packing::Packing;
use crate::data::value::FieldValue;
use crate::schema::Dimensions;
use crate::spec::{IdxOptions, SplitName, counted};

/// Each split, and what its files' names begin with.
const SPLITS: [(SplitName, &str); 2] = [(SplitName::Train, "train"), (SplitName::Test, "t10k")];

impl FormatReader for IdxOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        read(input, intake).map(Some)
    }
}

/// Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and their `t10k-` twins, plain or
/// gzipped. The test files may both be absent. The classes are the labels that occur in training.
fn read(input: &Path, intake: &mut Intake<'_>) -> Result<Classes, DataError> {
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
                pairs.push((split, IdxFile::open::<3>(images)?, IdxFile::open::<1>(labels)?));
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
    images: &mut IdxFile,
    labels: &mut IdxFile,
    classes: &mut LabelIndex,
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let count = images.dimensions[0];
    if labels.dimensions[0] != count {
        let problem = format!(
            "it has {} for {}",
            counted(labels.dimensions[0], "label"),
            counted(count, "image")
        );
        return Err(DataError::input(&labels.path, problem));
    }
    let shape = [1, images.dimensions[1], images.dimensions[2]];
    let dimensions = Dimensions::image(1, Some([shape[1], shape[2]]));
    let len = dimensions.len().filter(|len| (1..=MOST_VALUES).contains(len));
    let len =
        len.ok_or_else(|| DataError::input(&images.path, format!("it claims images of {dimensions}")))?;
    intake.begin(images_with_classes(shape)?, &images.path)?;
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
            Some(class) => intake.push(IntakeSample {
                split,
                class: Some(class),
                values: &[FieldValue::pixels(&pixels, shape)],
                origin: &format!("{file}#{index}"),
            })?,
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

/// The file called `name`, packed or not, its first `-idx` also written `.idx`.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>, DataError> {
    let wanted = |path: &PathBuf| {
        let file = name_of(path);
        Packing::stem(&file).replace(".idx", "-idx") == name && path.is_file()
    };
    Ok(entries(folder)?.into_iter().find(wanted))
}

/// An IDX file of bytes, its header read.
struct IdxFile {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    dimensions: Vec<usize>,
}

impl IdxFile {
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
            "it goes on after the {} that its header names",
            counted(self.dimensions[0], "item")
        );
        Err(DataError::input(&self.path, problem))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::data::testing::{Bench, label};
    use crate::spec::Format;

    fn format() -> Format {
        Format::from(IdxOptions {})
    }

    fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        dimensions
            .iter()
            .for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    fn train() -> Bench {
        let bench = Bench::new();
        let pixels: Vec<u8> = (0..18).collect();
        bench.file("mnist/train-images-idx3-ubyte", &idx(&[3, 2, 3], &pixels));
        bench.file("mnist/train-labels-idx1-ubyte", &idx(&[3], &[7, 2, 7]));
        bench
    }

    #[test]
    fn reads_both_splits_plain_and_gzipped() {
        let bench = train();
        bench.file(
            "mnist/t10k-images.idx3-ubyte.gz",
            &gz(&idx(&[1, 2, 3], &[255; 6])),
        );
        bench.file("mnist/t10k-labels-idx1-ubyte", &idx(&[1], &[2]));
        let dataset = bench.dataset(&format());
        assert_eq!(dataset.target().names, ["2", "7"]);
        let (train, test) = (
            dataset.split(SplitName::Train).unwrap(),
            dataset.split(SplitName::Test).unwrap(),
        );
        assert_eq!([0, 1, 2].map(|index| label(&train, index)), [1, 0, 1]);
        let mut pixels = Vec::new();
        train.read_sample(1, &mut pixels).unwrap();
        assert_eq!(pixels, [6, 7, 8, 9, 10, 11].map(|pixel| pixel as f32 / 255.0));
        test.read_sample(0, &mut pixels).unwrap();
        assert_eq!((pixels, label(&test, 0)), (vec![1.0; 6], 0));
        assert_eq!(test.origin(0), "t10k-images.idx3-ubyte.gz#0");
    }

    #[test]
    fn bad_files_are_named() {
        let images = "mnist/train-images-idx3-ubyte";
        let labels = "mnist/train-labels-idx1-ubyte";
        for (file, bytes, expected) in [
            (images, idx(&[3, 2, 3], &[0; 17]), "it is truncated: item 2 of 3"),
            (images, idx(&[3, 2, 3], &[0; 19]), "it goes on after the 3 items"),
            (
                images,
                idx(&[3, 6], &[0; 18]),
                "it begins with [0, 0, 8, 2], not [0, 0, 8, 3]",
            ),
            (images, vec![0, 0, 8], "it ends within its header"),
            (images, idx(&[3, u32::MAX, u32::MAX], &[]), "it claims images of"),
            (images, idx(&[3, 0, 3], &[]), "it claims images of 1x0x3"),
            (labels, idx(&[2], &[1, 2]), "it has 2 labels for 3 images"),
            (
                labels,
                gz(&idx(&[3], &[1, 2, 3]))[..20].to_vec(),
                "train-labels-idx1-ubyte",
            ),
        ] {
            let bench = train();
            bench.file(file, &bytes);
            let error = bench.error(&format());
            assert!(error.contains(expected), "{error}");
        }
        let bench = train();
        bench.file("mnist/t10k-images-idx3-ubyte", &idx(&[1, 2, 3], &[0; 6]));
        assert!(
            bench
                .error(&format())
                .contains("`t10k-labels-idx1-ubyte` (or `.gz`) is missing")
        );
        bench.file("mnist/t10k-labels-idx1-ubyte", &idx(&[1], &[9]));
        assert!(
            bench
                .error(&format())
                .contains("label 9, which no training sample has")
        );
        bench.file("mnist/t10k-images-idx3-ubyte", &idx(&[1, 3, 2], &[0; 6]));
        assert!(
            bench
                .error(&format())
                .contains("shape 1x3x2, and earlier ones 1x2x3")
        );
        assert!(
            Bench::new()
                .error(&format())
                .contains("there is no `train-images-idx3-ubyte`")
        );
    }
}
