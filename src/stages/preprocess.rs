//! How the `preprocess` kind runs: files of a known format become a dataset.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::ThreadPoolBuilder;

use super::{Job, Outcome, Registry, StageError, StageRunner};
use crate::data::{self, DataError, SplitInput};
use crate::event::{Metrics, Monitor};
use crate::spec::{Mistake, Preprocess, SplitInputs, SplitName};

/// Runs `preprocess` jobs: reads the input `input`, or `train`, `val` and `test`, writes a dataset into the output folder.
///
/// Metrics: the samples of each split there is (`train`, `val`, `test`), `classes` (of a multi-label
/// dataset its labels, of a regression 0), and `skipped`, the samples left out because they could not
/// be read; of texts `tokens`, those of all samples.
impl StageRunner for Preprocess {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let options = self;
        let given = match &options.input {
            SplitInputs::One(_) => vec![(None, "input")],
            SplitInputs::BySplit(files) => files.keys().map(|split| (Some(*split), split.as_str())).collect(),
        };
        let inputs = given.into_iter().map(|(split, role)| {
            let path = job.input(role)?;
            Ok(SplitInput { split, path })
        });
        let inputs: Vec<SplitInput> = inputs.collect::<Result<_, StageError>>()?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(job.surroundings.threads)
            .build();
        let pool = pool.map_err(|error| StageError::failed(format!("cannot start threads: {error}")))?;
        let prepared = pool
            .install(|| {
                data::prepare_with(
                    options,
                    registry.formats(),
                    &inputs,
                    &job.inputs,
                    &job.output,
                    monitor,
                )
            })
            .map_err(|error| match error {
                DataError::Stopped => StageError::Interrupted,
                error => StageError::failed(error.to_string()),
            })?;
        let mut metrics = Metrics::new();
        for name in SplitName::ALL {
            if let Some(count) = prepared.splits.get(&name) {
                metrics.insert(name.as_str(), *count as f64);
            }
        }
        metrics.insert("classes", prepared.classes as f64);
        metrics.insert("skipped", prepared.skipped as f64);
        if options.format.metrics().contains(&"tokens") {
            metrics.insert("tokens", prepared.tokens as f64);
        }
        Ok(Outcome { metrics })
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>, registry: &Registry) -> Vec<Mistake> {
        let found = registry.formats().look_into(&self.format, files);
        let deeper = |mistake: Mistake| Mistake {
            path: ["format", self.format.name()]
                .map(str::to_owned)
                .into_iter()
                .chain(mistake.path)
                .collect(),
            ..mistake
        };
        found.into_iter().map(deeper).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::data::Dataset;
    use crate::fingerprint::Digest;
    use crate::stages::Surroundings;

    fn job(folder: &Path, kind: &str) -> Job {
        let output = folder.join("output");
        fs::create_dir_all(&output).unwrap();
        Job {
            stage: "data".into(),
            kind: serde_json::from_str(kind).unwrap(),
            seed: 0,
            draws: false,
            fingerprint: Digest::of_bytes(b"key"),
            inputs: BTreeMap::from([("input".into(), folder.join("table.csv"))]),
            provenance: BTreeMap::new(),
            scratch: folder.join("scratch"),
            output,
            log: folder.join("log"),
            limits: None,
            shorter: None,
            surroundings: Surroundings {
                threads: 2,
                ..Surroundings::of_project(folder)
            },
        }
    }

    const KIND: &str = r#"{"preprocess": {"input": "raw", "format": {"csv": {}}, "split": {"test": 0.5}, "on_error": "skip"}}"#;

    #[test]
    fn writes_a_dataset_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("table.csv"), "1,a\n2,b\n3,a\n4,b\nx,a\n").unwrap();
        let outcome = Registry::built_in()
            .run(&job(folder.path(), KIND), &Monitor::silent())
            .unwrap();
        let metrics = [("classes", 2.0), ("skipped", 1.0), ("test", 2.0), ("train", 2.0)];
        let metrics: Metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(outcome.metrics, metrics);
        let dataset = Dataset::open(&folder.path().join("output")).unwrap();
        assert_eq!(dataset.split(SplitName::Test).unwrap().len(), 2);
    }

    #[test]
    fn stops_and_fails_as_it_should() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("table.csv"), "1,a\n2,b\n").unwrap();
        let job = job(folder.path(), KIND);
        let stopped = Monitor::new(|_| {}, Arc::new(AtomicBool::new(true)));
        assert_eq!(
            Registry::built_in().run(&job, &stopped),
            Err(StageError::Interrupted)
        );
        let failed = Registry::built_in().run(&job, &Monitor::silent()).unwrap_err();
        assert!(
            failed.to_string().contains("class `a` has 1 training sample,"),
            "{failed}"
        );
    }
}
