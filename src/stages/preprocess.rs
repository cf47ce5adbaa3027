//! The `preprocess` kind: files of a known format become a dataset.

use rayon::ThreadPoolBuilder;

use super::{Job, Outcome, Stage, StageError};
use crate::data::{self, DataError};
use crate::event::{Metrics, Monitor};
use crate::spec::{Kind, SplitName};

/// Runs `preprocess` jobs: reads the input `input`, writes a dataset into the output folder.
///
/// Metrics: the samples of each split there is (`train`, `val`, `test`), `classes`, and `skipped`,
/// the samples left out because they could not be read.
pub struct PreprocessStage;

impl Stage for PreprocessStage {
    fn run(&self, job: &Job, monitor: &Monitor) -> Result<Outcome, StageError> {
        let Kind::Preprocess(options) = &job.kind else {
            return Err(StageError::failed("this job is not a `preprocess` job"));
        };
        let input = job.input("input")?;
        let pool = ThreadPoolBuilder::new().num_threads(job.threads).build();
        let pool = pool.map_err(|error| StageError::failed(format!("cannot start threads: {error}")))?;
        let prepared = pool
            .install(|| data::prepare(options, input, &job.output, monitor))
            .map_err(|error| match error {
                DataError::Stopped => StageError::Interrupted,
                error => StageError::failed(error.to_string()),
            })?;
        let mut metrics = Metrics::new();
        for name in SplitName::ALL {
            if let Some(count) = prepared.splits.get(&name) {
                metrics.insert(name.as_str().to_owned(), *count as f64);
            }
        }
        metrics.insert("classes".to_owned(), prepared.classes as f64);
        metrics.insert("skipped".to_owned(), prepared.skipped as f64);
        Ok(Outcome { metrics })
    }
}
