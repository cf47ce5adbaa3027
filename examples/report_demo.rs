//! A page and all plots of made-up results, to look at: `cargo run --example report_demo -- FOLDER`.
//!
//! `report_demo FOLDER [TRIALS] [OBJECTIVES]`: a sweep of so many trials (60) with three seeds each,
//! some pruned, some failed, and one or two objectives (1). 0 trials give a pipeline without a sweep.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use erlen::fingerprint::Digest;
use erlen::random::{Purpose, Stream};
use erlen::report::plot::{Setting, figures};
use erlen::report::{
    GraphNode, NodeStatus, PageTable, Replicate, ReportInput, Results, StageResult, Trial, TrialFile,
    TrialStatus, page,
};
use erlen::spec::{MetricPath, Objective};
use indexmap::IndexMap;
use serde_json::{Value, json};

const EPOCHS: u32 = 30;
const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(
        arguments
            .next()
            .ok_or("where to? report_demo FOLDER [TRIALS] [OBJECTIVES]")?,
    );
    let trials: u32 = arguments.next().map_or(Ok(60), |text| text.parse())?;
    let objectives: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let input = made_up(trials, objectives);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("page.html"), page::render(&input))?;
    for figure in figures(&input) {
        let path = folder.join(&figure.id);
        fs::write(path.with_extension("svg"), figure.svg(Setting::Alone))?;
        fs::write(path.with_extension("png"), figure.png(1.5)?)?;
    }
    Ok(())
}

fn made_up(trials: u32, objectives: usize) -> ReportInput {
    let mut input = ReportInput {
        results: Results {
            pipeline: "cifar10-resnet18".to_owned(),
            file: "pipelines/cifar10-resnet18.yaml".to_owned(),
            description: Some("ResNet-18 on CIFAR-10 in three precisions (these results are made up).".to_owned()),
            ..Results::default()
        },
        graph: graph(),
        tables: vec![PageTable {
            name: "precision".to_owned(),
            html: "<div class=\"scroll\"><table><thead><tr><th>precision</th><th>accuracy</th></tr></thead><tbody><tr>\
                   <td>f32</td><td class=\"n\">0.9412 ± 0.0011</td></tr><tr><td>bf16</td><td class=\"n\">0.9405 ± \
                   0.0014</td></tr></tbody></table></div>"
                .to_owned(),
        }],
        ..ReportInput::default()
    };
    if trials > 0 {
        let swept = ["lr", "weight_decay", "precision", "depth", "optimizer"];
        input.results.swept = swept.map(str::to_owned).into();
        let accuracy = Objective::Maximize(path("test", "accuracy"));
        let seconds = Objective::Minimize(path("latency", "milliseconds"));
        input.results.objectives = [accuracy, seconds].into_iter().take(objectives).collect();
    }
    for number in 1..=trials.max(1) {
        add_trial(&mut input, number);
    }
    input
}

fn path(stage: &str, metric: &str) -> MetricPath {
    MetricPath {
        stage: stage.to_owned(),
        metric: metric.to_owned(),
    }
}

fn graph() -> Vec<GraphNode> {
    let node = |name: &str, kind: &str, upstream: &[&str]| GraphNode {
        name: name.to_owned(),
        kind: kind.to_owned(),
        description: None,
        upstream: upstream.iter().map(|name| (*name).to_owned()).collect(),
        status: if name == "onnx" {
            NodeStatus::Missing
        } else {
            NodeStatus::Known
        },
    };
    vec![
        node("raw", "download", &[]),
        node("data", "preprocess", &["raw"]),
        node("model", "train", &["data"]),
        node("test", "evaluate", &["data", "model"]),
        node("latency", "command", &["model"]),
        node("onnx", "export", &["model", "test"]),
    ]
}

