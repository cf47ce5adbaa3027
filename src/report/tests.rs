//! From made-up results to every format.

use serde_json::{Value, json};

use super::testing::{results, table, trial};
use super::*;
use crate::spec::{Objective, Pipeline};

fn data(spec: Value, results: &Results) -> TableData {
    TableData::assemble("models", &table(spec), &[results]).unwrap()
}

fn error(spec: Value, results: &Results) -> String {
    TableData::assemble("models", &table(spec), &[results])
        .unwrap_err()
        .to_string()
}

fn text(data: &TableData, format: TableFormat) -> String {
    let bytes = render(data, format);
    assert_eq!(bytes, render(data, format), "the same table, the same bytes");
    String::from_utf8(bytes).unwrap()
}

/// The labels and the figure of the first column of each row.
fn figures(data: &TableData) -> Vec<(String, Option<f64>)> {
    let labels = |row: &Row| {
        row.labels
            .iter()
            .map(number::parameter)
            .collect::<Vec<_>>()
            .join(" ")
    };
    data.rows
        .iter()
        .map(|row| (labels(row), row.cells[0].figure(&data.columns[0])))
        .collect()
}

/// Two models at two learning rates, each with five seeds; one trial was stopped early, one failed.
fn sweep() -> Results {
    let seeds = |mean: f64, step: f64| [-2.0, -1.0, 0.0, 1.0, 2.0].map(|at| mean + step * at);
    let mut trials = vec![
        trial(1, json!({"model": "mlp", "lr": 0.1}), &seeds(0.95, 0.002)),
        trial(2, json!({"model": "mlp", "lr": 0.01}), &seeds(0.93, 0.004)),
        trial(3, json!({"model": "conv_net", "lr": 0.1}), &seeds(0.98, 0.001)),
        trial(4, json!({"model": "conv_net", "lr": 0.01}), &seeds(0.96, 0.003)),
        trial(5, json!({"model": "conv_net", "lr": 1}), &[]),
        trial(6, json!({"model": "a|b & <i>_%$#\n*", "lr": 0.1}), &[]),
    ];
    trials[4].status = TrialStatus::Pruned { epoch: 2 };
    trials[5].status = TrialStatus::Failed {
        error: "no".to_owned(),
    };
    Results {
        swept: vec!["model".to_owned(), "lr".to_owned()],
        objectives: vec![Objective::Maximize("test.accuracy".parse().unwrap())],
        ..results(trials)
    }
}

const EVERYTHING: &str = r#"{
    "rows": {"trials": ["model", "lr"]},
    "columns": {
        "accuracy": {"metric": "test.accuracy", "rank": true, "delta": true, "significance": true},
        "error": {"metric": "test.loss", "format": "percent", "digits": 1, "show": "interval"},
        "best, \"of\" 5": {"metric": "test.accuracy", "show": "max", "best": "none"},
        "images": {"metric": "test.samples", "unit": "µ_n"},
        "seeds": {"metric": "test.samples", "show": "count"}
    },
    "baseline": {"trial": 1}
}"#;

fn everything() -> TableData {
    data(serde_json::from_str(EVERYTHING).unwrap(), &sweep())
}

#[test]
fn csv_format() {
    insta::assert_snapshot!(text(&everything(), TableFormat::Csv));
}

#[test]
fn markdown_format() {
    insta::assert_snapshot!(text(&everything(), TableFormat::Md));
}

#[test]
fn latex_format() {
    insta::assert_snapshot!(text(&everything(), TableFormat::Tex));
}

#[test]
fn html_format() {
    insta::assert_snapshot!(text(&everything(), TableFormat::Html));
}

#[test]
fn json_format() {
    let value: Value = serde_json::from_str(&text(&everything(), TableFormat::Json)).unwrap();
    let cell = &value["rows"][2]["cells"]["accuracy"];
    assert_eq!(cell["values"][0], json!({"trial": 3, "seed": 0, "value": 0.978}));
    assert_eq!(cell["count"], 5);
    assert_eq!(cell["rank"], 1);
    assert_eq!(cell["best"], true);
    assert_eq!(cell["significance"]["paired"], true);
    assert_eq!(value["rows"][4]["status"], "pruned");
    assert_eq!(value["rows"][4]["cells"]["accuracy"]["figure"], Value::Null);
    let low = value["rows"][0]["cells"]["error"]["low"].as_f64().unwrap();
    let half = 2.776_445_105_197_799 * (10f64 * 0.002f64.powi(2) / 4.0).sqrt() / 5f64.sqrt();
    assert!((low - (0.05 - half)).abs() < 1e-9, "{low}");
}

