//! Where a model meets another table: columns, categories and classes are matched by name.

use std::fmt::Write;

use crate::project::{Finished, Project};

/// Rows of two numbers and a colour. The class follows from all three, and so does the number `y`.
fn rows(count: usize) -> Vec<[String; 5]> {
    let row = |index: usize| {
        let (a, b) = (
            (index * 7 % 20) as f64 / 10.0 - 1.0,
            (index * 3 % 20) as f64 / 5.0 - 2.0,
        );
        let colour = ["red", "green", "blue"][index % 3];
        let class = ["p", "q", "r"][(usize::from(a > 0.0) + usize::from(b > 0.0)).min(2)];
        let y = 300_000.0 + 50_000.0 * a - 10_000.0 * b + 5_000.0 * (index % 3) as f64;
        [
            a.to_string(),
            b.to_string(),
            colour.to_owned(),
            class.to_owned(),
            y.to_string(),
        ]
    };
    (0..count).map(row).collect()
}

/// The table with the columns at `places`, under their names but for those in `renamed`.
fn table(rows: &[[String; 5]], places: [usize; 5], renamed: &[(usize, &str)]) -> String {
    let names = ["a", "b", "colour", "class", "y"];
    let name = |place: usize| {
        renamed
            .iter()
            .find(|(of, _)| *of == place)
            .map_or(names[place], |(_, name)| name)
    };
    let mut text = places.map(name).join(",") + "\n";
    for row in rows {
        writeln!(text, "{}", places.map(|place| row[place].as_str()).join(",")).unwrap();
    }
    text
}

/// A pipeline that trains on `a.csv` and evaluates on `a.csv` and `b.csv`.
fn pipeline(csv: &str, train: &str) -> String {
    format!(
        "stages:
  A: {{preprocess: {{input: ./a.csv, format: {{csv: {{header: true, {csv}}}}}}}}}
  B: {{preprocess: {{input: ./b.csv, format: {{csv: {{header: true, {csv}}}}}}}}}
  m: {{train: {{data: A, model: {{mlp: {{hidden: [8]}}}}, epochs: 4, batch_size: 16, optimizer: {{adamw: {{lr: 0.02}}}}{train}}}}}
  tA: {{evaluate: {{model: m, data: A, split: train, metrics: [predictions]}}}}
  tB: {{evaluate: {{model: m, data: B, split: train, metrics: [predictions]}}}}
"
    )
}

const CLASSES: &str = "label: class, categorical: [colour], ignore: [y]";
const NUMBERS: &str = "label: y, task: regression, categorical: [colour], ignore: [class]";

fn run(project: &Project, source: &str) -> Finished {
    project.write("p.yaml", source);
    project.erlen(["run", "p.yaml", "-k"])
}

/// The predictions of the stage, without the samples' own names.
fn predictions(project: &Project, stage: &str) -> Vec<String> {
    let file = format!("{stage}/predictions.csv");
    project.erlen(["get", "p.yaml", &file, "-o", "out.csv"]);
    let text = project.read("out.csv");
    std::fs::remove_file(project.path("out.csv")).unwrap();
    let lines = text.lines().skip(1);
    lines
        .map(|line| line.split_once(',').unwrap().1.to_owned())
        .collect()
}

#[test]
fn another_order_of_columns_categories_and_classes_is_the_same_data() {
    for options in [CLASSES, NUMBERS] {
        let mut shuffled = rows(60);
        // Other categories and classes come first, so that a table by itself numbers them otherwise.
        shuffled.reverse();
        let project = Project::new()
            .with("a.csv", table(&rows(60), [0, 1, 2, 3, 4], &[]))
            .with("b.csv", table(&shuffled, [4, 2, 1, 3, 0], &[]));
        run(&project, &pipeline(options, "")).assert_code(0);
        let (mut a, b) = (predictions(&project, "tA"), predictions(&project, "tB"));
        a.reverse();
        assert_eq!(a, b, "{options}");
    }
}

