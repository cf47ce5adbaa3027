//! What a sweep's types cannot say: parameters that exist, objectives that are reported, spaces
//! that the search can handle.

use std::collections::BTreeSet;

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::{Domain, Objective, Search, Sweep};
use crate::metric::{Direction, EpochSplit, MetricTable};
use crate::spec::diagnostic::{Diagnostic, suggest};
use crate::spec::node::Node;
use crate::spec::validate::metric_mistake;
use crate::spec::{Command, MetricPath, Pipeline, StageSpec, Train};

/// All mistakes of a sweep over `pipeline` whose fields are right by themselves.
pub(in crate::spec) fn sweep_mistakes(pipeline: &Pipeline, sweep: &Sweep, root: &Node) -> Vec<Diagnostic> {
    let Pipeline {
        stages,
        params,
        metrics,
        ..
    } = pipeline;
    let mut mistakes = Vec::new();
    let place = |path: &[&str]| root.span_at(&[&["sweep"], path].concat());
    if !sweep.is_of_several() {
        let help = match (&sweep.search, sweep.replicates.get()) {
            (Search::Grid(_), _) => {
                "name parameters and their values under `params`, or several `replicates`"
            }
            (_, 1) => "name parameters and their values under `params`",
            _ => {
                "leave `search` out for the replicates alone, or name parameters and their values under `params`"
            }
        };
        mistakes.push(Diagnostic::new("there is nothing to sweep", place(&[])).help(help));
    }
    for name in sweep.params.keys() {
        let span = place(&["params", name]);
        if !params.contains_key(name) {
            let known = params.keys().map(String::as_str);
            mistakes.push(
                Diagnostic::new(format!("there is no parameter `{name}`"), span).help(suggest(
                    name,
                    "parameters",
                    known,
                )),
            );
        } else if !stages.values().any(|stage| stage.params.contains(name)) {
            mistakes.push(
                Diagnostic::new(format!("no stage uses the parameter `{name}`"), span)
                    .help(format!("write ${{{name}}} where its value belongs")),
            );
        }
    }
    mistakes.extend(replicates_mistake(pipeline, sweep, place));
    mistakes.extend(condition_mistakes(sweep, place));
    mistakes.extend(constraint_mistakes(params, sweep, place));
    for (index, objective) in sweep.objective.0.iter().enumerate() {
        let index = index.to_string();
        let direction = match objective {
            Objective::Maximize(_) => "maximize",
            Objective::Minimize(_) => "minimize",
        };
        let path: &[&str] = if root
            .get("sweep")
            .and_then(|sweep| sweep.get("objective"))
            .is_some_and(|node| node.get(direction).is_some())
        {
            &["objective", direction]
        } else {
            &["objective", &index, direction]
        };
        mistakes.extend(metric_mistake(stages, metrics, objective.path(), place(path)));
        mistakes.extend(direction_mistake(stages, metrics, objective, place(path)));
    }
    if let Some((message, help)) = search_mistake(sweep) {
        mistakes.push(Diagnostic::new(message, place(&["search"])).help(help));
    }
    mistakes.extend(prune_mistake(stages, sweep, metrics, place));
    mistakes
}

/// Several seeds for stages none of which draws: each replicate would be the first one again.
fn replicates_mistake(
    pipeline: &Pipeline,
    sweep: &Sweep,
    place: impl Fn(&[&str]) -> miette::SourceSpan,
) -> Option<Diagnostic> {
    if sweep.replicates.get() == 1 {
        return None;
    }
    let mut waiting: Vec<String> = sweep.targets(pipeline).into_iter().collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        // What refers to a stage that there is not is told elsewhere.
        let stage = pipeline.stages.get(&name)?;
        if stage.draws() {
            return None;
        }
        if seen.insert(name) {
            waiting.extend(stage.upstream());
        }
    }
    let message = format!(
        "{} replicates of stages none of which draws random numbers would all be the same",
        sweep.replicates
    );
    let mut stages = pipeline.stages.iter();
    let command = stages
        .find(|(name, stage)| seen.contains(*name) && stage.kind.options::<Command>().is_some())
        .map(|(name, _)| name);
    let help = match command {
        Some(_) if pipeline.params.contains_key("seed") => {
            "the parameter `seed` is a value like any other: take it out of `params`, and `${seed}` is each replicate's seed"
                .to_owned()
        }
        Some(command) => format!(
            "let a command such as `{command}` have its seed: write ${{seed}} where it belongs, or `draws: true` and read \
             ERLEN_SEED"
        ),
        None => "take `replicates` out".to_owned(),
    };
    Some(Diagnostic::new(message, place(&["replicates"])).help(help))
}

