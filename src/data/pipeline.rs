//! From what samples hold to what a batch holds of them.

mod fill;

use indexmap::IndexMap;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::augment::{Augmentation, blend};
use super::batch::{Array, ArrayValues, Batch};
use super::collate::{Collation, collate};
use super::error::DataError;
use super::example::Example;
use super::normalization::Normalization;
use super::target_scale::TargetScale;
use super::value::{FieldValue, OwnedValue};
use crate::random::{Purpose, Stream};
use crate::schema::{ElementType, Encoding, Field, FieldKind, FieldRole, InputShape, Schema};
use crate::spec;
use fill::Fill;

/// Values that are copied and normalised in the time that handing them to another thread takes.
const GRAIN: usize = 32_768;

/// The way from what samples hold to a batch: decoding, changes, normalisation, collation. It is the
/// same for the samples of a dataset, which a [`super::Loader`] serves, and for those of a request.
pub struct SamplePipeline {
    stored: Schema,
    served: Schema,
    /// The index of the stored field that changes and normalisation are about.
    input: usize,
    /// What a network is shown of it, where that is an image or a row of numbers.
    shape: Option<InputShape>,
    augmentation: Augmentation,
    normalization: Normalization,
    target_scale: Option<TargetScale>,
    /// For each channel, what each pixel value becomes; empty for other data.
    pixel_tables: Vec<[f32; 256]>,
    /// The stored fields that are moved as the image is.
    riders: Vec<usize>,
    collation: Collation,
}

/// How a [`SamplePipeline`] makes batches.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Changes to each image, in order, and mixing of samples.
    pub augment: Vec<spec::Augment>,
    /// Applied to each image or row, after its changes.
    pub normalization: Normalization,
    /// In a regression: what the numbers are shifted and scaled by.
    pub target_scale: Option<TargetScale>,
    /// What becomes of samples of various lengths.
    pub collation: Collation,
}

/// Where samples come from.
pub(super) trait SampleSource: Sync {
    /// What `sample` holds of the schema's field `field`.
    fn value(&self, field: usize, sample: u32) -> FieldValue<'_>;

    /// What the sample is called in messages.
    fn name(&self, sample: u32) -> String;

    /// The error that something is wrong with `sample`.
    fn bad(&self, sample: u32, problem: &str) -> DataError;
}

impl SamplePipeline {
    /// A pipeline for samples that hold `schema`. To predict, leave the targets out
    /// ([`Schema::inputs`]).
    ///
    /// # Errors
    /// There is nothing to show a network; the normalisation or the targets' scale is for other data;
    /// the changes do not fit the samples; or images have various sizes in the end.
    pub fn new(schema: &Schema, options: PipelineOptions) -> Result<Self, DataError> {
        let is_input = |field: &Field| field.role == FieldRole::Input;
        let Some(input) = schema.fields().iter().position(is_input) else {
            return Err(DataError::Options(
                "the samples have nothing to show a network".into(),
            ));
        };
        let field = &schema.fields()[input];
        options.normalization.check(field)?;
        if let Some(scale) = &options.target_scale {
            let target = schema.target();
            let numbers = target.filter(|target| target.kind == FieldKind::Numbers);
            match (target, numbers) {
                (Some(_), None) => {
                    return Err(DataError::Options(
                        "`standardize_targets` scales numbers, and the data has classes or labels: remove it"
                            .into(),
                    ));
                }
                (_, Some(target)) => scale.check(target.dimensions.len().unwrap_or(0))?,
                (None, None) => {}
            }
        }
        let augmentation =
            Augmentation::new(&options.augment, schema)?.with_means(&options.normalization.mean);
        let shape = augmentation.input_after().input_shape();
        if field.is_image() && shape.is_none() {
            return Err(DataError::various_sizes());
        }
        let is_rider = |(index, other): &(usize, &Field)| {
            *index != input
                && field.is_image()
                && other.role != FieldRole::Origin
                && matches!(
                    other.kind,
                    FieldKind::Image | FieldKind::Mask | FieldKind::Objects
                )
        };
        let riders = schema.fields().iter().enumerate().filter(is_rider);
        Ok(Self {
            riders: riders.map(|(index, _)| index).collect(),
            served: served(augmentation.schema_after(), augmentation.mixes())?,
            stored: schema.clone(),
            input,
            shape,
            pixel_tables: if field.is_image() {
                options.normalization.pixel_tables()
            } else {
                Vec::new()
            },
            augmentation,
            normalization: options.normalization,
            target_scale: options.target_scale,
            collation: options.collation,
        })
    }

