//! Made-up results for tests.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::json;

use crate::event::Metrics;
use crate::fingerprint::Digest;
use crate::report::{Replicate, ReportInput, Results, StageResult, Trial, TrialStatus};
use crate::spec::{Direction, MetricPath, Objective};

/// A sweep over `x`, a trial at a time; trial `n` has `x` = `n / 10`.
pub struct Sample {
    pub input: ReportInput,
}

pub fn objective(path: &str, direction: Direction) -> Objective {
    let (stage, metric) = path.split_once('.').unwrap();
    let path = MetricPath {
        stage: stage.to_owned(),
        metric: metric.to_owned(),
    };
    match direction {
        Direction::Maximize => Objective::Maximize(path),
        Direction::Minimize => Objective::Minimize(path),
    }
}

impl Sample {
    pub fn new(objectives: &[(&str, Direction)]) -> Self {
        let results = Results {
            pipeline: "sample".to_owned(),
            file: "sample.yaml".to_owned(),
            swept: vec!["x".to_owned()],
            objectives: objectives
                .iter()
                .map(|(path, direction)| objective(path, *direction))
                .collect(),
            ..Results::default()
        };
        Self {
            input: ReportInput {
                results,
                ..ReportInput::default()
            },
        }
    }

    /// A finished trial with these values of the objectives.
    pub fn done(&mut self, values: &[f64]) -> &mut Self {
        let mut stages: BTreeMap<String, StageResult> = BTreeMap::new();
        for (objective, value) in self.input.results.objectives.iter().zip(values) {
            let path = objective.path();
            let result = stages.entry(path.stage.clone()).or_insert_with(|| StageResult {
                kind: "evaluate".to_owned(),
                fingerprint: Digest::of_bytes(b"f"),
                artifact: Digest::of_bytes(b"a"),
                metrics: Metrics::new(),
                key: json!({"fields": {"split": "test"}}),
                made: json!({"seconds": 1.5, "host": "h"}),
            });
            result.metrics.insert(path.metric.clone(), *value);
        }
        self.push(TrialStatus::Done, vec![Replicate { seed: 0, stages }])
    }

    pub fn pruned(&mut self, epoch: u32) -> &mut Self {
        self.push(TrialStatus::Pruned { epoch }, Vec::new())
    }

    pub fn failed(&mut self) -> &mut Self {
        let error = "it <broke>".to_owned();
        self.push(TrialStatus::Failed { error }, Vec::new())
    }

    fn push(&mut self, status: TrialStatus, replicates: Vec<Replicate>) -> &mut Self {
        let number = self.input.results.trials.len() as u32 + 1;
        self.input.results.trials.push(Trial {
            number,
            parameters: IndexMap::from([("x".to_owned(), json!(f64::from(number) / 10.0))]),
            status,
            replicates,
            ..Trial::default()
        });
        self
    }
}
