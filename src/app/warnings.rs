//! What is right in a pipeline and probably not meant.

use std::collections::BTreeSet;
use std::path::Path;

use super::notice::Notice;
use crate::exec::{Capacity, Needs};
use crate::report::Results;
use crate::spec::{Command, Pipeline, RewrittenParameter, Run, StageSpec};

/// What is right in `pipeline` and probably not meant, where it is to run on a machine of `capacity` in the project
/// whose folder is `root`.
pub fn warnings(pipeline: &Pipeline, capacity: &Capacity, root: &Path) -> Vec<Notice> {
    let mut warnings = unused_parameters(pipeline);
    warnings.extend(rewritten_parameters(pipeline));
    warnings.extend(undeclared_files(pipeline, root));
    let exceeding = |(name, stage): (&String, &std::sync::Arc<StageSpec>)| {
        let what = Needs::exceeding(stage, capacity)?;
        Some(Notice::warning(format!("`{name}`: {what}")))
    };
    warnings.extend(pipeline.stages.iter().filter_map(exceeding));
    warnings
}

/// Parameters that change nothing.
pub(super) fn unused_parameters(pipeline: &Pipeline) -> Vec<Notice> {
    let warning = |name: &String| {
        Notice::warning(format!(
            "nothing uses the parameter `{name}`: to set it changes nothing; write ${{{name}}} where it belongs, or \
             take it out"
        ))
    };
    pipeline.unused_params.iter().map(warning).collect()
}

/// Parameters that stand otherwise in a text than they are given.
pub(super) fn rewritten_parameters(pipeline: &Pipeline) -> Vec<Notice> {
    let warning = |parameter: &RewrittenParameter| {
        let RewrittenParameter { name, given, text } = parameter;
        Notice::warning(format!(
            "the parameter `{name}` is given as {given}, which stands in texts as {text}: write `{name}: \"{given}\"` \
             where it is to stand there as it is given, and {text} where not"
        ))
    };
    pipeline.rewritten_params.iter().map(warning).collect()
}

/// Files of the project that a command names by their absolute path: nothing notices when they change.
pub(super) fn undeclared_files(pipeline: &Pipeline, root: &Path) -> Vec<Notice> {
    let root = format!("{}/", root.display());
    let mut warnings = Vec::new();
    for (name, stage) in &pipeline.stages {
        let Some(command) = stage.kind.options::<Command>() else {
            continue;
        };
        let text = match &command.run {
            Run::Script(script) => script.clone(),
            Run::Program(words) => words.join(" "),
        };
        let Some((_, rest)) = text.split_once(&root) else {
            continue;
        };
        let end = rest.find(|c: char| c.is_whitespace() || "'\"`;:,()[]<>|&=".contains(c));
        let path = &rest[..end.unwrap_or(rest.len())];
        warnings.push(Notice::warning(format!(
            "`{name}` names `./{path}` by its absolute path, so nothing is noticed when that changes: declare it, \
             `inputs: {{file: ./{path}}}`, and write `$file` in its place"
        )));
    }
    warnings
}

/// Whether a command stage describes metrics.
pub(super) fn describes_metrics(pipeline: &Pipeline) -> bool {
    let mut commands = pipeline
        .stages
        .values()
        .filter_map(|stage| stage.kind.options::<Command>());
    commands.any(|command| {
        command
            .metrics
            .as_ref()
            .is_some_and(|metrics| !metrics.of.is_empty())
    })
}

/// Metrics that a command stage describes and that its file does not hold in any of the results.
pub(super) fn described_in_vain(pipeline: &Pipeline, results: &Results) -> Vec<Notice> {
    let mut warnings = Vec::new();
    for (name, stage) in &pipeline.stages {
        let command = stage.kind.options::<Command>();
        let Some(metrics) = command.and_then(|command| command.metrics.as_ref()) else {
            continue;
        };
        let replicates = results.trials.iter().flat_map(|trial| &trial.replicates);
        let known: Vec<_> = replicates
            .filter_map(|replicate| replicate.stages.get(name))
            .collect();
        let found: BTreeSet<&str> = known.iter().flat_map(|result| result.metrics.names()).collect();
        if known.is_empty() {
            continue;
        }
        for metric in metrics
            .of
            .keys()
            .filter(|metric| !found.contains(metric.as_str()))
        {
            let has = match found.is_empty() {
                true => "it has none".to_owned(),
                false => format!("it has {}", Vec::from_iter(found.iter().copied()).join(", ")),
            };
            warnings.push(Notice::warning(format!(
                "the stage `{name}` describes the metric `{metric}` under `of`, and its file `{}` has no such one: {has}",
                metrics.file
            )));
        }
    }
    warnings
}
