//! Where the formats deliver their samples.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::digest::{ContentDigest, digest_bytes};
use super::error::DataError;
use super::labels::Classes;
use super::prepare::Prepared;
use super::split::{Shares, carve_all, carve_classes};
use super::value::FieldValue;
use super::writer::DatasetWriter;
use crate::event::{Monitor, Unit};
use crate::schema::{Field, Schema};
use crate::spec::{self, OnError, SplitName};

/// How many bad samples or ignored files are named; the rest is counted.
const NAMED: u64 = 10;

/// A sample of a format.
#[derive(Clone, Copy, Debug)]
pub struct IntakeSample<'a> {
    /// The split that the files put it into.
    pub split: SplitName,
    /// Its class, which may still be renumbered by the classes at the end.
    pub class: Option<u32>,
    /// The values of the schema's other fields.
    pub values: &'a [FieldValue<'a>],
    /// Where it comes from.
    pub origin: &'a str,
}

/// Takes the samples of a format, writes them, and remembers what the splits are decided by: 21
/// bytes a sample, however large the samples are. That is at most 64 bytes a sample at any moment,
/// as vectors grow by doubling, and samples' indices are sorted in the end.
pub struct Intake<'a> {
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
    pub(super) fn new(folder: &'a Path, on_error: OnError, monitor: &'a Monitor) -> Self {
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

    /// What all samples hold, before the first of them. A later call must say the same.
    pub fn begin(&mut self, schema: Schema, place: &Path) -> Result<(), DataError> {
        match &self.writer {
            None => {
                self.writer = Some(DatasetWriter::create(self.folder, schema)?);
                Ok(())
            }
            Some(writer) if *writer.schema() == schema => Ok(()),
            Some(writer) => {
                let told = |schema: &Schema| schema.input().map_or_else(String::new, Field::to_string);
                Err(DataError::input(
                    place,
                    format!(
                        "its samples have the shape {}, and earlier ones {}",
                        told(&schema),
                        told(writer.schema())
                    ),
                ))
            }
        }
    }

    /// Takes a sample, whose content is its first value.
    pub fn push(&mut self, sample: IntakeSample<'_>) -> Result<(), DataError> {
        let content = sample.values.first().map_or(&[][..], |value| value.bytes);
        self.push_digested(sample, digest_bytes(content))
    }

    /// Takes a sample whose content has the digest `digest`.
    pub fn push_digested(
        &mut self,
        sample: IntakeSample<'_>,
        digest: ContentDigest,
    ) -> Result<(), DataError> {
        let writer = self.writer.as_mut();
        let writer = writer.ok_or_else(|| DataError::Options("no schema is known yet".into()))?;
        writer.push(sample.values, sample.origin)?;
        self.labels.extend(sample.class);
        self.splits.push(sample.split);
        self.digests.push(digest);
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
        let done = self.splits.len() as u64 + self.skipped;
        self.monitor.progress("read", done, self.total, Unit::Samples);
    }

    /// Decides the splits and completes the dataset. `classes` are given just where every sample came
    /// with a class.
    pub(super) fn finish(
        mut self,
        classes: Option<Classes>,
        split: &spec::SplitOptions,
    ) -> Result<Prepared, DataError> {
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
        let shares = self.shares(split);
        let counts = match &classes {
            Some(classes) => self.split_classes(shares, classes)?,
            None => self.split_values(shares)?,
        };
        self.tell_leaks();
        let Some(writer) = self.writer.take() else {
            return Err(DataError::Options("the input has no readable sample".into()));
        };
        let prepared = Prepared {
            splits: counts,
            classes: classes.as_ref().map_or(0, |classes| classes.names.len()),
            skipped: self.skipped,
        };
        match classes {
            Some(classes) => writer.finish_with_classes(classes.names, &self.labels, &self.splits)?,
            None => writer.finish(&self.splits)?,
        }
        Ok(prepared)
    }

    /// Gives labels their final numbers and decides the splits. The number of samples in each.
    fn split_classes(
        &mut self,
        shares: Shares,
        classes: &Classes,
    ) -> Result<BTreeMap<SplitName, u64>, DataError> {
        if let Some(renumbered) = &classes.renumbered {
            self.labels
                .iter_mut()
                .for_each(|label| *label = renumbered[*label as usize]);
        }
        carve_classes(
            shares,
            &classes.names,
            &self.labels,
            &self.digests,
            &mut self.splits,
        )?;
        self.counts(classes)
    }

    /// Decides the splits of samples without classes. The number of samples in each.
    fn split_values(&mut self, shares: Shares) -> Result<BTreeMap<SplitName, u64>, DataError> {
        if !self.splits.contains(&SplitName::Train) {
            return Err(DataError::Options(
                "the input has no readable training sample".into(),
            ));
        }
        carve_all(shares, &self.digests, &mut self.splits)?;
        let mut counts = BTreeMap::new();
        for split in &self.splits {
            *counts.entry(*split).or_default() += 1;
        }
        Ok(counts)
    }

    /// The shares of those splits that the files do not have.
    fn shares(&self, split: &spec::SplitOptions) -> Shares {
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
        let digest = |index: &u32| self.digests[*index as usize];
        let split = |index: &u32| self.splits[*index as usize];
        // A dataset holds fewer than 2^32 samples.
        let mut samples: Vec<u32> = (0..self.splits.len() as u32).collect();
        samples.sort_unstable_by_key(|index| (digest(index), split(index)));
        let mut leaks: BTreeMap<SplitName, u64> = BTreeMap::new();
        for equal in samples.chunk_by(|left, right| digest(left) == digest(right)) {
            if split(&equal[0]) == SplitName::Train {
                for split in equal.iter().map(split).filter(|split| *split != SplitName::Train) {
                    *leaks.entry(split).or_default() += 1;
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
