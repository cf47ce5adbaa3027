//! Where the formats deliver their samples.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::digest::{ContentDigest, digest_bytes};
use super::error::DataError;
use super::fills::{ColumnFill, FilledColumn};
use super::labels::{Classes, MergedClasses};
use super::prepare::{Prepared, TOKENIZER_FOLDER};
use super::split::{Shares, SplitSamples, check_groups, decide_splits};
use super::value::FieldValue;
use super::writer::DatasetWriter;
use crate::event::{Losses, Monitor, Unit};
use crate::schema::{Field, Schema};
use crate::spec::{OnError, Share, SplitName, SplitOptions, counted, counted_that};
use crate::tokenizer::TokenizerFolder;

/// How many bad samples or ignored files are named; the rest is counted.
const NAMED: u64 = 10;

/// Fewer classes than this may have a sample or two each.
const MANY_CLASSES: usize = 20;

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

/// What of a sample decides its split, beside its content.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SplitPlace {
    /// What it belongs to, where that is asked for.
    pub group: Option<ContentDigest>,
    /// Where in the order it stands, where that is asked for.
    pub order: Option<f64>,
    /// The number of what it is a part of, such as a document, counted from 0; without one it is counted itself.
    pub unit: Option<u32>,
}

/// Takes the samples of a format, writes them, and remembers what the splits are decided by: 21
/// bytes a sample, however large the samples are. That is at most 64 bytes a sample at any moment,
/// as vectors grow by doubling, and samples' indices are sorted in the end.
pub struct Intake<'a> {
    folder: &'a Path,
    on_error: OnError,
    split: &'a SplitOptions,
    monitor: &'a Monitor,
    writer: Option<DatasetWriter>,
    /// The split of all samples that are being read, where the input says it.
    given: Option<SplitName>,
    labels: Vec<u32>,
    splits: Vec<SplitName>,
    digests: Vec<ContentDigest>,
    groups: Vec<ContentDigest>,
    /// How some of the groups are called.
    group_names: HashMap<ContentDigest, String>,
    orders: Vec<f64>,
    /// The number of what each sample is a part of, where splits are decided by it.
    units: Vec<u32>,
    /// What is taken in beside the files, by role.
    others: &'a BTreeMap<String, PathBuf>,
    /// What the samples' tokens are of; written beside the dataset.
    tokenizer: Option<TokenizerFolder>,
    tokens: u64,
    documents: u32,
    /// The columns whose empty cells are to be filled.
    fills: Vec<ColumnFill>,
    total: Option<u64>,
    skipped: u64,
    /// How often samples were left out, several of them at once counted once.
    told_skips: u64,
    ignored: u64,
    told: Instant,
}

impl<'a> Intake<'a> {
    /// An intake that writes the dataset into `folder`.
    pub(super) fn new(
        folder: &'a Path,
        on_error: OnError,
        split: &'a SplitOptions,
        others: &'a BTreeMap<String, PathBuf>,
        monitor: &'a Monitor,
    ) -> Self {
        Self {
            folder,
            on_error,
            split,
            monitor,
            writer: None,
            given: None,
            labels: Vec::new(),
            splits: Vec::new(),
            digests: Vec::new(),
            groups: Vec::new(),
            group_names: HashMap::new(),
            orders: Vec::new(),
            units: Vec::new(),
            others,
            tokenizer: None,
            tokens: 0,
            documents: 0,
            fills: Vec::new(),
            total: None,
            skipped: 0,
            told_skips: 0,
            ignored: 0,
            told: Instant::now(),
        }
    }

