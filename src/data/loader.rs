//! Serving a split as batches, made ahead of whoever consumes them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rayon::prelude::*;

use super::augment::{Augmentation, Image};
use super::dataset::{RawSample, Split, read_features};
use super::error::DataError;
use super::normalization::Normalization;
use super::shape::SampleShape;
use super::targets::Targets;
use crate::random::{Purpose, Stream};
use crate::spec;

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Samples a batch; the last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// Random changes to each image, in order.
    pub augment: Vec<spec::Augment>,
    /// Applied last.
    pub normalization: Normalization,
    /// Whether each epoch has a new order; otherwise it is the split's.
    pub shuffle: bool,
    /// What everything drawn depends on, with the epoch and the sample's index.
    pub seed: u64,
    /// Batches made ahead, at least 1; each costs its size in memory.
    pub prefetch: usize,
}

/// Samples that go through the model together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The batch's index within its epoch.
    pub index: usize,
    /// The samples' indices in the split.
    pub samples: Vec<u32>,
    /// `[N, C, H, W]` or `[N, F]`, augmented and normalised.
    pub inputs: Vec<f32>,
    /// What they are to be judged by.
    pub targets: Targets,
}

/// Serves a split, epoch by epoch.
pub struct Loader {
    recipe: Arc<Recipe>,
    prefetch: usize,
}

/// All that a batch depends on beside its epoch and index.
struct Recipe {
    split: Split,
    batch_size: usize,
    augmentation: Augmentation,
    normalization: Normalization,
    pixel_tables: Vec<[f32; 256]>,
    shape: SampleShape,
    shuffle: bool,
    seed: u64,
}

impl Loader {
    /// A loader of `split`.
    ///
    /// # Errors
    /// The batch size is 0, the normalisation is for other data, or a table is to be augmented.
    pub fn new(split: Split, config: LoaderConfig) -> Result<Self, DataError> {
        if config.batch_size == 0 {
            return Err(DataError::Options("the batch size must be over 0".into()));
        }
        config.normalization.check(split.shape())?;
        let augmentation =
            Augmentation::new(&config.augment, split.shape())?.with_means(&config.normalization.mean);
        Ok(Self {
            recipe: Arc::new(Recipe {
                batch_size: config.batch_size,
                shape: augmentation.shape_after(),
                augmentation,
                pixel_tables: match split.shape() {
                    SampleShape::Image { .. } | SampleShape::Images { .. } => {
                        config.normalization.pixel_tables()
                    }
                    SampleShape::Features { .. } => Vec::new(),
                },
                normalization: config.normalization,
                shuffle: config.shuffle,
                seed: config.seed,
                split,
            }),
            prefetch: config.prefetch.max(1),
        })
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        self.samples().div_ceil(self.recipe.batch_size)
    }

    /// Samples an epoch.
    pub fn samples(&self) -> usize {
        self.recipe.split.len()
    }

    /// The shape of each sample in a batch.
    pub fn shape(&self) -> SampleShape {
        self.recipe.shape
    }

    /// The batches of `epoch` in order, from the batch `first_batch` on.
    ///
    /// They are made on another thread (which uses the global rayon pool) until the iterator is
    /// dropped.
    pub fn epoch(&self, epoch: u32, first_batch: usize) -> EpochBatches {
        let (sender, receiver) = sync_channel(self.prefetch);
        let recipe = Arc::clone(&self.recipe);
        let batches = first_batch..self.batches();
        let remaining = batches.len();
        let producer = thread::Builder::new().name("loader".into()).spawn(move || {
            let order = recipe.order(epoch);
            batches.into_iter().try_for_each(|index| {
                let batch = recipe.batch(epoch, index, &order);
                send(&sender, batch)
            })
        });
        let (producer, failure) = match producer {
            Ok(producer) => (Some(producer), None),
            Err(error) => {
                let problem = format!("cannot start the loader's thread: {error}; allow more threads");
                (None, Some(DataError::Options(problem)))
            }
        };
        EpochBatches {
            receiver: Some(receiver),
            producer,
            failure,
            remaining,
        }
    }
}

/// Gives nothing once nobody wants batches any more.
fn send(sender: &SyncSender<Batch>, batch: Batch) -> Option<()> {
    sender.send(batch).ok()
}

impl Recipe {
    /// The order of `epoch`'s samples.
    fn order(&self, epoch: u32) -> Vec<u32> {
        // A dataset holds fewer than 2^32 samples.
        let mut order: Vec<u32> = (0..self.split.len() as u32).collect();
        if self.shuffle {
            Stream::new(self.seed, Purpose::Shuffle, epoch, 0).shuffle(&mut order);
        }
        order
    }

