//! Which stages of a pipeline are asked for.

use std::collections::BTreeSet;

use super::graph::{PlanError, unknown_stage};
use crate::spec::Pipeline;

/// What is asked of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Stages to bring up to date, with all that they need. Where neither these nor `downstream` name
    /// any, all are.
    pub targets: Vec<String>,
    /// Stages to bring up to date together with all that depends on them.
    pub downstream: Vec<String>,
    /// Stages behind which nothing is brought up to date.
    pub until: Vec<String>,
    /// Whether the named stages, and all behind those of `downstream`, run even where their results are
    /// known; all that are asked for where none is named.
    pub force: bool,
}

impl Selection {
    /// Whether it leaves anything of the pipeline out.
    pub fn is_partial(&self) -> bool {
        !(self.targets.is_empty() && self.downstream.is_empty() && self.until.is_empty())
    }

    /// The stages that are asked for, and those that are forced.
    pub(super) fn resolve(&self, pipeline: &Pipeline) -> Result<(Vec<String>, BTreeSet<String>), PlanError> {
        for name in self.targets.iter().chain(&self.downstream).chain(&self.until) {
            if !pipeline.stages.contains_key(name) {
                return Err(unknown_stage(pipeline, name));
            }
        }
        let mut named: BTreeSet<&str> = self.targets.iter().map(String::as_str).collect();
        named.extend(&behind(pipeline, &self.downstream));
        named.extend(self.downstream.iter().map(String::as_str));
        if named.is_empty() {
            named.extend(pipeline.stages.keys().map(String::as_str));
        }
        let forced = if self.force {
            named.clone()
        } else {
            BTreeSet::new()
        };
        if self.until.is_empty() {
            let names = |set: BTreeSet<&str>| set.into_iter().map(str::to_owned).collect();
            let wanted = if self.is_partial() {
                names(named)
            } else {
                Vec::new()
            };
            return Ok((wanted, forced.into_iter().map(str::to_owned).collect()));
        }
        let needed = with_upstream(pipeline, named);
        if let Some(stage) = self.until.iter().find(|name| !needed.contains(name.as_str())) {
            return Err(PlanError::UntilNotNeeded { stage: stage.clone() });
        }
        let left_out = behind(pipeline, &self.until);
        let keep = |name: &&str| !left_out.contains(*name);
        Ok((
            needed.into_iter().filter(keep).map(str::to_owned).collect(),
            forced.into_iter().filter(keep).map(str::to_owned).collect(),
        ))
    }
}

/// The stages that depend on any of `names`.
fn behind<'a>(pipeline: &'a Pipeline, names: &[String]) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    if names.is_empty() {
        return found;
    }
    // References may point either way in the file, so this goes on until nothing is added.
    loop {
        let before = found.len();
        for (name, stage) in &pipeline.stages {
            if found.contains(name.as_str()) {
                continue;
            }
            let upstream = stage.upstream();
            if upstream
                .iter()
                .any(|other| names.contains(other) || found.contains(other.as_str()))
            {
                found.insert(name);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn with_upstream<'a>(pipeline: &'a Pipeline, names: BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut stack: Vec<&str> = names.into_iter().collect();
    while let Some(name) = stack.pop() {
        let Some((name, stage)) = pipeline.stages.get_key_value(name) else {
            continue;
        };
        if found.insert(name) {
            let upstream = stage.upstream();
            let keys = upstream
                .iter()
                .filter_map(|name| pipeline.stages.get_key_value(name));
            stack.extend(keys.map(|(name, _)| name.as_str()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// raw -> data -> model -> test, and data -> plot.
    fn resolve(selection: &Selection) -> Result<(Vec<String>, BTreeSet<String>), PlanError> {
        let stage = |name: &str, of: &str| {
            let inputs = if of.is_empty() {
                String::new()
            } else {
                format!(", inputs: {{x: {of}}}")
            };
            format!("  {name}: {{command: {{run: 'true', outputs: [o]{inputs}}}}}\n")
        };
        let stages = [
            ("test", "model"),
            ("raw", ""),
            ("data", "raw"),
            ("model", "data"),
            ("plot", "data"),
        ];
        let text: String = stages.iter().map(|(name, of)| stage(name, of)).collect();
        let pipeline = Pipeline::parse(Path::new("p.yaml"), &format!("stages:\n{text}"), &[]).unwrap();
        selection.resolve(&pipeline)
    }

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn asked(selection: &Selection) -> Vec<String> {
        resolve(selection).unwrap().0
    }

    #[test]
    fn everything_behind_a_stage_comes_with_it() {
        let selection = Selection {
            downstream: list(&["data"]),
            force: true,
            ..Selection::default()
        };
        let (wanted, forced) = resolve(&selection).unwrap();
        assert_eq!(wanted, list(&["data", "model", "plot", "test"]));
        assert_eq!(forced.into_iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn nothing_behind_the_last_stage_is_done() {
        let until = |targets: &[&str], until: &[&str]| Selection {
            targets: list(targets),
            until: list(until),
            ..Selection::default()
        };
        assert_eq!(
            asked(&until(&[], &["model"])),
            list(&["data", "model", "plot", "raw"])
        );
        assert_eq!(asked(&until(&["test"], &["data"])), list(&["data", "raw"]));
        let error = resolve(&until(&["plot"], &["model"])).unwrap_err();
        assert!(error.to_string().contains("`model`"), "{error}");
    }

    #[test]
    fn from_one_stage_to_another() {
        let between = Selection {
            downstream: list(&["data"]),
            until: list(&["model"]),
            force: true,
            ..Selection::default()
        };
        let (wanted, forced) = resolve(&between).unwrap();
        assert_eq!(wanted, list(&["data", "model", "plot", "raw"]));
        assert_eq!(
            forced.into_iter().collect::<Vec<_>>(),
            list(&["data", "model", "plot"])
        );
    }

    #[test]
    fn names_that_there_are_not() {
        for selection in [
            Selection {
                until: list(&["modle"]),
                ..Selection::default()
            },
            Selection {
                downstream: list(&["modle"]),
                ..Selection::default()
            },
        ] {
            let error = resolve(&selection).unwrap_err().to_string();
            assert!(error.contains("did you mean `model`"), "{error}");
        }
    }
}
