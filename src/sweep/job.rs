//! What a study asks for, and what it is told.

use serde::{Deserialize, Serialize};

use super::Values;
use crate::event::figure::list as figure;
use crate::spec::EpochLimits;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposal {
    /// Run this.
    Run(TrialJob),
    /// What comes next depends on how jobs that were started end.
    Wait,
    /// Every job has ended, and none follows.
    Finished,
}

/// A trial to run, or to go on with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialJob {
    /// Its number among the jobs of the study, from 1.
    pub number: u32,
    /// The trial's number, from 1.
    pub trial: u32,
    /// The trial's values.
    pub values: Values,
    /// When the judged training pauses; none where it runs to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<EpochLimits>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum JobOutcome {
    /// The trial came to its end.
    Done {
        /// Each objective's mean over the replicates, in the order of the definition.
        #[serde(with = "figure")]
        objectives: Vec<f64>,
        /// The judged figure of the first replicate by epoch; empty where nothing is judged.
        #[serde(with = "figure", default)]
        curve: Vec<f64>,
    },
    /// The training paused under the job's limits.
    Paused {
        /// The judged figure of the first replicate by epoch, from the first epoch on.
        #[serde(with = "figure")]
        curve: Vec<f64>,
    },
    /// A stage failed.
    Failed {
        /// What went wrong.
        error: String,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::spec::Direction;

    #[test]
    fn figures_keep_every_bit() {
        let odd = [
            f64::NAN,
            -f64::NAN,
            f64::from_bits(0x7ff0_0000_0000_0abc),
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            0.1 + 0.2,
            5e-324,
        ];
        let outcome = JobOutcome::Done {
            objectives: odd.to_vec(),
            curve: odd.to_vec(),
        };
        let text = serde_json::to_string(&outcome).unwrap();
        let JobOutcome::Done { objectives, curve } = serde_json::from_str(&text).unwrap() else {
            panic!("{text} reads as something else");
        };
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&objectives), bits(&odd), "{text}");
        assert_eq!(bits(&curve), bits(&odd), "{text}");
    }

    #[test]
    fn jobs_read_back() {
        let job = TrialJob {
            number: 3,
            trial: 2,
            values: [("lr".to_owned(), json!(0.1)), ("net".to_owned(), json!("mlp"))].into(),
            limits: Some(EpochLimits {
                metric: "val_loss".into(),
                direction: Direction::Minimize,
                until: Some(9),
                worse_than: BTreeMap::from([(2, 0.5)]),
                patience: None,
            }),
        };
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<TrialJob>(&text).unwrap(), job, "{text}");
        let paused = json!({"outcome": "paused", "curve": [0.5, "NaN"]});
        assert!(matches!(
            serde_json::from_value(paused).unwrap(),
            JobOutcome::Paused { curve } if curve.len() == 2 && curve[1].is_nan()
        ));
    }
}