    /// What a batch holds: all fields but those that tell where samples come from.
    pub fn schema(&self) -> &Schema {
        &self.served
    }

    /// The shape of one sample in a batch, where a network is shown an image or a row of numbers.
    pub fn shape(&self) -> Option<InputShape> {
        self.shape
    }

    /// The batch of samples from outside a dataset: bit for bit the one that a loader gives of the same
    /// samples, without shuffling. Changes that draw do so as in epoch 0 under seed 0. The work is shared by the
    /// threads of the current pool.
    ///
    /// # Errors
    /// A sample lacks a field, has another value than the schema says, or cannot be decoded or changed.
    pub fn batch(&self, examples: &[Example]) -> Result<Batch, DataError> {
        let resolve = |(index, example): (usize, &Example)| example.resolve(&self.stored, index);
        let threads = if self.is_small(examples.len()) {
            FillThreads::Caller
        } else {
            FillThreads::CurrentPool
        };
        let resolved: Result<Vec<Vec<OwnedValue>>, DataError> = match threads {
            FillThreads::CurrentPool => examples.par_iter().enumerate().map(resolve).collect(),
            _ => examples.iter().enumerate().map(resolve).collect(),
        };
        // A request has fewer than 2^32 samples.
        let samples: Vec<u32> = (0..examples.len() as u32).collect();
        let draws = Draws { seed: 0, epoch: 0 };
        Ok(Batch {
            index: 0,
            fields: self.arrays(&RequestSamples(resolved?), &samples, draws, threads)?,
            samples,
        })
    }

    /// Whether samples are changed by themselves.
    pub(super) fn changes(&self) -> bool {
        !self.augmentation.is_empty()
    }

    /// Whether samples are mixed.
    pub(super) fn mixes(&self) -> bool {
        self.augmentation.mixes()
    }

    /// Samples that are handed to a thread at once, at least.
    fn group(&self) -> usize {
        // Small samples are handed out in groups, so that handing out costs little; image files take
        // long to decode.
        match self.shape {
            Some(shape) if !self.stored.fields()[self.input].is_encoded() => (GRAIN / shape.len()).max(1),
            _ => 1,
        }
    }

    /// Whether threads would cost more than they bring for batches of `samples`.
    pub(super) fn is_small(&self, samples: usize) -> bool {
        self.augmentation.is_empty() && self.riders.is_empty() && samples <= self.group()
    }

    /// The arrays of all of `samples` but the last, each mixed with the next one.
    pub(super) fn mixed(
        &self,
        source: &impl SampleSource,
        samples: &[u32],
        draws: Draws,
        threads: FillThreads<'_>,
    ) -> Result<IndexMap<String, Array>, DataError> {
        let mut arrays = self.arrays(source, samples, draws, threads)?;
        let count = samples.len().saturating_sub(1);
        let input = &self.stored.fields()[self.input].name;
        let (
            Some(InputShape::Image {
                channels,
                height,
                width,
            }),
            Some(ArrayValues::F32(values)),
        ) = (self.shape, arrays.get_mut(input).map(|array| &mut array.values))
        else {
            return Err(DataError::Options("only images are mixed".into()));
        };
        let len = channels * height * width;
        // The next sample is still as it was when it is read: rows are mixed from the first on.
        let mut shares = Vec::with_capacity(count);
        for (index, sample) in samples[..count].iter().enumerate() {
            let (own, next) = values[index * len..].split_at_mut(len);
            let mut draws = draws.stream(Purpose::Mix, *sample);
            let shape = [channels, height, width];
            shares.push(self.augmentation.mix(own, &next[..len], shape, &mut draws));
        }
        for (name, array) in &mut arrays {
            if let ArrayValues::F32(values) = &mut array.values
                && name != input
            {
                let len = values.len() / samples.len();
                for (index, share) in shares.iter().enumerate() {
                    let (own, next) = values[index * len..].split_at_mut(len);
                    blend(own, &next[..len], *share);
                }
            }
            array.truncate(count);
        }
        Ok(arrays)
    }

