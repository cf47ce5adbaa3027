//! The main job, on the data that comes with the repository.

use crate::project::Project;

fn digits() -> Project {
    Project::new()
        .with_copy("pipelines/digits.yaml")
        .with_copy("datasets/digits.csv.gz")
}

const FEW: [&str; 4] = ["pipelines/digits.yaml", "--set", "epochs=3", "--set=lr=0.1"];

fn run(project: &Project, more: &[&str]) -> crate::project::Finished {
    project.erlen(["run", "--tables=results"].iter().chain(&FEW).chain(more))
}

#[test]
fn from_raw_data_to_a_table() {
    let project = digits();
    let first = run(&project, &[]);
    first
        .assert_code(0)
        .assert_stderr("5 ran")
        .assert_stderr("results/digits.csv");
    let table = project.read("results/digits.csv");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    assert_eq!(
        rows.headers().unwrap(),
        vec![
            "lr",
            "epochs",
            "precision",
            "accuracy",
            "top-3",
            "macro F1",
            "loss"
        ]
    );
    let row = rows.records().next().unwrap().unwrap();
    let accuracy: f64 = row[3].parse().unwrap();
    assert!(accuracy > 0.8, "three epochs give {accuracy}");
    assert!(project.read("results/digits.md").contains("| accuracy"));
    let artifacts = project.artifacts(&FEW);

    // Again: nothing runs. With another learning rate: what the data needs is reused.
    run(&project, &[])
        .assert_code(0)
        .assert_stderr("0 ran")
        .assert_stderr("5 reused");
    let changed = ["--set", "lr=0.02"];
    let arguments: Vec<&str> = FEW.iter().chain(&changed).copied().collect();
    let decisions = project.decisions(&arguments);
    assert_eq!(decisions["raw"], "reuse");
    assert_eq!(decisions["data"], "reuse");
    assert_eq!(
        decisions["model"],
        "run: optimizer.sgd.lr changed 0.1 -> 0.02 since run 2"
    );
    assert_eq!(decisions["test"], "pending");
    run(&project, &changed)
        .assert_code(0)
        .assert_stderr("3 ran")
        .assert_stderr("2 reused");

    // In another place, with another number of threads: the same bytes.
    let other = digits();
    let mut command = other.command(["run", "--tables=results"].iter().chain(&FEW));
    let text = other.read("pipelines/digits.yaml").replace(
        "  model:\n    train:",
        "  model:\n    resources: {cpus: 1}\n    train:",
    );
    other.write("pipelines/digits.yaml", text);
    assert!(command.output().unwrap().status.success());
    assert_eq!(artifacts, other.artifacts(&FEW));
    assert_eq!(table, other.read("results/digits.csv"));
}

#[test]
fn a_wrong_checksum_is_refused() {
    let project = digits();
    let mut bytes = std::fs::read(project.path("datasets/digits.csv.gz")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    project.write("datasets/digits.csv.gz", bytes);
    let finished = run(&project, &[]);
    finished
        .assert_code(1)
        .assert_stderr("09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22");
    assert!(!project.path("results").exists());
}

#[test]
fn a_loss_that_is_not_finite_stops_with_advice() {
    let project = digits();
    let finished = project.erlen([
        "run",
        "pipelines/digits.yaml",
        "--set",
        "epochs=2",
        "--set",
        "lr=1e30",
    ]);
    finished
        .assert_code(1)
        .assert_stderr("in epoch 1, batch 2")
        .assert_stderr("lower the learning rate");
    assert!(!project.path("results").exists());
}

#[test]
fn half_precisions_learn_too() {
    for precision in ["bf16", "f16"] {
        let project = digits();
        let setting = format!("precision={precision}");
        run(&project, &["--set", &setting]).assert_code(0);
        let table = project.read("results/digits.csv");
        let row = csv::Reader::from_reader(table.as_bytes())
            .records()
            .next()
            .unwrap()
            .unwrap();
        assert!(row[3].parse::<f64>().unwrap() > 0.8, "{precision}: {table}");
    }
}
