//! Where the formats deliver their samples.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::DataError;
use super::labels::Classes;
use super::prepare::Prepared;
use super::shape::SampleShape;
use super::split::{ContentDigest, Shares, carve};
use super::writer::{DatasetWriter, Sample};
use crate::event::{Monitor, Unit};
use crate::spec::{self, OnError, SplitName};

/// How many bad samples or ignored files are named; the rest is counted.
const NAMED: u64 = 10;

/// Takes the samples of a format, writes them, and remembers what the splits are decided by.
pub(super) struct Intake<'a> {
    folder: &'a Path,
    on_error: OnError,
    monitor: &'a Monitor,
    writer: Option<DatasetWriter>,
    labels: Vec<u32>,
    splits: Vec<SplitName>,
    digests: Vec<ContentDigest>,
    total: Option<u64>,
    skipped: u64,
    ignored: u64,
    told: Instant,
}

impl<'a> Intake<'a> {
    /// An intake that writes the dataset into `folder`.
    pub fn new(folder: &'a Path, on_error: OnError, monitor: &'a Monitor) -> Self {
        Self {
            folder,
            on_error,
            monitor,
            writer: None,
            labels: Vec::new(),
            splits: Vec::new(),
            digests: Vec::new(),
            total: None,
            skipped: 0,
            ignored: 0,
            told: Instant::now(),
        }
    }

