//! From data to an exported model: `train`, `evaluate` and `export` in a row.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::*;
use crate::data::Dataset;
use crate::fingerprint::Digest;
use crate::schema::InputShape;
use crate::spec::SplitName;
use crate::stages::Surroundings;
use crate::train::testing::{CLASSES, write_dataset};
use crate::train::{KnownModel, Tasks};

const IMAGES: InputShape = InputShape::Image {
    channels: 1,
    height: 8,
    width: 8,
};

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let splits = [
            (SplitName::Train, 60),
            (SplitName::Val, 15),
            (SplitName::Test, 31),
        ];
        write_dataset(&folder.path().join("data"), IMAGES, &splits, &CLASSES);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// A job that reads the folders `inputs` (role, folder) and fills the folder `output`.
    fn job(&self, kind: Value, inputs: &[(&str, &str)], output: &str) -> Job {
        fs::create_dir_all(self.path(output)).unwrap();
        let entries = |value: fn(&Self, &str) -> PathBuf| {
            inputs
                .iter()
                .map(move |(role, folder)| ((*role).to_owned(), value(self, folder)))
        };
        Job {
            stage: output.to_owned(),
            kind: serde_json::from_value(kind).unwrap(),
            seed: 3,
            draws: false,
            fingerprint: Digest::of_bytes(output.as_bytes()),
            inputs: entries(Self::path).collect(),
            provenance: entries(|_, folder| PathBuf::from(folder))
                .map(|(role, folder)| (role, format!("digest of {}", folder.display())))
                .collect(),
            scratch: self.path(&format!("{output}.scratch")),
            output: self.path(output),
            log: self.path(&format!("{output}.log")),
            limits: None,
            shorter: None,
            surroundings: Surroundings {
                threads: 2,
                ..Surroundings::of_project(self.folder.path())
            },
        }
    }

    fn train(&self, changes: Value) -> Result<Outcome, StageError> {
        let mut recipe = json!({
            "data": "data", "model": {"mlp": {"hidden": [8]}}, "epochs": 10, "batch_size": 8,
            "optimizer": {"sgd": {"lr": 0.1, "momentum": 0.9}},
        });
        for (key, value) in changes.as_object().unwrap() {
            recipe[key] = value.clone();
        }
        let job = self.job(json!({"train": recipe}), &[("data", "data")], "model");
        Registry::built_in().run(&job, &Monitor::silent())
    }

    fn evaluate(&self, changes: Value) -> Result<Outcome, StageError> {
        let mut options = json!({"model": "model", "data": "data", "split": "test"});
        for (key, value) in changes.as_object().unwrap() {
            options[key] = value.clone();
        }
        let inputs = [("model", "model"), ("data", "data")];
        Registry::built_in().run(
            &self.job(json!({"evaluate": options}), &inputs, "test"),
            &Monitor::silent(),
        )
    }

    fn export(&self, inputs: &[(&str, &str)]) -> Result<Outcome, StageError> {
        let kind = json!({"export": {"model": "model", "metrics": ["test"]}});
        Registry::built_in().run(&self.job(kind, inputs, "exported"), &Monitor::silent())
    }
}

#[test]
fn from_data_to_an_exported_model() {
    let project = Project::new();
    let trained = project.train(json!({})).unwrap().metrics;
    let names: Vec<&str> = trained.names().collect();
    let expected = [
        "epochs",
        "parameters",
        "train_accuracy",
        "train_loss",
        "val_accuracy",
        "val_loss",
    ];
    assert_eq!(names, expected);
    assert_eq!((trained["epochs"], trained["parameters"]), (10.0, 547.0));
    assert_eq!(project.text("model/history.csv").lines().count(), 11);
    assert!(!project.text("model/model.json").contains("second"));

    let all = json!({"metrics": ["top3", "top5", "confusion", "per_class", "predictions"]});
    let tested = project.evaluate(all).unwrap().metrics;
    assert!(tested["accuracy"] > 0.8, "{tested:?}");
    assert_eq!(tested["top3"], 1.0);
    assert!(tested["macro_f1"] > 0.7 && tested["macro_precision"] > 0.7 && tested["macro_recall"] > 0.7);
    assert_eq!(
        project.json("test/metrics.json"),
        serde_json::to_value(&tested).unwrap()
    );
    check_files(&project, &tested);

    let inputs = [
        ("model", "model"),
        ("metrics.test", "test"),
        ("metrics.model", "model"),
    ];
    assert_eq!(project.export(&inputs).unwrap(), Outcome::default());
    let card = project.json("exported/model.json");
    assert_eq!(card["architecture"]["mlp"]["hidden"], json!([8]));
    assert_eq!(card["output"]["classes"], json!(CLASSES));
    assert_eq!(card["metrics"]["test"]["accuracy"], json!(tested["accuracy"]));
    assert_eq!(card["metrics"]["model"]["val_loss"], json!(trained["val_loss"]));
    assert_eq!(card["provenance"]["inputs"]["model"], "digest of model");
    // What the model knows by name can be read from either.
    let tasks = Tasks::built_in();
    let known = |folder: &str| KnownModel::read(&project.path(folder), &tasks).unwrap();
    assert_eq!(known("exported"), known("model"));
    assert_eq!(known("model").unwrap().inputs.unwrap().fields()[0].name, "image");
    assert_eq!(known("test"), None);
    assert_eq!(
        fs::read(project.path("exported/model.safetensors")).unwrap(),
        fs::read(project.path("model/model.safetensors")).unwrap()
    );
}

