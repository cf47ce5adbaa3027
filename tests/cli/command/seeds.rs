//! Seeds of commands: who is given one, and replicates.

use crate::project::Project;

/// A sweep of `replicates` seeds over a command of these fields.
fn replicated(fields: &str, params: &str) -> String {
    format!(
        "seed: 4
params: {{{params}}}
stages:
  score:
    command:
      {fields}
      outputs: [m.json]
      metrics: m.json
sweep:
  params: {{x: [1, 2]}}
  replicates: 3
  objective: {{maximize: score.v}}
tables:
  t: {{rows: {{trials: [x]}}, columns: {{v: {{metric: score.v, show: mean}}}}, formats: [csv]}}
"
    )
}

#[test]
fn each_replicate_of_a_command_that_draws_has_a_seed_of_its_own() {
    for fields in [
        r#"run: 'echo "{\"v\": $(( ${x} * 100 + ${seed} ))}" > m.json'"#,
        "draws: true\n      run: 'echo \"{\\\"v\\\": $(( ${x} * 100 + ERLEN_SEED ))}\" > m.json'",
        "env: {S: '${seed}'}\n      run: 'echo \"{\\\"v\\\": $(( ${x} * 100 + (S + ERLEN_SEED) / 2 ))}\" > m.json'",
    ] {
        let project = Project::new().with("p.yaml", replicated(fields, "x: 1"));
        project
            .erlen(["sweep", "p.yaml"])
            .assert_code(0)
            .assert_stderr("6 ran");
        // The mean over the seeds 4, 5 and 6.
        assert_eq!(
            project.read("results/t.csv"),
            "trial,x,status,v,v std,v count\n1,1,done,105,1,3\n2,2,done,205,1,3\n",
            "{fields}"
        );
        project
            .erlen(["sweep", "p.yaml"])
            .assert_code(0)
            .assert_stderr("0 ran");
    }
}

#[test]
fn replicates_of_what_draws_nothing_are_a_mistake() {
    let run = r#"run: 'echo "{\"v\": ${x}}" > m.json'"#;
    let project = Project::new().with("p.yaml", replicated(run, "x: 1"));
    project
        .erlen(["check", "p.yaml"])
        .assert_code(2)
        .assert_stderr("3 replicates of stages none of which draws random numbers would all be")
        .assert_stderr("p.yaml:11:15")
        .assert_stderr("belongs, or `draws: true` and read ERLEN_SEED");
    let run = r#"run: 'echo "{\"v\": $(( ${x} + ${seed} ))}" > m.json'"#;
    project.write("p.yaml", replicated(run, "x: 1, seed: 3"));
    project
        .erlen(["sweep", "p.yaml"])
        .assert_code(2)
        .assert_stderr("the parameter `seed` is a value like any other");
}

#[test]
fn a_seed_is_given_to_none_but_those_that_draw_and_is_part_of_their_keys_alone() {
    let project = Project::new().with(
        "p.yaml",
        "seed: 7
stages:
  plain: {command: {run: 'echo \"${ERLEN_SEED-none}\" > o', outputs: [o]}}
  draws: {command: {run: 'echo $ERLEN_SEED > o', outputs: [o], draws: true}}
  named: {command: {run: [sh, -c, 'echo $0 $ERLEN_SEED > o', '${seed}'], outputs: [o]}}
"
        .replace("${ERLEN_SEED-none}", "$${ERLEN_SEED-none}"),
    );
    let run = project
        .command(["run", "p.yaml"])
        .env("ERLEN_SEED", "99")
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    for (stage, printed) in [("plain", "none\n"), ("draws", "7\n"), ("named", "7 7\n")] {
        project
            .erlen(["get", "p.yaml", &format!("{stage}/o"), "-o", stage])
            .assert_code(0);
        assert_eq!(project.read(stage), printed);
    }
    let decisions = project.decisions(&["p.yaml", "--set", "seed=8"]);
    assert_eq!(decisions["plain"], "reuse");
    assert!(
        decisions["draws"].contains("seed changed 7 -> 8"),
        "{decisions:?}"
    );
    assert!(decisions["named"].starts_with("run: run"), "{decisions:?}");
}
