//! From data to a quantized model that is evaluated and exported.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::fingerprint::Digest;
use crate::schema::InputShape;
use crate::spec::SplitName;
use crate::stages::Surroundings;
use crate::train::testing::{CLASSES, write_dataset};
use crate::train::{HostTensor, read_tensors, write_weights};

const IMAGES: InputShape = InputShape::Image {
    channels: 1,
    height: 8,
    width: 8,
};

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().expect("writable"));
        let splits = [
            (SplitName::Train, 60),
            (SplitName::Val, 24),
            (SplitName::Test, 31),
        ];
        write_dataset(&project.path("data"), IMAGES, &splits, &CLASSES);
        let train = json!({"train": {
            "data": "d", "epochs": 3, "batch_size": 16, "model": {"conv_net": {"channels": [8, 16]}},
            "optimizer": {"sgd": {"lr": 0.05, "momentum": 0.9}},
        }});
        project.run(train, &[("data", "data")], "model").expect("trains");
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(name)).expect("written")).expect("JSON")
    }

    /// The metrics of a stage that reads the folders `inputs` (role, folder) and fills the folder `output`.
    fn run(&self, kind: Value, inputs: &[(&str, &str)], output: &str) -> Result<Metrics, String> {
        fs::create_dir_all(self.path(output)).expect("writable");
        let job = Job {
            stage: output.to_owned(),
            kind: serde_json::from_value(kind).expect("a kind"),
            seed: 3,
            draws: false,
            fingerprint: Digest::of_bytes(output.as_bytes()),
            inputs: inputs
                .iter()
                .map(|(role, folder)| ((*role).to_owned(), self.path(folder)))
                .collect(),
            provenance: inputs
                .iter()
                .map(|(role, folder)| ((*role).to_owned(), format!("digest of {folder}")))
                .collect(),
            scratch: self.path(&format!("{output}.scratch")),
            output: self.path(output),
            log: self.path(&format!("{output}.log")),
            limits: None,
            shorter: None,
            surroundings: Surroundings {
                threads: 2,
                ..Surroundings::of_project(self.0.path())
            },
        };
        fs::create_dir_all(&job.scratch).expect("writable");
        let ran = Registry::built_in().run(&job, &Monitor::silent());
        ran.map(|outcome| outcome.metrics)
            .map_err(|error| error.to_string())
    }

    fn quantize(&self, more: Value, output: &str) -> Result<Metrics, String> {
        let mut options = json!({"model": "m", "calibrate": {"data": "d", "samples": 40}});
        if let (Value::Object(options), Value::Object(more)) = (&mut options, more) {
            options.extend(more);
        }
        let inputs = [("model", "model"), ("calibrate", "data"), ("gate", "data")];
        self.run(json!({"quantize": options}), &inputs, output)
    }
}

fn number(metrics: &Metrics, name: &str) -> f64 {
    match metrics.get(name) {
        Some(MetricValue::Number(value)) => value,
        other => panic!("`{name}` is {other:?}"),
    }
}