fn add_trial(input: &mut ReportInput, number: u32) {
    let mut draw = Stream::new(7, Purpose::Search, 0, number);
    let lr = 10f64.powf(draw.uniform_in(-3.0, 0.0));
    let decay = 10f64.powf(draw.uniform_in(-5.0, -2.0));
    let precision = ["f32", "bf16", "f16"][draw.next_u32() as usize % 3];
    let depth = [18, 34, 50][draw.next_u32() as usize % 3];
    let optimizer = ["sgd", "adamw"][draw.next_u32() as usize % 2];
    let best_lr: f64 = if optimizer == "sgd" { 0.1 } else { 0.01 };
    let off = (lr / best_lr).log10();
    let quality =
        0.95 - 0.09 * off * off - 0.01 * (decay.log10() + 3.3).powi(2) + 0.004 * f64::from(depth) / 16.0;
    let status = match number % 12 {
        11 => TrialStatus::Failed {
            error: "the stage `model` failed: the loss is not finite in epoch 3, batch 17; lower the learning rate"
                .to_owned(),
        },
        0 | 7 if number > 10 => TrialStatus::Pruned {
            epoch: 3 + number % 9,
        },
        _ => TrialStatus::Done,
    };
    let mut replicates = Vec::new();
    for seed in 0..3u64 {
        let accuracy = quality.max(0.1) + draw.normal() * 0.004;
        let (epochs, finished) = match &status {
            TrialStatus::Pruned { epoch } if seed == 0 => (*epoch, false),
            TrialStatus::Done => (EPOCHS, true),
            _ => continue,
        };
        input.histories.push(TrialFile {
            trial: number,
            seed,
            stage: "model".to_owned(),
            text: history(accuracy, epochs, &mut draw),
        });
        if !finished {
            continue;
        }
        if number == 1 || input.results.swept.is_empty() || accuracy > 0.94 {
            input.confusions.push(file(number, seed, confusion(accuracy)));
            input.classes.push(file(number, seed, classes(accuracy)));
        }
        let milliseconds = f64::from(depth) * if precision == "f32" { 0.9 } else { 0.5 } + draw.uniform();
        replicates.push(Replicate {
            seed,
            stages: BTreeMap::from([
                result("raw", "download", "raw", &[], 21.0, json!({"url": "https://example.org/cifar.tar.gz"})),
                result("data", "preprocess", "data", &[("train", 45_000.0), ("val", 5_000.0)], 9.5, json!({})),
                result(
                    "model",
                    "train",
                    &format!("model {number} {seed}"),
                    &[("val_accuracy", accuracy), ("train_loss", 1.0 - accuracy)],
                    600.0 + 8.0 * milliseconds,
                    json!({"optimizer": {optimizer: {"lr": lr, "weight_decay": decay}}, "precision": precision}),
                ),
                result(
                    "test",
                    "evaluate",
                    &format!("test {number} {seed}"),
                    &[("accuracy", accuracy - 0.003), ("loss", (1.0 - accuracy) * 3.0)],
                    14.0 + draw.uniform(),
                    json!({"split": "test"}),
                ),
                result(
                    "latency",
                    "command",
                    &format!("latency {number} {seed}"),
                    &[("milliseconds", milliseconds)],
                    3.0,
                    json!({"run": "./measure \"$MODEL\" > m.json"}),
                ),
            ]),
        });
    }
    input.results.trials.push(Trial {
        number,
        parameters: IndexMap::from([
            ("lr".to_owned(), json!(lr)),
            ("weight_decay".to_owned(), json!(decay)),
            ("precision".to_owned(), json!(precision)),
            ("depth".to_owned(), json!(depth)),
            ("optimizer".to_owned(), json!(optimizer)),
            ("epochs".to_owned(), json!(EPOCHS)),
        ]),
        status,
        replicates,
    });
}

fn file(trial: u32, seed: u64, text: String) -> TrialFile {
    TrialFile {
        trial,
        seed,
        stage: "test".to_owned(),
        text,
    }
}

fn history(accuracy: f64, epochs: u32, draw: &mut Stream) -> String {
    let mut text = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy\n".to_owned();
    for epoch in 1..=epochs {
        let done = f64::from(epoch) / f64::from(EPOCHS);
        let learnt = 1.0 - (-5.0 * done).exp();
        let validation = 0.1 + (accuracy - 0.1) * learnt + draw.normal() * 0.01 * (1.0 - done);
        let lr = 0.05 * (1.0 + (std::f64::consts::PI * done).cos());
        text.push_str(&format!(
            "{epoch},{lr},{},{},{},{validation}\n",
            2.3 * (1.0 - 0.98 * learnt),
            (validation + 0.03 * done).min(1.0),
            2.3 * (1.0 - learnt * accuracy),
        ));
    }
    text
}

fn confusion(accuracy: f64) -> String {
    let mut text = format!("class,{}\n", CLASSES.join(","));
    for (row, class) in CLASSES.iter().enumerate() {
        let cells = (0..10usize).map(|column| {
            let share = if row == column {
                accuracy - 0.01 * (row % 4) as f64
            } else if row / 2 == column / 2 {
                (1.0 - accuracy) * 0.6
            } else {
                (1.0 - accuracy) * 0.05 * ((row * 7 + column * 3) % 3) as f64
            };
            (share * 1000.0).round().to_string()
        });
        text.push_str(&format!("{class},{}\n", cells.collect::<Vec<_>>().join(",")));
    }
    text
}

fn classes(accuracy: f64) -> String {
    let mut text = "class,precision,recall,f1,support\n".to_owned();
    for (index, class) in CLASSES.iter().enumerate() {
        let recall = accuracy - 0.03 * (index % 4) as f64;
        let precision = accuracy - 0.02 * (index % 3) as f64;
        let f1 = 2.0 * precision * recall / (precision + recall);
        text.push_str(&format!("{class},{precision},{recall},{f1},1000\n"));
    }
    text
}

fn result(
    stage: &str,
    kind: &str,
    identity: &str,
    metrics: &[(&str, f64)],
    seconds: f64,
    fields: Value,
) -> (String, StageResult) {
    let result = StageResult {
        kind: kind.to_owned(),
        fingerprint: Digest::of_bytes(format!("key of {identity}").as_bytes()),
        artifact: Digest::of_bytes(identity.as_bytes()),
        metrics: metrics
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
        key: json!({
            "kind": kind,
            "version": 1,
            "fields": fields,
            "inputs": {"data": Digest::of_bytes(b"data").to_string()},
        }),
        made: json!({
            "stage": stage,
            "erlen": "0.1.0",
            "host": "workstation",
            "started": "2026-11-20T08:15:30Z",
            "seconds": seconds,
            "threads": 8,
            "peak_memory": seconds * 2e6,
        }),
    };
    (stage.to_owned(), result)
}