#[test]
fn an_onnx_file_holds_the_model_and_its_card() {
    use rten_tensor::prelude::*;

    let project = Project::new();
    project.train(json!({})).unwrap();
    let kind = json!({"export": {"model": "model", "format": {"onnx": {"input": "pixels", "opset": 17}}}});
    let job = project.job(kind, &[("model", "model")], "exported");
    Registry::built_in().run(&job, &Monitor::silent()).unwrap();
    let bytes = fs::read(project.path("exported/model.onnx")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let card = project.json("exported/model.json");
    for part in ["architecture", "input", "output", "training", "provenance"] {
        assert!(text.contains(&card[part].to_string()), "{part}");
    }
    assert!(!text.contains(&*project.folder.path().to_string_lossy()));

    let model = TrainedModel::load(
        &project.path("model"),
        &Device::Cpu,
        Registry::built_in().training(),
    )
    .unwrap();
    let pixels: Vec<u8> = (0..2 * 64).map(|index| index * 2).collect();
    let normalization = &model.card.normalization;
    let values: Vec<f32> = pixels
        .iter()
        .map(|&pixel| (f32::from(pixel) / 255.0 - normalization.mean[0]) / normalization.std[0])
        .collect();
    let input = candle_core::Tensor::from_vec(values, (2, 1, 8, 8), &Device::Cpu).unwrap();
    let expected = model
        .network
        .forward(&input, &crate::models::Pass::evaluate(Precision::F32))
        .and_then(|logits| Ok(logits.to_vec2::<f32>()?.concat()))
        .unwrap();
    let loaded = rten::Model::load(bytes).unwrap();
    let given = rten_tensor::Tensor::from_data(&[2, 8, 8, 1], pixels);
    let logits = loaded.node_id("logits").unwrap();
    let [actual] = loaded
        .run_n(vec![(loaded.input_ids()[0], given.into())], [logits], None)
        .unwrap();
    let actual = actual.into_tensor::<f32>().unwrap().to_vec();
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(&expected) {
        assert!((actual - expected).abs() < 1e-5, "{actual} for {expected}");
    }
}

/// The three CSV files agree with each other and with the metrics.
fn check_files(project: &Project, metrics: &Metrics) {
    let rows = |name: &str| -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_path(project.path(name)).unwrap();
        let rows = reader
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect());
        rows.collect()
    };
    let predictions = rows("test/predictions.csv");
    assert_eq!(predictions.len(), 31);
    // The test split follows 75 other samples.
    assert_eq!(predictions[0][0], "row 75");
    let right = predictions.iter().filter(|row| row[1] == row[2]).count();
    assert_eq!(metrics["accuracy"], right as f64 / 31.0);
    let mut loss = 0.0;
    for row in &predictions {
        let probabilities: Vec<f64> = row[4..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let of = |class: &str| probabilities[CLASSES.iter().position(|name| *name == class).unwrap()];
        assert_eq!(row[3].parse(), Ok(of(&row[2])));
        loss -= of(&row[1]).ln() / 31.0;
    }
    assert!((metrics["loss"] - loss).abs() < 1e-9);

    let confusion = rows("test/confusion.csv");
    for (row, class) in confusion.iter().zip(CLASSES) {
        for (count, predicted) in row[1..].iter().zip(CLASSES) {
            let same = |row: &&Vec<String>| row[1] == class && row[2] == predicted;
            assert_eq!(
                count.parse::<usize>().unwrap(),
                predictions.iter().filter(same).count()
            );
        }
    }
    let classes = rows("test/classes.csv");
    let support: Vec<&str> = classes.iter().map(|row| row[4].as_str()).collect();
    assert_eq!(support, ["11", "10", "10"]);
    let recall: f64 = classes.iter().map(|row| row[2].parse::<f64>().unwrap()).sum();
    assert!((metrics["macro_recall"] - recall / 3.0).abs() < 1e-12);
}

