//! From a file's text to a pipeline: parameters in their places, fields read, mistakes gathered.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::json;

use super::confidential::{secret_params, without_secrets};
use super::decode::{DecodeError, decode};
use super::diagnostic::{Diagnostic, suggest};
use super::interpolate::{Interpolation, unescape_all};
use super::known_metrics::known_metrics;
use super::node::{Key, Node, Value};
use super::pipeline::{Override, Pipeline, Resources, StageSpec};
use super::rewritten::rewritten;
use super::source::PipelineSource;
use super::values::Span;
use super::vocabulary::Vocabulary;
use super::{Kind, Sweep, Table, validate};
use crate::parallel;

/// So many stages are worth several threads.
const WORTH_SHARING: usize = 256;

/// Reads the tree of a pipeline file.
pub(super) fn tree(source: &str) -> Result<Node, Diagnostic> {
    let root = Node::parse(source).map_err(|mistake| *mistake)?;
    if matches!(root.value, Value::Map(_)) {
        return Ok(root);
    }
    let mistake = if source.trim().is_empty() {
        Diagnostic::new("the file is empty", None)
    } else {
        let message = format!("a pipeline is a mapping with `stages`; found {}", root.describe());
        Diagnostic::new(message, root.span)
    };
    Err(mistake.help("see pipelines/digits.yaml for an example"))
}

/// Reads a pipeline from its tree; gives every mistake that can be told. `values` take the place
/// of parameters after the overrides, without a word about their source; `seed` that of the file's.
pub(super) fn read(
    source: &PipelineSource,
    mut root: Node,
    overrides: &[Override],
    values: &IndexMap<String, serde_json::Value>,
    seed: Option<u64>,
) -> Result<Pipeline, Vec<Diagnostic>> {
    let mut mistakes = Vec::new();
    let mut parameters = parameters(&root, overrides, &mut mistakes);
    for (name, value) in values {
        if let Some(node) = parameters.get_mut(name) {
            *node = Node::from_json(value, node.span);
        }
    }
    let original = root.clone();
    let mut rewritten_params = rewritten(source.text(), &original, &parameters, overrides);
    rewritten_params.retain(|parameter| !values.contains_key(&parameter.name));
    if let Value::Map(entries) = &mut root.value {
        let interpolation = Interpolation {
            source: source.text(),
            parameters: &parameters,
        };
        for (_, node) in Arc::make_mut(entries)
            .iter_mut()
            .filter(|(key, _)| !["params", "stages"].contains(&key.name.as_str()))
        {
            interpolation.fill(node, &mut mistakes);
        }
    }
    let seed = seed.or_else(|| seed_of(&root, overrides, &parameters, &mut mistakes));
    let seed_is_named = !parameters.contains_key(SEED);
    if let Value::Map(entries) = &mut root.value
        && let Some((key, node)) = Arc::make_mut(entries)
            .iter_mut()
            .find(|(key, _)| key.name == "stages")
    {
        let mut parameters = parameters.clone();
        // Only a stage may depend on it, and a parameter of that name goes before.
        parameters
            .entry(SEED.to_owned())
            .or_insert_with(|| seed_node(seed.unwrap_or(0), key.span));
        let interpolation = Interpolation {
            source: source.text(),
            parameters: &parameters,
        };
        interpolation.fill(node, &mut mistakes);
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }

    let document: Document = match decode(&root) {
        Ok(document) => document,
        Err(mistake) => return Err(vec![*mistake]),
    };
    let mut stages = stages(&root, &original, &mut mistakes);
    if seed_is_named {
        for stage in stages.values_mut().filter(|stage| stage.params.contains(SEED)) {
            let stage = Arc::make_mut(stage);
            stage.params.remove(SEED);
            stage.names_seed = true;
        }
    }
    let metrics = known_metrics(&stages, Vocabulary::current().lists().metrics.clone());
    let sweep = sweep(&root, &mut mistakes);
    let tables = tables(&root, &mut mistakes);
    // What is swept is told by its values, which stand in the file.
    let is_swept = |name: &String| {
        sweep
            .as_ref()
            .is_some_and(|sweep| sweep.params.contains_key(name))
    };
    let mut secret_params = secret_params(&original, &parameters);
    secret_params.retain(|name| !is_swept(name));
    // What is swept is given by the sweep, and a secret is told nobody.
    rewritten_params
        .retain(|parameter| !is_swept(&parameter.name) && !secret_params.contains(&parameter.name));
    let pipeline = Pipeline {
        name: document.name.unwrap_or_else(|| stem(source.path())),
        description: document.description,
        seed: seed.or(document.seed).unwrap_or(0),
        params: parameters
            .iter()
            .map(|(name, node)| {
                let value = node.to_json();
                let shown = match is_swept(name) {
                    true => value,
                    false => without_secrets(value, secret_params.contains(name)),
                };
                (name.clone(), shown)
            })
            .collect(),
        secret_params,
        unused_params: unused(&original, &parameters),
        rewritten_params,
        stages,
        sweep,
        tables,
        metrics,
        source: source.clone(),
    };
    // With a stage missing, what refers to it would be reported as a second mistake.
    if mistakes.is_empty() {
        mistakes = validate::mistakes(&pipeline, &root);
    }
    if mistakes.is_empty() {
        Ok(pipeline)
    } else {
        Err(mistakes)
    }
}

