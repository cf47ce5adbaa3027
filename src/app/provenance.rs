//! From a table to the results behind it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::AppError;
use super::project::RESULTS;
use crate::fingerprint::Fingerprint;
use crate::report::Provenance;
use crate::spec::{Project, suggest};

/// What the file beside a table ends with.
const ENDING: &str = ".provenance.json";

/// What is written beside a table about the results behind it. `table` is its name, or the path of one of
/// its files.
///
/// # Errors
/// There is no such table, or its file cannot be read.
pub fn provenance_of(project: &Project, table: &str) -> Result<Provenance, AppError> {
    read(&find(project, table)?)
}

/// The file beside the table that `table` names.
fn find(project: &Project, table: &str) -> Result<PathBuf, AppError> {
    let here = std::env::current_dir().map_err(AppError::io("finding the current folder"))?;
    let stem = [".csv", ".md", ".tex", ".html", ".json"]
        .iter()
        .find_map(|ending| table.strip_suffix(ENDING).or(table.strip_suffix(ending)))
        .unwrap_or(table);
    let file = format!("{stem}{ENDING}");
    let results = project.root.join(RESULTS);
    let places = [results.join(&file), here.join(&file), project.root.join(&file)];
    if let Some(place) = places.into_iter().find(|place| place.is_file()) {
        return Ok(place);
    }
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(&results).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(ENDING).map(str::to_owned));
    }
    Err(AppError::Request(format!(
        "there is no {} that leads from the table `{table}` to its results; {}; `erlen table FILE` writes tables, and \
         one with a path of its own is named by that path",
        places_text(&file),
        suggest(stem, "tables in results/", names.iter().map(String::as_str))
    )))
}

fn places_text(file: &str) -> String {
    if file.contains('/') {
        file.to_owned()
    } else {
        format!("results/{file}")
    }
}

fn read(path: &Path) -> Result<Provenance, AppError> {
    let text = std::fs::read_to_string(path).map_err(AppError::io(format!("reading {}", path.display())))?;
    serde_json::from_str(&text).map_err(|error| {
        AppError::Request(format!(
            "{} is not what `erlen table` wrote: {error}; write the table again",
            path.display()
        ))
    })
}

/// A stage's result and all that it was made from, each before what it was made from itself.
pub fn made_from(provenance: &Provenance, first: Fingerprint) -> Vec<Fingerprint> {
    fn visit(
        provenance: &Provenance,
        at: Fingerprint,
        seen: &mut BTreeSet<Fingerprint>,
        out: &mut Vec<Fingerprint>,
    ) {
        if !seen.insert(at) {
            return;
        }
        let inputs = provenance
            .stages
            .get(&at)
            .into_iter()
            .flat_map(|stage| stage.inputs.values());
        for from in inputs.filter_map(|input| input.from) {
            visit(provenance, from, seen, out);
        }
        out.push(at);
    }
    let mut chain = Vec::new();
    visit(provenance, first, &mut BTreeSet::new(), &mut chain);
    chain.reverse();
    chain
}