#[test]
fn a_figure_without_replicates_is_as_plain_as_can_be() {
    let results = results(vec![trial(
        1,
        json!({"lr": 0.05, "note": null}),
        &[0.991_643_453_9],
    )]);
    let data = data(
        json!({"rows": ["lr", "note"], "columns": {"accuracy": "test.accuracy", "images": "test.samples"}}),
        &results,
    );
    assert_eq!(
        text(&data, TableFormat::Csv),
        "lr,note,accuracy,images\n0.05,,0.9916434539,360\n"
    );
    assert_eq!(
        text(&data, TableFormat::Md),
        "|   lr | note | accuracy | images |\n| ---: | ---- | -------: | -----: |\n| 0.05 |      |   0.9916 |    360 |\n"
    );
}

#[test]
fn the_best_trial_stands_for_its_row() {
    let data = data(
        json!({"rows": ["model"], "columns": {"accuracy": "test.accuracy"}}),
        &sweep(),
    );
    let rows = figures(&data);
    assert_eq!(rows[0], ("mlp".to_owned(), Some(0.95)));
    assert_eq!(rows[1].0, "conv_net");
    assert!((rows[1].1.unwrap() - 0.98).abs() < 1e-12);
    assert_eq!(rows[2].1, None, "failed trials give a row nothing");
    assert_eq!(data.rows[1].cells[0].samples.len(), 5);
    assert_eq!(
        data.notes,
        [
            "Each row is the best of up to 2 trials by test.accuracy.",
            "2 of 6 trials were stopped early or failed, and do not count.",
        ]
    );
}

#[test]
fn all_trials_may_stand_for_their_row() {
    let data = data(
        json!({"rows": ["lr"], "group": "all", "columns": {"n": {"metric": "test.accuracy", "show": "count"}}}),
        &sweep(),
    );
    assert_eq!(figures(&data)[0], ("0.1".to_owned(), Some(10.0)));
    assert_eq!(
        data.notes,
        ["2 of 6 trials were stopped early or failed, and do not count."],
        "nothing was chosen"
    );
}

#[test]
fn a_hidden_parameter_without_a_rule_is_an_error() {
    let results = Results {
        objectives: Vec::new(),
        ..sweep()
    };
    let spec = json!({"rows": ["model"], "columns": {"accuracy": "test.accuracy"}});
    assert_eq!(
        error(spec.clone(), &results),
        "table `models`: 2 trials that differ in lr share a row; add lr to the rows, fix it under `where`, write group: \
         all, or give the sweep an objective"
    );
    let mut fixed = spec;
    fixed["where"] = json!({"lr": 0.1});
    assert_eq!(figures(&data(fixed, &results)).len(), 3);
}

#[test]
fn filters_and_order() {
    let rows = |spec: Value| {
        let mut spec = spec;
        spec["rows"] = json!(["model", "lr"]);
        spec["columns"] = json!({"accuracy": "test.accuracy"});
        let data = data(spec, &sweep());
        figures(&data)
            .into_iter()
            .map(|(labels, _)| labels)
            .collect::<Vec<_>>()
    };
    let sort = json!({"sort": {"by": "accuracy", "descending": true}});
    let sorted = rows(sort);
    assert_eq!(
        sorted[..4],
        ["conv_net 0.1", "conv_net 0.01", "mlp 0.1", "mlp 0.01"]
    );
    assert!(
        sorted[4].starts_with("conv_net 1"),
        "what is missing comes last: {sorted:?}"
    );
    assert_eq!(
        rows(json!({"where": {"test.accuracy": {"at_least": 0.955}}, "sort": "accuracy"})),
        ["conv_net 0.01", "conv_net 0.1"]
    );
    assert_eq!(
        rows(
            json!({"where": {"model": ["mlp", "conv_net"], "lr": {"at_most": 0.5}}, "sort": ["lr", "model"]})
        ),
        ["conv_net 0.01", "mlp 0.01", "conv_net 0.1", "mlp 0.1"]
    );
}

#[test]
fn a_baseline_that_leaves_something_open_takes_it_from_each_row() {
    let column = json!({"metric": "test.accuracy", "delta": true});
    let deltas = |baseline: Value| {
        let spec = json!({
            "rows": ["model", "lr"], "where": {"model": ["mlp", "conv_net"], "lr": [0.1, 0.01]},
            "columns": {"accuracy": column}, "baseline": baseline,
        });
        let data = data(spec, &sweep());
        let delta = |row: &Row| row.cells[0].delta.map(|delta| (delta * 1e6).round() / 1e6);
        data.rows.iter().map(delta).collect::<Vec<_>>()
    };
    assert_eq!(
        deltas(json!({"model": "mlp"})),
        [None, None, Some(0.03), Some(0.03)]
    );
    assert_eq!(
        deltas(json!({"model": "mlp", "lr": 0.1})),
        [None, Some(-0.02), Some(0.03), Some(0.01)]
    );
    let spec = json!({"rows": ["lr"], "columns": {"accuracy": column}, "baseline": 0.5});
    assert_eq!(
        error(spec, &sweep()),
        "table `models`: no row is the baseline lr=0.5; the rows are lr=0.1; lr=0.01; lr=1"
    );
}