/// The parameters that nothing in the file speaks of.
fn unused(original: &Node, parameters: &IndexMap<String, Node>) -> Vec<String> {
    let mut used = BTreeSet::new();
    if let Value::Map(entries) = &original.value {
        let others = entries.iter().filter(|(key, _)| key.name != "params");
        others.for_each(|(_, node)| node.parameters(&mut used));
    }
    let names = parameters.keys().filter(|name| !used.contains(*name));
    names.cloned().collect()
}

/// How a stage is run, as it is written beside its kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StageFields {
    /// Stages that must be done before this one, beside those that it takes inputs from.
    #[serde(default)]
    after: Vec<String>,
    /// What it may use; never changes the result.
    #[serde(default)]
    resources: Resources,
    /// How often to try again after a failure.
    #[serde(default)]
    retries: u32,
    /// How long one try may take.
    #[serde(default)]
    timeout: Option<Span>,
    /// What it is about.
    #[serde(default)]
    description: Option<String>,
}

impl StageFields {
    const NAMES: [&str; 5] = ["after", "resources", "retries", "timeout", "description"];

    fn stage(self, kind: Kind) -> StageSpec {
        StageSpec {
            kind,
            after: self.after,
            resources: self.resources,
            retries: self.retries,
            timeout: self.timeout,
            description: self.description,
            params: BTreeSet::new(),
            names_seed: false,
        }
    }
}

/// The schema of a whole stage: one kind, and [`StageFields`].
struct StageSchema;

impl JsonSchema for StageSchema {
    fn schema_name() -> Cow<'static, str> {
        "Stage".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds = Vocabulary::current().lists().kinds.references(generator);
        let kinds = kinds.into_iter().map(|(name, kind)| {
            let kind = json!({"anyOf": [kind, {"type": "null"}], "default": null});
            (name.to_owned(), kind)
        });
        let mut properties: serde_json::Map<String, serde_json::Value> = kinds.collect();
        let mut schema = StageFields::json_schema(generator);
        if let Some(serde_json::Value::Object(fields)) = schema.remove("properties") {
            properties.extend(fields);
        }
        json_schema!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "description": "A stage as it is written: one kind, and how to run it.",
        })
    }
}

