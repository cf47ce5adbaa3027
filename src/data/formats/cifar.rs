//! CIFAR-10 and CIFAR-100, as their binary archives have them.
//!
//! Layout (A. Krizhevsky, <https://www.cs.toronto.edu/~kriz/cifar.html>): records of one label byte
//! (CIFAR-100: a coarse and a fine one) and 3,072 pixels, `[3, 32, 32]`.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use super::{FormatReader, holding_folder, images_with_classes, read_full};
use crate::data::error::DataError;
use crate::data::intake::{Intake, IntakeSample};
use crate::data::labels::Classes;
use crate::data::value::FieldValue;
use crate::spec::{Cifar10Options, Cifar100Labels, Cifar100Options, SplitName, counted};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

const CIFAR10_FILES: [(SplitName, &str); 6] = [
    (SplitName::Train, "data_batch_1.bin"),
    (SplitName::Train, "data_batch_2.bin"),
    (SplitName::Train, "data_batch_3.bin"),
    (SplitName::Train, "data_batch_4.bin"),
    (SplitName::Train, "data_batch_5.bin"),
    (SplitName::Test, "test_batch.bin"),
];
const CIFAR100_FILES: [(SplitName, &str); 2] =
    [(SplitName::Train, "train.bin"), (SplitName::Test, "test.bin")];

impl FormatReader for Cifar10Options {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        read_cifar10(input, intake).map(Some)
    }
}

/// Reads CIFAR-10's binary archive, unpacked.
fn read_cifar10(input: &Path, intake: &mut Intake<'_>) -> Result<Classes, DataError> {
    let archive = Archive {
        files: &CIFAR10_FILES,
        names: "batches.meta.txt",
        classes: 10,
        label_bytes: 1,
        label_byte: 0,
    };
    archive.read(input, intake)
}

impl FormatReader for Cifar100Options {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        read_cifar100(self, input, intake).map(Some)
    }
}

/// Reads CIFAR-100's binary archive, unpacked.
fn read_cifar100(
    options: &Cifar100Options,
    input: &Path,
    intake: &mut Intake<'_>,
) -> Result<Classes, DataError> {
    let (names, classes, label_byte) = match options.labels {
        Cifar100Labels::Coarse => ("coarse_label_names.txt", 20, 0),
        Cifar100Labels::Fine => ("fine_label_names.txt", 100, 1),
    };
    let archive = Archive {
        files: &CIFAR100_FILES,
        names,
        classes,
        label_bytes: 2,
        label_byte,
    };
    archive.read(input, intake)
}

/// How an archive is laid out.
struct Archive {
    files: &'static [(SplitName, &'static str)],
    /// The file of the classes' names.
    names: &'static str,
    classes: usize,
    label_bytes: usize,
    /// Which of them is the label.
    label_byte: usize,
}

impl Archive {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Classes, DataError> {
        let (_, first) = self.files[0];
        let what = format!("`{first}`");
        let folder = holding_folder(input, &what, |folder| Ok(folder.join(first).is_file()))?;
        let names = self.read_names(&folder)?;
        let mut total = 0;
        for (_, file) in self.files {
            total += self.records(&folder.join(file))?;
        }
        intake.expect(total);
        intake.begin(images_with_classes(SHAPE)?, &folder)?;
        for (split, file) in self.files {
            self.read_file(*split, &folder, file, intake)?;
        }
        Ok(Classes::known(names))
    }

    fn read_names(&self, folder: &Path) -> Result<Vec<String>, DataError> {
        let path = folder.join(self.names);
        let text = fs::read_to_string(&path).map_err(DataError::io("read", &path))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let names: Vec<String> = lines.map(str::to_owned).collect();
        if names.len() != self.classes {
            let problem = format!(
                "it names {}, and there are {}",
                counted(names.len(), "class"),
                self.classes
            );
            return Err(DataError::input(&path, problem));
        }
        Ok(names)
    }

    /// The number of records in a file.
    fn records(&self, path: &Path) -> Result<u64, DataError> {
        let bytes = fs::metadata(path).map_err(DataError::io("read", path))?.len();
        let record = (self.label_bytes + PIXELS) as u64;
        if bytes == 0 || !bytes.is_multiple_of(record) {
            let problem = format!(
                "it has {}, which is not a number of whole records of {record} bytes: it is truncated, \
                 or in another format",
                counted(bytes, "byte")
            );
            return Err(DataError::input(path, problem));
        }
        Ok(bytes / record)
    }

