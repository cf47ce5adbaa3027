//! What the tests of this module share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::dataset::{self, Dataset};
use super::error::DataError;
use super::layout::FILE_NAME;
use super::prepare::{Prepared, prepare};
use super::value::FieldValue;
use super::writer::DatasetWriter;
use crate::data::formats::{Formats, SplitInput};
use crate::event::{Activity, Monitor};
use crate::schema::{Dimensions, Field, Schema};
use crate::spec::{Format, OnError, Preprocess, Reference, Share, SplitInputs, SplitName, SplitOptions};

/// A folder with an input to fill, and what came of it.
pub struct Bench {
    pub folder: TempDir,
    pub on_error: OnError,
    pub split: SplitOptions,
    /// The splits that have a folder of their own in the input, which is read for them; none where the
    /// input is read as a whole.
    pub split_folders: Vec<SplitName>,
    pub notices: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("input")).unwrap();
        fs::create_dir(folder.path().join("output")).unwrap();
        Self {
            folder,
            on_error: OnError::Fail,
            split: SplitOptions::default(),
            split_folders: Vec::new(),
            notices: Arc::default(),
        }
    }

    pub fn input(&self) -> PathBuf {
        self.folder.path().join("input")
    }

    pub fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// Writes `bytes` to `path` within the input.
    pub fn file(&self, path: &str, bytes: &[u8]) -> &Self {
        let path = self.input().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    pub fn options(&self, format: Format) -> Preprocess {
        Preprocess {
            input: SplitInputs::One(Reference::parse("raw").unwrap()),
            format,
            split: self.split.clone(),
            on_error: self.on_error,
        }
    }

    pub fn prepare(&self, format: &Format) -> Result<Prepared, DataError> {
        let notices = Arc::clone(&self.notices);
        let monitor = Monitor::new(
            move |activity| {
                if let Activity::Notice { message, .. } = activity {
                    notices.lock().unwrap().push(message);
                }
            },
            Arc::default(),
        );
        let folders = self.split_folders.iter();
        let folders: Vec<(Option<SplitName>, PathBuf)> = match folders.len() {
            0 => vec![(None, self.input())],
            _ => folders
                .map(|split| (Some(*split), self.input().join(split.as_str())))
                .collect(),
        };
        let inputs: Vec<SplitInput> = folders
            .iter()
            .map(|(split, path)| SplitInput { split: *split, path })
            .collect();
        prepare(
            &self.options(format.clone()),
            &Formats::built_in(),
            &inputs,
            &self.output(),
            &monitor,
        )
    }

    /// The prepared dataset.
    pub fn dataset(&self, format: &Format) -> Dataset {
        self.prepare(format).unwrap();
        Dataset::open(&self.output()).unwrap()
    }

    /// The message of the error that preparing gives; nothing may be left behind.
    pub fn error(&self, format: &Format) -> String {
        let error = self.prepare(format).unwrap_err().to_string();
        assert_eq!(
            fs::read_dir(self.output()).unwrap().count(),
            0,
            "leftovers after: {error}"
        );
        error
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.output().join(FILE_NAME)).unwrap()
    }
}

pub fn shares(val: f64, test: f64) -> SplitOptions {
    SplitOptions {
        val: Share::new(val),
        test: Share::new(test),
        ..SplitOptions::default()
    }
}

/// The class of a sample.
pub fn label(split: &dataset::Split, index: usize) -> u32 {
    split.class(index).unwrap()
}

/// What a network is shown, and classes that are told in the end.
pub fn with_classes(input: Field) -> Schema {
    Schema::new(vec![input, Field::class("class", Vec::new())]).unwrap()
}

/// Numbers as a row's bytes.
pub fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A dataset of `count` training images of 3x8x8 pixels in two classes.
pub fn images(folder: &Path, count: u32) -> Dataset {
    let schema = with_classes(Field::image("image", Dimensions::image(3, Some([8, 8]))));
    let mut writer = DatasetWriter::create(folder, schema).unwrap();
    for index in 0..count {
        let pixels: Vec<u8> = (0..192).map(|at| (at * 7 + index * 31) as u8).collect();
        let value = FieldValue::pixels(&pixels, [3, 8, 8]);
        writer.push(&[value], &format!("{index}")).unwrap();
    }
    let labels: Vec<u32> = (0..count).map(|index| index % 2).collect();
    let splits = vec![SplitName::Train; count as usize];
    writer
        .finish_with_classes(vec!["a".into(), "b".into()], &labels, &splits)
        .unwrap();
    Dataset::open(folder).unwrap()
}
