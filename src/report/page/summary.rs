//! What is seen first: what the pipeline is, how far it is, what came of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::html::HtmlTable;
use crate::event::{Losses, value_text};
use crate::report::plot::{View, escape, path_of, short_value, significant};
use crate::report::{NodeStatus, TrialStatus};
use crate::spec::{Direction, counted};

/// The most trials of a Pareto front that get a card.
const MOST_CARDS: usize = 6;

/// The name, and how far it is.
pub fn header(view: &View) -> String {
    let results = &view.input.results;
    let mut html = format!("<header>\n<h1>{}</h1>\n", escape(&results.pipeline));
    if let Some(description) = &results.description {
        let _ = writeln!(html, "<p>{}</p>", escape(description));
    }
    html.push_str("<ul class=\"facts\">\n");
    for fact in facts(view) {
        let _ = writeln!(html, "<li>{}</li>", escape(&fact));
    }
    html.push_str("</ul>\n</header>\n");
    html
}

fn facts(view: &View) -> Vec<String> {
    let mut facts = vec![view.input.results.file.clone()];
    let trials = view.trials();
    if view.is_sweep() {
        let count =
            |wanted: fn(&TrialStatus) -> bool| trials.iter().filter(|trial| wanted(&trial.status)).count();
        facts.push(counted(trials.len(), "trial"));
        for (number, what) in [
            (count(|status| matches!(status, TrialStatus::Done)), "finished"),
            (
                count(|status| matches!(status, TrialStatus::Pruned { .. })),
                "pruned",
            ),
            (
                count(|status| matches!(status, TrialStatus::Failed { .. })),
                "failed",
            ),
            (
                count(|status| matches!(status, TrialStatus::Missing)),
                "not finished yet",
            ),
        ] {
            if number > 0 {
                facts.push(format!("{number} {what}"));
            }
        }
        let seeds = trials
            .iter()
            .map(|trial| trial.replicates.len())
            .max()
            .unwrap_or(0);
        if seeds > 1 {
            facts.push(format!("up to {seeds} seeds a trial"));
        }
    } else {
        let known = view
            .input
            .graph
            .iter()
            .filter(|node| node.status == NodeStatus::Known);
        facts.push(format!(
            "{} of {} up to date",
            known.count(),
            counted(view.input.graph.len(), "stage")
        ));
    }
    facts
}

/// The best trials, or the parameters; and what is missing.
pub fn html(view: &View) -> String {
    let mut html = String::new();
    for notice in &view.input.notices {
        let _ = writeln!(html, "<p class=\"notice\">{}</p>", escape(notice));
    }
    for notice in losses(view) {
        let _ = writeln!(html, "<p class=\"notice\">{}</p>", escape(&notice));
    }
    if view.is_sweep() {
        html.push_str(&cards(view));
    }
    html.push_str(&parameters(view));
    html
}

/// A sentence for each stage that left out many samples, where trials differ of the one that lost most.
fn losses(view: &View) -> Vec<String> {
    let mut most: BTreeMap<&str, Losses> = BTreeMap::new();
    let replicates = view.trials().iter().flat_map(|trial| &trial.replicates);
    for (name, stage) in replicates.flat_map(|replicate| &replicate.stages) {
        if let Some(losses) = Losses::of(&stage.metrics)
            && most
                .get(name.as_str())
                .is_none_or(|known| known.percent() < losses.percent())
        {
            most.insert(name, losses);
        }
    }
    let sentence = |(stage, losses): (&str, Losses)| {
        format!(
            "The stage {stage} left out {} of {} samples ({:.1} %): every figure is about the others.",
            losses.skipped,
            losses.all,
            losses.percent()
        )
    };
    most.into_iter().map(sentence).collect()
}

fn cards(view: &View) -> String {
    let results = &view.input.results;
    if results.objectives.is_empty() {
        return "<p>The sweep has no objective: no trial is better than another.</p>\n".to_owned();
    }
    let (places, label): (Vec<usize>, &str) = match view.front.len() {
        0 => (view.ranking.first().copied().into_iter().collect(), "best"),
        _ => (
            view.front.iter().copied().take(MOST_CARDS).collect(),
            "on the Pareto front",
        ),
    };
    if places.is_empty() {
        return "<p>Nothing to show yet: no trial has come to its end.</p>\n".to_owned();
    }
    let mut html = "<div class=\"cards\">\n".to_owned();
    for place in places {
        let trial = &view.trials()[place];
        let _ = write!(
            html,
            "<div class=\"card\"><h3><a href=\"#trial-{0}\">Trial {0}</a>, {label}</h3>",
            trial.number
        );
        for (index, objective) in results.objectives.iter().enumerate() {
            let judged = &view.judged[place];
            let value = judged.values[index].map_or_else(|| "-".to_owned(), |value| significant(value, 5));
            let span = judged.spans[index].filter(|(low, high)| high > low);
            let span = span.map_or_else(String::new, |(low, high)| {
                format!(", from {} to {}", significant(low, 5), significant(high, 5))
            });
            let wish = match objective.direction() {
                Direction::Maximize => "more is better",
                Direction::Minimize => "less is better",
            };
            let _ = write!(
                html,
                "<p class=\"value\">{value}</p><p><small>{} ({wish}){span}</small></p>",
                escape(&path_of(objective))
            );
        }
        html.push_str("<dl>");
        for name in &results.swept {
            let value = trial
                .parameters
                .get(name)
                .map_or_else(|| "-".to_owned(), short_value);
            let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(&value));
        }
        html.push_str("</dl></div>\n");
    }
    html.push_str("</div>\n");
    if view.front.len() > MOST_CARDS {
        let _ = writeln!(
            html,
            "<p>{} trials are on the Pareto front; the table of trials marks them all.</p>",
            view.front.len()
        );
    }
    html
}

/// The parameters that are not swept.
fn parameters(view: &View) -> String {
    let Some(trial) = view.best().or_else(|| (!view.trials().is_empty()).then_some(0)) else {
        return String::new();
    };
    let swept = &view.input.results.swept;
    let mut table = HtmlTable::new(&["parameter", "value"]);
    let mut any = false;
    for (name, value) in &view.trials()[trial].parameters {
        if !swept.contains(name) {
            any = true;
            let value = value_text(value);
            table.row([escape(name), escape(&value)]);
        }
    }
    if !any {
        return String::new();
    }
    let title = if view.is_sweep() {
        "Parameters that are the same in all trials"
    } else {
        "Parameters"
    };
    format!("<h3>{title}</h3>\n{}", table.html(title))
}
