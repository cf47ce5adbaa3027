//! Data outside the project: by an absolute path, or below a named root.

use std::path::Path;

use crate::project::Project;

const STAGE: &str = "command: {run: cat $IN/a.txt > out.txt, outputs: [out.txt], inputs: {IN: ";

fn pipeline(input: &str) -> String {
    format!("stages:\n  copy:\n    {STAGE}\"{input}\"}}}}\n")
}

/// A folder outside any project with one file.
fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "outside\n").unwrap();
    folder
}

fn settings(root: &Path) -> String {
    format!("roots: {{scans: {}}}\n", root.display())
}

/// A text without what it was broken into lines by: paths are broken too.
fn flat(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '│').collect()
}

#[test]
fn content_decides_and_the_path_does_not() {
    let (here, there) = (data(), data());
    let project = Project::new().with("p.yaml", pipeline(&here.path().display().to_string()));
    project.erlen(["run", "p.yaml"]).assert_code(0);
    assert_eq!(project.decisions(&["p.yaml"])["copy"], "reuse");
    // The same bytes at another place, below a root, and in the project, through a link.
    for (settings, input) in [
        (String::new(), there.path().display().to_string()),
        (settings(there.path()), "scans:.".to_owned()),
        (
            settings(there.path().parent().unwrap()),
            format!("scans:{}", there.path().file_name().unwrap().to_str().unwrap()),
        ),
        (String::new(), "./link".to_owned()),
    ] {
        if input == "./link" {
            std::os::unix::fs::symlink(there.path(), project.path("link")).unwrap();
        }
        project.write("erlen.yaml", settings);
        project.write("p.yaml", pipeline(&input));
        assert_eq!(project.decisions(&["p.yaml"])["copy"], "reuse", "{input}");
    }
    std::fs::write(there.path().join("a.txt"), "changed\n").unwrap();
    let decision = &project.decisions(&["p.yaml"])["copy"];
    assert!(decision.starts_with("run: input IN changed"), "{decision}");
    project.erlen(["run", "p.yaml"]).assert_code(0);
    project
        .erlen(["get", "p.yaml", "copy/out.txt", "-o", "out.txt"])
        .assert_code(0);
    assert_eq!(project.read("out.txt"), "changed\n");
    // Nothing was written into the folder.
    assert_eq!(std::fs::read_dir(there.path()).unwrap().count(), 1);
}

#[test]
fn what_is_not_there_is_told_at_its_place() {
    let folder = data();
    let project = Project::new().with("p.yaml", pipeline("scans:x"));
    for arguments in [&["check", "p.yaml"][..], &["plan", "p.yaml"], &["run", "p.yaml"]] {
        let finished = project.erlen(arguments);
        finished.assert_code(2);
        for told in [
            "the stage `copy` reads `scans:x`, and no root `scans` is defined",
            "p.yaml:3:",
        ] {
            assert!(
                flat(&finished.stderr).contains(&flat(told)),
                "{told}: {}",
                finished.stderr
            );
        }
    }
    project.write("erlen.yaml", settings(folder.path()));
    let missing = folder.path().join("x").display().to_string();
    let plan = project.erlen(["plan", "p.yaml"]);
    plan.assert_code(2);
    for told in [
        "the stage `copy` reads `scans:x`, which cannot be read",
        &missing,
        "p.yaml:3:",
    ] {
        assert!(
            flat(&plan.stderr).contains(&flat(told)),
            "{told}: {}",
            plan.stderr
        );
    }
    // A pipeline can be right on a machine without its data.
    let check = project.erlen(["check", "p.yaml"]);
    check.assert_code(0);
    for told in [
        "p.yaml:3:",
        "the stage `copy` reads `scans:x`, and there is nothing at",
    ] {
        assert!(
            flat(&check.stderr).contains(&flat(told)),
            "{told}: {}",
            check.stderr
        );
    }
    assert!(check.stdout.contains("1 stage"), "{}", check.stdout);
    project.write("p.yaml", pipeline("./imagez"));
    let check = project.erlen(["check", "p.yaml"]);
    assert!(
        flat(&check.stderr).contains(&flat("the stage `copy` reads `./imagez`")),
        "{}",
        check.stderr
    );
}