#[test]
fn a_subset_of_categories_and_classes_keeps_their_meaning() {
    let some: Vec<[String; 5]> = rows(60)
        .into_iter()
        .filter(|row| row[2] != "blue" && row[3] != "p")
        .collect();
    let project = Project::new()
        .with("a.csv", table(&rows(60), [0, 1, 2, 3, 4], &[]))
        .with("b.csv", table(&some, [1, 0, 2, 3, 4], &[]));
    let finished = run(&project, &pipeline(CLASSES, ""));
    finished
        .assert_code(0)
        .assert_stderr("the data has no sample of `p`");
    let kept = |line: &String| !line.starts_with("p,");
    let blue: Vec<usize> = (0..60).filter(|index| rows(60)[*index][2] == "blue").collect();
    let a = predictions(&project, "tA").into_iter().enumerate();
    let a: Vec<String> = a
        .filter(|(index, _)| !blue.contains(index))
        .map(|(_, line)| line)
        .collect();
    let a: Vec<String> = a.into_iter().filter(kept).collect();
    assert_eq!(a, predictions(&project, "tB"));
}

#[test]
fn what_does_not_fit_is_refused_by_its_names() {
    let all = rows(60);
    let with = |place: usize, from: &str, to: &str| {
        let mut rows = all.clone();
        for row in rows.iter_mut().filter(|row| row[place] == from) {
            row[place] = to.to_owned();
        }
        table(&rows, [0, 1, 2, 3, 4], &[])
    };
    let mut extra = String::new();
    for (index, line) in table(&all, [0, 1, 2, 3, 4], &[]).lines().enumerate() {
        let cell = if index == 0 {
            "c".to_owned()
        } else {
            index.to_string()
        };
        writeln!(extra, "{line},{cell}").unwrap();
    }
    for (second, told) in [
        (
            table(&all, [0, 1, 2, 3, 4], &[(1, "c")]),
            "the data lacks the column `b` and has the column `c` instead",
        ),
        (extra, "the model does not know the column `c`"),
        (
            with(2, "blue", "white"),
            "the model does not know the categories `white` of `colour` (20 samples)",
        ),
        (with(3, "q", "s"), "the model does not know `s`"),
    ] {
        let project = Project::new()
            .with("a.csv", table(&all, [0, 1, 2, 3, 4], &[]))
            .with("b.csv", second);
        run(&project, &pipeline(CLASSES, ""))
            .assert_code(1)
            .assert_stderr(told);
    }
}

#[test]
fn weights_to_begin_with_meet_their_data_by_name() {
    let fine = "  f: {train: {data: B, init: {from: m}, model: {mlp: {hidden: [8]}}, epochs: 1, batch_size: 16, optimizer: {sgd: {lr: 0}}}}
  tF: {evaluate: {model: f, data: A, split: train, metrics: [predictions]}}\n";
    let project = Project::new().with("a.csv", table(&rows(60), [0, 1, 2, 3, 4], &[]));
    let with_init = pipeline(
        CLASSES,
        ", normalize: {mean: [0, 0, 0, 0, 0], std: [1, 1, 1, 1, 1]}",
    ) + fine;
    let with_init = with_init.replace(
        "init: {from: m}",
        "init: {from: m}, normalize: {mean: [0, 0, 0, 0, 0], std: [1, 1, 1, 1, 1]}",
    );

    // The same in another order: nothing is learnt, and nothing changes.
    let mut shuffled = rows(60);
    shuffled.reverse();
    project.write("b.csv", table(&shuffled, [4, 2, 1, 3, 0], &[]));
    let finished = run(&project, &with_init);
    finished.assert_code(0).assert_stderr("the learning rate is 0");
    assert_eq!(predictions(&project, "tA"), predictions(&project, "tF"));

    // As many classes, but others: what was learnt of the old ones is of no use.
    let mut others = rows(60);
    for row in &mut others {
        row[3] = row[3].replace('p', "s").replace('q', "t").replace('r', "u");
    }
    project.write("b.csv", table(&others, [0, 1, 2, 3, 4], &[]));
    let finished = run(&project, &with_init);
    finished.assert_stderr("the classes are others: p, q, r) and is drawn anew");

    project.write("b.csv", table(&rows(60), [0, 1, 2, 3, 4], &[(1, "c")]));
    let finished = run(&project, &with_init);
    finished
        .assert_code(1)
        .assert_stderr("the data does not fit the model");
}