#[test]
fn ranks_and_best_figures() {
    let accuracies = [0.9, 0.8, 0.9, 0.7];
    let trials = (1..).zip(accuracies);
    let trials = trials.map(|(number, accuracy)| trial(number, json!({"n": number}), &[accuracy]));
    let results = results(trials.collect());
    let cells = |column: Value| {
        let data = data(json!({"rows": ["n"], "columns": {"x": column}}), &results);
        let cell = |row: &Row| (row.cells[0].rank, row.cells[0].best);
        data.rows.iter().map(cell).collect::<Vec<_>>()
    };
    let ranked = cells(json!("test.accuracy"));
    assert_eq!(
        ranked,
        [
            (Some(1), true),
            (Some(3), false),
            (Some(1), true),
            (Some(4), false)
        ]
    );
    let loss = cells(json!("test.loss"));
    assert_eq!(loss, ranked, "the smaller a loss, the better");
    let same = cells(json!({"metric": "test.samples", "best": "max"}));
    assert!(same.iter().all(|cell| *cell == (Some(1), false)), "{same:?}");
}

#[test]
fn what_is_not_finite_is_never_the_best() {
    let accuracies = [0.9, f64::INFINITY, f64::NAN, 0.8];
    let trials = (1..).zip(accuracies);
    let trials = trials.map(|(number, accuracy)| trial(number, json!({"n": number}), &[accuracy]));
    let data = data(
        json!({"rows": ["n"], "columns": {"x": "test.accuracy"}}),
        &results(trials.collect()),
    );
    let best: Vec<bool> = data.rows.iter().map(|row| row.cells[0].best).collect();
    assert_eq!(best, [true, false, false, false]);
}

#[test]
fn seeds_that_differ_are_said() {
    let mut results = sweep();
    for replicate in &mut results.trials[2].replicates {
        replicate.seed += 10;
    }
    let spec = json!({
        "rows": ["model", "lr"], "where": {"lr": 0.1, "model": ["mlp", "conv_net"]},
        "columns": {"accuracy": {"metric": "test.accuracy", "significance": true}}, "baseline": {"model": "mlp"},
    });
    let data = data(spec, &results);
    assert!(!data.rows[1].cells[0].comparison.unwrap().paired);
    assert!(
        data.notes[0].contains("unpaired, as seeds do not match"),
        "{:?}",
        data.notes
    );
    assert!(
        data.notes[0].contains("With 5 seeds it is optimistic"),
        "{:?}",
        data.notes
    );
}

#[test]
fn what_is_missing_is_marked() {
    let mut results = sweep();
    results.trials[0].status = TrialStatus::Missing;
    for replicate in &mut results.trials[0].replicates[..2] {
        replicate.stages.clear();
    }
    results.trials[1].status = TrialStatus::Missing;
    results.trials[1].replicates.clear();
    let spec =
        json!({"rows": ["model", "lr"], "columns": {"accuracy": "test.accuracy"}, "where": {"model": "mlp"}});
    let data = data(spec, &results);
    let markdown = text(&data, TableFormat::Md);
    assert!(markdown.contains("0.9520 ± 0.0020 (3 of 5)"), "{markdown}");
    assert!(markdown.contains(" missing |"), "{markdown}");
    assert!(
        markdown.ends_with("\nResults of 2 of 2 trials are missing.\n"),
        "{markdown}"
    );
    assert!(text(&data, TableFormat::Csv).contains("\nmlp,0.01,,,\n"));
    assert!(text(&data, TableFormat::Tex).contains("\\emph{missing}"));
    assert!(
        text(&data, TableFormat::Html)
            .contains("<td class=\"number missing\" data-cell=\"2.accuracy\">missing</td>")
    );
}

#[test]
fn stages_may_be_rows() {
    let mut results = results(vec![trial(1, json!({}), &[0.9, 0.8])]);
    for replicate in &mut results.trials[0].replicates {
        let ema = testing::stage("ema", &[("accuracy", 0.95)], replicate.seed);
        replicate.stages.insert("ema".to_owned(), ema);
    }
    let spec = json!({
        "rows": {"stages": ["test", "ema"]}, "baseline": "test",
        "columns": {"accuracy": {"metric": "accuracy", "delta": true}, "loss": "loss"},
    });
    let table = data(spec.clone(), &results);
    assert_eq!(figures(&table)[1], ("ema".to_owned(), Some(0.95)));
    assert!((table.rows[1].cells[0].delta.unwrap() - 0.1).abs() < 1e-12);
    assert!(table.rows[1].cells[1].samples.is_empty());
    let mut filtered = spec;
    filtered["where"] = json!({"accuracy": {"at_most": 0.9}});
    assert_eq!(figures(&data(filtered, &results)).len(), 1);
}