#[test]
fn a_quantized_model_is_written_read_and_judged_as_any_other() {
    let project = Project::new();
    let gate = json!({"gate": {"data": "d", "agreement": 0.9, "drop": 0.1}});
    let metrics = project.quantize(gate.clone(), "int8").expect("passes");
    assert_eq!(number(&metrics, "quantized_layers"), 3.0);
    assert!(number(&metrics, "weight_bytes") < number(&metrics, "weight_bytes_f32") / 2.0);
    assert!(number(&metrics, "agreement") >= 0.9);
    let (low, drop, high) = (
        number(&metrics, "score_drop_low"),
        number(&metrics, "score_drop"),
        number(&metrics, "score_drop_high"),
    );
    assert!(low <= drop && drop <= high, "{low} {drop} {high}");
    // The gate's figures are those of evaluations.
    let evaluate =
        json!({"evaluate": {"model": "m", "data": "d", "split": "val", "metrics": ["predictions"]}});
    let judge = |model: &str, output: &str| {
        let figures = project.run(evaluate.clone(), &[("model", model), ("data", "data")], output);
        let figures = figures.expect("evaluates");
        let table = fs::read_to_string(project.path(output).join("predictions.csv")).expect("written");
        let predicted: Vec<String> = table
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(2).expect("a class").to_owned())
            .collect();
        (number(&figures, "accuracy"), predicted)
    };
    let ((accuracy, classes), (accuracy_f32, classes_f32)) = (judge("int8", "a"), judge("model", "b"));
    assert!((accuracy - number(&metrics, "score")).abs() < 1e-12);
    assert!((accuracy_f32 - number(&metrics, "score_f32")).abs() < 1e-12);
    let same = classes
        .iter()
        .zip(&classes_f32)
        .filter(|(one, other)| one == other)
        .count();
    assert!((same as f64 / classes.len() as f64 - number(&metrics, "agreement")).abs() < 1e-12);
    // The card tells how, and the same stage gives the same bytes.
    let card = project.json("int8/model.json");
    assert_eq!(card["card_version"], 4);
    assert_eq!(card["quantization"]["samples"], 40);
    assert_eq!(
        card["quantization"]["gate"]["agreement"],
        json!(number(&metrics, "agreement"))
    );
    project.quantize(gate, "again").expect("passes");
    for file in ["model.safetensors", "model.json", "layers.csv", "metrics.json"] {
        let read = |folder: &str| fs::read(project.path(folder).join(file)).expect("written");
        assert!(read("int8") == read("again"), "{file}");
    }
    let layers = fs::read_to_string(project.path("int8/layers.csv")).expect("written");
    assert_eq!(layers.lines().count(), 4, "{layers}");
}

#[test]
fn layers_that_are_kept_stay_as_they_are() {
    let project = Project::new();
    let metrics = project.quantize(json!({"keep": ["classifier"]}), "kept");
    let names = metrics.expect_err("no such layer");
    assert!(
        names.contains("`keep` names `classifier`, and no layer is called so; there are"),
        "{names}"
    );
    let last = names.rsplit('`').nth(1).expect("a name").to_owned();
    let metrics = project
        .quantize(json!({"keep": [last], "ranges": "entropy"}), "kept")
        .expect("there");
    assert_eq!(number(&metrics, "quantized_layers"), 2.0);
    let inputs = [("model", "kept"), ("data", "data")];
    let evaluate = json!({"evaluate": {"model": "m", "data": "d"}});
    assert!(
        number(
            &project.run(evaluate, &inputs, "a").expect("evaluates"),
            "accuracy"
        ) > 0.5
    );
}

#[test]
fn a_gate_that_fails_names_the_layers() {
    let project = Project::new();
    // A channel that is far larger than all others, and of which the next layer makes nothing.
    let path = project.path("model/model.safetensors");
    let mut weights = read_tensors(&path).expect("weights");
    let mut change = |name: &str, change: &dyn Fn(usize, &mut f32)| {
        let tensor = weights.get_mut(name).expect("there");
        let mut values = tensor.to_f32().expect("numbers");
        values
            .iter_mut()
            .enumerate()
            .for_each(|(index, value)| change(index, value));
        *tensor = HostTensor::from_f32(tensor.shape().to_vec(), &values);
    };
    change("blocks.0.norm.bias", &|index, value| {
        *value += if index == 0 { 3000.0 } else { 0.0 }
    });
    change("blocks.1.conv.weight", &|index, value| {
        *value *= if index / 9 % 8 == 0 { 0.0 } else { 1.0 };
    });
    write_weights(&project.path("model"), &weights).expect("writable");
    let name = "blocks.1.conv";
    let gate = json!({"gate": {"data": "d", "agreement": 1.0}});
    let problem = project.quantize(gate, "failed").expect_err("fails");
    assert!(
        problem.contains("does not pass the gate on 24 samples of `val`: the agreement is 0.")
            && problem.contains(&format!("are `{name}` ("))
            && problem.contains(&format!("`keep: [\"{name}\"]`")),
        "{problem}"
    );
    let without = project.quantize(
        json!({"keep": [name], "gate": {"data": "d", "agreement": 0.9}}),
        "kept",
    );
    without.expect("passes without that layer");
}

