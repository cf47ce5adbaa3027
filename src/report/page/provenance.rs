//! Where every result comes from: its key, its inputs, and how it was made.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::html::{HtmlTable, bytes};
use crate::fingerprint::Fingerprint;
use crate::report::number;
use crate::report::plot::{View, duration, escape};
use crate::report::{StageResult, Trial};
use crate::spec::counted;

/// The details of so many characters are shown; the best trials come first.
const MOST_CHARACTERS: usize = 900_000;

/// A result, and the trials and seeds that it serves.
struct Shared<'a> {
    stage: &'a str,
    result: &'a StageResult,
    users: Vec<(&'a Trial, u64)>,
}

/// A list of all results, each with what is known about it.
pub fn html(view: &View) -> String {
    let results = shared(view);
    if results.is_empty() {
        return "<p>Nothing to show yet: no stage has run.</p>\n".to_owned();
    }
    let mut html = format!(
        "<p>{}. Each is named by its fingerprint, the digest of everything that it depends on.</p>\n",
        counted(results.len(), "result")
    );
    let first = results.first().map(|shared| shared.users[0].0.number);
    let of_first = results
        .iter()
        .take_while(|shared| Some(shared.users[0].0.number) == first)
        .count();
    html.push_str("<div class=\"first\">\n");
    let mut shown = 0;
    for shared in &results {
        let details = shared.details(view.is_sweep());
        if html.len() + details.len() > MOST_CHARACTERS {
            break;
        }
        if shown == of_first {
            html.push_str("</div>\n<details><summary>Results of the other trials</summary>\n");
        }
        html.push_str(&details);
        shown += 1;
    }
    html.push_str(if shown > of_first {
        "</details>\n"
    } else {
        "</div>\n"
    });
    if shown < results.len() {
        let _ = writeln!(
            html,
            "<p class=\"notice\">{} more, of trials that did less well, are left out to keep the page small.</p>",
            counted(results.len() - shown, "result")
        );
    }
    html
}

/// Each result once: in the order of the best trials, and of the graph within a trial.
fn shared<'a>(view: &View<'a>) -> Vec<Shared<'a>> {
    let order = |stage: &str| view.input.graph.iter().position(|node| node.name == stage);
    let ranked = view.ranking.iter().copied();
    let others = (0..view.trials().len()).filter(|place| !view.ranking.contains(place));
    let mut all: Vec<Shared> = Vec::new();
    let mut known: BTreeMap<(&str, Fingerprint), usize> = BTreeMap::new();
    for place in ranked.chain(others) {
        let trial = &view.trials()[place];
        for replicate in &trial.replicates {
            let mut stages: Vec<_> = replicate.stages.iter().collect();
            stages.sort_by_key(|(stage, _)| order(stage).unwrap_or(usize::MAX));
            for (stage, result) in stages {
                let index = *known.entry((stage, result.fingerprint)).or_insert_with(|| {
                    all.push(Shared {
                        stage,
                        result,
                        users: Vec::new(),
                    });
                    all.len() - 1
                });
                all[index].users.push((trial, replicate.seed));
            }
        }
    }
    all
}

impl Shared<'_> {
    fn details(&self, sweep: bool) -> String {
        let result = self.result;
        let mut html = format!(
            "<details id=\"result-{0}\"><summary><b>{1}</b> {2} <code>{0}</code>",
            result.fingerprint.short(),
            escape(self.stage),
            escape(&result.kind),
        );
        if sweep {
            let _ = write!(html, " <small>{}</small>", self.whose());
        }
        html.push_str("</summary>\n");
        let mut table = HtmlTable::new(&["", ""]);
        let mut line = |name: &str, value: String| table.row([escape(name), value]);
        line("fingerprint", format!("<code>{}</code>", result.fingerprint));
        line("artifact", format!("<code>{}</code>", result.artifact));
        for (name, value) in result.metrics.iter() {
            let text = value.number().map_or_else(|| value.to_string(), number::full);
            line(&format!("metric {name}"), text);
        }
        for (name, value) in flattened(&result.made) {
            let text = match (name.as_str(), value.as_f64()) {
                ("seconds", Some(seconds)) => duration(seconds),
                ("peak_memory", Some(count)) => bytes(count),
                _ => escape(&number::parameter(value)),
            };
            if !value.is_null() {
                line(&format!("made: {}", name.replace('_', " ")), text);
            }
        }
        for (name, value) in flattened(&result.key) {
            let text = escape(&number::parameter(value));
            if !value.is_null() && name != "kind" {
                line(
                    &name.replacen("inputs.", "input ", 1).replacen("fields.", "", 1),
                    text,
                );
            }
        }
        html.push_str(&table.html(self.stage));
        html.push_str("</details>\n");
        html
    }

    /// Which trials it serves, in words.
    fn whose(&self) -> String {
        let mut numbers: Vec<u32> = self.users.iter().map(|(trial, _)| trial.number).collect();
        numbers.dedup();
        match numbers[..] {
            [only] => format!("trial {only}, seed {}", self.users[0].1),
            [first, ..] => format!("trial {first} and {} more", numbers.len() - 1),
            [] => String::new(),
        }
    }
}

/// The leaves of a JSON value, each with the path to it.
fn flattened(value: &Value) -> Vec<(String, &Value)> {
    let mut leaves = Vec::new();
    flatten(String::new(), value, &mut leaves);
    leaves
}

fn flatten<'a>(path: String, value: &'a Value, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                flatten(path, value, leaves);
            }
        }
        leaf => leaves.push((path, leaf)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_flattened() {
        let value = json!({"a": {"b": 1, "c": {}}, "d": [1, 2]});
        let leaves = flattened(&value);
        let text: Vec<String> = leaves
            .iter()
            .map(|(path, value)| format!("{path}={value}"))
            .collect();
        assert_eq!(text, ["a.b=1", "a.c={}", "d=[1,2]"]);
    }
}
