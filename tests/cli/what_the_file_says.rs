//! Tables show what the file says; what is asked for beside it is told and takes nothing away.

use std::fs;

use crate::project::Project;

const WORDS: &str = "params: {word: hello}
stages:
  count:
    command: {run: 'echo \"{\\\"bytes\\\": $(printf ${word} | wc -c)}\" > m.json', outputs: [m.json], metrics: m.json}
tables:
  sizes: {rows: [word], columns: {bytes: count.bytes}, formats: [csv]}
";

#[test]
fn other_values_than_the_files_are_shown_and_not_written() {
    let project = Project::new().with("p.yaml", WORDS);
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let cited = project.read("results/sizes.csv");
    assert_eq!(cited, "word,bytes\nhello,5\n");

    for command in ["run", "table"] {
        let tried = project.erlen([command, "p.yaml", "--set", "word=four"]);
        tried.assert_code(0);
        assert!(tried.stdout.contains("| four |     4 |"), "{}", tried.stdout);
        assert_eq!(project.read("results/sizes.csv"), cited, "{command}");
    }
    let swept = project.erlen(["sweep", "p.yaml", "--set", "word=a,bb"]);
    swept
        .assert_code(0)
        .assert_stderr("shown and not written; `--tables FOLDER` writes them there");
    assert!(swept.stdout.contains("| bb   |     2 |"), "{}", swept.stdout);
    assert_eq!(project.read("results/sizes.csv"), cited);

    for command in ["run", "table"] {
        project
            .erlen([command, "p.yaml", "--set", "word=four", "--tables", command])
            .assert_code(0);
        assert_eq!(
            project.read(&format!("{command}/sizes.csv")),
            "word,bytes\nfour,4\n"
        );
    }
    assert_eq!(project.read("results/sizes.csv"), cited);
}

#[test]
fn two_tables_in_one_place_are_a_mistake_that_names_both() {
    let project = Project::new().with("p.yaml", WORDS).with("q.yaml", WORDS);
    for arguments in [["check", "p.yaml"], ["run", "p.yaml"], ["table", "p.yaml"]] {
        project
            .erlen(arguments)
            .assert_code(2)
            .assert_stderr("the table `sizes` and the table `sizes` of q.yaml are both written to")
            .assert_stderr("p.yaml:6:3");
    }
    assert!(!project.path("results").exists());
    project.write("q.yaml", WORDS.replace("formats:", "path: other/sizes, formats:"));
    project.erlen(["run", "p.yaml"]).assert_code(0);
}

#[test]
fn parameters_without_use_and_all_missing_resources_are_told() {
    let source = WORDS.replace("word: hello}", "word: hello, spare: 1}").replace(
        "count:\n",
        "count:\n    resources: {cpus: 9999, memory: 900000GiB, gpus: 99}\n",
    );
    let project = Project::new().with("p.yaml", source);
    project
        .erlen(["check", "p.yaml"])
        .assert_code(0)
        .assert_stderr("nothing uses the parameter `spare`")
        .assert_stderr("9999 cpus of")
        .assert_stderr("99 gpus of")
        .assert_stderr("of memory of");
    project
        .erlen(["run", "p.yaml", "--set", "spare=5"])
        .assert_code(0)
        .assert_stderr("nothing uses the parameter `spare`: to set it changes nothing");
}

#[test]
fn values_that_a_text_holds_otherwise_are_told() {
    let source =
        "params: {n: 1_000, lr: 1e-3}\nstages:\n  c: {command: {run: 'echo ${n} ${lr} > o', outputs: [o]}}\n";
    let project = Project::new().with("p.yaml", source);
    let told = "the parameter `n` is given as 1_000, which stands in texts as 1000: write `n: \"1_000\"`";
    for command in ["check", "run"] {
        let finished = project.erlen([command, "p.yaml"]);
        finished.assert_code(0).assert_stderr(told);
        assert!(!finished.stderr.contains("`lr`"), "{}", finished.stderr);
    }
    project
        .erlen(["run", "p.yaml", "--set", "n=3.10"])
        .assert_code(0)
        .assert_stderr("the parameter `n` is given as 3.10, which stands in texts as 3.1");
    let finished = project.erlen(["run", "p.yaml", "--set", "n='1_000'"]);
    finished.assert_code(0);
    assert!(
        !finished.stderr.contains("stands in texts"),
        "{}",
        finished.stderr
    );
    project
        .erlen(["get", "p.yaml", "c/o", "--set", "n='1_000'", "-o", "o"])
        .assert_code(0);
    assert_eq!(project.read("o"), "1_000 0.001\n");
}