#[test]
fn a_quantized_model_is_not_taken_for_another() {
    let project = Project::new();
    project.quantize(json!({}), "int8").expect("quantizes");
    let quantize = json!({"quantize": {"model": "m", "calibrate": {"data": "d"}}});
    let told = project.run(quantize, &[("model", "int8"), ("calibrate", "data")], "twice");
    assert_eq!(
        told.expect_err("refused"),
        "the model is quantized already: quantize the model that it was made from"
    );
    let export = json!({"export": {"model": "m"}});
    let told = project
        .run(export, &[("model", "int8")], "exported")
        .expect_err("refused");
    assert!(
        told.contains("`safetensors` has no place for the weights of a quantized model"),
        "{told}"
    );
    let train = json!({"train": {
        "data": "d", "epochs": 1, "model": {"conv_net": {"channels": [8, 16]}}, "init": {"from": "m"},
        "optimizer": {"sgd": {"lr": 0.05}},
    }});
    let told = project
        .run(train, &[("data", "data"), ("init", "int8")], "trained")
        .expect_err("refused");
    assert!(
        told.contains("it is a quantized model, whose weights are rounded"),
        "{told}"
    );
    // Damage is told.
    let path = project.path("int8/model.safetensors");
    let mut weights = read_tensors(&path).expect("weights");
    let (name, _) = weights
        .iter()
        .find(|(name, _)| name.ends_with("weight_scale"))
        .expect("a scale");
    let name = name.clone();
    weights.remove(&name);
    write_weights(&project.path("int8"), &weights).expect("writable");
    let evaluate = json!({"evaluate": {"model": "m", "data": "d"}});
    let told = project
        .run(evaluate, &[("model", "int8"), ("data", "data")], "a")
        .expect_err("damaged");
    assert!(told.contains("model.safetensors"), "{told}");
}

#[test]
fn numbers_are_compared_in_units_of_their_variance() {
    let project = Project(tempfile::tempdir().expect("writable"));
    let rows: String = (0..200)
        .map(|row| {
            let (one, other) = ((row % 17) as f32 / 4.0, (row % 29) as f32 / 9.0);
            format!("{one},{other},{}\n", 3.0 * one - other * other)
        })
        .collect();
    fs::write(project.path("table.csv"), format!("a,b,y\n{rows}")).expect("writable");
    let preprocess = json!({"preprocess": {
        "input": "i", "format": {"csv": {"header": true, "label": "y", "task": "regression"}},
        "split": {"val": 0.2, "test": 0.2},
    }});
    project
        .run(preprocess, &[("input", "table.csv")], "data")
        .expect("reads");
    let train = json!({"train": {
        "data": "d", "epochs": 8, "batch_size": 16, "model": {"mlp": {"hidden": [16]}},
        "optimizer": {"adam": {"lr": 0.01}},
    }});
    project.run(train, &[("data", "data")], "model").expect("trains");
    let metrics = project.quantize(
        json!({"gate": {"data": "d", "agreement": 0.95, "drop": 0.05}}),
        "int8",
    );
    let metrics = metrics.expect("passes");
    assert!(number(&metrics, "agreement") < 1.0);
    assert!(number(&metrics, "score") > 0.5 && number(&metrics, "score") < 1.0);
}

