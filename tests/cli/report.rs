//! Pages, plots and graphs of real results.

use std::path::Path;
use std::process::Command;

use crate::project::Project;

/// A tiny pipeline that trains, with names that are not harmless.
const PIPELINE: &str = r#"name: tiny
description: "A <b>tiny</b> & quick one."
seed: 3
params:
  lr: 0.05
  note: "</script><script>alert('x')</script>"
stages:
  data:
    preprocess:
      input: ./points.csv
      format: {csv: {label: -1}}
      split: {val: 0.2, test: 0.2}
  model:
    description: "</style><img src=x onerror=alert(1)>"
    train:
      data: data
      model: {mlp: {hidden: [4]}}
      epochs: 3
      batch_size: 8
      optimizer: {sgd: {lr: "${lr}"}}
  test:
    evaluate: {model: model, data: data, metrics: [confusion, per_class]}
  words:
    after: [test]
    command: {run: 'echo "${note}" > out', outputs: [out]}
tables:
  result:
    rows: [lr]
    columns: {accuracy: test.accuracy}
"#;

const FIGURES: [&str; 8] = [
    "graph",
    "curves-model-loss",
    "curves-model-accuracy",
    "curves-model-gradient-norm",
    "curves-model-lr",
    "confusion-test",
    "classes-test",
    "stage-times",
];

fn tiny() -> Project {
    let rows = (0..60).map(|index| {
        let (x, y) = (f64::from(index % 10), f64::from(index / 10));
        format!("{x},{y},{}\n", if x > y { "<right>" } else { "left" })
    });
    Project::new()
        .with("p.yaml", PIPELINE)
        .with("points.csv", rows.collect::<String>())
}

#[test]
fn the_page_holds_all_and_loads_nothing() {
    let project = tiny();
    // Before anything has run there is a page too.
    project.erlen(["report", "p.yaml"]).assert_code(0);
    let before = project.read("results/tiny-report.html");
    assert!(before.contains("nothing to show yet") && before.contains("have not been run yet"));

    project.erlen(["run", "p.yaml"]).assert_code(0);
    let finished = project.erlen(["report", "p.yaml"]);
    finished.assert_code(0);
    assert!(finished.stdout.trim_end().ends_with("results/tiny-report.html"));
    let page = project.read("results/tiny-report.html");
    for figure in FIGURES {
        assert_eq!(
            page.matches(&format!("<figure id=\"{figure}\"")).count(),
            1,
            "{figure}"
        );
    }
    assert!(!page.contains("nothing to show yet") && !page.contains("have not been run yet"));
    for part in [
        "summary",
        "tables",
        "curves",
        "evaluation",
        "metrics",
        "pipeline",
        "timings",
        "provenance",
    ] {
        assert!(page.contains(&format!("<section id=\"{part}\">")), "{part}");
    }
    for loads in ["src=", "href=\"http", "url(", "@import"] {
        assert!(!page.replace("&lt;img src=x", "").contains(loads), "{loads}");
    }
    assert!(!page.contains("<img") && !page.contains("<script>alert") && !page.contains("<b>tiny"));
    assert_eq!(
        (page.matches("<script>").count(), page.matches("</style>").count()),
        (1, 1)
    );
    // Every artifact can be found by its digest.
    for artifact in project.artifacts(&["p.yaml"]).values() {
        assert!(page.contains(artifact.as_str()));
    }

    project
        .erlen(["report", "p.yaml", "-o", "again.html"])
        .assert_code(0);
    assert_eq!(
        page,
        project.read("again.html"),
        "the same results give the same bytes"
    );
    in_a_browser(&project.path("again.html"));
}

/// Loads the page where there is a browser, which gets a minute.
#[allow(clippy::print_stdout, reason = "a test that leaves something out says so")]
fn in_a_browser(page: &Path) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            println!("chromium is not on the PATH or does not start, so no browser loads the page: {why}");
            return;
        }
        Err(error) => {
            println!("`timeout` cannot be run ({error}), so no browser loads the page");
            return;
        }
    };
    let (tree, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    // What pages write to the console is logged with this word.
    assert!(!log.contains("CONSOLE"), "{log}");
    for figure in FIGURES {
        assert!(tree.contains(&format!("<figure id=\"{figure}\"")), "{figure}");
    }
    assert!(tree.contains("class=\"tip\""), "the script has run");
}

#[test]
fn plots_are_files_of_their_own() {
    let project = tiny();
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let list = project.erlen(["plot", "p.yaml", "--list"]);
    let names: Vec<&str> = list
        .stdout
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names.len(), FIGURES.len());
    assert!(FIGURES.iter().all(|figure| names.contains(figure)), "{names:?}");

    project.erlen(["plot", "p.yaml", "-o", "plots"]).assert_code(0);
    let svg = project.read("plots/confusion-test.svg");
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("&lt;right&gt;") && !svg.contains("var("));
    let finished = project.erlen([
        "plot", "p.yaml", "curves", "graph", "--format", "png", "-o", "pixels",
    ]);
    finished.assert_code(0);
    assert_eq!(finished.stdout.lines().count(), 5);
    let picture = std::fs::read(project.path("pixels/curves-model-loss.png")).unwrap();
    let picture = image::load_from_memory(&picture).unwrap().to_luma8();
    assert_eq!((picture.width(), picture.height()), (960, 640));
    assert!(
        picture.pixels().any(|pixel| pixel.0[0] < 60),
        "there is something to see"
    );

    let finished = project.erlen(["plot", "p.yaml", "curve"]);
    finished.assert_code(2).assert_stderr("there is no plot `curve`");
    let finished = project.erlen(["plot", "p.yaml", "graph", "--format", "png", "--scale", "1000"]);
    finished.assert_code(2).assert_stderr("too large");
}

#[test]
fn the_graph_needs_nothing_but_the_file() {
    let project = Project::new().with("p.yaml", PIPELINE);
    let dot = project.erlen(["graph", "p.yaml"]);
    dot.assert_code(0);
    assert!(dot.stdout.contains("\"data\" -> \"model\";"), "{}", dot.stdout);
    let mermaid = project.erlen(["graph", "p.yaml", "--format", "mermaid"]);
    assert!(mermaid.stdout.starts_with("flowchart TD\n"));
    let svg = project.erlen(["graph", "p.yaml", "--format", "svg"]);
    assert!(svg.stdout.starts_with("<svg ") && svg.stdout.contains(">evaluate</text>"));
}
