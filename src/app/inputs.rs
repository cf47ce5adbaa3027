//! The files that a pipeline reads and no stage makes: are they there?

use std::path::Path;

use crate::spec::{FilePlaces, Pipeline, SpecError, Template};

/// What is wrong with the files that a pipeline reads, each at its place in the pipeline's file.
#[derive(Debug, Default)]
pub struct InputProblems {
    /// Roots that are not defined.
    pub unknown_roots: Vec<SpecError>,
    /// Files that are not on this machine.
    pub missing: Vec<SpecError>,
}

/// Looks for the files that `pipeline`, which was read from `file`, names. Nothing of them is read.
///
/// # Errors
/// The pipeline's file cannot be read any more.
pub fn input_problems(
    file: &Path,
    pipeline: &Pipeline,
    places: &FilePlaces,
) -> Result<InputProblems, SpecError> {
    let template = Template::load(file)?;
    let mut problems = InputProblems::default();
    for (name, stage) in &pipeline.stages {
        for input in stage.kind.inputs() {
            let reference = &input.reference;
            let error = |problem: String| {
                let message = format!("the stage `{name}` reads `{reference}`, and {problem}");
                template.input_error(pipeline, name, reference, message)
            };
            match places.find(reference) {
                Err(unknown) => problems.unknown_roots.push(error(unknown.to_string())),
                Ok(Some(path)) if !path.exists() => {
                    problems
                        .missing
                        .push(error(format!("there is nothing at {}", path.display())));
                }
                Ok(_) => {}
            }
        }
    }
    Ok(problems)
}