#[test]
fn a_model_of_texts_is_quantized_evaluated_and_exported() {
    let project = Project(tempfile::tempdir().expect("writable"));
    let words = ["main", "oak", "north", "south", "street", "road", "old"];
    let (mut sentences, mut text) = (String::new(), String::new());
    for sentence in 0..160usize {
        for place in 0..2 + sentence % 5 {
            let word = words[(sentence * 31 + place * place * 5 + sentence / 3) % words.len()];
            let tag = match word {
                "north" | "south" => "B-DIR",
                "street" | "road" => "B-KIND",
                _ => "O",
            };
            sentences.push_str(&format!("{word} {tag}\n"));
            text.push_str(&format!("{word} "));
        }
        sentences.push('\n');
        text.push('\n');
    }
    fs::write(project.path("words.conll"), sentences).expect("writable");
    fs::create_dir(project.path("texts")).expect("writable");
    fs::write(project.path("texts/a.txt"), text).expect("writable");
    let tokenizer = json!({"tokenizer": {
        "input": "./texts", "documents": {"text": {}}, "wordpiece": {"vocab_size": 60},
    }});
    project
        .run(tokenizer, &[("input", "texts")], "tok")
        .expect("trains");
    let preprocess = json!({"preprocess": {
        "input": "./words.conll", "format": {"conll": {"tokenizer": "tok", "max_length": 32}},
        "split": {"val": 0.25, "test": 0.25},
    }});
    let inputs = [("input", "words.conll"), ("tokenizer", "tok")];
    project.run(preprocess, &inputs, "data").expect("reads");
    let train = json!({"train": {
        "data": "d", "epochs": 25, "batch_size": 8, "optimizer": {"adam": {"lr": 0.003}}, "precision": "bf16",
        "model": {"bert": {"layers": 2, "heads": 2, "width": 16, "ffn": 24, "context": 40}},
    }});
    project.run(train, &[("data", "data")], "model").expect("trains");
    let gate = json!({"gate": {"data": "d", "agreement": 0.9, "drop": 0.05}});
    let metrics = project.quantize(gate, "int8").expect("passes");
    assert_eq!(number(&metrics, "quantized_layers"), 2.0 * 6.0 + 1.0);
    let evaluate = json!({"evaluate": {"model": "m", "data": "d", "split": "val"}});
    let judge = |model: &str, output: &str| {
        let inputs = [("model", model), ("data", "data")];
        number(
            &project.run(evaluate.clone(), &inputs, output).expect("evaluates"),
            "accuracy",
        )
    };
    assert_eq!(project.json("int8/model.json")["precision"], "f32");
    assert!(judge("int8", "a") > 0.8 && (judge("model", "b") - judge("int8", "c")).abs() < 0.05);
    let tokenizer =
        |folder: &str| fs::read(project.path(folder).join("tokenizer/tokenizer.json")).expect("there");
    assert!(tokenizer("int8") == tokenizer("data"));
    let export = json!({"export": {"model": "m", "format": "onnx"}});
    project
        .run(export, &[("model", "int8")], "onnx")
        .expect("exports");
    let size = |path: &str| fs::metadata(project.path(path)).expect("there").len();
    assert!(size("int8/model.safetensors") < size("model/model.safetensors"));
    let told = project.run(
        json!({"export": {"model": "m", "format": "huggingface"}}),
        &[("model", "int8")],
        "folder",
    );
    assert!(told.expect_err("refused").contains("quantized"));
}

#[test]
fn layers_that_drown_in_noise_are_told_with_what_leaves_them_out() {
    let layer = |name: &str, decibels: Option<f64>| LayerNoise {
        layer: name.to_owned(),
        weights: 10,
        decibels,
    };
    let fine = [layer("a", Some(31.0)), layer("b", None), layer("c", Some(15.0))];
    assert_eq!(noisy_layers(&fine), None);
    let noise = [
        &fine[..],
        &[layer("d.down", Some(4.5)), layer("e.down", Some(0.11))],
    ]
    .concat();
    assert_eq!(
        noisy_layers(&noise).expect("two drown"),
        "2 layers have less than 15 dB of signal over the noise of their own rounding, which may ruin the answers: `e.down` (0.1 \
         dB), `d.down` (4.5 dB); `keep: [\"e.down\", \"d.down\"]` leaves them in f32 (layers.csv tells of all; `evaluate` judges the \
         model)"
    );
    assert!(noisy_layers(&noise[4..]).expect("one").starts_with("1 layer has"));
}