/// The whole file, as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Pipeline")]
pub(super) struct Document {
    /// The pipeline's name; by default the file's.
    #[serde(default)]
    name: Option<String>,
    /// What it is about.
    #[serde(default)]
    description: Option<String>,
    /// The seed of everything drawn.
    #[serde(default)]
    seed: Option<u64>,
    /// Values that `${name}`, `--set` and tables speak of.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, serde_json::Value>")]
    #[allow(
        dead_code,
        reason = "read from the tree, for its source spans; here for the schema"
    )]
    params: Option<serde::de::IgnoredAny>,
    /// The steps, by name.
    #[schemars(with = "IndexMap<String, StageSchema>")]
    #[allow(
        dead_code,
        reason = "read from the tree, for its source spans; here for the schema"
    )]
    stages: serde::de::IgnoredAny,
    /// Many runs of the same stages, each with other values of some parameters.
    #[serde(default)]
    #[schemars(with = "Sweep")]
    #[allow(
        dead_code,
        reason = "read from the tree, for its source spans; here for the schema"
    )]
    sweep: Option<serde::de::IgnoredAny>,
    /// The results tables, by name.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, Table>")]
    #[allow(
        dead_code,
        reason = "read from the tree, for its source spans; here for the schema"
    )]
    tables: Option<serde::de::IgnoredAny>,
}

fn stem(path: &Path) -> String {
    let stem: Option<PathBuf> = path.file_stem().map(PathBuf::from);
    stem.map_or_else(|| "pipeline".to_owned(), |stem| stem.display().to_string())
}

/// What `${...}` calls the seed that a stage is given, where no parameter is called so.
pub(super) const SEED: &str = "seed";

/// What to do who asks for several seeds.
pub(super) const SEVERAL_SEEDS: &str =
    "several seeds are `replicates: N` of a sweep, or a parameter of another name";

/// Whether the override speaks of the pipeline's seed and not of a parameter of that name.
pub(super) fn is_seed(change: &Override, parameters: &IndexMap<String, Node>) -> bool {
    change.name == SEED && !parameters.contains_key(SEED)
}

/// The seed that the command line or else the file says, where it can be read; what is wrong with the
/// file's is told when the file's own fields are read.
fn seed_of(
    root: &Node,
    overrides: &[Override],
    parameters: &IndexMap<String, Node>,
    mistakes: &mut Vec<Diagnostic>,
) -> Option<u64> {
    let mut seed = root.get(SEED).and_then(|node| decode(node).ok());
    for change in overrides.iter().filter(|change| is_seed(change, parameters)) {
        match change.value.trim().parse() {
            Ok(value) => seed = Some(value),
            Err(_) => {
                let message = format!("--set seed={}: expected a whole number, 0 or more", change.value);
                let mistake = Diagnostic::new(message, None);
                mistakes.push(match change.value.contains([',', '[']) {
                    true => mistake.help(SEVERAL_SEEDS),
                    false => mistake,
                });
            }
        }
    }
    seed
}

/// The seed as a parameter's value: a number where the file's numbers reach so far.
fn seed_node(seed: u64, span: miette::SourceSpan) -> Node {
    let value = i64::try_from(seed).map_or_else(|_| Value::Text(seed.to_string()), Value::Int);
    Node::new(value, span)
}

/// The file's parameters with the command line's values in their place.
fn parameters(root: &Node, overrides: &[Override], mistakes: &mut Vec<Diagnostic>) -> IndexMap<String, Node> {
    let mut parameters = IndexMap::new();
    match root.get("params") {
        None => {}
        Some(Node {
            value: Value::Null, ..
        }) => {}
        Some(Node {
            value: Value::Map(entries),
            ..
        }) => {
            for (key, node) in entries.iter() {
                if !validate::is_name(&key.name) {
                    mistakes.push(validate::bad_name("parameter", key));
                }
                if contains_parameter(node) {
                    mistakes.push(
                        Diagnostic::new("a parameter cannot refer to another one", node.span)
                            .help("write its value"),
                    );
                }
                parameters.insert(key.name.clone(), node.clone());
            }
        }
        Some(node) => mistakes.push(Diagnostic::new(
            format!("expected a mapping of parameters, found {}", node.describe()),
            node.span,
        )),
    }
    for change in overrides {
        if is_seed(change, &parameters) {
            continue;
        }
        let Some(node) = parameters.get_mut(&change.name) else {
            let help = suggest(&change.name, "parameters", parameters.keys().map(String::as_str));
            mistakes.push(
                Diagnostic::new(format!("--set {}: there is no such parameter", change.name), None)
                    .help(help),
            );
            continue;
        };
        match Node::parse(&change.value) {
            Ok(value) if contains_parameter(&value) => mistakes.push(
                Diagnostic::new(
                    format!("--set {}: a parameter cannot refer to another one", change.name),
                    None,
                )
                .help("write its value; a literal ${ is written $${"),
            ),
            Ok(mut value) => {
                move_to(&mut value, node.span);
                node.value = value.value;
            }
            Err(problem) => mistakes.push(Diagnostic::new(
                format!("--set {}={}: {}", change.name, change.value, problem.message),
                None,
            )),
        }
    }
    parameters.values_mut().for_each(unescape_all);
    parameters
}

