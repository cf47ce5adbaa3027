//! `erlen plan`: what would run, and why.

use clap::Args;
use serde_json::{Value, json};

use super::arguments::PipelineArguments;
use super::exit::DONE;
use super::plan_text::to_text;
use super::text::print_notices;
use crate::app::{AppError, Session, remote_notices};
use crate::plan::{Decision, Plan};

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &PlanArguments) -> Result<u8, AppError> {
    let request = arguments.pipeline.request();
    let session = Session::open(&request)?;
    let plan = session.plan(&request)?;
    print_notices(&remote_notices(&session.store));
    if arguments.json {
        anstream::println!("{:#}", to_json(&plan));
    } else {
        anstream::print!("{}", to_text(&plan));
    }
    Ok(DONE)
}

fn to_json(plan: &Plan) -> Value {
    let stages: Vec<Value> = plan
        .order()
        .iter()
        .map(|&index| {
            let node = plan.node(index);
            let waits_for: Vec<&str> = plan
                .upstream(index)
                .map(|index| plan.node(index).name().stage())
                .collect();
            let mut stage = json!({
                "stage": node.name().to_string(),
                "names": node.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "kind": node.stage.kind.name(),
                "after": waits_for,
                "recipe": node.recipe,
            });
            let decision = match &node.decision {
                Decision::Reuse(action) => json!({
                    "decision": "reuse",
                    "fingerprint": action.fingerprint,
                    "artifact": action.artifact,
                    "metrics": action.metrics,
                    "key": action.key.value(),
                }),
                Decision::Run(key, reason) => json!({
                    "decision": "run",
                    "fingerprint": key.fingerprint(),
                    "reason": reason,
                    "because": reason.to_string(),
                    "key": key,
                }),
                Decision::Pending(upstream) => json!({"decision": "pending", "pending": upstream}),
            };
            if let (Value::Object(stage), Value::Object(decision)) = (&mut stage, decision) {
                stage.extend(decision);
            }
            stage
        })
        .collect();
    json!({"pipeline": plan.pipeline(), "stages": stages})
}
