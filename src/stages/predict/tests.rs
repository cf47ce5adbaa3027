//! From files to predictions: what an evaluation says of the same samples, bit for bit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::event::Activity;
use crate::fingerprint::Digest;
use crate::stages::Surroundings;

struct Project {
    folder: tempfile::TempDir,
    notices: Arc<Mutex<Vec<String>>>,
    /// Whether jobs are asked to stop.
    stop: Arc<AtomicBool>,
}

/// The rows of a CSV file, by the title.
type SheetRows = Vec<BTreeMap<String, String>>;

impl Project {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            notices: Arc::default(),
            stop: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn run(&self, kind: Value, inputs: &[(&str, &str)], output: &str) -> Result<Outcome, StageError> {
        let _ = fs::remove_dir_all(self.path(output));
        fs::create_dir_all(self.path(output)).unwrap();
        let job = Job {
            stage: output.to_owned(),
            kind: serde_json::from_value(kind).unwrap(),
            seed: output.len() as u64,
            draws: true,
            fingerprint: Digest::of_bytes(output.as_bytes()),
            inputs: inputs
                .iter()
                .map(|(role, path)| ((*role).to_owned(), self.path(path)))
                .collect(),
            provenance: BTreeMap::new(),
            scratch: self.path(&format!("{output}.scratch")),
            output: self.path(output),
            log: self.path(&format!("{output}.log")),
            limits: None,
            shorter: None,
            surroundings: Surroundings {
                threads: 2,
                ..Surroundings::of_project(self.folder.path())
            },
        };
        let notices = Arc::clone(&self.notices);
        let monitor = Monitor::new(
            move |activity| {
                if let Activity::Notice { message, .. } = activity {
                    notices.lock().unwrap().push(message);
                }
            },
            Arc::clone(&self.stop),
        );
        Registry::built_in().run(&job, &monitor)
    }

    fn preprocess(&self, input: &str, format: Value) {
        let kind = json!({"preprocess": {"input": "raw", "format": format, "split": {"test": 0.4}}});
        self.run(kind, &[("input", input)], "data").unwrap();
    }

    fn train(&self, model: &str, recipe: &Value) {
        let mut train =
            json!({"data": "data", "epochs": 2, "batch_size": 5, "optimizer": {"adam": {"lr": 0.01}}});
        for (key, value) in recipe.as_object().unwrap() {
            train[key] = value.clone();
        }
        self.run(json!({"train": train}), &[("data", "data")], model)
            .unwrap();
    }

    /// What an evaluation of the models says of the test split.
    fn evaluate(&self, models: &[&str], more: Value) -> SheetRows {
        let mut options =
            json!({"model": models, "data": "data", "split": "test", "metrics": ["predictions"]});
        for (key, value) in more.as_object().unwrap() {
            options[key] = value.clone();
        }
        let mut inputs = inputs_of(models);
        inputs.push(("data".to_owned(), "data".to_owned()));
        self.run(json!({"evaluate": options}), &borrowed(&inputs), "test")
            .unwrap();
        rows(&self.path("test/predictions.csv"))
    }

    fn predict(&self, models: &[&str], input: &str, more: Value) -> Result<Outcome, StageError> {
        let mut options = json!({"model": models, "input": "new"});
        for (key, value) in more.as_object().unwrap() {
            options[key] = value.clone();
        }
        let mut inputs = inputs_of(models);
        inputs.push(("input".to_owned(), input.to_owned()));
        self.run(json!({"predict": options}), &borrowed(&inputs), "predicted")
    }

    fn predicted(&self) -> SheetRows {
        rows(&self.path("predicted/predictions.csv"))
    }

    /// Sets the batch size on a model's card, by which samples are asked about together.
    fn set_batch_size(&self, model: &str, size: u32) {
        let path = self.path(model).join("model.json");
        let mut card: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        card["batch_size"] = size.into();
        fs::write(path, card.to_string()).unwrap();
    }

    fn notices(&self) -> String {
        self.notices.lock().unwrap().join("\n")
    }
}

fn inputs_of(models: &[&str]) -> Vec<(String, String)> {
    let role = |index: usize| match models.len() {
        1 => "model".to_owned(),
        _ => format!("model.{index}"),
    };
    models
        .iter()
        .enumerate()
        .map(|(index, model)| (role(index), (*model).to_owned()))
        .collect()
}

