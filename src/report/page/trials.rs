//! Every trial of a sweep: its parameters, what became of it, and by what its result is known.

use super::html::HtmlTable;
use crate::report::plot::{View, duration, escape, path_of, short_value, significant};
use crate::report::{Trial, TrialStatus};

/// A table of them, the best first.
pub fn html(view: &View) -> String {
    let results = &view.input.results;
    if !view.is_sweep() {
        return String::new();
    }
    if view.trials().is_empty() {
        return "<p>Nothing to show yet: no trial has begun.</p>\n".to_owned();
    }
    let mut titles: Vec<String> = vec!["trial".to_owned(), "state".to_owned()];
    titles.extend(results.objectives.iter().map(path_of));
    titles.extend(results.swept.iter().cloned());
    titles.extend(["seeds", "time", "results"].map(str::to_owned));
    let mut table = HtmlTable::new(&titles).sortable();
    let ranked = view.ranking.iter().copied();
    let others = (0..view.trials().len()).filter(|place| !view.ranking.contains(place));
    for place in ranked.chain(others) {
        let trial = &view.trials()[place];
        let mut cells = vec![trial.number.to_string(), state(view, place)];
        for index in 0..results.objectives.len() {
            cells.push(objective(view, place, index));
        }
        for name in &results.swept {
            let value = trial
                .parameters
                .get(name)
                .map_or_else(|| "-".to_owned(), short_value);
            cells.push(escape(&value));
        }
        let seeds: Vec<String> = trial
            .replicates
            .iter()
            .map(|replicate| replicate.seed.to_string())
            .collect();
        cells.push(seeds.join(", "));
        cells.push(time(trial));
        cells.push(digests(view, trial));
        let attributes = format!(" id=\"trial-{0}\" data-t=\"{0}\"", trial.number);
        table.row_with(&attributes, cells);
    }
    format!(
        "<p>The best first. A result is named by the first digits of its artifact's digest; an objective is the mean \
         over the seeds \u{b1} its standard deviation.</p>\n<div class=\"tall\">{}</div>\n",
        table.html("The trials")
    )
}

fn state(view: &View, place: usize) -> String {
    match &view.trials()[place].status {
        TrialStatus::Done if view.front.contains(&place) => "on the front".to_owned(),
        TrialStatus::Done if view.front.is_empty() && view.ranking.first() == Some(&place) => {
            "best".to_owned()
        }
        TrialStatus::Done => "finished".to_owned(),
        TrialStatus::Pruned { epoch } => format!("pruned after epoch {epoch}"),
        TrialStatus::Failed { error } => {
            let first = error.lines().next().unwrap_or_default();
            format!(
                "<span class=\"why\" title=\"{}\"><span class=\"bad\">failed</span>: {}</span>",
                escape(error),
                escape(&cut(first))
            )
        }
        TrialStatus::Missing => "not finished yet".to_owned(),
    }
}

/// The beginning of a long message.
fn cut(text: &str) -> String {
    const MOST: usize = 72;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn objective(view: &View, place: usize, index: usize) -> String {
    let trial = &view.trials()[place];
    let Some(mean) = view.judged[place].values[index] else {
        return "-".to_owned();
    };
    let values = crate::report::plot::metric_values(trial, view.input.results.objectives[index].path());
    let text = significant(mean, 5);
    if values.len() < 2 {
        return text;
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (values.len() as f64 - 1.0)).sqrt();
    format!("{text} \u{b1} {}", significant(deviation, 2))
}

/// The wall time of all of the trial's results, shared ones included.
fn time(trial: &Trial) -> String {
    let results = trial
        .replicates
        .iter()
        .flat_map(|replicate| replicate.stages.values());
    let mut seen = std::collections::BTreeSet::new();
    let own = results.filter(|result| seen.insert(result.fingerprint));
    let seconds: f64 = own.filter_map(|result| result.made["seconds"].as_f64()).sum();
    if seconds > 0.0 {
        duration(seconds)
    } else {
        "-".to_owned()
    }
}

/// The digests of what the objective was measured on, one a replicate.
fn digests(view: &View, trial: &Trial) -> String {
    let stage = view
        .input
        .results
        .objectives
        .first()
        .map(|objective| &objective.path().stage);
    let digests = trial.replicates.iter().filter_map(|replicate| {
        let result = match stage {
            Some(stage) => replicate.stages.get(stage),
            None => replicate.stages.values().last(),
        };
        Some(format!("<code>{}</code>", result?.artifact.short()))
    });
    let digests: Vec<String> = digests.collect();
    if digests.is_empty() {
        "-".to_owned()
    } else {
        digests.join(" ")
    }
}