/// Gives a value from the command line the place of the parameter that it replaces.
fn move_to(node: &mut Node, span: miette::SourceSpan) {
    node.span = span;
    match &mut node.value {
        Value::List(items) => Arc::make_mut(items)
            .iter_mut()
            .for_each(|item| move_to(item, span)),
        Value::Map(entries) => {
            for (key, item) in Arc::make_mut(entries) {
                key.span = span;
                move_to(item, span);
            }
        }
        _ => {}
    }
}

fn contains_parameter(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => text.contains(super::node::OPEN),
        Value::List(items) => items.iter().any(contains_parameter),
        Value::Map(entries) => entries.iter().any(|(_, node)| contains_parameter(node)),
        _ => false,
    }
}

/// The stages; `original` is the tree before parameters were put in.
fn stages(root: &Node, original: &Node, mistakes: &mut Vec<Diagnostic>) -> IndexMap<String, Arc<StageSpec>> {
    let Some((key, node)) = root.entry("stages") else {
        return IndexMap::new();
    };
    let Value::Map(entries) = &node.value else {
        mistakes.push(Diagnostic::new(
            format!("expected a mapping of stages, found {}", node.describe()),
            if node.is_scalar() { node.span } else { key.span },
        ));
        return IndexMap::new();
    };
    let written: &[(Key, Node)] = match original.get("stages").map(|node| &node.value) {
        Some(Value::Map(entries)) => entries,
        _ => &[],
    };
    // The threads that share the work choose among the same lists.
    let vocabulary = Vocabulary::current();
    let read = |(index, (key, node)): (usize, &(Key, Node))| -> Result<StageSpec, Vec<Diagnostic>> {
        let mut stage = vocabulary.reading(|| stage(key, node))?;
        if let Some((_, written)) = written.get(index) {
            written.parameters(&mut stage.params);
        }
        Ok(stage)
    };
    let read = parallel::map(entries.iter().enumerate().collect(), WORTH_SHARING, read);
    let mut stages = IndexMap::with_capacity(entries.len());
    for ((key, _), stage) in entries.iter().zip(read) {
        match stage {
            Ok(stage) => drop(stages.insert(key.name.clone(), Arc::new(stage))),
            Err(found) => mistakes.extend(found),
        }
    }
    if entries.is_empty() {
        mistakes.push(Diagnostic::new("there are no stages", key.span));
    }
    stages
}

