//! A pipeline file that is read once and filled in many times.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::diagnostic::{Diagnostic, SpecError};
use super::mistake::{Mistake, placed};
use super::node::{Node, Value as NodeValue};
use super::pipeline::{Override, Pipeline};
use super::read::{self, SEED, SEVERAL_SEEDS};
use super::reference::Reference;
use super::source::PipelineSource;
use super::sweep::sweep_mistakes;
use super::sweep::{Domain, Objectives, Search, Sweep, SweptParameter};
use super::table::Table;
use super::vocabulary::Vocabulary;

/// A pipeline file's text as a tree, ready to be filled with parameters.
#[derive(Clone, Debug)]
pub struct Template {
    source: PipelineSource,
    root: Node,
    /// The tree without what a trial does not need.
    trial: Node,
    /// What it chooses among.
    vocabulary: Vocabulary,
}

impl Template {
    /// Reads a pipeline file.
    ///
    /// # Errors
    /// The file cannot be read, or is not YAML.
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        match std::fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(source) => Self::parse(path, &source),
                Err(_) => Err(SpecError::new(
                    path,
                    "",
                    vec![Diagnostic::new("the file is not UTF-8 text", None)],
                )),
            },
            Err(error) => {
                let mistake = Diagnostic::new(format!("cannot read {}: {error}", path.display()), None);
                Err(SpecError::new(path, "", vec![mistake]))
            }
        }
    }

    /// Takes a pipeline file's text. What it chooses by name is later looked for in the lists that are at
    /// hand now: see [`Vocabulary::reading`].
    ///
    /// # Errors
    /// The text is not YAML.
    pub fn parse(path: &Path, source: &str) -> Result<Self, SpecError> {
        let root = read::tree(source).map_err(|mistake| SpecError::new(path, source, vec![mistake]))?;
        let mut trial = root.clone();
        if let NodeValue::Map(entries) = &mut trial.value {
            Arc::make_mut(entries).retain(|(key, _)| !["sweep", "tables"].contains(&key.name.as_str()));
        }
        Ok(Self {
            source: PipelineSource::new(path, source),
            root,
            trial,
            vocabulary: Vocabulary::current(),
        })
    }

    /// Whether the parameter `name` chooses a fold of a cross-validation.
    pub fn chooses_fold(&self, name: &str) -> bool {
        let Some(NodeValue::Map(stages)) = self.root.get("stages").map(|stages| &stages.value) else {
            return false;
        };
        let mut chosen = BTreeSet::new();
        for (_, stage) in stages.iter() {
            let split = stage.get("preprocess").and_then(|kind| kind.get("split"));
            if let Some(fold) = split.and_then(|split| split.get("fold")) {
                fold.parameters(&mut chosen);
            }
        }
        chosen.contains(name)
    }

    /// The file's path, as it was named.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// The tables with the path of each one's files, without endings: as far as that can be told without
    /// reading the rest.
    pub fn table_places(&self) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        let tables = read::tables(&self.root, &mut mistakes);
        let place = |(name, table): (String, Table)| {
            let place = table.place(&name);
            (name, place)
        };
        tables.into_iter().map(place).collect()
    }

    /// The pipeline with the file's own parameters and the command line's in their place.
    ///
    /// # Errors
    /// Every mistake in the file, each at its place; those of the sweep's space too.
    pub fn pipeline(&self, overrides: &[Override]) -> Result<Pipeline, SpecError> {
        let pipeline = self.fill(&self.root, overrides, &IndexMap::new(), None)?;
        match &pipeline.sweep {
            Some(sweep) => self.probe(overrides, sweep).map(|()| pipeline),
            None => Ok(pipeline),
        }
    }

    /// Mistakes in stages, each with the stage's name and kind and with a path from the kind's options on, as
    /// mistakes of the file; nothing where there are none.
    pub fn in_stages(&self, mistakes: Vec<(String, &'static str, Mistake)>) -> Option<SpecError> {
        let diagnostic = |(stage, kind, mistake): (String, &'static str, Mistake)| {
            let under = ["stages", stage.as_str(), kind];
            let place = |path: &[&str]| self.root.span_at(&[&under[..], path].concat());
            placed(&[], vec![mistake], &place)
        };
        let found: Vec<Diagnostic> = mistakes.into_iter().flat_map(diagnostic).collect();
        (!found.is_empty()).then(|| self.mistaken(found))
    }

    /// An error at the place where the stage `name` of `pipeline`, which was read from here, says that it takes in
    /// `reference`; with the parameter that it comes from, and what the file says of that one.
    pub fn input_error(
        &self,
        pipeline: &Pipeline,
        name: &str,
        reference: &Reference,
        message: String,
    ) -> SpecError {
        let path: Option<Vec<String>> = pipeline.stages.get(name).and_then(|stage| {
            let input = stage
                .kind
                .inputs()
                .into_iter()
                .find(|input| input.reference == *reference)?;
            let within = ["stages", name, stage.kind.name()];
            Some(within.into_iter().map(str::to_owned).chain(input.path).collect())
        });
        let path: Option<Vec<&str>> = path
            .as_ref()
            .map(|path| path.iter().map(String::as_str).collect());
        let mistake = Diagnostic::new(message, path.as_ref().map(|path| self.root.span_at(path)));
        let help = path.and_then(|path| self.parameter_help(self.root.at(&path)?));
        self.mistaken(vec![Diagnostic { help, ..mistake }])
    }

    /// Which parameter a path comes from, as it is written in the file, how another one is given, and what stands behind the
    /// parameter as a comment.
    fn parameter_help(&self, path: &Node) -> Option<String> {
        let mut names = BTreeSet::new();
        path.parameters(&mut names);
        names.retain(|name| name != SEED);
        let name = names.first()?;
        let value = self.root.get("params").and_then(|params| params.get(name));
        let behind = value.and_then(|value| {
            let rest = self.source.text().get(value.span.offset() + value.span.len()..)?;
            let comment = rest.lines().next()?.trim_start().strip_prefix('#')?.trim();
            (value.is_scalar() && !comment.is_empty()).then_some(comment)
        });
        let remark = behind.map_or_else(String::new, |comment| format!("; the file says of it: {comment}"));
        Some(format!(
            "the path comes from the parameter `{name}`, which `--set {name}=...` changes{remark}"
        ))
    }

    /// The pipeline of one trial: `values` in place of what the file and the command line say, and
    /// `seed` in place of the pipeline's.
    ///
    /// # Errors
    /// The values do not fit together.
    pub fn trial(
        &self,
        overrides: &[Override],
        values: &IndexMap<String, Value>,
        seed: u64,
    ) -> Result<Pipeline, SpecError> {
        self.fill(&self.trial, overrides, values, Some(seed))
    }

    /// The pipeline, the sweep that the file describes, changed as the command line says, and the
    /// overrides that are left. A parameter that is set to several values there (`lr=0.1,0.01`, or a domain such
    /// as `lr={log_uniform: [0.01, 1]}`) is swept, and then nothing else is; one that is set to a
    /// single value is not swept.
    ///
    /// # Errors
    /// Every mistake in the file and in the values; nothing is swept.
    pub fn sweep(&self, overrides: &[Override]) -> Result<(Pipeline, Sweep, Vec<Override>), SpecError> {
        let (swept, fixed): (Vec<_>, Vec<_>) = overrides
            .iter()
            .cloned()
            .partition(|change| several(&change.value).is_some());
        let fail =
            |message: String, help: &str| self.mistaken(vec![Diagnostic::new(message, None).help(help)]);
        let pipeline = self.pipeline(&fixed)?;
        if swept.is_empty() {
            let Some(mut sweep) = pipeline.sweep.clone() else {
                return Err(fail(
                    "there is nothing to sweep: the file has no `sweep` section".to_owned(),
                    "add one, or name several values: --set lr=0.1,0.01",
                ));
            };
            fix(&mut sweep, &fixed, &pipeline.params);
            if sweep.params.is_empty() && sweep.replicates.get() > 1 {
                // One point is left, and its seeds.
                sweep.search = Search::default();
            }
            if !sweep.is_of_several() {
                return Err(fail(
                    "there is nothing to sweep: the command line sets every swept parameter".to_owned(),
                    "leave one out, or use `erlen run`",
                ));
            }
            return Ok((pipeline, sweep, fixed));
        }
        let mut params = IndexMap::new();
        for change in &swept {
            if !pipeline.params.contains_key(&change.name) {
                let known = pipeline.params.keys().map(String::as_str);
                let help = match change.name.as_str() {
                    SEED => SEVERAL_SEEDS.to_owned(),
                    name => super::suggest(name, "parameters", known),
                };
                let message = format!("--set {}: there is no such parameter", change.name);
                return Err(fail(message, &help));
            }
            let value = several(&change.value).unwrap_or_default();
            let parameter = SweptParameter::from_json(&value).map_err(|problem| {
                fail(
                    format!("--set {}={}: {problem}", change.name, change.value),
                    "several values are written a,b,c",
                )
            })?;
            params.insert(change.name.clone(), parameter);
        }
        let counted = params
            .values()
            .all(|parameter: &SweptParameter| parameter.domain.size().is_some());
        let own = pipeline.sweep.clone();
        let sweep = Sweep {
            params,
            constraints: Vec::new(),
            replicates: own
                .as_ref()
                .map_or(std::num::NonZeroU32::MIN, |sweep| sweep.replicates),
            search: match &own {
                Some(sweep) if !counted => sweep.search.clone(),
                _ => Search::default(),
            },
            objective: own
                .as_ref()
                .map_or_else(Objectives::default, |sweep| sweep.objective.clone()),
            prune: None,
            parallel: own.as_ref().and_then(|sweep| sweep.parallel),
            time: own.as_ref().and_then(|sweep| sweep.time),
        };
        let mut mistakes = sweep_mistakes(&pipeline, &sweep, &self.root);
        for mistake in &mut mistakes {
            mistake.span = None;
        }
        if !mistakes.is_empty() {
            return Err(self.mistaken(mistakes));
        }
        self.probe(&fixed, &sweep)?;
        Ok((pipeline, sweep, fixed))
    }

    fn fill(
        &self,
        root: &Node,
        overrides: &[Override],
        values: &IndexMap<String, Value>,
        seed: Option<u64>,
    ) -> Result<Pipeline, SpecError> {
        self.vocabulary
            .reading(|| read::read(&self.source, root.clone(), overrides, values, seed))
            .map_err(|mistakes| self.mistaken(mistakes))
    }

    fn mistaken(&self, mistakes: Vec<Diagnostic>) -> SpecError {
        SpecError::new(self.source.path(), self.source.text(), mistakes)
    }

    /// Tries every choice and every bound of the space, one parameter at a time.
    fn probe(&self, overrides: &[Override], sweep: &Sweep) -> Result<(), SpecError> {
        let mut mistakes = Vec::new();
        for (name, parameter) in &sweep.params {
            for (index, value) in parameter.domain.probes().into_iter().enumerate() {
                let values = IndexMap::from([(name.clone(), value.clone())]);
                let Err(error) = self.fill(&self.trial, overrides, &values, None) else {
                    continue;
                };
                let Some(first) = error.mistakes.into_iter().next() else {
                    continue;
                };
                let index = index.to_string();
                let place: &[&str] = match parameter.domain {
                    Domain::Choice(_) => &["sweep", "params", name, &index],
                    _ => &["sweep", "params", name],
                };
                let span = self.root.entry("sweep").map(|_| self.root.span_at(place));
                let message = format!("`{name}` cannot be {value}: {}", first.message);
                mistakes.push(Diagnostic {
                    help: first
                        .help
                        .filter(|help| !help.starts_with("the value comes from")),
                    ..Diagnostic::new(message, span)
                });
            }
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(self.mistaken(mistakes))
        }
    }
}

