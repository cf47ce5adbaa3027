//! What the tests of this module share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::dataset::Dataset;
use super::error::DataError;
use super::layout::FILE_NAME;
use super::prepare::{Prepared, prepare};
use super::shape::SampleShape;
use super::writer::{DatasetWriter, Sample};
use crate::event::{Activity, Monitor};
use crate::spec::{Format, OnError, Preprocess, Reference, Share, Split, SplitName};

/// A folder with an input to fill, and what came of it.
pub struct Bench {
    pub folder: TempDir,
    pub on_error: OnError,
    pub split: Split,
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
            split: Split::default(),
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
            input: Reference::parse("raw").unwrap(),
            format,
            split: self.split,
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
        prepare(
            &self.options(format.clone()),
            &self.input(),
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

pub fn shares(val: f64, test: f64) -> Split {
    Split {
        val: Share::new(val),
        test: Share::new(test),
    }
}

/// A dataset of `count` training images of 3x8x8 pixels in two classes.
pub fn images(folder: &Path, count: u32) -> Dataset {
    let shape = SampleShape::Image {
        channels: 3,
        height: 8,
        width: 8,
    };
    let mut writer = DatasetWriter::create(folder, shape, Vec::new()).unwrap();
    for index in 0..count {
        let pixels: Vec<u8> = (0..192).map(|at| (at * 7 + index * 31) as u8).collect();
        writer.push(Sample::Pixels(&pixels), &format!("{index}")).unwrap();
    }
    let labels: Vec<u32> = (0..count).map(|index| index % 2).collect();
    let splits = vec![SplitName::Train; count as usize];
    writer
        .finish(vec!["a".into(), "b".into()], &labels, &splits)
        .unwrap();
    Dataset::open(folder).unwrap()
}
