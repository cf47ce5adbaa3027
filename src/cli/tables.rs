//! From the results of a run to the files of its tables.

use std::collections::BTreeMap;

use super::Fail;
use super::session::Session;
use crate::event::Event;
use crate::plan::{Decision, Plan};
use crate::report::{Replicate, StageResult, TableData, Trial, TrialStatus, render, write_if_changed};
use crate::spec::TableFormat;
use crate::store::Action;

/// The folder of the tables, in the project's root.
pub(super) const FOLDER: &str = "results";

/// Writes every table of the pipeline whose bytes differ from what stands there. Gives them as
/// Markdown.
pub(super) fn write(
    session: &Session,
    plan: &Plan,
    tell: &mut dyn FnMut(&Event),
) -> Result<Vec<String>, Fail> {
    let trial = Trial {
        number: 1,
        parameters: session.pipeline.params.clone(),
        status: TrialStatus::Done,
        replicates: vec![Replicate {
            seed: session.pipeline.seed,
            stages: known(plan),
        }],
    };
    let mut texts = Vec::new();
    for (name, table) in &session.pipeline.tables {
        let data = TableData::assemble(name, table, std::slice::from_ref(&trial))?;
        for &format in &table.formats {
            let path = session
                .project
                .root
                .join(FOLDER)
                .join(name)
                .with_extension(format.extension());
            let changed = write_if_changed(&path, &render(&data, format))?;
            let shown = path
                .strip_prefix(&session.project.root)
                .unwrap_or(&path)
                .to_owned();
            tell(&Event::TableWritten {
                table: name.clone(),
                path: shown,
                changed,
            });
        }
        texts.push(String::from_utf8_lossy(&render(&data, TableFormat::Md)).into_owned());
    }
    Ok(texts)
}

/// The results of all stages of `plan` that are known, by the stages' names.
pub(super) fn known(plan: &Plan) -> BTreeMap<String, StageResult> {
    let mut results = BTreeMap::new();
    for &index in plan.order() {
        let node = plan.node(index);
        let Decision::Reuse(_, action) = &node.decision else {
            continue;
        };
        for name in &node.names {
            results.insert(name.clone(), stage_result(node.stage.kind.name(), action));
        }
    }
    results
}

/// A result as the store has it.
fn stage_result(kind: &str, action: &Action) -> StageResult {
    StageResult {
        kind: kind.to_owned(),
        fingerprint: action.fingerprint,
        artifact: action.artifact,
        metrics: action.metrics.clone(),
        key: action.key.clone(),
        made: action.made.clone(),
    }
}
