use std::path::Path;

use super::*;

const STAGES: &str = "params: {lr: 0.1, width: 8}
stages:
  d: {preprocess: {input: ./x, format: csv, split: {val: 0.2}}}
  m: {train: {data: d, model: {mlp: {hidden: ['${width}']}}, epochs: 2, optimizer: {sgd: {lr: '${lr}'}}}}
  t: {evaluate: {model: m, data: d}}
  v: {evaluate: {model: m, data: d, split: val}}
";
const SWEEP: &str = "sweep: {params: {lr: [0.1, 0.01], width: [8, 16]}}\n";

/// The mistakes of a file with these tables, each as `TEXT AT ITS PLACE: MESSAGE; HELP`.
fn mistakes_of(before: &str, tables: &str) -> Vec<String> {
    let source = format!("{before}tables: {tables}\n");
    match Pipeline::parse(Path::new("p.yaml"), &source, &[]) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let tell = |mistake: &Diagnostic| {
                let span = mistake.span.unwrap();
                let place = &source[span.offset()..span.offset() + span.len()];
                let help = mistake.help.as_deref().unwrap_or_default();
                format!("{place}: {mistake}; {help}")
            };
            error.mistakes.iter().map(tell).collect()
        }
    }
}

#[track_caller]
fn assert_told(before: &str, table: &str, told: &str) {
    let mistakes = mistakes_of(before, &format!("{{a: {{{table}}}}}"));
    assert!(
        matches!(mistakes.as_slice(), [only] if only.starts_with(told)),
        "{told}\nis not what is told:\n{}",
        mistakes.join("\n")
    );
}

fn swept() -> String {
    format!("{STAGES}{SWEEP}")
}

#[test]
fn what_is_right_is_not_complained_about() {
    let right = "{a: {rows: [lr, width], columns: {x: t.accuracy}}, b: {rows: {stages: [t, v]}, group: all, baseline: t, \
                 columns: {x: {metric: accuracy, delta: true, rank: true}}, where: {accuracy: {at_least: 0.5}}, \
                 sort: {by: x, descending: true}}, c: {rows: {trials: [lr]}, columns: {x: t.loss}, where: {lr: \
                 0.1, t.loss: {at_most: 1}}, path: out/c, pipelines: [./b.yaml]}}";
    assert_eq!(mistakes_of(&swept(), right), [""; 0]);
}

#[test]
fn rows_and_columns_that_nothing_has() {
    assert_told(
        STAGES,
        "rows: [rate], columns: {x: t.loss}",
        "rate: there is no parameter `rate`; parameters: lr",
    );
    assert_told(
        STAGES,
        "rows: {stages: [t, other]}, columns: {x: loss}",
        "other: there is no stage `other`; stages: d, m, t, v",
    );
    assert_told(
        STAGES,
        "rows: [lr], columns: {x: {metric: t.acuracy}}",
        "t.acuracy: the stage `t` reports no `acuracy`; did you mean `accuracy`?",
    );
    assert_told(
        STAGES,
        "columns: {x: accuracy}",
        "accuracy: `accuracy` is not a metric: STAGE.METRIC",
    );
    assert_told(
        STAGES,
        "rows: {stages: [t]}, columns: {x: t.accuracy}",
        "t.accuracy: none of the stages reports `t.accuracy`; where rows are stages, a column names a metric alone",
    );
    assert_told(
        STAGES,
        "rows: [lr], columns: {lr: t.loss}",
        "t.loss: the column `lr` has the title of another",
    );
    assert_told(
        STAGES,
        "columns: {x: {metric: t.loss, shwo: max}}",
        "shwo: unknown field `shwo`; did you mean `show`?",
    );
}

#[test]
fn comparisons_that_cannot_be_made() {
    assert_told(
        STAGES,
        "columns: {x: {metric: m.parameters, rank: true}}",
        "true: there is no rank where no `x` is better than another; add best: max or best: min",
    );
    assert_told(
        STAGES,
        "columns: {x: {metric: t.loss, delta: true}}",
        "true: `delta` compares with a baseline, and there is none",
    );
    let compared = "columns: {x: {metric: t.loss, delta: true}}, rows: [lr, width]";
    assert_told(
        &swept(),
        &format!("{compared}, baseline: {{rl: 0.1}}"),
        "0.1: rows are not told apart by `rl`; did you mean `lr`?",
    );
    assert_told(
        &swept(),
        &format!("{compared}, baseline: {{lr: 0.5}}"),
        "0.5: no row can be the baseline: `lr` is never 0.5; it is swept over 0.1, 0.01",
    );
    assert_told(
        &swept(),
        &format!("{compared}, baseline: 0.1"),
        "0.1: a value alone names no row here",
    );
    assert_told(
        &swept(),
        "columns: {x: t.loss}, rows: [lr, width], baseline: {lr: 0.1}",
        "baseline: no column compares with the baseline",
    );
}