fn borrowed(inputs: &[(String, String)]) -> Vec<(&str, &str)> {
    inputs
        .iter()
        .map(|(role, path)| (role.as_str(), path.as_str()))
        .collect()
}

fn rows(path: &Path) -> SheetRows {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let titles = reader.headers().unwrap().clone();
    let records = reader.records().map(|record| {
        let record = record.unwrap();
        let cells = titles.iter().zip(record.iter());
        cells
            .map(|(title, cell)| (title.to_owned(), cell.to_owned()))
            .collect()
    });
    records.collect()
}

/// Every row of `judged` is among `predicted` with the same cells under the titles that both have; gives how many
/// titles these are.
#[track_caller]
fn assert_same(judged: &SheetRows, predicted: &SheetRows, name: impl Fn(&str) -> String) -> usize {
    assert!(!judged.is_empty());
    let mut shared = 0;
    for row in judged {
        let name = name(&row["sample"]);
        let own = predicted.iter().find(|own| own["sample"] == name);
        let own = own.unwrap_or_else(|| panic!("`{name}` was not predicted"));
        shared = 0;
        for (title, cell) in row.iter().filter(|(title, _)| *title != "sample") {
            if let Some(found) = own.get(title) {
                assert_eq!(found, cell, "{title} of {name}");
                shared += 1;
            }
        }
    }
    shared
}

/// A PNG image of some colours.
fn png(index: usize, [height, width]: [u32; 2]) -> Vec<u8> {
    let pixels: Vec<u8> = (0..height * width * 3)
        .map(|at| (at as usize * (7 + index % 5) + index * 31) as u8)
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Photographs in class folders, of various sizes.
fn photographs() -> Project {
    let project = Project::new();
    for index in 0..30 {
        let class = ["cat", "dog", "emu"][index % 3];
        let size = [9 + index as u32 % 4, 8 + index as u32 % 3];
        project.write(&format!("photos/{class}/{index}.png"), png(index, size));
    }
    project
}

const CONV_NET: &str = r#"{"conv_net": {"channels": [6, 8]}}"#;

#[test]
fn images_get_what_an_evaluation_gives_them() {
    for (format, recipe) in [
        (
            json!({"image_folder": {"size": [8, 8]}}),
            json!({"model": serde_json::from_str::<Value>(CONV_NET).unwrap()}),
        ),
        (
            json!({"image_folder": {"store": "files", "color": "gray"}}),
            json!({
                "model": {"mlp": {"hidden": [6]}}, "augment": [{"resize": {"size": [10, 10]}}],
                "eval_transforms": [{"resize": {"size": [10, 10]}}],
            }),
        ),
    ] {
        let project = photographs();
        project.preprocess("photos", format);
        project.train("model", &recipe);
        let judged = project.evaluate(&["model"], json!({}));
        // Whatever the batches are, and for the model that was exported too.
        for size in [1, 4, 64] {
            project.set_batch_size("model", size);
            assert_eq!(project.evaluate(&["model"], json!({})), judged);
            let outcome = project.predict(&["model"], "photos", json!({})).unwrap();
            assert_eq!(outcome.metrics.number("samples"), Some(30.0));
            assert_eq!(assert_same(&judged, &project.predicted(), str::to_owned), 5);
        }
        let whole = project.predicted();
        let export = json!({"export": {"model": "model"}});
        project.run(export, &[("model", "model")], "exported").unwrap();
        project.predict(&["exported"], "photos", json!({})).unwrap();
        assert_eq!(project.predicted(), whole);
        assert_eq!(project.evaluate(&["exported"], json!({})), judged);

        let flipped = project.evaluate(&["model"], json!({"test_time_flip": true}));
        assert_ne!(flipped, judged);
        project
            .predict(&["model"], "photos", json!({"test_time_flip": true}))
            .unwrap();
        assert_same(&flipped, &project.predicted(), str::to_owned);
    }
}

#[test]
fn an_archive_gets_what_its_folder_gets() {
    let project = photographs();
    project.preprocess("photos", json!({"image_folder": {"size": [8, 8]}}));
    let model: Value = serde_json::from_str(CONV_NET).unwrap();
    project.train("model", &json!({"model": model}));
    project.predict(&["model"], "photos", json!({})).unwrap();
    let whole = project.predicted();

    let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(packed);
    archive.append_dir_all("", project.path("photos")).unwrap();
    let packed = archive.into_inner().unwrap().finish().unwrap();
    project.write("photos.tar.gz", &packed);
    project.predict(&["model"], "photos.tar.gz", json!({})).unwrap();
    assert_eq!(project.predicted(), whole);
    // Nothing of it is left.
    let scratch = project.path("predicted.scratch");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);

    project.write("cut.tar.gz", &packed[..packed.len() / 2]);
    let problem = project.predict(&["model"], "cut.tar.gz", json!({})).unwrap_err();
    assert!(problem.to_string().contains("damaged or cut off"), "{problem}");
    project.write("no.zip", "text");
    let problem = project.predict(&["model"], "no.zip", json!({})).unwrap_err();
    let problem = problem.to_string();
    assert!(problem.contains("`no.zip` is no archive"), "{problem}");
    // A download alone has that option.
    assert!(!problem.contains("unpack: false"), "{problem}");
    // An archive whose unpacking is stopped is not called damaged.
    project.stop.store(true, Ordering::Relaxed);
    let stopped = project.predict(&["model"], "photos.tar.gz", json!({}));
    assert_eq!(stopped.unwrap_err(), StageError::Interrupted);
}

