//! What is wrong with images and what is told of them: told together, and listed in a file where it is passed over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::spec::ArtifactTable;

/// How many problems are told one by one.
const TOLD: usize = 20;

/// A kind of problem; the order is that in which they are counted up.
pub(super) trait ProblemKind: Copy + Ord {
    /// What to write to have problems of these kinds passed over.
    fn remedy(_found: &[Self]) -> &'static str {
        "write `on_error: skip` to leave them out"
    }

    /// What `problems.csv` calls it.
    fn name(self) -> &'static str;

    /// So many of them, in words.
    fn counted(self, count: u64) -> String;
}

/// Something that is wrong with a file.
#[derive(Clone, Debug)]
pub(super) struct FileProblem<K> {
    pub kind: K,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub told: String,
}

/// All problems of an input.
pub(super) struct FileProblems<K> {
    input: PathBuf,
    first: Vec<String>,
    counts: BTreeMap<K, u64>,
    /// Lists them where they are passed over.
    file: Option<csv::Writer<BufWriter<File>>>,
}

impl<K: ProblemKind> FileProblems<K> {
    pub fn new(input: &Path) -> Self {
        Self {
            input: input.to_owned(),
            first: Vec::new(),
            counts: BTreeMap::new(),
            file: None,
        }
    }

    /// A problem that leaves no sample.
    pub fn without_sample(
        &mut self,
        problem: FileProblem<K>,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        self.note(&problem, intake)?;
        if intake.fails() {
            return Ok(());
        }
        intake.reject(DataError::input(&problem.path, problem.told))
    }

    /// A problem of a part of a sample, which is left out where it is passed over: the sample stays. `consequence` says so.
    pub fn with_sample(
        &mut self,
        problem: FileProblem<K>,
        consequence: &str,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        self.note(&problem, intake)?;
        let count = self.counts.get(&problem.kind).copied().unwrap_or(0);
        if !intake.fails() && count <= TOLD as u64 {
            let place = DataError::input(&problem.path, problem.told);
            intake.warn(format!("{consequence}: {place}"));
        }
        Ok(())
    }

    fn note(&mut self, problem: &FileProblem<K>, intake: &Intake<'_>) -> Result<(), DataError> {
        *self.counts.entry(problem.kind).or_default() += 1;
        let FileProblem { kind, path, told } = problem;
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
        let found: Vec<K> = self.counts.keys().copied().collect();
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
                "{kinds}:\n{}{more}\nmend them, or {}",
                self.first.join("\n"),
                K::remedy(&found)
            ),
        ))
    }
}
