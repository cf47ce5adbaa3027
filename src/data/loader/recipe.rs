//! How one batch is made.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::LoaderConfig;
use crate::data::augment::{Augmentation, Image};
use crate::data::batch::{Array, ArrayValues, Batch};
use crate::data::dataset::{RawSample, Split, read_features};
use crate::data::error::DataError;
use crate::data::field_names::{CLASS, FEATURES, IMAGE, LABELS, TARGETS};
use crate::data::normalization::Normalization;
use crate::data::targets::{TargetScale, Targets};
use crate::random::{Purpose, Stream};
use crate::schema::{Dimensions, ElementType, Field, InputShape, Schema};
use crate::spec::Task;

/// Values that are copied and normalised in the time that handing them to another thread takes.
const GRAIN: usize = 32_768;

/// All that a batch depends on beside its epoch and index.
pub(super) struct Recipe {
    split: Split,
    batch_size: usize,
    augmentation: Augmentation,
    normalization: Normalization,
    target_scale: Option<TargetScale>,
    /// For each channel, what each pixel value becomes; empty for tables.
    pixel_tables: Vec<[f32; 256]>,
    shape: InputShape,
    schema: Schema,
    shuffle: bool,
    seed: u64,
    /// Samples that are handed to a thread at once, at least.
    group: usize,
    /// Nothing where a batch is too small to be shared by threads.
    pool: Option<ThreadPool>,
}

