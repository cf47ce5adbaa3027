//! A tiny dataset and recipes for the tests of training.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use serde_json::{Value, json};

use super::{
    Components, ShorterTraining, SingleWorker, TrainError, Trained, TrainedModel, Training, on_threads, train,
};
use crate::data::text_testing::{TinyText, write_texts_with};
use crate::data::{Dataset, DatasetWriter, FieldValue, Formats, SplitInput, prepare};
use crate::event::{Activity, Monitor};
use crate::metric::MetricTable;
use crate::random::{Purpose, Stream};
use crate::schema::{Dimensions, Field, InputShape, NO_PIXEL_CLASS, Schema, TokenRoles};
use crate::spec::{self, SplitName};

/// The classes of the tiny datasets.
pub const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

/// A folder with a dataset and a place for checkpoints.
pub struct Bench {
    pub folder: tempfile::TempDir,
    /// Weights to begin with.
    pub init: Option<PathBuf>,
    /// Models to learn from.
    pub teachers: Vec<PathBuf>,
    /// A checkpoint of a training of fewer epochs, and that training's identity.
    pub shorter: Option<(PathBuf, String)>,
    pub identity: String,
    pub seed: u64,
    pub threads: usize,
}

impl Bench {
    /// Rows of `columns` numbers around a centre for each class.
    pub fn table(columns: usize, splits: &[(SplitName, usize)]) -> Self {
        Self::new(InputShape::Features { columns }, splits)
    }

    /// Images of 1x8x8 pixels with a bright patch whose place tells the class.
    pub fn images(splits: &[(SplitName, usize)]) -> Self {
        let shape = InputShape::Image {
            channels: 1,
            height: 8,
            width: 8,
        };
        Self::new(shape, splits)
    }

    /// Images of `[C, H, W]` with a bright patch whose place tells the class.
    pub fn images_of([channels, height, width]: [usize; 3], splits: &[(SplitName, usize)]) -> Self {
        Self::new(
            InputShape::Image {
                channels,
                height,
                width,
            },
            splits,
        )
    }

    /// Images of 1x12x10 pixels with a bright rectangle, and masks that tell its pixels; those around it have no class. Of
    /// every fifth sample no pixel has one.
    pub fn masks(splits: &[(SplitName, usize)]) -> Self {
        let bench = Self::empty();
        write_masks(&bench.data(), splits);
        bench
    }

    /// Texts of `vocabulary` tokens.
    pub fn texts(vocabulary: u32, texts: &[(SplitName, TinyText)]) -> Self {
        Self::texts_with(vocabulary, texts, TokenRoles::default())
    }

    /// The same, where some tokens have a meaning of their own.
    pub fn texts_with(vocabulary: u32, texts: &[(SplitName, TinyText)], roles: TokenRoles) -> Self {
        let bench = Self::empty();
        write_texts_with(&bench.data(), vocabulary, texts, roles);
        bench
    }