#[test]
fn several_models_are_averaged_as_an_evaluation_does() {
    let project = photographs();
    project.preprocess("photos", json!({"image_folder": {"size": [8, 8]}}));
    let model: Value = serde_json::from_str(CONV_NET).unwrap();
    project.train("one", &json!({"model": model}));
    project.train(
        "another",
        &json!({"model": {"mlp": {"hidden": [7]}}, "epochs": 4}),
    );
    let models = ["one", "another"];
    let together = project.evaluate(&models, json!({}));
    project.predict(&models, "photos", json!({})).unwrap();
    assert_same(&together, &project.predicted(), str::to_owned);

    let apart = models.map(|model| project.evaluate(&[model], json!({})));
    for (row, (one, another)) in together.iter().zip(apart[0].iter().zip(&apart[1])) {
        for class in ["p(cat)", "p(dog)", "p(emu)"] {
            let [row, one, another] = [row, one, another].map(|row| row[class].parse::<f64>().unwrap());
            assert!(
                (row - (one + another) / 2.0).abs() < 1e-6,
                "{row} {one} {another}"
            );
        }
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_predicted() {
    let project = photographs();
    project.preprocess("photos", json!({"image_folder": {"size": [8, 8]}}));
    project.train("model", &json!({"model": {"mlp": {"hidden": [4]}}}));
    project.write("new/a/good.png", png(1, [8, 8]));
    project.write("new/a/notes.txt", "nothing");
    project.write("new/torn.png", &png(2, [30, 20])[..60]);
    project.write("new/z.png", png(3, [20, 30]));

    let error = project
        .predict(&["model"], "new", json!({}))
        .unwrap_err()
        .to_string();
    assert!(error.contains("`torn.png`: the image is corrupt"), "{error}");
    let skip = json!({"on_error": "skip"});
    let outcome = project.predict(&["model"], "new", skip.clone()).unwrap();
    let metrics = |name: &str| outcome.metrics.number(name);
    assert_eq!([metrics("samples"), metrics("skipped")], [Some(2.0), Some(1.0)]);
    let names: Vec<String> = project
        .predicted()
        .iter()
        .map(|row| row["sample"].clone())
        .collect();
    assert_eq!(names, ["a/good.png", "z.png"]);
    assert_eq!(
        rows(&project.path("predicted/skipped.csv"))[0]["sample"],
        "torn.png"
    );
    let notices = project.notices();
    for told in [
        "`torn.png`",
        "1 of 3 samples was left out; `skipped.csv` names it",
        "notes.txt",
        "were scaled to 8x8",
    ] {
        assert!(notices.contains(told), "{told}: {notices}");
    }

    let lines = json!({"on_error": "skip", "format": "json_lines"});
    project.predict(&["model"], "new", lines).unwrap();
    let text = fs::read_to_string(project.path("predicted/predictions.jsonl")).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["sample"], "a/good.png");
    assert_eq!(first["probabilities"].as_object().unwrap().len(), 3);

    project.write("empty/notes.txt", "nothing");
    let error = project
        .predict(&["model"], "empty", skip)
        .unwrap_err()
        .to_string();
    assert!(error.contains("there is nothing to predict for"), "{error}");
}

/// A table of things with a class, two labels and a number.
fn table() -> String {
    let mut text = "class,x,color,y,bright,large,price\n".to_owned();
    for index in 0..60 {
        let (x, y) = ((index * 7 % 11) as f64 / 3.0, (index * 5 % 13) as f64 - 6.0);
        let color = ["red", "green", "blue"][index % 3];
        let class = if x + y > 0.0 { "yes" } else { "no" };
        let (bright, large) = (u8::from(x > 1.5), u8::from(y > 0.0));
        let price = 300_000.0 + 1000.0 * x - 500.0 * y;
        text += &format!("{class},{x},{color},{y},{bright},{large},{price}\n");
    }
    text
}

#[test]
fn rows_get_what_an_evaluation_gives_them() {
    let labels = json!(["bright", "large"]);
    for (label, ignore, task, shared) in [
        (
            json!("class"),
            ["bright", "large", "price"].as_slice(),
            "classification",
            4,
        ),
        (labels, &["class", "price"], "multi_label", 2),
        (json!("price"), &["class", "bright", "large"], "regression", 1),
    ] {
        let project = Project::new();
        project.write("table.csv", table());
        let format = json!({"csv": {
            "header": true, "label": label, "ignore": ignore, "task": task, "categorical": ["color"],
        }});
        project.preprocess("table.csv", format);
        for model in ["one", "another"] {
            project.train(model, &json!({"model": {"mlp": {"hidden": [5]}}}));
        }
        // The same rows without what is to be predicted, and in another order of columns.
        let mut reader = csv::Reader::from_reader(File::open(project.path("table.csv")).unwrap());
        let mut text = "y;color;x\n".to_owned();
        for record in reader.records().map(Result::unwrap) {
            text += &format!("{};{};{}\n", &record[3], &record[2], &record[1]);
        }
        project.write("new.csv", text);
        let name = |name: &str| name.replace("table", "new");
        for models in [&["one"][..], &["one", "another"]] {
            let judged = project.evaluate(models, json!({}));
            project.predict(models, "new.csv", json!({})).unwrap();
            assert_eq!(assert_same(&judged, &project.predicted(), name), shared, "{task}");
            project.predict(models, "table.csv", json!({})).unwrap();
            assert_same(&judged, &project.predicted(), str::to_owned);
        }
    }
}

#[test]
fn models_that_do_not_fit_together_are_refused() {
    let project = Project::new();
    project.write("table.csv", table());
    let train = |label: &str, ignore: &[&str], task: &str, model: &str| {
        let format = json!({"csv": {
            "header": true, "label": label, "ignore": ignore, "task": task, "categorical": ["color"],
        }});
        project.preprocess("table.csv", format);
        project.train(model, &json!({"model": {"mlp": {"hidden": [3]}}}));
    };
    train("class", &["bright", "large", "price"], "classification", "one");
    train("price", &["class", "bright", "large"], "regression", "another");
    let error = project
        .predict(&["one", "another"], "table.csv", json!({}))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the first is for the task `classification`, another one for `regression`"),
        "{error}"
    );
}