    fn read_file(
        &self,
        split: SplitName,
        folder: &Path,
        file: &str,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        let path = folder.join(file);
        let count = self.records(&path)?;
        let opened = File::open(&path).map_err(DataError::io("open", &path))?;
        let mut reader = BufReader::with_capacity(1 << 17, opened);
        let mut record = vec![0; self.label_bytes + PIXELS];
        for index in 0..count {
            if !read_full(&mut reader, &mut record, &path)? {
                return Err(DataError::input(
                    &path,
                    format!("it ends within record {index} (from 0)"),
                ));
            }
            let label = record[self.label_byte];
            if usize::from(label) >= self.classes {
                let problem = format!(
                    "record {index} (from 0) has label {label}, and there are {} classes",
                    self.classes
                );
                intake.reject(DataError::input(&path, problem))?;
                continue;
            }
            intake.push(IntakeSample {
                split,
                class: Some(u32::from(label)),
                values: &[FieldValue::pixels(&record[self.label_bytes..], SHAPE)],
                origin: &format!("{file}#{index}"),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{Bench, label};
    use crate::spec::{Format, OnError};

    fn format() -> Format {
        Format::from(Cifar10Options {})
    }

    fn records(labels: &[&[u8]], start: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (record, labels) in labels.iter().enumerate() {
            bytes.extend(*labels);
            bytes.extend((0..PIXELS).map(|at| (at as u8).wrapping_mul(3) ^ start.wrapping_add(record as u8)));
        }
        bytes
    }

    /// An archive in CIFAR-10's layout, with two records a file.
    fn cifar10() -> Bench {
        let bench = Bench::new();
        for (number, (_, file)) in (0u8..).zip(CIFAR10_FILES) {
            let labels: [&[u8]; 2] = [&[number * 2 % 10], &[(number * 2 + 1) % 10]];
            bench.file(
                &format!("cifar-10-batches-bin/{file}"),
                &records(&labels, number * 16),
            );
        }
        let names: String = (0..10).map(|class| format!("class {class}\n")).collect();
        bench.file(
            "cifar-10-batches-bin/batches.meta.txt",
            format!("{names}\n").as_bytes(),
        );
        bench
    }

    #[test]
    fn reads_cifar10() {
        let bench = cifar10();
        let dataset = bench.dataset(&format());
        assert_eq!(dataset.input().to_string(), "3x32x32");
        assert_eq!(dataset.target().names[3], "class 3");
        let train = dataset.split(SplitName::Train).unwrap();
        assert_eq!(train.len(), 10);
        assert_eq!(
            (label(&train, 3), train.origin(3)),
            (3, "data_batch_2.bin#1".into())
        );
        let mut pixels = Vec::new();
        train.read_sample(3, &mut pixels).unwrap();
        assert_eq!(
            pixels[1000],
            f32::from((1000usize as u8).wrapping_mul(3) ^ 17) / 255.0
        );
        let test = dataset.split(SplitName::Test).unwrap();
        assert_eq!((test.len(), label(&test, 1)), (2, 1));
        // Eight classes are not in this small test split.
        assert_eq!(bench.notices.lock().unwrap().len(), 1);
    }

    #[test]
    fn reads_cifar100_with_either_labels() {
        let bench = Bench::new();
        let names = |count| (0..count).map(|class| format!("n{class}\n")).collect::<String>();
        bench.file("coarse_label_names.txt", names(20).as_bytes());
        bench.file("fine_label_names.txt", names(100).as_bytes());
        let labels: Vec<[u8; 2]> = (0..100).map(|class| [class / 5, class]).collect();
        let labels: Vec<&[u8]> = labels.iter().map(|labels| &labels[..]).collect();
        bench.file("train.bin", &records(&labels, 0));
        bench.file("test.bin", &records(&labels[90..], 9));
        for (labels, classes, expected) in [(Cifar100Labels::Fine, 100, 99), (Cifar100Labels::Coarse, 20, 19)]
        {
            let dataset = bench.dataset(&Format::from(Cifar100Options { labels }));
            assert_eq!(dataset.target().names.len(), classes);
            let test = dataset.split(SplitName::Test).unwrap();
            assert_eq!(label(&test, 9), expected);
        }
    }

    #[test]
    fn bad_archives_are_named() {
        let folder = "cifar-10-batches-bin";
        let bench = cifar10();
        bench.file(
            &format!("{folder}/data_batch_4.bin"),
            &records(&[&[1], &[2]], 0)[1..],
        );
        let error = bench.error(&format());
        assert!(
            error.contains("data_batch_4.bin") && error.contains("6145 bytes"),
            "{error}"
        );

        let mut bench = cifar10();
        bench.file(&format!("{folder}/test_batch.bin"), &records(&[&[0], &[10]], 0));
        let error = bench.error(&format());
        assert!(
            error.contains("record 1 (from 0) has label 10, and there are 10 classes"),
            "{error}"
        );
        bench.on_error = OnError::Skip;
        assert_eq!(bench.prepare(&format()).unwrap().skipped, 1);

        let bench = cifar10();
        bench.file(&format!("{folder}/batches.meta.txt"), b"cat\ndog\n");
        assert!(
            bench
                .error(&format())
                .contains("it names 2 classes, and there are 10")
        );
        fs::remove_file(bench.input().join(folder).join("batches.meta.txt")).unwrap();
        assert!(bench.error(&format()).contains("cannot read"));
        fs::remove_file(bench.input().join(folder).join("data_batch_1.bin")).unwrap();
        assert!(
            bench
                .error(&format())
                .contains("there is no `data_batch_1.bin` here or one folder down")
        );
    }
}
