//! The `sweep:` section: a search space over the parameters, how it is searched, and for what.

mod check;
mod constraint;
mod domain;
mod objective;
mod prune;
mod search;

pub(super) use check::sweep_mistakes;
pub use constraint::{Constraint, OneOrMany, Operand};
pub use domain::{Domain, SweptParameter};
pub use objective::{Objective, Objectives};
pub use prune::{Asha, EpochLimits, Median, Patience, Prune};
pub use search::{CmaEs, Grid, Search, Tpe, Trials};

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pipeline::Pipeline;
use super::values::Span;
pub use crate::metric::Direction;
use crate::metric::MetricTable;

/// Many runs of the same pipeline, each with other values of some parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The swept parameters and the values that each may take. A list means one of its members. Without any, `replicates`
    /// seeds of the pipeline as it is.
    #[serde(default)]
    pub params: IndexMap<String, SweptParameter>,
    /// What every trial's values must fulfil.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// How many seeds each trial is run with: the pipeline's seed and those that follow it.
    #[serde(default = "one")]
    pub replicates: NonZeroU32,
    /// How the space is searched.
    #[serde(default)]
    pub search: Search,
    /// What is searched for. Several objectives give a Pareto front.
    #[serde(default)]
    pub objective: Objectives,
    /// When a trial that does badly is stopped before its last epoch.
    #[serde(default)]
    pub prune: Option<Prune>,
    /// How many trials may run at once, as far as the machine's resources allow. By default one
    /// where later trials learn from earlier ones (a search that learns knows so many fewer of
    /// them), else as many as the resources allow.
    #[serde(default)]
    pub parallel: Option<NonZeroU32>,
    /// How long new trials may be started for, counted from the start of each call.
    #[serde(default)]
    pub time: Option<Span>,
}

impl Sweep {
    /// Whether there is more than one run in it: values to choose from, or seeds.
    pub fn is_of_several(&self) -> bool {
        !self.params.is_empty() || (self.replicates.get() > 1 && matches!(self.search, Search::Grid(_)))
    }

    /// The stages of `pipeline` that every trial brings up to date: those that objectives, the pruner and tables
    /// speak of, or else all.
    pub fn targets(&self, pipeline: &Pipeline) -> BTreeSet<String> {
        let objectives = self.objective.0.iter();
        let mut targets: BTreeSet<String> = objectives
            .map(|objective| objective.path().stage.clone())
            .collect();
        let judged = self.judged(&pipeline.metrics);
        targets.extend(judged.map(|judged| judged.path().stage.clone()));
        for table in pipeline.tables.values() {
            targets.extend(table.stages());
        }
        if targets.is_empty() {
            targets.extend(pipeline.stages.keys().cloned());
        }
        targets
    }

    /// What the pruner judges by: the metric that it names, else the only objective. A metric that
    /// is no objective is better as `metrics` says; nothing is judged by one that has no better.
    pub fn judged(&self, metrics: &MetricTable) -> Option<Objective> {
        match (self.prune.as_ref()?.metric(), self.objective.0.as_slice()) {
            (Some(path), objectives) => {
                let named = objectives.iter().find(|objective| objective.path() == path);
                named.cloned().or_else(|| {
                    let better = metrics.better(&path.stage, &path.metric)?;
                    Some(Objective::new(better, path.clone()))
                })
            }
            (None, [objective]) => Some(objective.clone()),
            (None, _) => None,
        }
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// `value`, which is not 0.
fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metric::MetricInfo;

    #[test]
    fn a_pruner_judges_as_the_objective_or_the_metric_says() {
        let judged = |objective: serde_json::Value, metric: &str, metrics: &MetricTable| {
            let sweep: Sweep = serde_json::from_value(json!({
                "params": {},
                "objective": objective,
                "prune": {"asha": {"metric": metric}},
            }))
            .unwrap();
            sweep.judged(metrics).map(|objective| objective.direction())
        };
        let mut metrics = MetricTable::built_in();
        let other = json!({"minimize": "test.rmse"});
        for (metric, direction) in [
            ("m.val_mae", Some(Direction::Minimize)),
            ("m.train_loss", Some(Direction::Minimize)),
            ("m.val_accuracy", Some(Direction::Maximize)),
            ("m.gradient_norm", None),
            ("m.my_loss", None),
        ] {
            assert_eq!(judged(other.clone(), metric, &metrics), direction, "{metric}");
        }
        let maximized = json!({"maximize": "m.val_mae"});
        assert_eq!(
            judged(maximized, "m.val_mae", &metrics),
            Some(Direction::Maximize)
        );
        metrics.add(
            MetricInfo::new("dice", "Dice")
                .better(Direction::Maximize)
                .every_epoch(),
        );
        assert_eq!(judged(other, "m.val_dice", &metrics), Some(Direction::Maximize));
    }
}