#[test]
fn the_same_job_gives_the_same_files_and_only_what_is_asked_for() {
    let project = Project::new();
    let files = ["model.safetensors", "model.json", "history.csv"];
    let read = || files.map(|file| fs::read(project.path("model").join(file)).unwrap());
    project.train(json!({})).unwrap();
    let first = read();
    fs::remove_dir_all(project.path("model")).unwrap();
    fs::remove_dir_all(project.path("model.scratch")).unwrap();
    project.train(json!({})).unwrap();
    assert!(first == read());

    let metrics = project.evaluate(json!({})).unwrap().metrics;
    assert_eq!(
        metrics.names().collect::<Vec<_>>(),
        ["accuracy", "loss", "samples"]
    );
    assert_eq!(fs::read_dir(project.path("test")).unwrap().count(), 1);
}

#[test]
fn a_stopped_training_is_interrupted_and_continues() {
    let project = Project::new();
    project.train(json!({})).unwrap();
    let expected = fs::read(project.path("model/model.safetensors")).unwrap();
    fs::remove_dir_all(project.path("model.scratch")).unwrap();

    let recipe = project.json("model/model.json")["architecture"].clone();
    let kind = json!({"train": {
        "data": "data", "model": recipe, "epochs": 10, "batch_size": 8,
        "optimizer": {"sgd": {"lr": 0.1, "momentum": 0.9}},
    }});
    let job = project.job(kind, &[("data", "data")], "model");
    let stopped = Monitor::new(|_| {}, Arc::new(AtomicBool::new(true)));
    assert_eq!(
        Registry::built_in().run(&job, &stopped),
        Err(StageError::Interrupted)
    );
    assert_eq!(fs::read_dir(&job.scratch).unwrap().count(), 1);
    Registry::built_in().run(&job, &Monitor::silent()).unwrap();
    assert!(fs::read(project.path("model/model.safetensors")).unwrap() == expected);
}

#[test]
fn what_does_not_fit_is_named() {
    let project = Project::new();
    project.train(json!({"epochs": 1})).unwrap();
    let message = |result: Result<Outcome, StageError>| result.unwrap_err().to_string();

    let kept = project.path("kept");
    fs::rename(project.path("data"), &kept).unwrap();
    let replace = |shape, splits: &[(SplitName, usize)], classes: &[&str]| {
        let _ = fs::remove_dir_all(project.path("data"));
        write_dataset(&project.path("data"), shape, splits, classes);
    };
    let splits = [(SplitName::Train, 9), (SplitName::Test, 9)];
    replace(IMAGES, &splits, &["ant", "bee", "dog"]);
    let error = message(project.evaluate(json!({})));
    assert!(
        error.contains("classes") && error.contains("ant, bee, cat") && error.contains("ant, bee, dog"),
        "{error}"
    );
    replace(InputShape::Features { columns: 64 }, &splits, &CLASSES);
    let error = message(project.evaluate(json!({})));
    assert!(error.contains("1x8x8") && error.contains("64 columns"), "{error}");
    replace(IMAGES, &splits, &CLASSES);
    assert!(Dataset::open(&project.path("data")).is_ok());
    let error = message(project.evaluate(json!({"split": "val"})));
    assert!(
        error.contains("`val`") && error.contains("train (9), test (9)"),
        "{error}"
    );

    let error = message(project.export(&[("model", "model"), ("metrics.data", "data")]));
    assert!(
        error.contains("`data`") && error.contains("metrics.json"),
        "{error}"
    );

    let weights = project.path("model/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let error = message(project.evaluate(json!({})));
    assert!(error.contains("model.safetensors"), "{error}");
    fs::remove_file(&weights).unwrap();
    assert!(message(project.evaluate(json!({}))).contains("cannot read"));
}
