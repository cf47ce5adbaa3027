//! Folders that are no models, though they look like one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::spec::{Input, Mistake};
use crate::train::adapter_alone;

/// What is wrong with those of `models` that are among `files`: adapters without the model that they change.
pub(super) fn look_into(
    models: impl Iterator<Item = Input>,
    files: &BTreeMap<String, PathBuf>,
) -> Vec<Mistake> {
    let mistake = |input: Input| {
        let problem = adapter_alone(files.get(&input.role)?)?;
        Some(Mistake::new(
            input.path,
            format!("`{}`: {problem}", input.reference),
        ))
    };
    models.filter_map(mistake).collect()
}