    /// Where the dataset is written.
    pub(super) fn folder(&self) -> &'a Path {
        self.folder
    }

    /// How the samples will be divided.
    pub(super) fn split(&self) -> &'a SplitOptions {
        self.split
    }

    /// What is taken in as `role` beside the files.
    ///
    /// # Errors
    /// It was not handed in: a mistake of whoever asks for the preparation.
    pub fn other(&self, role: &str) -> Result<&'a Path, DataError> {
        let path = self.others.get(role);
        path.map(PathBuf::as_path)
            .ok_or_else(|| DataError::Options(format!("the input `{role}` was not handed in")))
    }

    /// A document begins: its number, counted from 0 over all inputs.
    pub fn begin_document(&mut self) -> u32 {
        let number = self.documents;
        self.documents = self.documents.saturating_add(1);
        number
    }

    /// What is to be predicted, once the schema is known.
    pub fn target(&self) -> Option<&Field> {
        self.writer.as_ref()?.schema().target()
    }

    /// The samples hold so many more tokens.
    pub fn count_tokens(&mut self, tokens: usize) {
        self.tokens += tokens as u64;
    }

    /// The samples' tokens are those of this tokenizer, which is to be written beside them.
    pub fn keep_tokenizer(&mut self, tokenizer: TokenizerFolder) {
        self.tokenizer = Some(tokenizer);
    }

    /// The tokenizer beside the samples has this chat template.
    pub fn keep_chat_template(&mut self, template: String) {
        if let Some(tokenizer) = &mut self.tokenizer {
            tokenizer.set_chat_template(template);
        }
    }

    /// Empty cells, which are NaN, are to be filled by these rules.
    pub(super) fn fill_cells(&mut self, fills: Vec<ColumnFill>) {
        self.fills = fills;
    }

    /// How groups are called in messages.
    pub(super) fn name_groups(&mut self, names: impl Iterator<Item = (ContentDigest, String)>) {
        self.group_names.extend(names);
    }

    /// Whether a bad sample ends the work.
    pub(super) fn fails(&self) -> bool {
        self.on_error == OnError::Fail
    }

    /// Whether boxes that reach out of their images are cut.
    pub(super) fn clips(&self) -> bool {
        self.on_error == OnError::Clip
    }

    /// A sample is left out as was asked for; it is counted.
    pub(super) fn leave_out(&mut self) -> Result<(), DataError> {
        self.skipped += 1;
        self.tick()
    }

    /// From now on samples are those of the split `given`, whatever the files say.
    pub(super) fn begin_input(&mut self, given: Option<SplitName>) {
        self.given = given;
    }

    /// What was read since the samples before the `first` has `classes` of its own: they get the numbers
    /// that all inputs have in common.
    pub(super) fn merge_classes(&mut self, first: usize, classes: &Classes, merged: &mut MergedClasses) {
        let numbers = merged.add(classes);
        for label in &mut self.labels[first..] {
            *label = numbers[*label as usize];
        }
    }

    /// The number of samples with a class so far.
    pub(super) fn labelled(&self) -> usize {
        self.labels.len()
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
        self.push_placed(sample, digest, SplitPlace::default())
    }

    /// Takes a sample whose split depends on `place` too.
    pub(super) fn push_placed(
        &mut self,
        sample: IntakeSample<'_>,
        digest: ContentDigest,
        place: SplitPlace,
    ) -> Result<(), DataError> {
        let writer = self.writer.as_mut();
        let writer = writer.ok_or_else(|| DataError::Options("no schema is known yet".into()))?;
        writer.push(sample.values, sample.origin)?;
        self.labels.extend(sample.class);
        self.splits.push(self.given.unwrap_or(sample.split));
        self.digests.push(digest);
        self.groups.extend(place.group);
        self.orders.extend(place.order);
        if self.split.every.is_some() {
            let counted = self.units.last().map_or(0, |unit| unit.saturating_add(1));
            self.units.push(place.unit.unwrap_or(counted));
        }
        self.tick()
    }

    /// A sample cannot be read: `error` ends the work, or is told and counted.
    pub fn reject(&mut self, error: DataError) -> Result<(), DataError> {
        self.reject_rows(error, 1)
    }

    /// What cannot be read stands for `lost` samples: `error` ends the work, or is told and they are
    /// counted.
    pub(super) fn reject_rows(&mut self, error: DataError, lost: u64) -> Result<(), DataError> {
        if self.on_error == OnError::Fail {
            return Err(error);
        }
        self.skipped += lost;
        self.told_skips += 1;
        if self.told_skips <= NAMED {
            let lines = if lost > 1 {
                format!(" ({lost} lines)")
            } else {
                String::new()
            };
            self.monitor.warn(format!("left out{lines}: {error}"));
        }
        self.tick()
    }

    /// A file or folder that is left out, and why.
    pub fn ignore(&mut self, path: &Path, why: &str) {
        self.ignored += 1;
        if self.ignored <= NAMED {
            self.monitor
                .warn(format!("`{}` is left out: {why}", path.display()));
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
    pub(super) fn finish(mut self, classes: Option<Classes>) -> Result<Prepared, DataError> {
        self.tell();
        for (times, count, what) in [
            (self.told_skips, self.skipped, "unreadable samples left out"),
            (self.ignored, self.ignored, "other files and folders left out"),
        ] {
            if times > NAMED {
                self.monitor
                    .warn(format!("{count} {what}, the first {NAMED} of them named above"));
            }
        }
        self.tell_losses();
        if let Some(classes) = &classes {
            self.tell_alike(&classes.alike(), "class");
            self.tell_doubtful(classes);
        }
        let shares = self.shares();
        self.tell_idle(shares);
        let counts = match &classes {
            Some(classes) => self.split_classes(shares, classes)?,
            None => self.split_values(shares)?,
        };
        self.tell_leaks();
        let Some(mut writer) = self.writer.take() else {
            return Err(DataError::Options("the input has no readable sample".into()));
        };
        if !self.fills.is_empty() {
            let filled = writer.find_fills(&self.fills, &self.splits)?;
            self.tell_filled(&filled, &counts);
        }
        let prepared = Prepared {
            splits: counts,
            classes: classes.as_ref().map_or(0, |classes| classes.names.len()),
            skipped: self.skipped,
            tokens: self.tokens,
        };
        match classes {
            Some(classes) => writer.finish_with_classes(classes.names, &self.labels, &self.splits)?,
            None => writer.finish(&self.splits)?,
        }
        if let Some(tokenizer) = &self.tokenizer {
            let folder = self.folder.join(TOKENIZER_FOLDER);
            fs::create_dir_all(&folder).map_err(DataError::io("make", &folder))?;
            tokenizer.write(&folder)?;
        }
        Ok(prepared)
    }

    /// Warns where so many samples were left out that the rest may be others than was meant.
    fn tell_losses(&self) {
        let all = self.splits.len() as u64 + self.skipped;
        if let Some(losses) = Losses::large(self.skipped as f64, all as f64) {
            self.warn(format!(
                "{} of {} ({:.1} %) {} left out: look whether those that are left are what you mean to \
                 train and test on",
                self.skipped,
                counted(all, "sample"),
                losses.percent(),
                if self.skipped == 1 { "is" } else { "are" }
            ));
        }
    }

    /// Warns, by a sentence each, of names that are probably meant to be one; `noun` is what one of them is.
    pub(super) fn tell_alike(&self, told: &[String], noun: &str) {
        for message in told.iter().take(NAMED as usize) {
            self.warn(message.clone());
        }
        if let Some(more) = told.len().checked_sub(NAMED as usize).filter(|more| *more > 0) {
            self.warn(format!(
                "{} the same as others but for such differences",
                counted_that(more, &format!("more {noun}"), ["is", "are"])
            ));
        }
    }

    /// Tells what empty cells were filled with, and how many of each split.
    fn tell_filled(&self, filled: &[FilledColumn], splits: &BTreeMap<SplitName, u64>) {
        let filled: Vec<&FilledColumn> = filled.iter().filter(|column| column.is_filled()).collect();
        for column in filled.iter().take(NAMED as usize) {
            let told = column.describe(splits);
            match column.is_mostly_filled(splits) {
                true => self.warn(format!(
                    "{told}; a model learns little from a column that is mostly filled: is it worth keeping? `ignore` \
                     leaves it out"
                )),
                false => self.monitor.info(told),
            }
        }
        if let Some(more) = filled.len().checked_sub(NAMED as usize).filter(|more| *more > 0) {
            let cells: u64 = filled[NAMED as usize..].iter().map(|column| column.cells()).sum();
            self.monitor.info(format!(
                "{} filled, {} of them",
                counted_that(more, "more column", ["is", "are"]),
                counted(cells, "cell")
            ));
        }
    }

    /// Warns of classes that are probably none.
    fn tell_doubtful(&self, classes: &Classes) {
        for name in classes.nothings() {
            self.warn(format!(
                "`{name}` is taken for a class, and often stands for a label that is missing: if it does, leave those \
                 samples out"
            ));
        }
        let samples = self.splits.len();
        if classes.names.len() > MANY_CLASSES && classes.names.len() * 2 > samples {
            self.warn(format!(
                "there are {} classes and {samples} samples: is the label a name, a number or a text that is different \
                 nearly everywhere? Numbers to be predicted need `task: regression`",
                classes.names.len()
            ));
        }
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
        self.decide(shares, Some(&classes.names))?;
        self.counts(classes)
    }

    /// Decides the splits of samples without classes. The number of samples in each.
    fn split_values(&mut self, shares: Shares) -> Result<BTreeMap<SplitName, u64>, DataError> {
        if !self.splits.contains(&SplitName::Train) {
            return Err(DataError::Options(
                "the input has no readable training sample".into(),
            ));
        }
        self.decide(shares, None)?;
        let mut counts = BTreeMap::new();
        for split in &self.splits {
            *counts.entry(*split).or_default() += 1;
        }
        Ok(counts)
    }

    /// Decides the splits of the training samples.
    fn decide(&mut self, shares: Shares, classes: Option<&[String]>) -> Result<(), DataError> {
        let all = self.splits.len();
        for (asked, found, field) in [
            (self.split.group.is_some(), self.groups.len(), "group"),
            (self.split.order.is_some(), self.orders.len(), "order"),
        ] {
            if asked && found != all {
                return Err(DataError::Options(format!(
                    "`split.{field}` names a column, and the format has none: remove it"
                )));
            }
        }
        let samples = SplitSamples {
            classes: classes.map(|names| (names, &self.labels[..])),
            digests: &self.digests,
            groups: self.split.group.as_ref().map(|_| &self.groups[..]),
            orders: self.split.order.as_ref().map(|_| &self.orders[..]),
            units: self.split.every.map(|_| &self.units[..]),
        };
        decide_splits(self.split, shares, &samples, &mut self.splits)?;
        if self.split.group.is_none() {
            return Ok(());
        }
        let divided_by = match self.split.column {
            Some(_) => "`split.column`",
            None => "the input's own files",
        };
        check_groups(&self.groups, &self.splits, &self.group_names, divided_by)
    }

    /// Tells where a column decides nothing, as nothing is left to be divided.
    fn tell_idle(&self, shares: Shares) {
        let divides = shares.val.is_some() || shares.test.is_some() || self.split.folds.is_some();
        for (field, column, rest) in [
            (
                "group",
                &self.split.group,
                "; it is but checked that no group is in two splits",
            ),
            ("order", &self.split.order, ""),
        ] {
            if column.is_some() && !divides {
                self.warn(format!(
                    "`split.{field}` divides nothing here: `split` asks for no split that the input does not have{rest}"
                ));
            }
        }
    }

    /// The shares of those splits that the files do not have.
    fn shares(&self) -> Shares {
        let share = |name: SplitName, share: Option<Share>| {
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
            val: share(SplitName::Val, self.split.val),
            test: share(SplitName::Test, self.split.test),
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
                "the input has {} of {}: at least two classes are needed",
                counted(self.labels.len(), "readable sample"),
                counted(classes.names.len(), "class")
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
                "{} training samples",
                counted_that(
                    count,
                    "sample",
                    [
                        &format!("of the {} split equals", split.as_str()),
                        &format!("of the {} split equal", split.as_str())
                    ]
                )
            ));
        }
    }
}