    fn batch(&self, epoch: u32, index: usize, order: &[u32]) -> Batch {
        let start = index * self.batch_size;
        let samples = order[start..order.len().min(start + self.batch_size)].to_vec();
        let len = self.shape.len();
        let mut inputs = vec![0f32; samples.len() * len];
        // Small samples are handed out in groups, so that handing out costs little.
        let group = (32_768 / len).max(1);
        inputs
            .par_chunks_exact_mut(len)
            .with_min_len(group)
            .zip(&samples)
            .for_each_init(
                || self.workspace(),
                |image, (out, sample)| self.fill(epoch, *sample, image, out),
            );
        Batch {
            index,
            targets: Targets::Classes(
                samples
                    .iter()
                    .map(|sample| self.split.label(*sample as usize))
                    .collect(),
            ),
            samples,
            inputs,
        }
    }

    fn workspace(&self) -> Image {
        Image {
            pixels: Vec::new(),
            channels: 0,
            height: 0,
            width: 0,
            spare: Vec::new(),
        }
    }

    /// Writes one sample, changed and normalised, into `out`.
    fn fill(&self, epoch: u32, sample: u32, image: &mut Image, out: &mut [f32]) {
        match self.split.raw_sample(sample as usize) {
            RawSample::Features(bytes) => {
                read_features(bytes, out);
                self.normalization.apply_to_features(out);
            }
            RawSample::Pixels(pixels) if self.augmentation.is_empty() => self.normalize(pixels, out),
            RawSample::Pixels(pixels) => {
                if let SampleShape::Image {
                    channels,
                    height,
                    width,
                } = self.split.shape()
                {
                    (image.channels, image.height, image.width) = (channels, height, width);
                }
                image.pixels.clear();
                image.pixels.extend_from_slice(pixels);
                let mut draws = Stream::new(self.seed, Purpose::Augment, epoch, sample);
                self.augmentation.apply(image, &mut draws);
                self.normalize(&image.pixels, out);
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

/// The batches of one epoch, in order. Dropping it ends the thread that makes them.
pub struct EpochBatches {
    receiver: Option<Receiver<Batch>>,
    producer: Option<JoinHandle<Option<()>>>,
    failure: Option<DataError>,
    remaining: usize,
}

impl Iterator for EpochBatches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        if let Some(failure) = self.failure.take() {
            self.remaining = 0;
            return Some(Err(failure));
        }
        let Some(batch) = self.receiver.as_ref().and_then(|receiver| receiver.recv().ok()) else {
            self.remaining = 0;
            // The producer ends early only by a panic, which is this thread's as well.
            if let Some(Err(panic)) = self.producer.take().map(JoinHandle::join) {
                std::panic::resume_unwind(panic);
            }
            return None;
        };
        self.remaining -= 1;
        Some(Ok(batch))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for EpochBatches {}

impl Drop for EpochBatches {
    fn drop(&mut self) {
        // Without a receiver the producer's next `send` fails.
        self.receiver = None;
        if let Some(producer) = self.producer.take() {
            let _ = producer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::data::testing::images;
    use crate::data::{Dataset, DatasetWriter, Sample};
    use crate::spec::SplitName;

    fn augment() -> Vec<spec::Augment> {
        let crop = spec::RandomCrop {
            size: None,
            padding: 2,
        };
        let flip = spec::RandomFlip {
            p: spec::Probability::new(0.5).unwrap(),
        };
        vec![
            spec::Augment::RandomCrop(crop),
            spec::Augment::RandomHorizontalFlip(flip),
        ]
    }

    fn config(split: &Split) -> LoaderConfig {
        LoaderConfig {
            batch_size: 8,
            augment: augment(),
            normalization: Normalization::measure(split),
            shuffle: true,
            seed: 3,
            prefetch: 2,
        }
    }

    fn train(dataset: &Dataset) -> Split {
        dataset.split(SplitName::Train).unwrap()
    }

    fn collect(loader: &Loader, epoch: u32, first: usize) -> Vec<Batch> {
        loader.epoch(epoch, first).map(Result::unwrap).collect()
    }

    #[test]
    fn an_epoch_has_every_sample_once() {
        let folder = tempfile::tempdir().unwrap();
        let split = train(&images(folder.path(), 50));
        let loader = Loader::new(split.clone(), config(&split)).unwrap();
        assert_eq!((loader.batches(), loader.samples()), (7, 50));
        let mut orders = Vec::new();
        for epoch in 0..2 {
            let batches = collect(&loader, epoch, 0);
            assert!(
                batches
                    .iter()
                    .enumerate()
                    .all(|(index, batch)| batch.index == index)
            );
            assert_eq!(batches[6].samples.len(), 2);
            let order: Vec<u32> = batches.iter().flat_map(|batch| batch.samples.clone()).collect();
            for batch in &batches {
                let labels: Vec<u32> = batch
                    .samples
                    .iter()
                    .map(|sample| split.label(*sample as usize))
                    .collect();
                assert_eq!(batch.inputs.len(), labels.len() * 192);
                assert_eq!(batch.targets, Targets::Classes(labels));
            }
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
            assert_ne!(sorted, order);
            orders.push(order);
        }
        assert_ne!(orders[0], orders[1]);
    }

    #[test]
    fn threads_and_restarts_do_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let split = train(&images(folder.path(), 50));
        let loader = Loader::new(split.clone(), config(&split)).unwrap();
        let whole = collect(&loader, 5, 0);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let order = loader.recipe.order(5);
            for (index, batch) in whole.iter().enumerate() {
                assert_eq!(&pool.install(|| loader.recipe.batch(5, index, &order)), batch);
            }
        }
        assert_eq!(collect(&loader, 5, 3), whole[3..]);
        assert_eq!(collect(&loader, 5, 7), []);
        assert_eq!(collect(&loader, 5, 9), []);
        // A sample's augmentation does not depend on its batch.
        let other = LoaderConfig {
            batch_size: 50,
            shuffle: false,
            ..config(&split)
        };
        let all = &collect(&Loader::new(split.clone(), other).unwrap(), 5, 0)[0];
        for batch in &whole {
            for (sample, inputs) in batch.samples.iter().zip(batch.inputs.chunks(192)) {
                assert_eq!(inputs, &all.inputs[*sample as usize * 192..][..192]);
            }
        }
        let reseeded = LoaderConfig {
            seed: 4,
            ..config(&split)
        };
        assert_ne!(collect(&Loader::new(split, reseeded).unwrap(), 5, 0), whole);
    }

    #[test]
    fn without_augmentation_inputs_are_the_normalised_samples() {
        let folder = tempfile::tempdir().unwrap();
        let split = train(&images(folder.path(), 20));
        let plain = LoaderConfig {
            augment: Vec::new(),
            shuffle: false,
            ..config(&split)
        };
        let normalization = plain.normalization.clone();
        let batches = collect(&Loader::new(split.clone(), plain).unwrap(), 0, 0);
        let inputs: Vec<f32> = batches.iter().flat_map(|batch| batch.inputs.clone()).collect();
        let mut sample = vec![0f32; 192];
        for (index, inputs) in inputs.chunks(192).enumerate() {
            split.read_sample(index, &mut sample);
            for (at, (value, input)) in sample.iter().zip(inputs).enumerate() {
                let channel = at / 64;
                let expected = (value - normalization.mean[channel]) / normalization.std[channel];
                assert_eq!(*input, expected);
            }
        }
        for channel in 0..3 {
            let values = inputs.chunks(64).skip(channel).step_by(3).flatten();
            let count = 64.0 * 20.0;
            let mean = values.clone().map(|value| f64::from(*value)).sum::<f64>() / count;
            let variance = values
                .map(|value| (f64::from(*value) - mean).powi(2))
                .sum::<f64>()
                / count;
            assert!(
                mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5,
                "{mean} {variance}"
            );
        }
    }

    #[test]
    fn tables_are_normalised_and_not_augmented() {
        let folder = tempfile::tempdir().unwrap();
        let shape = SampleShape::Features { columns: 2 };
        let mut writer = DatasetWriter::create(folder.path(), shape, vec!["x".into(), "y".into()]).unwrap();
        for row in [[1.0, 5.0], [3.0, 5.0]] {
            writer.push(Sample::Features(&row), "row").unwrap();
        }
        writer
            .finish(vec!["a".into()], &[0, 0], &[SplitName::Train; 2])
            .unwrap();
        let split = train(&Dataset::open(folder.path()).unwrap());
        let normalization = Normalization::measure(&split);
        let expected = Normalization {
            mean: vec![2.0, 5.0],
            std: vec![1.0, 1.0],
        };
        assert_eq!(normalization, expected);
        let mut options = config(&split);
        let error = Loader::new(split.clone(), options.clone()).err().unwrap();
        assert!(error.to_string().contains("remove `augment`"), "{error}");
        options.augment.clear();
        options.shuffle = false;
        let batches = collect(&Loader::new(split.clone(), options.clone()).unwrap(), 0, 0);
        assert_eq!(batches[0].inputs, [-1.0, 0.0, 1.0, 0.0]);
        options.batch_size = 0;
        assert!(Loader::new(split.clone(), options.clone()).is_err());
        options.batch_size = 1;
        options.normalization.std.pop();
        assert!(Loader::new(split.clone(), options).is_err());
        let one_channel = spec::Normalize {
            mean: vec![0.5],
            std: vec![spec::Positive::new(0.5).unwrap()],
        };
        assert!(Normalization::from_spec(&one_channel, shape).is_err());
        let image = SampleShape::Image {
            channels: 1,
            height: 2,
            width: 2,
        };
        assert_eq!(Normalization::from_spec(&one_channel, image).unwrap().std, [0.5]);
    }

    #[test]
    fn dropping_ends_the_producer() {
        let folder = tempfile::tempdir().unwrap();
        let split = train(&images(folder.path(), 400));
        let mut options = config(&split);
        options.batch_size = 1;
        let loader = Loader::new(split, options).unwrap();
        let start = Instant::now();
        for taken in 0..20 {
            let mut batches = loader.epoch(0, 0);
            assert_eq!(batches.len(), 400);
            assert_eq!(batches.by_ref().take(taken).count(), taken);
            drop(batches);
            // The producer is gone: nobody but the loader holds the recipe.
            assert_eq!(Arc::strong_count(&loader.recipe), 1);
        }
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
