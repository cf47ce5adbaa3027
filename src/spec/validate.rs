//! What the types cannot say: references that lead somewhere, inputs of the right kind, no cycles.

use std::collections::HashSet;

use std::sync::Arc;

use indexmap::IndexMap;
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::diagnostic::{Diagnostic, suggest};
use super::node::{Key, Node, Value};
use super::sweep::sweep_mistakes;
use super::table_check::table_mistakes;
use super::{Augment, Export, Kind, MetricPath, Pipeline, Reference, StageSpec, Train, augment_mistakes};
use crate::metric::MetricTable;

/// Whether `name` can name a stage, a table or a parameter: letters, digits, `_` and `-`, from a
/// letter on.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

pub(super) fn bad_name(what: &str, key: &Key) -> Diagnostic {
    Diagnostic::new(format!("`{}` cannot name a {what}", key.name), key.span)
        .help("a name begins with a letter; letters, digits, `_` and `-` may follow")
}

/// All mistakes of a pipeline whose fields are right by themselves.
pub(super) fn mistakes(pipeline: &Pipeline, root: &Node) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for (name, stage) in &pipeline.stages {
        let place = |path: &[&str]| {
            let path: Vec<&str> = ["stages", name].iter().chain(path).copied().collect();
            root.span_at(&path)
        };
        for input in stage.kind.inputs() {
            let mut path = vec![stage.kind.name()];
            path.extend(input.path.iter().map(String::as_str));
            if let Some(mistake) =
                reference_mistake(pipeline, (name, &stage.kind), &input.role, &input.reference)
            {
                mistakes.push(Diagnostic {
                    span: Some(place(&path)),
                    ..mistake
                });
            }
        }
        for (index, upstream) in stage.after.iter().enumerate() {
            if !pipeline.stages.contains_key(upstream) {
                mistakes.push(unknown_stage(
                    &pipeline.stages,
                    upstream,
                    place(&["after", &index.to_string()]),
                ));
            }
        }
        mistakes.extend(stage.kind.mistakes(&pipeline.stages, &|path| {
            place(&[&[stage.kind.name()], path].concat())
        }));
    }
    mistakes.extend(table_mistakes(pipeline, root));
    if let Some(sweep) = &pipeline.sweep {
        mistakes.extend(sweep_mistakes(pipeline, sweep, root));
    }
    if mistakes.is_empty() {
        mistakes.extend(cycles(pipeline, root));
    }
    mistakes
}

pub(super) fn unknown_stage(
    stages: &IndexMap<String, Arc<StageSpec>>,
    name: &str,
    span: miette::SourceSpan,
) -> Diagnostic {
    Diagnostic::new(format!("there is no stage `{name}`"), span).help(suggest(
        name,
        "stages",
        stages.keys().map(String::as_str),
    ))
}

/// What is wrong with the input `role` of a stage, unplaced.
fn reference_mistake(
    pipeline: &Pipeline,
    (name, kind): (&str, &Kind),
    role: &str,
    reference: &Reference,
) -> Option<Diagnostic> {
    let accepts = kind.accepts(role);
    let Some(stage) = reference.stage() else {
        let wanted = accepts.kinds.unwrap_or_default();
        return (!accepts.files).then(|| {
            Diagnostic::new(
                format!("`{reference}` is a file or folder; a stage is expected here"),
                None,
            )
            .help(format!("refer to a stage of kind {}", wanted.join(" or ")))
        });
    };
    match pipeline.stages.get(stage) {
        None => {
            let mut mistake = unknown_stage(&pipeline.stages, stage, (0, 0).into());
            if mistake
                .help
                .as_deref()
                .is_none_or(|help| !help.starts_with("did you mean"))
            {
                let help = mistake.help.take().unwrap_or_default();
                mistake.help = Some(format!("{help}; a file of the project is written ./{reference}"));
            }
            Some(mistake)
        }
        Some(found) => {
            let wanted = accepts.kinds?;
            if makes(&found.kind, wanted) {
                return part_mistake(stage, &found.kind);
            }
            // A command can make anything, which need not be told.
            let named: Vec<&str> = wanted.iter().copied().filter(|kind| *kind != "command").collect();
            let named = named.join(" or ");
            let message = format!(
                "`{role}` needs a stage of kind {named}, and `{stage}` is a {} stage",
                found.kind.name()
            );
            Some(
                Diagnostic::new(message, None).help(match fitting(pipeline, name, wanted) {
                    names if names.is_empty() => format!("add a stage of kind {}", wanted[0]),
                    names => format!("stages that fit: {}", names.join(", ")),
                }),
            )
        }
    }
}

/// That the stage `name` of kind `kind` writes no whole model, where a model is asked for.
fn part_mistake(name: &str, kind: &Kind) -> Option<Diagnostic> {
    let export = kind
        .options::<Export>()
        .filter(|export| !export.format.is_whole())?;
    let message = format!(
        "`{name}` writes low-rank changes (`{}`) without the model that they change",
        export.format.name()
    );
    let help = format!(
        "name `{}`, of which it writes them, or export that by `format: huggingface`",
        export.model
    );
    Some(Diagnostic::new(message, None).help(help))
}

/// Whether `kind` is one of `wanted`, or makes what one of them makes.
fn makes(kind: &Kind, wanted: &[&str]) -> bool {
    wanted.contains(&kind.name()) || kind.stands_in_for().iter().any(|other| wanted.contains(other))
}