/// The columns of a table as a Parquet file: those whose cells are all numbers as doubles, the others as texts.
fn parquet_of(text: &str, delimiter: u8) -> Vec<u8> {
    use ::parquet::data_type::{ByteArrayType, DoubleType};
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let titles = reader.headers().unwrap().clone();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let numbers = |column: usize| -> Option<Vec<f64>> {
        records.iter().map(|record| record[column].parse().ok()).collect()
    };
    let mut schema = "message table {\n".to_owned();
    for (column, title) in titles.iter().enumerate() {
        schema += &match numbers(column) {
            Some(_) => format!("REQUIRED DOUBLE {title};\n"),
            None => format!("REQUIRED BYTE_ARRAY {title} (UTF8);\n"),
        };
    }
    let schema = ::parquet::schema::parser::parse_message_type(&(schema + "}")).unwrap();
    let mut bytes = Vec::new();
    let mut writer =
        ::parquet::file::writer::SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default())
            .unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in 0..titles.len() {
        let mut written = group.next_column().unwrap().unwrap();
        match numbers(column) {
            Some(numbers) => written.typed::<DoubleType>().write_batch(&numbers, None, None),
            None => {
                let texts: Vec<_> = records.iter().map(|record| record[column].into()).collect();
                written.typed::<ByteArrayType>().write_batch(&texts, None, None)
            }
        }
        .unwrap();
        written.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

/// The rows of a Parquet file of predictions, as a CSV file would have them.
fn parquet_rows(path: &Path) -> SheetRows {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::Field;
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    let cell = |field: &Field| match field {
        Field::Str(text) => text.clone(),
        Field::Double(number) => train::float_text(*number),
        Field::Bool(applies) => if *applies { "1" } else { "0" }.to_owned(),
        other => panic!("{other:?}"),
    };
    rows.map(|row| {
        let columns = row.get_column_iter();
        columns
            .map(|(title, field)| (title.clone(), cell(field)))
            .collect()
    })
    .collect()
}

#[test]
fn parquet_goes_in_and_comes_out() {
    let labels = json!(["bright", "large"]);
    for (label, ignore, task) in [
        (
            json!("class"),
            ["bright", "large", "price"].as_slice(),
            "classification",
        ),
        (labels, &["class", "price"], "multi_label"),
        (json!("price"), &["class", "bright", "large"], "regression"),
    ] {
        // The table that is trained on has decimal commas; that of new rows has doubles.
        let project = Project::new();
        let table = table();
        project.write("table.csv", table.replace(',', ";").replace('.', ","));
        project.write("new.parquet", parquet_of(&table, b','));
        let format = json!({"csv": {
            "header": true, "label": label, "ignore": ignore, "task": task, "categorical": ["color"], "delimiter": ";",
            "decimal": ",",
        }});
        project.preprocess("table.csv", format);
        project.train("model", &json!({"model": {"mlp": {"hidden": [5]}}}));
        project.predict(&["model"], "table.csv", json!({})).unwrap();
        let of_text = project.predicted();
        project.predict(&["model"], "new.parquet", json!({})).unwrap();
        let of_parquet = project.predicted();
        assert_eq!(of_parquet[0]["sample"], "new.parquet:1");
        // Lines are counted from the titles on, rows from the first.
        for (line, row) in of_text.iter().zip(&of_parquet) {
            for (title, cell) in line.iter().filter(|(title, _)| *title != "sample") {
                assert_eq!(&row[title], cell, "{title}");
            }
        }
        assert_eq!(of_text.len(), of_parquet.len());

        project
            .predict(&["model"], "new.parquet", json!({"format": "parquet"}))
            .unwrap();
        let path = project.path("predicted/predictions.parquet");
        assert_eq!(parquet_rows(&path), of_parquet);
        let bytes = fs::read(&path).unwrap();
        project
            .predict(&["model"], "new.parquet", json!({"format": "parquet"}))
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn what_is_wrong_with_parquet_files_is_told() {
    let project = Project::new();
    project.write("table.csv", table());
    let format = json!({"csv": {
        "header": true, "label": "class", "ignore": ["bright", "large", "price"], "categorical": ["color"],
    }});
    project.preprocess("table.csv", format);
    project.train("model", &json!({"model": {"mlp": {"hidden": [3]}}}));
    let error = |bytes: Vec<u8>| {
        project.write("new.parquet", bytes);
        let error = project.predict(&["model"], "new.parquet", json!({}));
        error.unwrap_err().to_string()
    };
    let told = error(parquet_of("x,y,colour\n1,2,red\n", b','));
    assert!(
        told.contains(
            "it has no column `color`, which the model was trained on; its columns are x, y, colour"
        ),
        "{told}"
    );
    let told = error(parquet_of("x,y,color\n1,2,red\n3,4,purple\n", b','));
    assert!(
        told.contains("`new.parquet:2`: column `color`: the model does not know the category `purple`"),
        "{told}"
    );
    let whole = parquet_of("x,y,color\n1,2,red\n", b',');
    let told = error(whole[..whole.len() - 9].to_vec());
    assert!(told.contains("it cannot be read as a Parquet file"), "{told}");
}
