//! What `erlen-infer` says, beside `erlen predict`. The program itself is of another build; it is nothing but a call of the
//! function that is called here.

use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::project::{Finished, Project};

/// What `erlen-infer` does with `arguments`, of which those that name files begin with `./`, in the project.
pub fn infer(project: &Project, arguments: &[&str]) -> Finished {
    let inside = |argument: &&str| match argument.strip_prefix("./") {
        Some(path) => project.path(path).into_os_string(),
        None => OsString::from(argument),
    };
    let told = Arc::new(Mutex::new(String::new()));
    let hears = Arc::clone(&told);
    let mut out = Vec::new();
    let code = erlen::edge::run(arguments.iter().map(inside), &mut out, move |line| {
        *hears.lock().expect("no panic") += &format!("{line}\n");
    });
    let told = told.lock().expect("no panic").clone();
    Finished {
        code: Some(code.into()),
        stdout: String::from_utf8(out).expect("text"),
        stderr: told,
    }
}

/// What nobody reads.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says what `erlen predict` says of the same, where files are named by their whole paths too.
#[track_caller]
pub fn assert_same_answers(project: &Project, arguments: &[&str]) -> String {
    let own = infer(project, arguments);
    let inside = arguments
        .iter()
        .map(|argument| match argument.strip_prefix("./") {
            Some(path) => project.path(path).into_os_string(),
            None => OsString::from(argument),
        });
    let predicted = project.erlen([OsString::from("predict")].into_iter().chain(inside));
    predicted.assert_code(own.code.expect("a code"));
    assert_eq!(own.stdout, predicted.stdout, "{}", own.stderr);
    assert_eq!(own.stderr, predicted.stderr);
    own.stdout
}

/// A table of 60 rows, with a class and a number that its columns tell.
fn table() -> String {
    let mut text = "width,color,price,class\n".to_owned();
    for row in 0..60 {
        let (width, color) = (row % 7, ["red", "blue", "green"][row % 3]);
        let class = if width > 3 || color == "red" {
            "big"
        } else {
            "small"
        };
        text += &format!("{width}.5,{color},{}.25,{class}\n", width * 3 + row % 3);
    }
    text
}

const TABLES: &str = "
stages:
  data:
    preprocess:
      input: ./table.csv
      format: {csv: {header: true, label: class, categorical: [color], ignore: [price]}}
      split: {val: 0.2, test: 0.2}
  model:
    train: {data: data, model: {mlp: {hidden: [8]}}, epochs: 2, batch_size: 8, optimizer: {adam: {lr: 0.05}}}
  other:
    train: {data: data, model: {mlp: {hidden: [4]}}, epochs: 1, batch_size: 8, optimizer: {adam: {lr: 0.05}}}
  int8:
    quantize: {model: model, calibrate: {data: data, samples: 20}}
  export:
    export: {model: model}
  prices:
    preprocess:
      input: ./table.csv
      format: {csv: {header: true, task: regression, label: price, categorical: [color], ignore: [class]}}
      split: {test: 0.2}
  regression:
    train: {data: prices, model: {mlp: {hidden: [8]}}, epochs: 2, batch_size: 8, optimizer: {adam: {lr: 0.05}}}
";

#[test]
fn rows_of_tables_get_the_answers_of_predict() {
    let project = Project::new()
        .with("table.csv", table())
        .with("new.csv", "color;width\nred;0.5\nblue;6.5\ngreen;x\nblue;-2\n")
        .with("p.yaml", TABLES);
    project.erlen(["run", "p.yaml"]).assert_code(0);
    for stage in ["model", "other", "int8", "export", "regression"] {
        project
            .erlen(["get", "p.yaml", stage, "-o", stage])
            .assert_code(0);
        let (model, file) = (&*format!("./{stage}"), "./new.csv");
        let rows = assert_same_answers(&project, &[model, file]);
        assert_eq!(rows.lines().count(), 4, "{rows}");
        assert_same_answers(&project, &[model, file, "--format", "json-lines"]);
    }
    assert_same_answers(&project, &["./model", "./new.csv", "--with", "./other"]);
    assert_same_answers(&project, &["./model", "./table.csv"]);
    // Whatever the number of threads.
    let rows = |threads: &str| infer(&project, &["./model", "./table.csv", "--threads", threads]);
    assert_eq!(rows("1").stdout, rows("3").stdout);
    assert_eq!(rows("1").stdout.lines().count(), 61);

    // Who reads may have enough before the end.
    let arguments = ["model", "table.csv"].map(|path| project.path(path).into_os_string());
    let code = erlen::edge::run(arguments, Closed, |line| {
        assert!(!line.contains("error"), "{line}");
    });
    assert_eq!(code, 0);

    // A sample that cannot be read is told of, and the others have answers.
    infer(&project, &["./model", "./new.csv"])
        .assert_code(1)
        .assert_stderr("new.csv:4`: column `width`: `x` is not a finite number")
        .assert_stderr("3 samples predicted, 1 could not be read");

    // Into a file, whole or not at all.
    infer(&project, &["./model", "./table.csv", "-o", "./out.jsonl"])
        .assert_code(0)
        .assert_stderr("60 samples predicted -> ");
    assert!(project.read("out.jsonl").starts_with("{\"sample\":\""));
    infer(&project, &["./model", "./table.csv", "-o", "./out.jsonl"])
        .assert_code(2)
        .assert_stderr("is there already");
    infer(&project, &["./model", "./new.png", "-o", "./none.csv"])
        .assert_code(2)
        .assert_stderr("there is no file or folder `");
    assert!(!project.path("none.csv").exists());

    for (arguments, code, told) in [
        (
            &["./nothing", "./new.csv"] as &[&str],
            2,
            "there is no model at `",
        ),
        (
            &["./p.yaml", "./new.csv"],
            2,
            "`erlen get FILE STAGE` copies one out",
        ),
        (&["./model"], 2, "at least one file"),
        (&["./table.csv", "./new.csv"], 1, "model.json"),
        (&["./model", "./new.csv", "--test-time-flip"], 1, "mirrors images"),
        (
            &["./model", "./new.csv", "--with", "./regression"],
            1,
            "cannot be averaged",
        ),
    ] {
        let finished = infer(&project, arguments);
        finished
            .assert_code(code)
            .assert_stderr(told)
            .assert_stderr("error: ");
        assert_eq!(finished.stdout, "");
    }
    // Cards that tell of more than there is.
    for stage in ["model", "int8"] {
        let card = project.read(&format!("{stage}/model.json"));
        let changed = card.replacen("\"hidden\": [\n        8\n      ]", "\"hidden\": [268435456]", 1);
        assert_ne!(card, changed, "{card}");
        project.write(&format!("{stage}/model.json"), changed);
        assert_same_answers(&project, &[&format!("./{stage}"), "./new.csv"]);
        infer(&project, &[&format!("./{stage}"), "./new.csv"])
            .assert_code(1)
            .assert_stderr("`0.weight` alone would be [268435456, 4]");
        project.write(&format!("{stage}/model.json"), card);
    }
    project.write("new.zip", "PK");
    infer(&project, &["./model", "./new.zip"])
        .assert_code(1)
        .assert_stderr("this program unpacks no archives");
    infer(&project, &["--help"])
        .assert_code(0)
        .assert_stdout("Usage: erlen-infer");
}
