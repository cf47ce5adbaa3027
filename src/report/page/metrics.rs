//! The figures of every stage: the pipeline's own, or the best trial's.

use std::collections::BTreeMap;

use super::html::HtmlTable;
use crate::event::MetricValue;
use crate::report::number;
use crate::report::plot::{View, escape};

/// A table of them.
pub fn html(view: &View) -> String {
    let Some(place) = view.best() else {
        return String::new();
    };
    let trial = &view.trials()[place];
    let mut values: BTreeMap<(&str, &str), Vec<MetricValue>> = BTreeMap::new();
    for replicate in &trial.replicates {
        for (stage, result) in &replicate.stages {
            for (metric, value) in result.metrics.iter() {
                values.entry((stage, metric)).or_default().push(value);
            }
        }
    }
    if values.is_empty() {
        return String::new();
    }
    let known = &view.input.results.metrics;
    let order = |stage: &str| view.input.graph.iter().position(|node| node.name == stage);
    let mut rows: Vec<_> = values.into_iter().collect();
    rows.sort_by_cached_key(|((stage, metric), _)| {
        let place = order(stage).unwrap_or(usize::MAX);
        (place, stage.to_string(), known.order(stage, metric))
    });
    let several = trial.replicates.len() > 1;
    let mut titles = vec!["stage", "metric", if several { "mean" } else { "value" }];
    if several {
        titles.extend(["standard deviation", "smallest", "largest", "seeds"]);
    }
    let mut table = HtmlTable::new(&titles);
    for ((stage, metric), found) in rows {
        let values: Vec<f64> = found.iter().filter_map(|value| value.number()).collect();
        let mut cells = vec![escape(stage), named(metric, &known.axis(stage, metric))];
        if let ([], Some(why)) = (values.as_slice(), found.first()) {
            cells.push(why.to_string());
            cells.extend(["-", "-", "-", "0"].map(str::to_owned));
            table.row(cells);
            continue;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        let whole = values
            .iter()
            .all(|value| value.fract() == 0.0 && value.abs() < 1e15);
        let text = |value: f64| {
            if whole && value.fract() == 0.0 {
                number::full(value)
            } else {
                number::readable(value)
            }
        };
        cells.extend([
            text(mean),
            deviation.map_or_else(|| "-".to_owned(), text),
            text(values.iter().copied().fold(f64::INFINITY, f64::min)),
            text(values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            values.len().to_string(),
        ]);
        table.row(cells);
    }
    let whose = if view.is_sweep() {
        format!("<p>Of the best trial, {}.</p>\n", trial.number)
    } else {
        String::new()
    };
    whose + &table.html("Metrics")
}

/// A metric's name, and what it measures where the name does not say it.
fn named(metric: &str, measures: &str) -> String {
    let name = escape(metric);
    if measures == metric.replace('_', " ") {
        return name;
    }
    format!("{name}<br><small>{}</small>", escape(measures))
}