    /// What `preprocess` makes of a CSV table with a header.
    pub fn csv(text: &str, format: Value, split: Value) -> Self {
        let bench = Self::empty();
        let source = bench.folder.path().join("table.csv");
        std::fs::write(&source, text).unwrap();
        let mut csv = json!({"header": true});
        for (key, value) in format.as_object().unwrap() {
            csv[key] = value.clone();
        }
        let options = json!({"input": "raw", "format": {"csv": csv}, "split": split});
        let options = serde_json::from_value(options).unwrap();
        std::fs::create_dir_all(bench.data()).unwrap();
        prepare(
            &options,
            &Formats::built_in(),
            &[SplitInput::whole(&source)],
            &bench.data(),
            &Monitor::silent(),
        )
        .unwrap();
        bench
    }

    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            init: None,
            teachers: Vec::new(),
            shorter: None,
            identity: "test".to_owned(),
            seed: 7,
            threads: 2,
        }
    }

    fn new(shape: InputShape, splits: &[(SplitName, usize)]) -> Self {
        let bench = Self::empty();
        write_dataset(&bench.data(), shape, splits, &CLASSES);
        bench
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    /// Trains with an empty scratch folder.
    pub fn train(&self, recipe: &spec::Train) -> Result<Trained, TrainError> {
        let _ = std::fs::remove_dir_all(self.scratch());
        self.go_on(recipe, &Monitor::silent())
    }

    /// Trains from where the scratch folder stands.
    pub fn go_on(&self, recipe: &spec::Train, monitor: &Monitor) -> Result<Trained, TrainError> {
        self.go_until(recipe, None, monitor)
    }

    /// Trains from where the scratch folder stands to the end of `limits`.
    pub fn go_until(
        &self,
        recipe: &spec::Train,
        limits: Option<&spec::EpochLimits>,
        monitor: &Monitor,
    ) -> Result<Trained, TrainError> {
        let dataset = Dataset::open(&self.data())?;
        let scratch = self.scratch();
        let components = Components::built_in();
        let teachers = self.teachers.iter();
        let teachers: Result<Vec<TrainedModel>, TrainError> = teachers
            .map(|folder| TrainedModel::load(folder, &Device::Cpu, &components))
            .collect();
        let teachers = teachers?;
        let task = Training {
            recipe,
            metrics: &MetricTable::built_in(),
            dataset: &dataset,
            init: self.init.as_deref(),
            pretrained: None,
            teachers: &teachers,
            device: Device::Cpu,
            seed: self.seed,
            identity: self.identity.clone(),
            scratch: &scratch,
            collective: &SingleWorker,
            limits,
            shorter: self
                .shorter
                .as_ref()
                .map(|(checkpoint, identity)| ShorterTraining {
                    checkpoint,
                    identity: identity.clone(),
                }),
            components: &components,
        };
        on_threads(self.threads, || train(&task, monitor))
    }

    /// Trains with an interruption after every optimizer step; gives the number of interruptions.
    pub fn train_step_by_step(&self, recipe: &spec::Train) -> (Trained, usize) {
        let _ = std::fs::remove_dir_all(self.scratch());
        let mut interruptions = 0;
        loop {
            // Stops after one step, except where the epoch's steps are all done: then it validates.
            let stop = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&stop);
            let listen = move |activity: Activity| match activity {
                Activity::TrainingStarted {
                    batches,
                    resumed_from,
                    ..
                } => {
                    let (_, batch) = resumed_from.unwrap_or((0, 0));
                    flag.store(batch < batches, Ordering::Relaxed);
                }
                Activity::EpochFinished { .. } => flag.store(true, Ordering::Relaxed),
                _ => {}
            };
            match self.go_on(recipe, &Monitor::new(listen, stop)) {
                Ok(trained) => return (trained, interruptions),
                Err(TrainError::Interrupted) => interruptions += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Writes a dataset whose sample `i` has class `i % classes`.
pub fn write_dataset(folder: &Path, shape: InputShape, splits: &[(SplitName, usize)], classes: &[&str]) {
    std::fs::create_dir_all(folder).unwrap();
    let input = match shape {
        InputShape::Features { columns } => Field::features(
            "features",
            (0..columns).map(|index| format!("x{index}")).collect(),
        ),
        InputShape::Image {
            channels,
            height,
            width,
        } => Field::image("image", Dimensions::image(channels, Some([height, width]))),
        InputShape::Tokens { .. } => panic!("no tiny dataset has tokens"),
    };
    let dimensions = input.dimensions;
    let schema = Schema::new(vec![input, Field::class("class", Vec::new())]).unwrap();
    let mut writer = DatasetWriter::create(folder, schema).unwrap();
    let (mut labels, mut members) = (Vec::new(), Vec::new());
    for &(split, count) in splits {
        for _ in 0..count {
            let index = labels.len();
            let class = index % classes.len();
            let mut stream = Stream::new(1, Purpose::Bootstrap, 0, index as u32);
            let origin = format!("row {index}");
            let sample_len = shape.len();
            let value = |place: usize, noise: f64| {
                let signal = if place % classes.len() == class { 1.0 } else { 0.0 };
                signal + noise
            };
            let bytes: Vec<u8> = if shape.is_image() {
                (0..sample_len)
                    .map(|place| (value(place / 8, stream.uniform()) * 120.0) as u8)
                    .collect()
            } else {
                (0..sample_len)
                    .map(|place| value(place, 0.7 * stream.normal()) as f32)
                    .flat_map(f32::to_le_bytes)
                    .collect()
            };
            let value = FieldValue {
                bytes: &bytes,
                dimensions,
            };
            writer.push(&[value], &origin).unwrap();
            labels.push(class as u32);
            members.push(split);
        }
    }
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    writer.finish_with_classes(classes, &labels, &members).unwrap();
}

/// Writes a dataset of images and masks of one bright rectangle each.
fn write_masks(folder: &Path, splits: &[(SplitName, usize)]) {
    const SIZE: [usize; 2] = [12, 10];
    std::fs::create_dir_all(folder).unwrap();
    let classes = ["ground", "thing"].map(str::to_owned).to_vec();
    let schema = Schema::new(vec![
        Field::image("image", Dimensions::image(1, Some(SIZE))),
        Field::pixel_classes("mask", classes, Dimensions::image(1, Some(SIZE))),
    ]);
    let mut writer = DatasetWriter::create(folder, schema.unwrap()).unwrap();
    let mut members = Vec::new();
    for &(split, count) in splits {
        for _ in 0..count {
            let index = members.len();
            let mut stream = Stream::new(2, Purpose::Bootstrap, 0, index as u32);
            let [top, left] = [6, 5].map(|most| stream.below(most) as usize);
            let (mut pixels, mut mask) = (Vec::new(), Vec::new());
            for place in 0..SIZE[0] * SIZE[1] {
                let (y, x) = (place / SIZE[1], place % SIZE[1]);
                let is_in = |by: usize| {
                    let side = |at: usize, from: usize| (from..from + 5 + 2 * by).contains(&(at + by));
                    side(y, top) && side(x, left)
                };
                let noise = (stream.uniform() * 60.0) as u8;
                pixels.push(if is_in(0) { 150 + noise } else { 40 + noise });
                mask.push(match (is_in(0), is_in(1)) {
                    _ if index % 5 == 4 => NO_PIXEL_CLASS,
                    (true, _) => 1,
                    (false, true) => NO_PIXEL_CLASS,
                    (false, false) => 0,
                });
            }
            let value = |bytes| FieldValue::pixels(bytes, [1, SIZE[0], SIZE[1]]);
            writer
                .push(&[value(&pixels), value(&mask)], &format!("scene {index}"))
                .unwrap();
            members.push(split);
        }
    }
    writer.finish(&members).unwrap();
}

/// A recipe: a small default with `changes` over it.
pub fn recipe(changes: Value) -> spec::Train {
    let mut recipe = json!({
        "data": "data",
        "model": {"mlp": {"hidden": [8]}},
        "epochs": 3,
        "batch_size": 8,
        "optimizer": {"sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}},
    });
    for (key, value) in changes.as_object().unwrap() {
        recipe[key] = value.clone();
    }
    serde_json::from_value(recipe).unwrap()
}

/// The largest difference between two models' weights.
pub fn difference(left: &Trained, right: &Trained) -> f32 {
    assert!(left.weights.keys().eq(right.weights.keys()));
    let mut largest = 0f32;
    for (left, right) in left.weights.values().zip(right.weights.values()) {
        for (left, right) in left.to_f32().unwrap().iter().zip(right.to_f32().unwrap()) {
            largest = largest.max((left - right).abs());
        }
    }
    largest
}
