//! What is known about a pipeline, brought up to date where that is wanted.

use std::collections::BTreeMap;

use super::execution::{Execution, ExecutionArguments};
use super::session::{PipelineArguments, Session};
use super::{Fail, plan, run, sweep};
use crate::event::RunStatus;
use crate::plan::{Decision, Plan};
use crate::report::{Replicate, Results, StageResult, Trial, TrialStatus};
use crate::store::Action;

/// What is done about results that are missing.
#[derive(Clone, Copy)]
pub(super) enum Effort<'a> {
    /// They are made.
    Run(&'a ExecutionArguments),
    /// They stay missing.
    Known,
}

/// What came of gathering results.
pub(super) enum Gathered {
    /// What is known.
    Known(Results),
    /// A stage failed, or the user stopped the run: the exit code.
    Ended(u8),
}

/// What is known about the session's pipeline, as far as the stages that `arguments` name are
/// concerned, or all.
pub(super) fn results_of(
    session: &Session,
    arguments: &PipelineArguments,
    effort: Effort<'_>,
) -> Result<Gathered, Fail> {
    if session.pipeline.sweep.is_some() {
        return sweep::results_of(session, &arguments.overrides, effort);
    }
    let mut plan = session.plan(arguments)?;
    if let Effort::Run(how) = effort
        && !plan::is_idle(&plan)
    {
        run::announce(&plan, how.log_format);
        let mut execution = Execution::start(session, how, false)?;
        let summary = execution.carry_out(&mut plan, &session.store, None);
        let code = execution.finish(&summary);
        if summary.status != RunStatus::Done {
            return Ok(Gathered::Ended(code));
        }
    }
    Ok(Gathered::Known(of_plan(session, &plan)))
}

/// The results of a pipeline without a sweep: one trial with one seed.
pub(super) fn of_plan(session: &Session, plan: &Plan) -> Results {
    let pipeline = &session.pipeline;
    let status = if plan::is_idle(plan) {
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
