//! Erlen's side of `benches/search_quality.py`: searches made-up functions, where nothing is trained.
//!
//! `cargo run --release --example search_bench -- search FUNCTION SEARCH SEEDS TRIALS` prints the
//! best value of each seed, a line each. FUNCTION is one of those below; SEARCH is written as in a
//! pipeline file, without the number of trials: `random`, or `{tpe: {candidates: 24}}`.
//!
//! `cargo run --release --example search_bench -- prune CURVES PRUNE SEEDS TRIALS` goes through
//! recorded learning curves in a random order, and prints for each seed the best last figure, the
//! epochs spent and the order.
//!
//! `cargo run --release --example search_bench -- time SEARCH TRIALS` prints the seconds that all
//! proposals of a search in four dimensions take together.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::error::Error;
use std::f64::consts::PI;
use std::time::Instant;

use erlen::spec::Sweep;
use erlen::sweep::{Definition, JobOutcome, Proposal, Study, TrialPhase, Values};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["search", function, search, seeds, trials] => {
            for seed in 0..seeds.parse()? {
                println!("{}", best(function, search, seed, trials.parse()?)?);
            }
            Ok(())
        }
        ["prune", curves, prune, seeds, trials] => {
            let curves = read_curves(curves)?;
            for seed in 0..seeds.parse()? {
                println!("{}", pruned(&curves, prune, seed, trials.parse()?)?);
            }
            Ok(())
        }
        ["time", search, trials] => {
            println!("{:.3}", seconds(search, trials.parse()?)?);
            Ok(())
        }
        _ => Err("see the head of examples/search_bench.rs for the arguments".into()),
    }
}

/// A search as in a pipeline file, with its number of trials.
fn search_of(text: &str, trials: u32) -> Result<Value> {
    let read: Value = yaml(text)?;
    let (name, mut options) = match read {
        Value::String(name) => (name, json!({})),
        Value::Object(fields) => fields.into_iter().next().ok_or("a search has a name")?,
        other => return Err(format!("{other} is no search").into()),
    };
    if name != "grid" {
        options["trials"] = trials.into();
    }
    Ok(json!({name: options}))
}

fn yaml(text: &str) -> Result<Value> {
    Ok(serde_yaml::from_str(text)?)
}

/// The smallest value that a search finds.
fn best(function: &str, search: &str, seed: u64, trials: u32) -> Result<f64> {
    let (params, own) = space(function)?;
    let sweep: Sweep = serde_json::from_value(json!({
        "params": params,
        "search": search_of(search, trials)?,
        "objective": {"minimize": "model.loss"},
    }))?;
    let own: Values = serde_json::from_value(own)?;
    let mut study = study(sweep, own, seed, None)?;
    let mut best = f64::INFINITY;
    loop {
        match study.propose()? {
            Proposal::Run(job) => {
                let value = evaluate(function, &job.values)?;
                best = best.min(value);
                let number = job.number;
                study.start(job);
                let outcome = JobOutcome::Done {
                    objectives: vec![value],
                    curve: Vec::new(),
                };
                study.end(number, outcome);
            }
            Proposal::Wait => return Err("nothing runs, and yet the study waits".into()),
            Proposal::Finished => return Ok(best),
        }
    }
}

/// The space of a function, and the values that stand for what is not used.
fn space(function: &str) -> Result<(Value, Value)> {
    let cube = |dimensions: usize, low: f64, high: f64| {
        let names = (0..dimensions).map(|index| format!("x{index}"));
        let params: serde_json::Map<String, Value> = names
            .map(|name| (name, json!({"uniform": [low, high]})))
            .collect();
        let own: serde_json::Map<String, Value> =
            params.keys().map(|name| (name.clone(), json!(low))).collect();
        (params.into(), own.into())
    };
    Ok(match function {
        "branin" => (
            json!({"x0": {"uniform": [-5, 10]}, "x1": {"uniform": [0, 15]}}),
            json!({"x0": 0, "x1": 0}),
        ),
        "hartmann6" => cube(6, 0.0, 1.0),
        "hartmann3" => cube(3, 0.0, 1.0),
        "ackley5" => cube(5, -15.0, 25.0),
        "rosenbrock4" => cube(4, -2.0, 2.5),
        "levy4" => cube(4, -8.0, 12.0),
        "network" => (
            json!({
                "net": ["mlp", "conv"],
                "layers": {"int": [1, 4], "when": {"net": "mlp"}},
                "width": {"log_int": [16, 512], "when": {"net": "mlp"}},
                "channels": {"log_int": [8, 128], "when": {"net": "conv"}},
                "kernel": {"choice": [3, 5, 7], "when": {"net": "conv"}},
                "optimizer": ["sgd", "adam"],
                "lr": {"log_uniform": [1e-5, 1.0]},
                "momentum": {"uniform": [0.0, 0.99], "when": {"optimizer": "sgd"}},
                "dropout": {"uniform": [0.0, 0.7]},
            }),
            json!({
                "net": "mlp", "layers": 1, "width": 16, "channels": 8, "kernel": 3,
                "optimizer": "sgd", "lr": 0.1, "momentum": 0.0, "dropout": 0.0,
            }),
        ),
        "forest" => (
            json!({
                "criterion": ["gini", "entropy", "log_loss"],
                "features": ["all", "sqrt", "log2", "third", "half"],
                "depth": {"int": [2, 32]},
                "trees": {"log_int": [10, 2000]},
                "leaf": {"range": [1, 20, 1]},
                "share": {"uniform": [0.3, 1.0]},
            }),
            json!({"criterion": 0, "features": 0, "depth": 0, "trees": 0, "leaf": 0, "share": 0}),
        ),
        other => return Err(format!("there is no function `{other}`").into()),
    })
}

