//! From the store to what plots and pages are made of.

use std::collections::HashMap;

use super::error::AppError;
use super::known::known_results;
use super::request::PipelineRequest;
use super::session::Session;
use super::tables::{Others, assemble_table, needs_other, others_of};
use crate::fingerprint::Digest;
use crate::plan::{Decision, Plan};
use crate::report::{
    GraphNode, NodeStatus, PageTable, ReportInput, Results, Trial, TrialFile, TrialStatus, html_table,
    shown_trial,
};
use crate::spec::{ArtifactTable, EPOCH, Pipeline, counted};
use crate::store::{Store, StoreError};

/// Everything that is known about the session's pipeline, for its page and plots.
///
/// # Errors
/// A file has mistakes, or the store or the history cannot be read.
pub fn report_input(session: &Session, request: &PipelineRequest) -> Result<ReportInput, AppError> {
    let mut notices = Vec::new();
    // Where an input is missing, what is known is still shown.
    let mut known = |problem: AppError| match problem {
        AppError::Plan { problem, .. } => {
            let problem = problem.to_string();
            if !notices.contains(&problem) {
                notices.push(problem);
            }
            Ok(())
        }
        other => Err(other),
    };
    let results = match known_results(session, request) {
        Ok(results) => results,
        Err(problem) => {
            known(problem)?;
            Results::default()
        }
    };
    let plan = match session.plan(request) {
        Ok(plan) => Some(plan),
        Err(problem) => {
            known(problem)?;
            None
        }
    };
    let mut graph = graph_nodes(&session.pipeline, plan.as_ref());
    if session.pipeline.sweep.is_some() {
        let replicates = || results.trials.iter().flat_map(|trial| &trial.replicates);
        for node in &mut graph {
            if replicates().any(|replicate| replicate.stages.contains_key(&node.name)) {
                node.status = NodeStatus::Known;
            }
        }
    }
    let missing = graph
        .iter()
        .filter(|node| node.status == NodeStatus::Missing)
        .count();
    if missing > 0 && results.swept.is_empty() {
        notices.push(format!(
            "{missing} of {} {} not been run yet; run `erlen run {}`",
            counted(graph.len(), "stage"),
            if missing == 1 { "has" } else { "have" },
            session.file().display()
        ));
    }
    let tables = tables(session, &results, &mut notices)?;
    let mut files = Files::new(&session.store);
    let shown = shown_trial(&results);
    let mut histories = files.of(&results, ArtifactTable::HISTORY, |_| true)?;
    histories.extend(
        results
            .trials
            .iter()
            .filter_map(|trial| curve_of(&results, trial)),
    );
    let mut input = ReportInput {
        histories,
        confusions: files.of(&results, ArtifactTable::CONFUSION, |trial| shown == Some(trial))?,
        classes: files.of(&results, ArtifactTable::CLASSES, |trial| shown == Some(trial))?,
        results,
        graph,
        tables,
        notices,
    };
    input.notices.append(&mut files.damaged);
    Ok(input)
}

/// The history of a trial that was stopped early: the judged figure alone.
fn curve_of(results: &Results, trial: &Trial) -> Option<TrialFile> {
    let judged = results.judged.as_ref()?;
    let is_pruned = matches!(trial.status, TrialStatus::Pruned { .. });
    (is_pruned && !trial.curve.is_empty()).then(|| {
        let mut text = format!("{EPOCH},{}\n", judged.metric);
        for (epoch, value) in (1..).zip(&trial.curve) {
            text.push_str(&format!("{epoch},{value:?}\n"));
        }
        TrialFile {
            trial: trial.number,
            seed: trial.replicates.first().map_or(0, |replicate| replicate.seed),
            stage: judged.stage.clone(),
            text,
        }
    })
}

/// The stages of `pipeline`, with what `plan` knows about them.
pub fn graph_nodes(pipeline: &Pipeline, plan: Option<&Plan>) -> Vec<GraphNode> {
    let known = |name: &str| {
        let node = plan.and_then(|plan| plan.find(name));
        node.is_some_and(|node| matches!(node.decision, Decision::Reuse(..)))
    };
    let nodes = in_order(pipeline).into_iter().map(|name| {
        let stage = &pipeline.stages[name];
        GraphNode {
            name: name.to_owned(),
            kind: stage.kind.name().to_owned(),
            description: stage.description.clone(),
            upstream: stage.upstream(),
            status: if known(name) {
                NodeStatus::Known
            } else {
                NodeStatus::Missing
            },
        }
    });
    nodes.collect()
}

/// The stages' names, each after all that it waits for; else in the order of the file.
fn in_order(pipeline: &Pipeline) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    while names.len() < pipeline.stages.len() {
        let before = names.len();
        for (name, stage) in &pipeline.stages {
            let ready = stage
                .upstream()
                .iter()
                .all(|upstream| names.contains(&upstream.as_str()));
            if ready && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        // A validated pipeline has no cycle; one would leave the rest out.
        if names.len() == before {
            break;
        }
    }
    names
}

/// The pipeline's tables; one that cannot be made becomes a notice.
fn tables(
    session: &Session,
    results: &Results,
    notices: &mut Vec<String>,
) -> Result<Vec<PageTable>, AppError> {
    let mut tables = Vec::new();
    for (name, table) in &session.pipeline.tables {
        let others = match others_of(session, table)? {
            Others::Known(others) => others,
            Others::Missing(path) => {
                notices.push(needs_other(session, name, &path));
                continue;
            }
        };
        let mut sources = vec![(&session.pipeline, results)];
        sources.extend(others.iter().map(|(other, results)| (&other.pipeline, results)));
        match assemble_table(name, table, &sources) {
            Ok(data) => tables.push(PageTable {
                name: name.clone(),
                html: html_table(&data),
            }),
            Err(error) => notices.push(error.to_string()),
        }
    }
    Ok(tables)
}

/// Files of artifacts. Trials share many: each is read once.
struct Files<'a> {
    store: &'a Store,
    read: HashMap<(Digest, &'static str), Option<String>>,
    /// What was missing or damaged, in words.
    damaged: Vec<String>,
}

impl<'a> Files<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            read: HashMap::new(),
            damaged: Vec::new(),
        }
    }

    /// The `table` of every result in the trials that are `wanted`, where it has one.
    fn of(
        &mut self,
        results: &Results,
        table: ArtifactTable,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Vec<TrialFile>, AppError> {
        let mut files = Vec::new();
        for trial in results.trials.iter().filter(|trial| wanted(trial.number)) {
            for replicate in &trial.replicates {
                for (stage, result) in replicate
                    .stages
                    .iter()
                    .filter(|(_, result)| result.kind == table.kind)
                {
                    if let Some(text) = self.text(result.artifact, table.name)? {
                        files.push(TrialFile {
                            trial: trial.number,
                            seed: replicate.seed,
                            stage: stage.clone(),
                            text,
                        });
                    }
                }
            }
        }
        Ok(files)
    }

    fn text(&mut self, artifact: Digest, path: &'static str) -> Result<Option<String>, AppError> {
        if let Some(text) = self.read.get(&(artifact, path)) {
            return Ok(text.clone());
        }
        let text = match self.store.read_file(&artifact, path) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(StoreError::NoSuchPath { .. }) => None,
            Err(error) if error.is_loss() => {
                self.damaged.push(error.to_string());
                None
            }
            Err(error) => return Err(error.into()),
        };
        self.read.insert((artifact, path), text.clone());
        Ok(text)
    }
}