/// An objective that a command's own word on its metric contradicts.
fn direction_mistake(
    stages: &IndexMap<String, Arc<StageSpec>>,
    metrics: &MetricTable,
    objective: &Objective,
    span: miette::SourceSpan,
) -> Option<Diagnostic> {
    let path = objective.path();
    stages.get(&path.stage)?.kind.options::<Command>()?;
    let better = metrics.of_stage(&path.stage, &path.metric)?.better?;
    let said = match better {
        Direction::Maximize => "larger",
        Direction::Minimize => "smaller",
    };
    (better != objective.direction()).then(|| {
        Diagnostic::new(
            format!(
                "the stage `{}` says that its `{}` is better when {said}",
                path.stage, path.metric
            ),
            span,
        )
        .help("change the objective, or `better` under the stage's `metrics`")
    })
}

fn condition_mistakes(sweep: &Sweep, place: impl Fn(&[&str]) -> miette::SourceSpan) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for (name, parameter) in &sweep.params {
        for (other, wanted) in &parameter.when {
            let span = place(&["params", name, "when", other]);
            let Some(condition) = sweep.params.get(other) else {
                let known = sweep.params.keys().map(String::as_str);
                mistakes.push(
                    Diagnostic::new(format!("`{other}` is not swept"), span).help(suggest(
                        other,
                        "swept parameters",
                        known,
                    )),
                );
                continue;
            };
            let never: Vec<String> = wanted
                .0
                .iter()
                .filter(|value| !condition.domain.contains(value))
                .map(Value::to_string)
                .collect();
            if !never.is_empty() {
                mistakes.push(Diagnostic::new(
                    format!("`{other}` is never {}", never.join(" or ")),
                    span,
                ));
            }
        }
        if waits_for_itself(sweep, name) {
            mistakes.push(
                Diagnostic::new(
                    format!("whether `{name}` is used depends on itself"),
                    place(&["params", name, "when"]),
                )
                .help("take one of these conditions out"),
            );
        }
    }
    mistakes
}

fn waits_for_itself(sweep: &Sweep, name: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut stack = vec![name];
    while let Some(at) = stack.pop() {
        let Some(parameter) = sweep.params.get(at) else {
            continue;
        };
        for other in parameter.when.keys() {
            if other == name {
                return true;
            }
            if seen.insert(other.as_str()) {
                stack.push(other);
            }
        }
    }
    false
}

fn constraint_mistakes(
    params: &IndexMap<String, Value>,
    sweep: &Sweep,
    place: impl Fn(&[&str]) -> miette::SourceSpan,
) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for (index, constraint) in sweep.constraints.iter().enumerate() {
        let index = index.to_string();
        let span = place(&["constraints", &index]);
        if let Some(mistake) = constraint.mistake() {
            mistakes.push(
                Diagnostic::new(mistake, span).help("for example {product: [width, depth], at_most: 64}"),
            );
        }
        for name in constraint.parameters().filter(|name| !params.contains_key(*name)) {
            let known = params.keys().map(String::as_str);
            mistakes.push(
                Diagnostic::new(format!("there is no parameter `{name}`"), span).help(suggest(
                    name,
                    "parameters",
                    known,
                )),
            );
        }
    }
    mistakes
}

