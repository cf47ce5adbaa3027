//! Pins what names the results of stages. A digest that changes here makes every earlier result of
//! that kind useless to its users: it changes by a raised version of the kind alone, whose history
//! (in its documentation) says why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use erlen::plan::StageKey;
use erlen::spec::Pipeline;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A line for each stage of the files: the digest of its key without inputs, and the inputs' roles.
fn keys(files: &[PathBuf]) -> String {
    let mut lines = String::new();
    for file in files {
        let inside = file.strip_prefix(root()).unwrap();
        writeln!(lines, "{}", inside.display()).unwrap();
        let pipeline = Pipeline::load(file, &[]).unwrap_or_else(|error| {
            let reports: Vec<String> = error.reports().map(|report| format!("{report:?}")).collect();
            panic!("{}", reports.join("\n"))
        });
        for (name, stage) in &pipeline.stages {
            let key = StageKey::new(stage, pipeline.seed, BTreeMap::new());
            let roles: Vec<String> = stage
                .kind
                .inputs()
                .iter()
                .map(|input| format!("{}={}", input.role, input.reference))
                .collect();
            let (kind, version, digest) = (&key.kind, key.version, key.fingerprint());
            writeln!(
                lines,
                "  {name}: {kind} {version} {digest} [{}]",
                roles.join(", ")
            )
            .unwrap();
        }
    }
    lines
}

#[test]
fn the_keys_of_the_committed_pipelines_stay() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("pipelines"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    insta::assert_snapshot!(keys(&files));
}

#[test]
fn the_keys_of_the_whole_vocabulary_stay() {
    insta::assert_snapshot!(keys(&[root().join("tests/fixtures/vocabulary.yaml")]));
}