#[test]
fn a_path_that_is_missing_names_its_parameter() {
    let source = "params:
  base: ./model   # python3 fetch.py brings it
  other: x
stages:
  d: {command: {run: 'ls', inputs: {D: './${other}/y.csv'}, outputs: [o]}}
  m: {train: {data: d, model: {pretrained: {from: '${base}'}}, epochs: 1, optimizer: {sgd: {lr: 0.1}}}}
  p: {command: {run: 'ls', inputs: {P: ./plain.csv}, outputs: [o]}}
sweep: {replicates: 2, objective: {maximize: m.val_accuracy}}
";
    let project = Project::new().with("p.yaml", source);
    let base = [
        "the path comes from the parameter `base`",
        "--set base=...",
        "the file says of it: python3 fetch.py",
    ];
    let told = |arguments: &[&str], code: i32, parts: &[&str]| {
        let finished = project.erlen(arguments);
        finished.assert_code(code);
        for part in parts {
            // Lines are broken where the terminal ends.
            let text = finished
                .stderr
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .replace("│ ", "");
            assert!(text.contains(part), "{part}: {}", finished.stderr);
        }
        finished
    };
    let other = "the path comes from the parameter `other`, which `--set other=...` changes";
    told(&["check", "p.yaml"], 0, &[&base[..], &[other]].concat());
    told(&["run", "p.yaml", "d"], 2, &[other]);
    let plain = told(&["run", "p.yaml", "p"], 2, &["plain.csv"]);
    assert!(!plain.stderr.contains("comes from"), "{}", plain.stderr);
    fs::create_dir(project.path("x")).unwrap();
    fs::write(project.path("x/y.csv"), "1").unwrap();
    told(&["run", "p.yaml", "m"], 2, &base);
    told(&["run", "p.yaml", "m", "--set", "base=./z"], 2, &base[..1]);
    fs::write(project.path("plain.csv"), "1").unwrap();
    told(&["sweep", "p.yaml"], 2, &base);
}

#[test]
fn failed_trials_are_told_with_what_to_do_and_the_others_shown() {
    let source = "params: {x: 1}
stages:
  t: {command: {run: 'test ${x} -ne 2 && echo \"{\\\"v\\\": ${x}}\" > m.json', outputs: [m.json], metrics: m.json}}
sweep: {params: {x: [1, 2, 3]}, objective: {maximize: t.v}}
tables:
  all: {rows: [x], columns: {v: t.v}, formats: [csv]}
";
    let project = Project::new().with("p.yaml", source);
    for _ in 0..2 {
        project
            .erlen(["sweep", "p.yaml"])
            .assert_code(1)
            .assert_stderr("1 of 3 trials failed")
            .assert_stderr("run again with --retry-failed");
        let table = project.read("results/all.csv");
        assert!(table.contains("3,3"), "{table}");
    }
}

#[test]
fn figures_that_are_described_differently_share_no_unit_and_no_best() {
    let stage = |name: &str, of: &str, value: u32| {
        format!(
            "  {name}: {{command: {{run: 'echo \"{{\\\"a\\\": {value}}}\" > m.json', outputs: [m.json], metrics: \
             {{file: m.json, of: {{a: {of}}}}}}}}}\n"
        )
    };
    let table = |second: &str| {
        let stages = stage("s1", "{better: larger, unit: s}", 1) + &stage("s2", second, 2);
        let tables = "tables:\n  t: {rows: {stages: [s1, s2]}, columns: {a: a}, formats: [md]}\n";
        let project = Project::new().with("p.yaml", format!("stages:\n{stages}{tables}"));
        project.erlen(["run", "p.yaml"]).assert_code(0);
        project.read("results/t.md")
    };
    let same = table("{better: larger, unit: s}");
    assert!(same.contains("a (s)") && same.contains("**2"), "{same}");
    let other = table("{better: smaller, unit: ms}");
    assert!(
        !other.contains("(s)") && !other.contains("(ms)") && !other.contains("**"),
        "{other}"
    );
}