#[test]
fn targets_are_standardised_unless_they_are_to_be_left() {
    let project = Project::new()
        .with("a.csv", table(&rows(60), [0, 1, 2, 3, 4], &[]))
        .with("b.csv", table(&rows(60), [0, 1, 2, 3, 4], &[]));
    let source = pipeline(NUMBERS, "").replace("epochs: 4", "epochs: 60");
    let finished = run(
        &project,
        &(source.clone() + "tables: {t: {columns: {r2: tB.r2, loss: tB.loss}, formats: [csv]}}\n"),
    );
    finished
        .assert_code(0)
        .assert_stderr("trains on standardised targets");
    let text = project.read("results/t.csv");
    let figures: Vec<f64> = text
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .map(|cell| cell.parse().unwrap())
        .collect();
    assert!(figures[0] > 0.9 && figures[1] < 0.1, "{text}");

    let raw = source.replace("epochs: 60", "epochs: 1, standardize_targets: false");
    let finished = run(
        &project,
        &(raw + "tables: {t: {columns: {loss: tB.loss}, formats: [csv]}}\n"),
    );
    finished.assert_code(0);
    let loss: f64 = project
        .read("results/t.csv")
        .lines()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(loss > 1e10, "{loss}");
}

#[test]
fn classes_weigh_by_name_and_in_balance() {
    let project = Project::new()
        .with("a.csv", table(&rows(60), [0, 1, 2, 3, 4], &[]))
        .with("b.csv", table(&rows(60), [0, 1, 2, 3, 4], &[]));
    let loss = |weights: &str| {
        pipeline(
            CLASSES,
            &format!(", loss: {{cross_entropy: {{class_weights: {weights}}}}}"),
        )
    };
    run(&project, &loss("{q: 2.5}")).assert_code(0);
    let by_name = predictions(&project, "tA");
    run(&project, &loss("[1, 2.5, 1]")).assert_code(0);
    assert_eq!(by_name, predictions(&project, "tA"));
    run(&project, &loss("balanced")).assert_code(0);
    assert_ne!(by_name, predictions(&project, "tA"));
    run(&project, &loss("{qq: 2}"))
        .assert_code(1)
        .assert_stderr("there is no class `qq`");
    run(&project, &loss("even"))
        .assert_code(2)
        .assert_stderr("expected `balanced`, a weight for each class");
}

#[test]
fn a_figure_that_is_not_defined_leaves_the_others() {
    let one = format!("{}{}", table(&rows(60), [0, 1, 2, 3, 4], &[]), "");
    let project = Project::new()
        .with("a.csv", one)
        .with("b.csv", table(&rows(2)[..1], [0, 1, 2, 3, 4], &[]));
    let source = pipeline(NUMBERS, "");
    let tables = "tables:
  t: {columns: {r2: tB.r2, mae: tB.mae}, formats: [csv, md, json, tex, html]}
";
    let finished = run(&project, &(source + tables));
    finished
        .assert_code(0)
        .assert_stderr("`r2` is not defined on this split");
    let warned = finished.stderr.matches("`r2` is not defined").count();
    assert_eq!(warned, 1, "{}", finished.stderr);
    let markdown = project.read("results/t.md");
    assert!(markdown.contains("| undefined |"), "{markdown}");
    for format in ["tex", "html"] {
        let text = project.read(&format!("results/t.{format}"));
        assert!(text.contains("undefined"), "{text}");
    }
    let csv = project.read("results/t.csv");
    let (r2, mae) = csv.lines().nth(1).unwrap().split_once(',').unwrap();
    assert!(r2.is_empty() && mae.parse::<f64>().is_ok(), "{csv}");
    let json: serde_json::Value = serde_json::from_str(&project.read("results/t.json")).unwrap();
    let cell = &json["rows"][0]["cells"]["r2"];
    assert_eq!(
        (&cell["figure"], &cell["undefined"]),
        (&serde_json::Value::Null, &1.into())
    );
    project.erlen(["table", "p.yaml", "--check"]).assert_code(0);
}
