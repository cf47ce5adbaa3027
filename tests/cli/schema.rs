//! The committed JSON Schemas are the program's own.

use crate::project::Project;

#[test]
fn the_committed_schemas_are_current() {
    let schemas: [(&[&str], &str, &str); 2] = [
        (
            &["schema"],
            include_str!("../../erlen.schema.json"),
            "erlen.schema.json",
        ),
        (
            &["schema", "--events"],
            include_str!("../../events.schema.json"),
            "events.schema.json",
        ),
    ];
    for (arguments, committed, file) in schemas {
        let finished = Project::new().erlen(arguments);
        finished.assert_code(0);
        assert!(
            finished.stdout == committed,
            "run `cargo run -- {} > {file}`",
            arguments.join(" ")
        );
    }
}