    /// Tells how many samples there are, for the progress display.
    pub fn expect(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// The shape of all samples, before the first of them. A later call must name the same shape.
    pub fn begin(&mut self, shape: SampleShape, columns: &[String], place: &Path) -> Result<(), DataError> {
        match &self.writer {
            None => {
                self.writer = Some(DatasetWriter::create(self.folder, shape, columns.to_vec())?);
                Ok(())
            }
            Some(writer) if writer.shape() == shape => Ok(()),
            Some(writer) => Err(DataError::input(
                place,
                format!(
                    "its samples have the shape {shape}, and earlier ones {}",
                    writer.shape()
                ),
            )),
        }
    }

    /// Takes a sample. `label` may still be renumbered by the classes at the end.
    pub fn push(
        &mut self,
        split: SplitName,
        label: u32,
        sample: Sample<'_>,
        origin: &str,
    ) -> Result<(), DataError> {
        let writer = self.writer.as_mut();
        let writer = writer.ok_or_else(|| DataError::Options("no shape is known yet".into()))?;
        writer.push(sample, origin)?;
        self.labels.push(label);
        self.splits.push(split);
        self.digests.push(content_digest(sample));
        self.tick()
    }

    /// A sample cannot be read: `error` ends the work, or is told and counted.
    pub fn reject(&mut self, error: DataError) -> Result<(), DataError> {
        if self.on_error == OnError::Fail {
            return Err(error);
        }
        self.skipped += 1;
        if self.skipped <= NAMED {
            self.monitor.warn(format!("left out: {error}"));
        }
        self.tick()
    }

    /// A file that is not part of the format.
    pub fn ignore(&mut self, path: &Path) {
        self.ignored += 1;
        if self.ignored <= NAMED {
            self.monitor.warn(format!(
                "`{}` is not a jpg, jpeg or png image: ignored",
                path.display()
            ));
        }
    }

    /// Something worth knowing.
    pub fn warn(&self, message: String) {
        self.monitor.warn(message);
    }

    /// Ends the work where that was asked for; tells the progress now and then.
    pub fn tick(&mut self) -> Result<(), DataError> {
        if self.monitor.stopped() {
            return Err(DataError::Stopped);
        }
        if self.told.elapsed() >= Duration::from_millis(100) {
            self.tell();
        }
        Ok(())
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let done = self.labels.len() as u64 + self.skipped;
        self.monitor.progress("read", done, self.total, Unit::Samples);
    }

    /// Decides the splits and completes the dataset.
    pub fn finish(mut self, classes: Classes, split: &spec::Split) -> Result<Prepared, DataError> {
        self.tell();
        for (count, what) in [
            (self.skipped, "unreadable samples left out"),
            (self.ignored, "other files ignored"),
        ] {
            if count > NAMED {
                self.monitor
                    .warn(format!("{count} {what}, the first {NAMED} of them named above"));
            }
        }
        if let Some(renumbered) = &classes.renumbered {
            self.labels
                .iter_mut()
                .for_each(|label| *label = renumbered[*label as usize]);
        }
        let shares = self.shares(split);
        carve(
            shares,
            &classes.names,
            &self.labels,
            &self.digests,
            &mut self.splits,
        )?;
        let counts = self.counts(&classes)?;
        self.tell_leaks();
        let Some(writer) = self.writer.take() else {
            return Err(DataError::Options("the input has no readable sample".into()));
        };
        let prepared = Prepared {
            splits: counts,
            classes: classes.names.len(),
            skipped: self.skipped,
        };
        writer.finish(classes.names, &self.labels, &self.splits)?;
        Ok(prepared)
    }

    /// The shares of those splits that the files do not have.
    fn shares(&self, split: &spec::Split) -> Shares {
        let share = |name: SplitName, share: Option<spec::Share>| {
            let share = share?.get();
            if self.splits.contains(&name) {
                let name = name.as_str();
                self.warn(format!(
                    "the input has a {name} split of its own, which is kept: `split.{name}` does nothing here"
                ));
                return None;
            }
            Some(share)
        };
        Shares {
            val: share(SplitName::Val, split.val),
            test: share(SplitName::Test, split.test),
        }
    }

    /// How many samples each split has. Every class must be in the training split.
    fn counts(&self, classes: &Classes) -> Result<BTreeMap<SplitName, u64>, DataError> {
        let mut counts: BTreeMap<SplitName, Vec<u64>> = BTreeMap::new();
        for (label, split) in self.labels.iter().zip(&self.splits) {
            let counts = counts
                .entry(*split)
                .or_insert_with(|| vec![0; classes.names.len()]);
            counts[*label as usize] += 1;
        }
        if self.labels.is_empty() || classes.names.len() < 2 {
            return Err(DataError::Options(format!(
                "the input has {} readable samples of {} classes: at least two classes are needed",
                self.labels.len(),
                classes.names.len()
            )));
        }
        counts
            .entry(SplitName::Train)
            .or_insert_with(|| vec![0; classes.names.len()]);
        for (name, counts) in &counts {
            let Some(label) = counts.iter().position(|count| *count == 0) else {
                continue;
            };
            let class = &classes.names[label];
            let message = format!("class `{class}` has no sample in the {} split", name.as_str());
            if *name == SplitName::Train {
                return Err(DataError::Options(format!(
                    "{message}: add some, or leave the class out"
                )));
            }
            self.warn(message);
        }
        Ok(counts
            .into_iter()
            .map(|(name, counts)| (name, counts.iter().sum()))
            .collect())
    }

    /// Warns of samples that are trained on and measured on: the input's own splits may overlap.
    fn tell_leaks(&self) {
        let mut samples: Vec<(ContentDigest, SplitName)> = self
            .digests
            .iter()
            .copied()
            .zip(self.splits.iter().copied())
            .collect();
        samples.sort_unstable();
        let mut leaks: BTreeMap<SplitName, u64> = BTreeMap::new();
        for equal in samples.chunk_by(|left, right| left.0 == right.0) {
            if equal[0].1 == SplitName::Train {
                for (_, split) in equal.iter().filter(|(_, split)| *split != SplitName::Train) {
                    *leaks.entry(*split).or_default() += 1;
                }
            }
        }
        for (split, count) in leaks {
            self.warn(format!(
                "{count} samples of the {} split equal training samples",
                split.as_str()
            ));
        }
    }
}

fn content_digest(sample: Sample<'_>) -> ContentDigest {
    let mut hasher = blake3::Hasher::new();
    match sample {
        Sample::Pixels(pixels) => {
            hasher.update(pixels);
        }
        Sample::Features(features) => {
            for feature in features {
                hasher.update(&feature.to_le_bytes());
            }
        }
    }
    let mut digest = ContentDigest::default();
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::data::prepare::prepare;
    use crate::data::testing::{Bench, shares};
    use crate::spec::{Cifar10, Format};

    fn digest_of(values: &[f32]) -> ContentDigest {
        content_digest(Sample::Features(values))
    }

    #[test]
    fn splits_of_the_input_stay_and_overlaps_are_told() {
        let bench = Bench::new();
        let monitor = Monitor::silent();
        let output = bench.output();
        let mut intake = Intake::new(&output, OnError::Fail, &monitor);
        let columns = ["x".to_owned()];
        intake
            .begin(SampleShape::Features { columns: 1 }, &columns, &output)
            .unwrap();
        for value in 0..20u8 {
            let split = if value < 4 {
                SplitName::Test
            } else {
                SplitName::Train
            };
            let values = [f32::from(value)];
            intake
                .push(split, u32::from(value % 2), Sample::Features(&values), "x")
                .unwrap();
        }
        let classes = Classes::known(vec!["even".into(), "odd".into()]);
        let prepared = intake.finish(classes, &shares(0.25, 0.5)).unwrap();
        let counts: Vec<u64> = prepared.splits.values().copied().collect();
        assert_eq!(counts, [12, 4, 4]);
    }

    #[test]
    fn equal_samples_in_two_splits_are_told() {
        let bench = Bench::new();
        let output = bench.output();
        let notices = Arc::clone(&bench.notices);
        let emit = move |activity| {
            if let crate::event::Activity::Notice { message, .. } = activity {
                notices.lock().unwrap().push(message);
            }
        };
        let monitor = Monitor::new(emit, Arc::default());
        let mut intake = Intake::new(&output, OnError::Fail, &monitor);
        intake
            .begin(SampleShape::Features { columns: 1 }, &["x".to_owned()], &output)
            .unwrap();
        for (split, label, value) in [
            (SplitName::Train, 0, 1.0f32),
            (SplitName::Train, 1, 2.0),
            (SplitName::Test, 0, 1.0),
            (SplitName::Test, 1, 3.0),
        ] {
            intake
                .push(split, label, Sample::Features(&[value]), "x")
                .unwrap();
        }
        intake
            .finish(
                Classes::known(vec!["a".into(), "b".into()]),
                &spec::Split::default(),
            )
            .unwrap();
        assert_eq!(
            bench.notices.lock().unwrap()[..],
            ["1 samples of the test split equal training samples"]
        );
        assert_ne!(digest_of(&[1.0]), digest_of(&[2.0]));
    }

    #[test]
    fn a_stopped_monitor_ends_the_work() {
        let bench = Bench::new();
        bench.file("t.csv", b"1,2,a\n1,3,b\n");
        let text = r#"{"label": -1}"#;
        let options = bench.options(Format::Csv(serde_json::from_str(text).unwrap()));
        let monitor = Monitor::new(|_| {}, Arc::new(AtomicBool::new(true)));
        let error = prepare(&options, &bench.input(), &bench.output(), &monitor).unwrap_err();
        assert!(matches!(error, DataError::Stopped));
        let missing = bench.folder.path().join("nowhere");
        let options = bench.options(Format::Cifar10(Cifar10 {}));
        let error = prepare(&options, &missing, &bench.output(), &monitor).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let bench = Bench::new();
        bench.file("t.csv", b"1,2,a\n1,3,b\n");
        let options = bench.options(Format::Csv(serde_json::from_str("{}").unwrap()));
        let output = bench.folder.path().join("absent");
        let error = prepare(&options, &bench.input(), &output, &Monitor::silent())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cannot create") && error.contains("absent/dataset.bin"),
            "{error}"
        );
    }
}