fn evaluate(function: &str, values: &Values) -> Result<f64> {
    let number = |name: &str| {
        let value = values.get(name).and_then(Value::as_f64);
        value.ok_or_else(|| format!("`{name}` is no number"))
    };
    let text = |name: &str| values.get(name).and_then(Value::as_str).unwrap_or_default();
    if function == "network" {
        let lr = number("lr")?.log10();
        let optimizer = if text("optimizer") == "sgd" {
            let momentum = number("momentum")?;
            0.15 * (lr - (0.3 * (1.0 - momentum)).log10()).powi(2) + 0.3 * (momentum - 0.9).powi(2)
        } else {
            0.25 * (lr + 3.0).powi(2) + 0.02
        };
        let is_mlp = text("net") == "mlp";
        let network = if is_mlp {
            0.15 + 0.05 * (number("layers")? - 2.0).powi(2) + 0.08 * (number("width")? / 128.0).log2().powi(2)
        } else {
            let kernel = number("kernel")?;
            let kernel = if kernel < 4.0 {
                0.0
            } else if kernel < 6.0 {
                0.03
            } else {
                0.08
            };
            0.02 + 0.06 * (number("channels")? / 48.0).log2().powi(2) + kernel
        };
        let dropout = number("dropout")? - if is_mlp { 0.35 } else { 0.15 };
        return Ok(optimizer + network + 0.4 * dropout * dropout);
    }
    if function == "forest" {
        let criterion = ["gini", "entropy", "log_loss"]
            .iter()
            .position(|name| *name == text("criterion"));
        let features = ["all", "sqrt", "log2", "third", "half"]
            .iter()
            .position(|name| *name == text("features"));
        return Ok([0.03, 0.0, 0.05][criterion.unwrap_or(0)]
            + [0.12, 0.05, 0.1, 0.0, 0.04][features.unwrap_or(0)]
            + 0.002 * (number("depth")? - 17.0).abs().powf(1.3)
            + 0.03 * (number("trees")? / 600.0).ln().powi(2)
            + 0.004 * (number("leaf")? - 3.0).abs()
            + 0.3 * (number("share")? - 0.8).powi(2));
    }
    let x: Vec<f64> = (0..values.len())
        .map(|index| number(&format!("x{index}")))
        .collect::<std::result::Result<_, _>>()?;
    Ok(match function {
        "branin" => {
            let bend = x[1] - 5.1 / (4.0 * PI * PI) * x[0] * x[0] + 5.0 / PI * x[0] - 6.0;
            bend * bend + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x[0].cos() + 10.0
        }
        "hartmann6" => hartmann(
            &x,
            &[
                (
                    [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
                    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
                ),
                (
                    [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
                    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
                ),
                (
                    [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
                    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
                ),
                (
                    [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
                    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
                ),
            ],
        ),
        "hartmann3" => hartmann(
            &x,
            &[
                ([3.0, 10.0, 30.0], [0.3689, 0.1170, 0.2673]),
                ([0.1, 10.0, 35.0], [0.4699, 0.4387, 0.7470]),
                ([3.0, 10.0, 30.0], [0.1091, 0.8732, 0.5547]),
                ([0.1, 10.0, 35.0], [0.0381, 0.5743, 0.8828]),
            ],
        ),
        "ackley5" => {
            let mean = |term: fn(f64) -> f64| x.iter().map(|x| term(*x)).sum::<f64>() / x.len() as f64;
            let round = -20.0 * (-0.2 * mean(|x| x * x).sqrt()).exp();
            round - mean(|x| (2.0 * PI * x).cos()).exp() + 20.0 + 1f64.exp()
        }
        "rosenbrock4" => x
            .windows(2)
            .map(|pair| 100.0 * (pair[1] - pair[0] * pair[0]).powi(2) + (1.0 - pair[0]).powi(2))
            .sum(),
        "levy4" => {
            let w: Vec<f64> = x.iter().map(|x| 1.0 + (x - 1.0) / 4.0).collect();
            let inner: f64 = w[..3]
                .iter()
                .map(|w| (w - 1.0).powi(2) * (1.0 + 10.0 * (PI * w + 1.0).sin().powi(2)))
                .sum();
            let last = (w[3] - 1.0).powi(2) * (1.0 + (2.0 * PI * w[3]).sin().powi(2));
            (PI * w[0]).sin().powi(2) + inner + last
        }
        other => return Err(format!("there is no function `{other}`").into()),
    })
}

/// Hartmann's function; each line holds its matrices' A and P.
fn hartmann<const N: usize>(x: &[f64], lines: &[([f64; N], [f64; N]); 4]) -> f64 {
    let alpha = [1.0, 1.2, 3.0, 3.2];
    let terms = lines.iter().zip(alpha).map(|((a, p), alpha)| {
        let inner: f64 = (0..N).map(|index| a[index] * (x[index] - p[index]).powi(2)).sum();
        -alpha * (-inner).exp()
    });
    terms.sum()
}

/// The last columns of each line, from `epoch_1` on.
fn read_curves(path: &str) -> Result<Vec<Vec<f64>>> {
    let mut reader = csv::Reader::from_path(path)?;
    let first = reader.headers()?.iter().position(|name| name == "epoch_1");
    let first = first.ok_or("there is no column epoch_1")?;
    reader
        .records()
        .map(|record| {
            let record = record?;
            record
                .iter()
                .skip(first)
                .map(|value| Ok(value.parse()?))
                .collect()
        })
        .collect()
}

fn study(sweep: Sweep, own: Values, seed: u64, max_epochs: Option<u32>) -> Result<Study> {
    Ok(Study::new(&Definition {
        sweep,
        own,
        seed,
        max_epochs,
        judged: None,
    })?)
}

/// The best last figure, the epochs spent, and the order in which the curves were begun.
fn pruned(curves: &[Vec<f64>], prune: &str, seed: u64, trials: u32) -> Result<String> {
    let mut definition = json!({
        "params": {"curve": {"int": [0, curves.len() - 1]}},
        "search": {"random": {"trials": trials}},
        "objective": {"maximize": "model.val_accuracy"},
    });
    if prune != "none" {
        definition["prune"] = yaml(prune)?;
    }
    let sweep: Sweep = serde_json::from_value(definition)?;
    let own: Values = [("curve".to_owned(), json!(0))].into();
    let mut study = study(sweep, own, seed, Some(curves[0].len() as u32))?;
    let which = |values: &Values| values["curve"].as_u64().unwrap_or(0) as usize;
    loop {
        match study.propose()? {
            Proposal::Run(job) => {
                let curve = &curves[which(&job.values)];
                let known = study
                    .trials()
                    .get(job.trial as usize - 1)
                    .map_or(0, |trial| trial.curve.len());
                let limits = job.limits.as_ref();
                let stop = (known + 1..curve.len())
                    .find(|epochs| limits.is_some_and(|limits| limits.pause(&curve[..*epochs])));
                let outcome = match stop {
                    Some(epochs) => JobOutcome::Paused {
                        curve: curve[..epochs].to_vec(),
                    },
                    None => JobOutcome::Done {
                        objectives: vec![curve[curve.len() - 1]],
                        curve: curve.clone(),
                    },
                };
                let number = job.number;
                study.start(job);
                study.end(number, outcome);
            }
            Proposal::Wait => return Err("nothing runs, and yet the study waits".into()),
            Proposal::Finished => break,
        }
    }
    let done = study.trials().iter().filter_map(|trial| match &trial.state {
        TrialPhase::Done { objectives } => objectives.first(),
        _ => None,
    });
    let best = done.copied().fold(f64::NEG_INFINITY, f64::max);
    let epochs: u32 = study.trials().iter().map(|trial| trial.epochs()).sum();
    let order: Vec<String> = study
        .trials()
        .iter()
        .map(|trial| which(&trial.values).to_string())
        .collect();
    Ok(format!("{best} {epochs} {}", order.join(" ")))
}

/// The seconds that all proposals of a search in four dimensions take.
fn seconds(search: &str, trials: u32) -> Result<f64> {
    let start = Instant::now();
    if search == "grid" {
        let side = f64::from(trials).powf(0.25).ceil() as i64;
        let name = |index: usize| format!("x{index}");
        let params: serde_json::Map<String, Value> = (0..4)
            .map(|index| (name(index), json!({"int": [1, side]})))
            .collect();
        let sweep: Sweep = serde_json::from_value(json!({"params": params}))?;
        let own: Values = (0..4).map(|index| (name(index), json!(1))).collect();
        let mut study = study(sweep, own, 0, None)?;
        while let Proposal::Run(job) = study.propose()? {
            let number = job.number;
            study.start(job);
            let outcome = JobOutcome::Done {
                objectives: Vec::new(),
                curve: Vec::new(),
            };
            study.end(number, outcome);
        }
    } else {
        best("rosenbrock4", search, 0, trials)?;
    }
    Ok(start.elapsed().as_secs_f64())
}
