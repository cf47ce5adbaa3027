//! From a plan to what is known of its stages.

use std::collections::BTreeMap;

use super::session::Session;
use crate::plan::{Decision, Plan};
use crate::report::{Replicate, Results, StageResult, Trial, TrialStatus};
use crate::store::Action;

/// The results of a pipeline without a sweep: one trial with one seed.
pub fn results_of_plan(session: &Session, plan: &Plan) -> Results {
    let pipeline = &session.pipeline;
    let status = if plan.is_up_to_date() {
        TrialStatus::Done
    } else {
        TrialStatus::Missing
    };
    Results {
        pipeline: pipeline.name.clone(),
        file: session.file_in_project(),
        description: pipeline.description.clone(),
        swept: Vec::new(),
        objectives: Vec::new(),
        judged: None,
        metrics: pipeline.metrics.clone(),
        trials: vec![Trial {
            number: 1,
            parameters: pipeline.params.clone(),
            status,
            curve: Vec::new(),
            replicates: vec![Replicate {
                seed: pipeline.seed,
                stages: known(plan),
            }],
        }],
    }
}

/// The results of all stages of `plan` that are known, by the stages' names.
fn known(plan: &Plan) -> BTreeMap<String, StageResult> {
    let mut results = BTreeMap::new();
    for &index in plan.order() {
        let node = plan.node(index);
        let Decision::Reuse(action) = &node.decision else {
            continue;
        };
        for name in &node.names {
            results.insert(name.to_string(), stage_result(node.stage.kind.name(), action));
        }
    }
    results
}

/// A result as the store has it.
pub(super) fn stage_result(kind: &str, action: &Action) -> StageResult {
    StageResult {
        kind: kind.to_owned(),
        fingerprint: action.fingerprint,
        artifact: action.artifact,
        metrics: action.metrics.clone(),
        key: action.key.value(),
        made: action.made.value(),
    }
}
