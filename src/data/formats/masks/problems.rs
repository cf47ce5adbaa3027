//! What is wrong with images and masks: told together, and listed in a file where it is passed over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::spec::{ArtifactTable, counted};

/// How many problems are told one by one.
const TOLD: usize = 20;

/// A kind of problem, in the order in which they are counted up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MaskProblemKind {
    MissingMask,
    MissingImage,
    SeveralImages,
    SeveralMasks,
    UnreadableImage,
    UnreadableMask,
    WrongForm,
    OtherSize,
    Turned,
    UnknownValues,
}

impl MaskProblemKind {
    /// What `problems.csv` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingMask => "missing_mask",
            Self::MissingImage => "missing_image",
            Self::SeveralImages => "several_images",
            Self::SeveralMasks => "several_masks",
            Self::UnreadableImage => "unreadable_image",
            Self::UnreadableMask => "unreadable_mask",
            Self::WrongForm => "wrong_form",
            Self::OtherSize => "other_size",
            Self::Turned => "turned",
            Self::UnknownValues => "unknown_values",
        }
    }

    /// What one of them is, where several are counted.
    fn noun(self) -> &'static str {
        match self {
            Self::MissingMask => "missing mask",
            Self::MissingImage => "missing image",
            Self::SeveralImages => "mask of several images",
            Self::SeveralMasks => "image with several masks",
            Self::UnreadableImage => "unreadable image",
            Self::UnreadableMask => "unreadable mask",
            Self::WrongForm => "mask in a wrong form",
            Self::OtherSize => "mask of another size",
            Self::Turned => "mask of an image that is turned",
            Self::UnknownValues => "mask with unknown values",
        }
    }

    /// So many of them.
    fn counted(self, count: u64) -> String {
        match (self.noun().split_once(' '), count) {
            (_, 1) | (None, _) => format!("{count} {}", self.noun()),
            (Some((what @ ("mask" | "image"), rest)), _) => format!("{count} {what}s {rest}"),
            _ => counted(count, self.noun()),
        }
    }
}

/// Something that is wrong with a file.
#[derive(Clone, Debug)]
pub(super) struct MaskProblem {
    pub kind: MaskProblemKind,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub told: String,
}

/// All problems of an input.
pub(super) struct MaskProblems {
    input: PathBuf,
    first: Vec<String>,
    counts: BTreeMap<MaskProblemKind, u64>,
    /// Lists them where they are passed over.
    file: Option<csv::Writer<BufWriter<File>>>,
}

impl MaskProblems {
    pub fn new(input: &Path) -> Self {
        Self {
            input: input.to_owned(),
            first: Vec::new(),
            counts: BTreeMap::new(),
            file: None,
        }
    }

    /// A problem that leaves no sample.
    pub fn without_sample(&mut self, problem: MaskProblem, intake: &mut Intake<'_>) -> Result<(), DataError> {
        self.note(&problem, intake)?;
        if intake.fails() {
            return Ok(());
        }
        intake.reject(DataError::input(&problem.path, problem.told))
    }

    /// A problem of some pixels, which do not count where it is passed over: the sample stays.
    pub fn with_sample(&mut self, problem: MaskProblem, intake: &mut Intake<'_>) -> Result<(), DataError> {
        self.note(&problem, intake)?;
        if !intake.fails()
            && self
                .counts
                .get(&problem.kind)
                .is_some_and(|count| *count <= TOLD as u64)
        {
            let place = DataError::input(&problem.path, problem.told);
            intake.warn(format!("pixels of unknown values are left out: {place}"));
        }
        Ok(())
    }

    fn note(&mut self, problem: &MaskProblem, intake: &Intake<'_>) -> Result<(), DataError> {
        *self.counts.entry(problem.kind).or_default() += 1;
        let MaskProblem { kind, path, told } = problem;
        if intake.fails() {
            if self.first.len() < TOLD {
                self.first.push(format!("`{}`: {told}", path.display()));
            }
            return Ok(());
        }
        let table = ArtifactTable::PROBLEMS;
        let list = intake.folder().join(table.name);
        let failed = |error: csv::Error| DataError::io("write", &list)(error.into());
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                // Several inputs have one list.
                let is_new = !list.exists();
                let opened = File::options().create(true).append(true).open(&list);
                let opened = opened.map_err(DataError::io("write", &list))?;
                let mut file = csv::Writer::from_writer(BufWriter::new(opened));
                if is_new {
                    file.write_record(table.titles).map_err(failed)?;
                }
                self.file.insert(file)
            }
        };
        let name = path.strip_prefix(&self.input).unwrap_or(path).to_string_lossy();
        file.write_record([&*name, kind.name(), told.as_str()])
            .map_err(failed)
    }

    /// Ends the work where there is a problem that is not to be passed over.
    pub fn finish(self, intake: &Intake<'_>) -> Result<(), DataError> {
        if let Some(mut file) = self.file {
            let list = intake.folder().join(ArtifactTable::PROBLEMS.name);
            file.flush().map_err(DataError::io("write", &list))?;
        }
        let all: u64 = self.counts.values().sum();
        if all == 0 {
            return Ok(());
        }
        let kinds: Vec<String> = self
            .counts
            .iter()
            .map(|(kind, count)| kind.counted(*count))
            .collect();
        let kinds = kinds.join(", ");
        if !intake.fails() {
            intake.warn(format!("{kinds}: `{}` lists them", ArtifactTable::PROBLEMS.name));
            return Ok(());
        }
        let more = match all as usize - self.first.len() {
            0 => String::new(),
            more => format!("\n... and {more} more"),
        };
        Err(DataError::input(
            &self.input,
            format!(
                "{kinds}:\n{}{more}\nmend them, or write `on_error: skip` to leave them out",
                self.first.join("\n")
            ),
        ))
    }
}