/// One stage, or all that is wrong with it.
fn stage(key: &Key, node: &Node) -> Result<StageSpec, Vec<Diagnostic>> {
    let mut mistakes = Vec::new();
    if !validate::is_name(&key.name) {
        mistakes.push(validate::bad_name("stage", key));
    }
    let vocabulary = Vocabulary::current();
    let known = &vocabulary.lists().kinds;
    let names = || known.names().collect::<Vec<_>>().join(", ");
    let Value::Map(entries) = &node.value else {
        let message = format!("expected a stage's kind, found {}", node.describe());
        mistakes.push(Diagnostic::new(message, key.span).help(format!("a stage holds one of {}", names())));
        return Err(mistakes);
    };
    let is_kind = |(key, _): &&(Key, Node)| known.names().any(|kind| kind == key.name);
    let (kinds, fields): (Vec<_>, Vec<_>) = entries.iter().partition(is_kind);
    let unknown = fields
        .iter()
        .find(|(key, _)| !StageFields::NAMES.contains(&key.name.as_str()));
    if let Some((unknown, _)) = unknown {
        let known = known.names().chain(StageFields::NAMES);
        let help = suggest(&unknown.name, "known fields", known);
        let message = format!("unknown field `{}`", unknown.name);
        mistakes.push(Diagnostic::new(message, unknown.span).help(help));
        return Err(mistakes);
    }
    let kinds: Vec<_> = kinds
        .iter()
        .filter(|(_, node)| node.value != Value::Null)
        .collect();
    let fields = Node::new(
        Value::Map(Arc::new(fields.into_iter().cloned().collect())),
        node.span,
    );
    let read = kinds
        .iter()
        .map(|(key, node)| known.read_entry(key, node).map_err(DecodeError::into_diagnostic))
        .collect::<Result<Vec<Kind>, _>>();
    let fields = decode::<StageFields>(&fields).map_err(|mistake| *mistake);
    match (read, fields) {
        (Ok(mut read), Ok(fields)) => match (read.pop(), read.is_empty()) {
            (Some(kind), true) if mistakes.is_empty() => return Ok(fields.stage(kind)),
            (Some(_), true) => {}
            (None, _) => mistakes.push(
                Diagnostic::new(format!("the stage `{}` has no kind", key.name), key.span)
                    .help(format!("it needs one of {}", names())),
            ),
            (Some(_), false) => {
                let found: Vec<&str> = kinds.iter().map(|(key, _)| key.name.as_str()).collect();
                let (count, found) = (found.len(), found.join(", "));
                let message = format!("the stage `{}` has {count} kinds: {found}", key.name);
                mistakes.push(
                    Diagnostic::new(message, key.span).help("a stage has one kind; make a stage of each"),
                );
            }
        },
        // Of two, the one that stands first.
        (Err(one), Err(other)) => {
            let begins = |mistake: &Diagnostic| mistake.span.map(|span| span.offset());
            mistakes.push(if begins(&one) <= begins(&other) {
                one
            } else {
                other
            });
        }
        (Err(mistake), Ok(_)) | (Ok(_), Err(mistake)) => mistakes.push(mistake),
    }
    Err(mistakes)
}

fn sweep(root: &Node, mistakes: &mut Vec<Diagnostic>) -> Option<Sweep> {
    let (key, node) = root.entry("sweep")?;
    if node.value == Value::Null {
        return None;
    }
    match decode(node) {
        Ok(sweep) => Some(sweep),
        Err(mistake) if mistake.span == Some(node.span) => {
            mistakes.push(Diagnostic {
                span: Some(key.span),
                ..*mistake
            });
            None
        }
        Err(mistake) => {
            mistakes.push(*mistake);
            None
        }
    }
}

pub(super) fn tables(root: &Node, mistakes: &mut Vec<Diagnostic>) -> IndexMap<String, Table> {
    let mut tables = IndexMap::new();
    let Some((_, node)) = root.entry("tables") else {
        return tables;
    };
    let Value::Map(entries) = &node.value else {
        if node.value != Value::Null {
            mistakes.push(Diagnostic::new(
                format!("expected a mapping of tables, found {}", node.describe()),
                node.span,
            ));
        }
        return tables;
    };
    for (key, node) in entries.iter() {
        if !validate::is_name(&key.name) {
            mistakes.push(validate::bad_name("table", key));
        }
        match decode(node) {
            Ok(table) => {
                tables.insert(key.name.clone(), table);
            }
            Err(mistake) if mistake.span == Some(node.span) => {
                mistakes.push(Diagnostic {
                    span: Some(key.span),
                    ..*mistake
                });
            }
            Err(mistake) => mistakes.push(*mistake),
        }
    }
    tables
}