/// The stages of such kinds, but for the stage `own` itself.
fn fitting<'a>(pipeline: &'a Pipeline, own: &str, kinds: &[&str]) -> Vec<&'a str> {
    let fits = pipeline
        .stages
        .iter()
        .filter(|(name, stage)| *name != own && makes(&stage.kind, kinds));
    fits.map(|(name, _)| name.as_str()).collect()
}

/// Whether `path` is relative, not empty, and stays where it is.
pub(super) fn is_inside(path: &str) -> bool {
    use std::path::Component;
    let mut components = std::path::Path::new(path).components().peekable();
    components.peek().is_some() && components.all(|part| matches!(part, Component::Normal(_)))
}

/// What is wrong with the changes to images and their normalisation.
pub(super) fn image_mistakes(
    train: &Train,
    mistakes: &mut Vec<Diagnostic>,
    place: impl Fn(&[&str]) -> miette::SourceSpan,
) {
    if let Some(normalize) = &train.normalize {
        let (mean, std) = (normalize.mean.len(), normalize.std.len());
        if mean != std || mean == 0 {
            mistakes.push(
                Diagnostic::new(
                    format!("`mean` has {} and `std` has {std}", super::counted(mean, "value")),
                    place(&["normalize", "std"]),
                )
                .help("each needs one value a channel"),
            );
        }
        if let Some(index) = normalize.mean.iter().position(|mean| !mean.is_finite()) {
            mistakes.push(Diagnostic::new(
                "a mean must be a finite number",
                place(&["normalize", "mean", &index.to_string()]),
            ));
        }
    }
    let judged: Vec<Augment> = train.eval_transforms.iter().map(Augment::from).collect();
    for (section, changes) in [("augment", &train.augment), ("eval_transforms", &judged)] {
        for mistake in augment_mistakes(changes) {
            let index = mistake.index.to_string();
            let path = [&[section, index.as_str(), mistake.change], mistake.fields].concat();
            mistakes.push(Diagnostic::new(mistake.message, place(&path)).help(mistake.help));
        }
    }
}

/// What is wrong with a metric's path: no such stage, or one that reports no such metric.
pub(super) fn metric_mistake(
    stages: &IndexMap<String, Arc<StageSpec>>,
    metrics: &MetricTable,
    path: &MetricPath,
    span: miette::SourceSpan,
) -> Option<Diagnostic> {
    let Some(stage) = stages.get(&path.stage) else {
        return Some(unknown_stage(stages, &path.stage, span));
    };
    let known = stage.kind.metrics(metrics)?;
    (!known.contains(&path.metric)).then(|| {
        let message = format!("the stage `{}` reports no `{}`", path.stage, path.metric);
        let help = suggest(
            &path.metric,
            "metrics of this stage",
            known.iter().map(String::as_str),
        );
        Diagnostic::new(message, span).help(help)
    })
}

/// A diagnostic for each group of stages that wait for each other: the cycle as a path.
fn cycles(pipeline: &Pipeline, root: &Node) -> Vec<Diagnostic> {
    let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
    let upstream: Vec<(&str, Vec<String>)> = pipeline
        .stages
        .iter()
        .map(|(name, stage)| (name.as_str(), stage.upstream()))
        .collect();
    for (name, names) in &upstream {
        graph.add_node(name);
        for other in names {
            graph.add_edge(other.as_str(), name, ());
        }
    }
    let mut found = Vec::new();
    for group in tarjan_scc(&graph) {
        let members: HashSet<&str> = group.iter().copied().collect();
        let is_cycle = group.len() > 1 || graph.contains_edge(group[0], group[0]);
        if !is_cycle {
            continue;
        }
        // Begin with the member that stands first in the file.
        let first = upstream
            .iter()
            .map(|(name, _)| *name)
            .find(|name| members.contains(name));
        let Some(first) = first else { continue };
        let path = shortest_cycle(&graph, first, &members);
        let span = match root.get("stages").map(|node| &node.value) {
            Some(Value::Map(entries)) => entries
                .iter()
                .find(|(key, _)| key.name == first)
                .map(|(key, _)| key.span),
            _ => None,
        };
        found.push(
            Diagnostic::new(format!("stages wait for each other: {}", path.join(" → ")), span)
                .label("the cycle begins here")
                .help("take one of these references out"),
        );
    }
    found
}

/// The shortest way from `first` back to itself inside `members`, breadth first.
fn shortest_cycle<'a>(
    graph: &DiGraphMap<&'a str, ()>,
    first: &'a str,
    members: &HashSet<&'a str>,
) -> Vec<&'a str> {
    let mut came_from = std::collections::HashMap::new();
    let mut queue = std::collections::VecDeque::from([first]);
    while let Some(stage) = queue.pop_front() {
        for next in graph.neighbors(stage).filter(|next| members.contains(next)) {
            if next == first {
                let mut path = vec![first, stage];
                let mut at = stage;
                while at != first {
                    at = came_from[at];
                    path.push(at);
                }
                path.reverse();
                if path.len() == 3 && stage == first {
                    path.pop();
                }
                return path;
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, stage);
                queue.push_back(next);
            }
        }
    }
    vec![first]
}
