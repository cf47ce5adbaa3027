//! Folders that are no models, though they look like one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::spec::{Mistake, ModelReferences};
use crate::train::adapter_alone;

/// What is wrong with the models among `files`: adapters without the model that they change.
pub(super) fn look_into(models: &ModelReferences, files: &BTreeMap<String, PathBuf>) -> Vec<Mistake> {
    let mistake = |input: crate::spec::Input| {
        let problem = adapter_alone(files.get(&input.role)?)?;
        Some(Mistake::new(
            input.path,
            format!("`{}`: {problem}", input.reference),
        ))
    };
    models.inputs().filter_map(mistake).collect()
}
