//! The committed JSON Schema is the program's own.

use crate::project::Project;

#[test]
fn the_committed_schema_is_current() {
    let finished = Project::new().erlen(["schema"]);
    finished.assert_code(0);
    let committed = include_str!("../../erlen.schema.json");
    assert!(
        finished.stdout == committed,
        "run `cargo run -- schema > erlen.schema.json`"
    );
}