impl Recipe {
    /// A recipe for batches of `split`, whose options have been checked.
    pub fn new(split: Split, config: LoaderConfig, augmentation: Augmentation) -> Result<Self, DataError> {
        let shape = augmentation.shape_after().input();
        let shape = shape.ok_or_else(DataError::various_sizes)?;
        let schema = batch_schema(&split, shape, augmentation.mixes()).map_err(DataError::Options)?;
        let is_image = split.shape().is_image();
        // Small samples are handed out in groups, so that handing out costs little; image files take
        // long to decode.
        let is_file = !split.is_empty() && matches!(split.raw_sample(0), RawSample::File { .. });
        let group = if is_file { 1 } else { (GRAIN / shape.len()).max(1) };
        let is_small = augmentation.is_empty() && config.batch_size.min(split.len()) <= group;
        let pool = if is_small {
            None
        } else {
            let threads = rayon::current_num_threads();
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|index| format!("loader-{index}"))
                .build();
            Some(pool.map_err(|error| {
                DataError::Options(format!("cannot start {threads} threads for the loader: {error}"))
            })?)
        };
        Ok(Self {
            batch_size: config.batch_size,
            augmentation,
            pixel_tables: if is_image {
                config.normalization.pixel_tables()
            } else {
                Vec::new()
            },
            normalization: config.normalization,
            target_scale: config.target_scale,
            shape,
            schema,
            shuffle: config.shuffle,
            seed: config.seed,
            split,
            group,
            pool,
        })
    }

    /// Samples a batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The split that is served.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// What a batch holds.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The shape of each sample in a batch.
    pub fn shape(&self) -> InputShape {
        self.shape
    }

    /// The order of `epoch`'s samples.
    pub fn order(&self, epoch: u32) -> Vec<u32> {
        // A dataset holds fewer than 2^32 samples.
        let mut order: Vec<u32> = (0..self.split.len() as u32).collect();
        if self.shuffle {
            Stream::new(self.seed, Purpose::Shuffle, epoch, 0).shuffle(&mut order);
        }
        order
    }

    /// Whether batches are mixed.
    pub fn mixes(&self) -> bool {
        self.augmentation.mixes()
    }

    /// The batch `index` of `epoch`, whose samples have the order `order`.
    pub fn batch(&self, epoch: u32, index: usize, order: &[u32]) -> Result<Batch, DataError> {
        let start = index * self.batch_size;
        let samples = order[start..order.len().min(start + self.batch_size)].to_vec();
        let mut inputs = vec![0f32; samples.len() * self.shape.len()];
        match &self.pool {
            Some(pool) => pool.install(|| self.fill_all(epoch, &samples, &mut inputs)),
            None => {
                let mut image = workspace();
                samples
                    .iter()
                    .zip(inputs.chunks_exact_mut(self.shape.len()))
                    .try_for_each(|(sample, out)| self.fill(epoch, *sample, &mut image, out))
            }
        }?;
        let mut targets = self.targets(&samples);
        if self.augmentation.mixes() {
            // An epoch has fewer than 2^32 batches, as it has samples.
            let mut draws = Stream::new(self.seed, Purpose::Mix, epoch, index as u32);
            let outputs = self.split.outputs();
            targets = self
                .augmentation
                .mix(&mut inputs, self.shape, targets, outputs, &mut draws);
        }
        Ok(self.named(index, samples, inputs, targets))
    }

    /// The batch by the names of the schema's fields.
    fn named(&self, index: usize, samples: Vec<u32>, inputs: Vec<f32>, targets: Targets) -> Batch {
        let count = samples.len();
        let inputs = Array::stacked(ArrayValues::F32(inputs), self.shape.of_batch(count));
        let targets = match targets {
            Targets::Classes(classes) => Array::stacked(ArrayValues::U32(classes), vec![count]),
            Targets::Probabilities(values) | Targets::Values(values) => {
                Array::stacked(ArrayValues::F32(values), vec![count, self.split.outputs()])
            }
        };
        let names = self.schema.fields().iter().map(|field| field.name.clone());
        Batch {
            index,
            samples,
            fields: names.zip([inputs, targets]).collect(),
        }
    }

    /// Fills `inputs` on the current pool. Of several errors, the first sample's.
    fn fill_all(&self, epoch: u32, samples: &[u32], inputs: &mut [f32]) -> Result<(), DataError> {
        let len = self.shape.len();
        let failure = inputs
            .par_chunks_exact_mut(len)
            .zip(samples)
            .with_min_len(self.group)
            .map_init(workspace, |image, (out, sample)| {
                self.fill(epoch, *sample, image, out).err()
            })
            .find_map_first(|failure| failure);
        failure.map_or(Ok(()), Err)
    }

    /// Writes one sample, changed and normalised, into `out`.
    fn fill(&self, epoch: u32, sample: u32, image: &mut Image, out: &mut [f32]) -> Result<(), DataError> {
        let index = sample as usize;
        match self.split.raw_sample(index) {
            RawSample::Features(bytes) => {
                read_features(bytes, out);
                self.normalization.apply_to_features(out);
                return Ok(());
            }
            RawSample::Pixels { pixels, .. } if self.augmentation.is_empty() => {
                self.normalize(pixels, out);
                return Ok(());
            }
            RawSample::Pixels { .. } | RawSample::File { .. } => {}
        }
        let [height, width] = self.split.read_image(index, &mut image.pixels)?;
        (image.channels, image.height, image.width) = (self.split.shape().channels(), height, width);
        let checked = self.augmentation.check_image(image.channels, [height, width]);
        checked.map_err(|problem| DataError::Input {
            place: format!("sample `{}`", self.split.origin(index)),
            problem,
        })?;
        let mut draws = Stream::new(self.seed, Purpose::Augment, epoch, sample);
        self.augmentation.apply(image, &mut draws);
        if image.pixels.len() != out.len() {
            let problem = format!(
                "it has {}x{} pixels (height x width) after all changes and should have the shape {}",
                image.height,
                image.width,
                self.shape.of_sample()
            );
            return Err(self.split.bad(index, &problem));
        }
        self.normalize(&image.pixels, out);
        Ok(())
    }

    fn normalize(&self, pixels: &[u8], out: &mut [f32]) {
        let plane = out.len() / self.pixel_tables.len();
        let planes = pixels.chunks_exact(plane).zip(out.chunks_exact_mut(plane));
        for ((pixels, out), table) in planes.zip(&self.pixel_tables) {
            for (value, pixel) in out.iter_mut().zip(pixels) {
                *value = table[usize::from(*pixel)];
            }
        }
    }

    /// What `samples` are to be judged by.
    fn targets(&self, samples: &[u32]) -> Targets {
        if self.split.task() == Task::Classification {
            let labels = samples.iter().map(|sample| self.split.label(*sample as usize));
            return Targets::Classes(labels.collect());
        }
        let outputs = self.split.outputs();
        let mut values = vec![0f32; samples.len() * outputs];
        for (sample, values) in samples.iter().zip(values.chunks_exact_mut(outputs)) {
            self.split.values(*sample as usize, values);
            if let Some(scale) = &self.target_scale {
                scale.apply(values);
            }
        }
        Targets::Values(values)
    }
}

/// What a batch of `split` holds whose samples have `shape`.
fn batch_schema(split: &Split, shape: InputShape, mixes: bool) -> Result<Schema, String> {
    let input = match shape {
        InputShape::Image {
            channels,
            height,
            width,
        } => Field::image(IMAGE, Dimensions::image(channels, Some([height, width])))
            .with_element(ElementType::F32),
        InputShape::Features { .. } => Field::features(FEATURES, split.columns().to_vec()),
    };
    let names = split.output_names().to_vec();
    let target = match split.task() {
        Task::Classification if mixes => Field::probabilities(CLASS, names),
        Task::Classification => Field::class(CLASS, names),
        Task::MultiLabel => Field::labels(LABELS, names).with_element(ElementType::F32),
        Task::Regression => Field::numbers(TARGETS, names),
    };
    Schema::new(vec![input, target])
}

/// An image to be filled, and room to work in.
fn workspace() -> Image {
    Image {
        pixels: Vec::new(),
        channels: 0,
        height: 0,
        width: 0,
        spare: Vec::new(),
    }
}