#[test]
fn orders_and_filters_of_what_there_is_not() {
    let table = "rows: [lr, width], columns: {x: t.loss}";
    let sorted = |sort: &str| format!("{table}, sort: {sort}");
    let told =
        "unknown: the rows cannot be sorted by `unknown`: there is no such column; columns: lr, width, x";
    assert_told(STAGES, &sorted("unknown"), told);
    assert_told(STAGES, &sorted("{by: unknown}"), told);
    assert_told(STAGES, &sorted("[x, {by: unknown}]"), told);
    let filtered = |filter: &str| format!("{table}, where: {{{filter}}}");
    assert_told(
        STAGES,
        &filtered("wdth: 1"),
        "1: there is no parameter `wdth`; did you mean `width`?",
    );
    assert_told(
        STAGES,
        &filtered("t.los: {at_most: 1}"),
        "t.los: the stage `t` reports no `los`; did you mean `loss`?",
    );
    assert_told(&swept(), &filtered("lr: [0.1, 0.5]"), "lr: `lr` is never 0.5");
    assert_eq!(
        mistakes_of(STAGES, &format!("{{a: {{{}}}}}", filtered("lr: 0.5"))),
        [""; 0]
    );
}

#[test]
fn swept_parameters_are_not_hidden() {
    let told = "rows: a row stands for several trials: `width` is swept too";
    assert_told(&swept(), "rows: [lr], columns: {x: t.loss}", told);
    for rule in ["group: all", "where: {width: 8}"] {
        let table = format!("{{a: {{rows: [lr], columns: {{x: t.loss}}, {rule}}}}}");
        assert_eq!(mistakes_of(&swept(), &table), [""; 0], "{rule}");
    }
    let objective = swept().replace("sweep: {", "sweep: {objective: {minimize: t.loss}, ");
    assert_eq!(
        mistakes_of(&objective, "{a: {rows: [lr], columns: {x: t.loss}}}"),
        [""; 0]
    );
}

#[test]
fn the_best_fold_stands_for_no_row() {
    let stages = STAGES.replace("params: {", "params: {fold: 1, ").replace(
        "split: {val: 0.2}",
        "split: {val: 0.2, folds: 5, fold: '${fold}'}",
    );
    let sweep = "sweep: {objective: {minimize: t.loss}, params: {lr: [0.1, 0.01], fold: [1, 2, 3, 4, 5]}}\n";
    let swept = format!("{stages}{sweep}");
    let told = "rows: a row would be the best of the folds: `fold` chooses one, and is swept";
    assert_told(&swept, "rows: [lr], columns: {x: t.loss}", told);
    for right in [
        "rows: [lr], group: all",
        "rows: [lr, fold]",
        "rows: [lr], where: {fold: 2}",
    ] {
        let table = format!("{{a: {{{right}, columns: {{x: t.loss}}}}}}");
        assert_eq!(mistakes_of(&swept, &table), [""; 0], "{right}");
    }
}

#[test]
fn files_that_would_be_in_each_others_way() {
    let two =
        |more: &str| format!("{{a: {{columns: {{x: t.loss}}}}, b: {{columns: {{x: t.loss}}, {more}}}}}");
    assert_eq!(
        mistakes_of(STAGES, &two("path: results/a")),
        [
            "results/a: the tables `a` and `b` would both be written to results/a.csv; give one of them another path"
        ]
    );
    assert_eq!(
        mistakes_of(STAGES, &two("path: results/a, formats: [tex]")).len(),
        1,
        "they would share the file that leads to their results"
    );
    assert_told(
        STAGES,
        "columns: {x: t.loss}, path: ../a",
        "../a: `../a` is not a file inside the project",
    );
    assert_told(
        STAGES,
        "columns: {x: t.loss}, path: out/a.csv",
        "out/a.csv: `out/a.csv` has an ending already; leave it out: path: out/a;",
    );
    assert_eq!(
        mistakes_of(STAGES, &two("path: ./results//a")).len(),
        1,
        "one file, spelt otherwise"
    );
    assert_told(
        STAGES,
        "columns: {x: t.loss}, formats: []",
        "formats: the table `a` has no formats",
    );
    assert_told(
        STAGES,
        "columns: {x: t.loss}, formats: [md, md]",
        "md: results/a.md would be written twice",
    );
    assert_told(
        STAGES,
        "columns: {x: t.loss}, pipelines: [b.yaml]",
        "b.yaml: `b.yaml` is not a file of the project; a file of the project is written ./b.yaml",
    );
}