/// What the search cannot handle, and what to do.
fn search_mistake(sweep: &Sweep) -> Option<(String, String)> {
    let search = sweep.search.name();
    if matches!(sweep.search, Search::Tpe(_) | Search::CmaEs(_)) && sweep.objective.0.is_empty() {
        return Some((
            format!("`{search}` needs an objective"),
            "add one, such as objective: {maximize: model.val_accuracy}".to_owned(),
        ));
    }
    match &sweep.search {
        Search::Grid(_) => {
            let endless = sweep
                .params
                .iter()
                .find(|(_, parameter)| parameter.domain.values().is_none());
            if let Some((name, _)) = endless {
                return Some((
                    format!("a grid has no end where `{name}` can be any number"),
                    format!(
                        "give `{name}` a list or a range, or choose another search, such as {{random: {{trials: 24}}}}"
                    ),
                ));
            }
            let size = sweep.params.values().try_fold(1u64, |product, parameter| {
                product.checked_mul(parameter.domain.size()?)
            });
            match size {
                Some(0..=1_000_000) => None,
                _ => Some((
                    "the grid has more than a million points".to_owned(),
                    "take values out, or choose another search, such as {random: {trials: 24}}".to_owned(),
                )),
            }
        }
        Search::CmaEs(_) => {
            if sweep.objective.0.len() > 1 {
                return Some((
                    "`cma_es` has one objective".to_owned(),
                    "leave the others out, or choose tpe".to_owned(),
                ));
            }
            let unfit = sweep.params.iter().find(|(_, parameter)| {
                matches!(parameter.domain, Domain::Choice(_) | Domain::Range { .. })
                    || !parameter.when.is_empty()
            });
            unfit.map(|(name, parameter)| {
                let help = match &parameter.domain {
                    Domain::Choice(values) if values.len() == 1 => {
                        format!(
                            "it has one value: write it under `params`, and leave `{name}` out of the sweep"
                        )
                    }
                    _ => "use uniform, log_uniform, int or log_int without `when`, or choose tpe".to_owned(),
                };
                let message =
                    format!("`cma_es` searches numbers that are always used, and `{name}` is something else");
                (message, help)
            })
        }
        Search::Random(_) | Search::Sobol(_) | Search::Tpe(_) => None,
    }
}

fn prune_mistake(
    stages: &IndexMap<String, Arc<StageSpec>>,
    sweep: &Sweep,
    metrics: &MetricTable,
    place: impl Fn(&[&str]) -> miette::SourceSpan,
) -> Option<Diagnostic> {
    let prune = sweep.prune.as_ref()?;
    let span = place(&["prune"]);
    let path: &MetricPath = match (prune.metric(), sweep.objective.0.as_slice()) {
        (Some(path), _) => path,
        (None, [objective]) => objective.path(),
        (None, _) => {
            return Some(
                Diagnostic::new("a pruner needs one objective to judge by", span)
                    .help("add one, or name it: {asha: {metric: model.val_accuracy}}"),
            );
        }
    };
    if let Some(mistake) = metric_mistake(stages, metrics, path, span) {
        return Some(mistake);
    }
    let train = stages
        .get(&path.stage)
        .and_then(|stage| stage.kind.options::<Train>());
    let described = metrics.describe(&path.stage, &path.metric);
    let split = described.and_then(|described| described.split);
    let (Some(train), Some(split)) = (train, split) else {
        let message =
            format!("a pruner judges by a training's epochs, and `{path}` is none of their figures");
        return Some(Diagnostic::new(message, span).help(format!(
            "name one: metric: STAGE.METRIC, with a train stage and one of {}",
            metrics.of_epochs().join(", ")
        )));
    };
    if split == EpochSplit::Val && !train.validate.is_every_epoch() {
        let message = format!(
            "a pruner judges every epoch, and `{}` is not validated after each of them",
            path.stage
        );
        return Some(Diagnostic::new(message, span).help(format!(
            "leave `validate` out of `{0}`, give it `epochs: 1`, or judge by {0}.train_loss",
            path.stage
        )));
    }
    sweep.judged(metrics).is_none().then(|| {
        Diagnostic::new(
            format!("a pruner cannot tell whether `{path}` is better when larger or when smaller"),
            span,
        )
        .help(format!(
            "make it the objective: {{maximize: {path}}} or {{minimize: {path}}}"
        ))
    })
}
