//! What a reader relies on: all is there, nothing is loaded, no text becomes markup.

use serde_json::json;

use super::*;
use crate::report::plot::testing::Sample;
use crate::report::{GraphNode, NodeStatus, PageTable, TrialFile};
use crate::spec::Direction;

const HOSTILE: &str = "<script>alert('x')</script>&\"";

fn sweep(trials: u32) -> ReportInput {
    let mut sample = Sample::new(&[
        ("test.accuracy", Direction::Maximize),
        ("test.loss", Direction::Minimize),
    ]);
    for number in 1..=trials {
        match number % 10 {
            0 => sample.failed(),
            5 => sample.pruned(3),
            _ => sample.done(&[f64::from(number % 7) / 7.0, 1.0 / f64::from(number)]),
        };
    }
    let mut input = sample.input;
    input.graph = vec![GraphNode {
        name: "test".to_owned(),
        kind: "evaluate".to_owned(),
        description: Some(HOSTILE.to_owned()),
        upstream: vec![],
        status: NodeStatus::Known,
    }];
    input.histories.push(TrialFile {
        trial: 1,
        seed: 0,
        stage: "model".to_owned(),
        text: "epoch,train_loss,val_loss\n1,2,2\n2,1,1.5\n".to_owned(),
    });
    input
}

/// The elements that are opened are closed, in order.
fn assert_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = &html[html.find("<body>").unwrap()..html.find("<script>").unwrap()];
    for piece in body.split('<').skip(1) {
        let tag = piece.split('>').next().unwrap();
        let name = tag
            .trim_start_matches('/')
            .split([' ', '\n', '/'])
            .next()
            .unwrap();
        if tag.ends_with('/') || name == "br" {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes what is not open");
        } else {
            open.push(name);
        }
    }
    assert_eq!(open, ["body"]);
}

#[test]
fn all_parts_are_there_and_well_formed() {
    let mut input = sweep(40);
    input.tables.push(PageTable {
        name: "main".to_owned(),
        html: "<table></table>".to_owned(),
    });
    let page = render(&input);
    assert_well_formed(&page);
    for id in [
        "summary",
        "tables",
        "sweep",
        "curves",
        "metrics",
        "trials",
        "pipeline",
        "timings",
        "provenance",
        "graph",
        "sweep-history-1",
        "sweep-history-2",
        "sweep-pareto",
        "sweep-parallel",
        "sweep-importance-1",
        "sweep-slice-x",
        "curves-model-loss",
        "stage-times",
        "trial-1",
        "trial-40",
    ] {
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
    assert_eq!(page, render(&input), "the same input gives the same bytes");
}

#[test]
fn nothing_is_loaded() {
    let page = render(&sweep(20));
    for loads in ["http:", "https:", "src=", "url(", "@import", "xlink"] {
        assert!(!page.contains(loads), "{loads}");
    }
}

#[test]
fn text_never_becomes_markup() {
    let mut input = sweep(20);
    let results = &mut input.results;
    results.pipeline = HOSTILE.to_owned();
    results.file = HOSTILE.to_owned();
    results.description = Some(HOSTILE.to_owned());
    results.swept.push(HOSTILE.to_owned());
    for trial in &mut results.trials {
        trial
            .parameters
            .insert(HOSTILE.to_owned(), json!(format!("{HOSTILE}{}", trial.number)));
        trial
            .parameters
            .insert(format!("fixed {HOSTILE}"), json!(HOSTILE));
        for replicate in &mut trial.replicates {
            let mut result = replicate.stages["test"].clone();
            result.kind = HOSTILE.to_owned();
            result.key = json!({HOSTILE: HOSTILE});
            result.made = json!({HOSTILE: HOSTILE, "seconds": 1});
            result.metrics.insert(HOSTILE.to_owned(), 1.0);
            replicate.stages.insert(HOSTILE.to_owned(), result);
        }
    }
    input.graph[0].name = HOSTILE.to_owned();
    input.notices.push(HOSTILE.to_owned());
    let classes = format!("\"{}\"", HOSTILE.replace('"', "\"\""));
    input.confusions.push(TrialFile {
        trial: 1,
        seed: 0,
        stage: HOSTILE.to_owned(),
        text: format!("class,{classes}\n{classes},3\n"),
    });
    input.classes.push(TrialFile {
        trial: 1,
        seed: 0,
        stage: HOSTILE.to_owned(),
        text: format!("class,precision,recall,f1,support\n{classes},1,1,1,1\n"),
    });
    let page = render(&input);
    assert!(!page.contains("<script>alert") && !page.contains("'x'"));
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"));
    assert_well_formed(&page);
}

#[test]
fn a_thousand_trials_stay_below_three_megabytes() {
    let page = render(&sweep(1000));
    assert!(page.len() < 3 << 20, "{}", page.len());
}

#[test]
fn without_results_it_says_so() {
    let page = render(&ReportInput::default());
    assert!(page.contains("no stage has run"));
    assert_well_formed(&page);
    let mut input = ReportInput::default();
    input.results.swept = vec!["x".to_owned()];
    assert!(render(&input).contains("no trial has begun"));
}