#[test]
fn several_pipelines_are_told_apart() {
    let spec = table(json!({
        "rows": ["lr"], "pipelines": ["./b.yaml"], "columns": {"accuracy": "test.accuracy"}, "baseline": {"pipeline": "p"},
    }));
    let one = results(vec![trial(1, json!({"lr": 1}), &[0.5])]);
    let mut two = results(vec![trial(1, json!({"lr": 1.0}), &[0.75])]);
    two.file = "b.yaml".to_owned();
    let same_name = TableData::assemble("t", &spec, &[&one, &two])
        .unwrap_err()
        .to_string();
    assert!(same_name.contains("pipeline=p.yaml,lr=1"), "{same_name}");
    two.pipeline = "q".to_owned();
    let data = TableData::assemble("t", &spec, &[&one, &two]).unwrap();
    assert_eq!(
        figures(&data),
        [("p 1".to_owned(), Some(0.5)), ("q 1.0".to_owned(), Some(0.75))]
    );
}

#[test]
fn names_what_exists_where_something_does_not() {
    let spec = |row: &str, column: &str| json!({"rows": [row], "columns": {"result": column}});
    assert_eq!(
        error(spec("width", "test.loss"), &sweep()),
        "table `models`: there is no parameter `width`; the parameters are lr, model"
    );
    assert_eq!(
        error(spec("lr", "test.f1"), &sweep()),
        "table `models`, column `result`: no result has `test.f1`; the metrics are test.accuracy, test.loss, \
         test.samples"
    );
    let mut filtered = spec("lr", "test.loss");
    filtered["where"] = json!({"test.f1": {"at_least": 1}});
    assert_eq!(
        error(filtered, &sweep()),
        "table `models`, `where`: no result has `test.f1`; the metrics are test.accuracy, test.loss, test.samples"
    );
}

#[test]
fn no_rows_give_titles_alone() {
    let data = data(
        json!({"rows": ["lr"], "columns": {"a,b": "test.accuracy"}, "where": {"lr": 7}}),
        &sweep(),
    );
    assert_eq!(text(&data, TableFormat::Csv), "lr,\"a,b\"\n");
    assert_eq!(text(&data, TableFormat::Md).lines().count(), 2);
}

#[test]
fn cells_lead_to_the_stages_behind_them() {
    let source = "params: {lr: 1, note: x}
stages:
  data: {preprocess: {input: ./x, format: csv, split: {val: 0.2}}}
  model: {train: {data: data, model: mlp, epochs: 2, optimizer: {sgd: {lr: '${lr}'}}}}
  test: {evaluate: {model: model, data: data}}
  other: {evaluate: {model: model, data: data, split: val}}
";
    let pipeline = Pipeline::parse(std::path::Path::new("p.yaml"), source, &[]).unwrap();
    let mut results = results(vec![trial(1, json!({"lr": 1, "note": "x"}), &[0.5])]);
    let stages = &mut results.trials[0].replicates[0].stages;
    let mut prepared = testing::stage("data", &[], 0);
    prepared.artifact = crate::fingerprint::Digest::of_bytes(b"data");
    prepared.kind = "preprocess".to_owned();
    prepared.key = json!({"kind": "preprocess", "version": 3, "inputs": {"input": crate::fingerprint::Digest::of_bytes(b"x")}});
    stages.insert("data".to_owned(), prepared.clone());
    stages.insert(
        "other".to_owned(),
        testing::stage("other", &[("accuracy", 0.1)], 0),
    );

    let data = data(json!({"columns": {"accuracy": "test.accuracy"}}), &results);
    let provenance = Provenance::of(&data, &[(&pipeline, &results)]);
    let text = provenance.to_text();
    assert_eq!(serde_json::from_str::<Provenance>(&text).unwrap(), provenance);
    let cell = &provenance.rows[0].cells["accuracy"];
    assert_eq!((cell.figure, cell.values[0].seed), (Some(0.5), 0));
    let stage = &provenance.stages[&cell.values[0].fingerprint];
    assert_eq!((stage.stage.as_str(), stage.version), ("test", 1));
    assert_eq!(stage.inputs["data"].from, Some(prepared.fingerprint));
    assert_eq!(provenance.stages[&prepared.fingerprint].version, 3);
    assert_eq!(
        provenance.stages[&prepared.fingerprint].inputs["input"].from,
        None
    );
    assert_eq!(provenance.stages.len(), 2, "what no cell needs is left out");
    let parameters = &provenance.pipelines[0].trials[&1];
    assert_eq!(
        serde_json::to_value(parameters).unwrap(),
        json!({"lr": 1}),
        "no stage speaks of `note`"
    );
}