/// Takes what the command line fixes out of a sweep, and with it the parameters that are not used
/// then.
fn fix(sweep: &mut Sweep, fixed: &[Override], values: &IndexMap<String, Value>) {
    let mut settled: Vec<String> = fixed.iter().map(|change| change.name.clone()).collect();
    while let Some(name) = settled.pop() {
        sweep.params.shift_remove(&name);
        let value = values.get(&name).cloned().unwrap_or_default();
        let unused: Vec<String> = sweep
            .params
            .iter()
            .filter(|(_, parameter)| {
                let wanted = parameter.when.get(&name);
                wanted.is_some_and(|wanted| !wanted.contains(&value))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for parameter in sweep.params.values_mut() {
            parameter.when.shift_remove(&name);
        }
        settled.extend(unused);
    }
}

/// The domain that a value of the command line stands for, if it is several values: `1,2,3`, or a
/// mapping with the name of a domain.
fn several(text: &str) -> Option<Value> {
    if let Ok(node) = Node::parse(text)
        && let NodeValue::Map(entries) = &node.value
    {
        const DOMAINS: [&str; 6] = ["choice", "range", "uniform", "log_uniform", "int", "log_int"];
        let is_domain = entries.len() == 1 && DOMAINS.contains(&entries[0].0.name.as_str());
        return is_domain.then(|| node.to_json());
    }
    match Node::parse(&format!("[{text}]")).ok()?.to_json() {
        Value::Array(values) if values.len() > 1 => Some(Value::Array(values)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SOURCE: &str = "params: {lr: 0.1, width: 8, note: x}
stages:
  d: {preprocess: {input: ./x, format: csv}}
  m: {train: {data: d, model: {mlp: {hidden: ['${width}']}}, epochs: 2, optimizer: {sgd: {lr: '${lr}'}}}}
  t: {evaluate: {model: m, data: d}}
sweep:
  params: {lr: {log_uniform: [0.01, 1]}, width: [8, 16]}
  replicates: 2
  search: {random: {trials: 4}}
  objective: {maximize: m.val_accuracy}
";

    fn template(source: &str) -> Template {
        Template::parse(Path::new("p.yaml"), source).unwrap()
    }

    fn set(text: &str) -> Override {
        text.parse().unwrap()
    }

    #[test]
    fn values_of_a_trial_take_their_places() {
        let values = IndexMap::from([("lr".to_owned(), json!(0.5)), ("width".to_owned(), json!(16))]);
        let pipeline = template(SOURCE).trial(&[], &values, 7).unwrap();
        assert_eq!(pipeline.seed, 7);
        assert_eq!(pipeline.params["lr"], json!(0.5));
        let fields = pipeline.stages["m"].kind.key_fields();
        assert_eq!(fields["optimizer"]["sgd"]["lr"], json!(0.5));
        assert_eq!(fields["model"]["mlp"]["hidden"], json!([16]));
        let names: Vec<&str> = pipeline.stages["m"].params.iter().map(String::as_str).collect();
        assert_eq!(names, ["lr", "width"]);
        assert!(pipeline.stages["t"].params.is_empty());
    }

    #[test]
    fn the_command_line_narrows_or_replaces_the_sweep() {
        let template = template(SOURCE);
        let (_, sweep, fixed) = template.sweep(&[]).unwrap();
        assert_eq!((sweep.params.len(), fixed.len()), (2, 0));
        let dependent = SOURCE.replace("width: [8, 16]", "width: {choice: [8, 16], when: {lr: 0.5}}");
        let dependent = dependent.replace("lr: {log_uniform: [0.01, 1]}", "lr: [0.1, 0.5], note: [x, y]");
        let dependent = self::template(&dependent.replace("hidden: [", "dropout: 0, hidden: [").replace(
            "t: {evaluate",
            "n: {command: {run: 'echo ${note}'}}\n  t: {evaluate",
        ));
        let names = |overrides: &[Override]| {
            let (_, sweep, _) = dependent.sweep(overrides).unwrap();
            sweep.params.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&[set("lr=0.5")]), ["note", "width"]);
        assert_eq!(
            names(&[set("lr=0.1")]),
            ["note"],
            "nothing is swept that is not used"
        );
        let (_, sweep, fixed) = template.sweep(&[set("lr=0.3")]).unwrap();
        assert_eq!((sweep.params.len(), fixed.len()), (1, 1));
        let (_, sweep, fixed) = template.sweep(&[set("lr=0.1,0.01"), set("note=y")]).unwrap();
        assert_eq!(sweep.params["lr"].domain.size(), Some(2));
        assert_eq!(
            (sweep.params.len(), sweep.search.name(), fixed.len()),
            (1, "grid", 1)
        );
        let (_, sweep, _) = template.sweep(&[set("width={int: [4, 6]}")]).unwrap();
        assert_eq!(sweep.params["width"].domain.size(), Some(3));
        let (_, sweep, _) = template.sweep(&[set("lr={log_uniform: [0.1, 1]}")]).unwrap();
        assert_eq!(sweep.search.name(), "random");
    }

    #[test]
    fn a_value_that_does_not_fit_is_found_before_anything_runs() {
        let complaint =
            |source: &str, overrides: &[Override]| template(source).sweep(overrides).unwrap_err().to_string();
        let bad = SOURCE.replace("width: [8, 16]", "width: [8, 0]");
        let text = complaint(&bad, &[]);
        assert!(text.contains("p.yaml:7:"), "{text}");
        assert!(text.contains("`width` cannot be 0"), "{text}");
        assert!(complaint(SOURCE, &[set("lr=1,-1")]).contains("`lr` cannot be -1"));
        assert!(complaint(SOURCE, &[set("lrr=1,2")]).contains("no such parameter"));
        let plain = SOURCE.split("sweep:").next().unwrap();
        assert!(complaint(plain, &[]).contains("nothing to sweep"));
        let all = [set("lr=1"), set("width=4")];
        let single = SOURCE.replace("  replicates: 2\n", "");
        assert!(complaint(&single, &all).contains("every swept parameter"));
        // Seeds are left.
        let (_, sweep, _) = template(SOURCE).sweep(&all).unwrap();
        assert_eq!(sweep.search.name(), "grid");
        assert!(sweep.params.is_empty());
    }
}