    /// The arrays of `samples`.
    pub(super) fn arrays(
        &self,
        source: &impl SampleSource,
        samples: &[u32],
        draws: Draws,
        threads: FillThreads<'_>,
    ) -> Result<IndexMap<String, Array>, DataError> {
        let len = self.shape.map_or(0, |shape| shape.len());
        let mut inputs = vec![0f32; samples.len() * len];
        let mut riding: Vec<Vec<OwnedValue>> = Vec::new();
        riding.resize_with(samples.len(), Vec::new);
        if len > 0 {
            let work = Fill {
                pipeline: self,
                source,
                draws,
            };
            match threads {
                FillThreads::Caller => work.one_by_one(samples, &mut inputs, &mut riding),
                FillThreads::CurrentPool => work.in_parallel(samples, &mut inputs, &mut riding),
                FillThreads::Pool(pool) => {
                    pool.install(|| work.in_parallel(samples, &mut inputs, &mut riding))
                }
            }?;
        }
        let mut inputs = Some(inputs);
        let mut arrays = IndexMap::with_capacity(self.served.fields().len());
        for served in self.served.fields() {
            let Some(index) = self.stored.position(&served.name) else {
                continue;
            };
            let array = if let (true, Some(shape)) = (index == self.input, self.shape) {
                let inputs = inputs.take().unwrap_or_default();
                Array::stacked(ArrayValues::F32(inputs), shape.of_batch(samples.len()))
            } else {
                let stored = &self.stored.fields()[index];
                let values: Vec<FieldValue<'_>> = match self.riders.iter().position(|rider| *rider == index) {
                    Some(place) => riding.iter().map(|riders| riders[place].as_value()).collect(),
                    None => samples
                        .iter()
                        .map(|sample| source.value(index, *sample))
                        .collect(),
                };
                let mut array = collate(stored, served, &values, self.collation)?;
                self.scale_target(served, &mut array);
                array
            };
            arrays.insert(served.name.clone(), array);
        }
        Ok(arrays)
    }

    /// Scales the numbers that are to be predicted, where that is asked for.
    fn scale_target(&self, served: &Field, array: &mut Array) {
        let is_target = self
            .served
            .target()
            .is_some_and(|target| target.name == served.name);
        if let (Some(scale), ArrayValues::F32(values), true) =
            (&self.target_scale, &mut array.values, is_target)
        {
            for row in values.chunks_exact_mut(scale.mean.len().max(1)) {
                scale.apply(row);
            }
        }
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
}

/// Who fills in what a network is shown.
#[derive(Clone, Copy)]
pub(super) enum FillThreads<'a> {
    /// Whoever asks.
    Caller,
    /// The threads of the current pool.
    CurrentPool,
    /// These threads.
    Pool(&'a ThreadPool),
}

/// What the draws of samples depend on beside the samples' indices.
#[derive(Clone, Copy)]
pub(super) struct Draws {
    pub seed: u64,
    pub epoch: u32,
}

impl Draws {
    fn stream(self, purpose: Purpose, sample: u32) -> Stream {
        Stream::new(self.seed, purpose, self.epoch, sample)
    }
}

/// What a batch holds of samples that hold `schema` once they are changed, and mixed where `mixes`.
fn served(schema: &Schema, mixes: bool) -> Result<Schema, DataError> {
    let fields = schema.fields().iter();
    let fields = fields
        .filter(|field| field.role != FieldRole::Origin)
        .map(|field| {
            let element = match (field.kind, field.element) {
                (FieldKind::Image | FieldKind::Labels, _) => ElementType::F32,
                (_, ElementType::U16) => ElementType::U32,
                (_, ElementType::I32) => ElementType::I64,
                (_, element) => element,
            };
            let mut served = field.clone();
            if mixes && field.kind == FieldKind::Class {
                served = Field::probabilities(&field.name, field.names.clone()).with_role(field.role);
            } else {
                served.element = element;
            }
            if served.is_encoded() {
                served.encoding = Encoding::Raw;
            }
            served
        });
    Schema::new(fields.collect()).map_err(DataError::Options)
}

/// Samples of a request.
struct RequestSamples(Vec<Vec<OwnedValue>>);

impl SampleSource for RequestSamples {
    fn value(&self, field: usize, sample: u32) -> FieldValue<'_> {
        self.0[sample as usize][field].as_value()
    }

    fn name(&self, sample: u32) -> String {
        format!("sample {sample} of the request")
    }

    fn bad(&self, sample: u32, problem: &str) -> DataError {
        DataError::Input {
            place: self.name(sample),
            problem: problem.to_owned(),
        }
    }
}
