//! `erlen why`: the key of a stage, field by field, against that of the nearest earlier result.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::KnownArguments;
use super::exit::DONE;
use super::text::{shown_path, value_text};
use crate::app::{AppError, Explanation, KeyInput, Session};
use crate::fingerprint::Digest;
use crate::plan::{Decision, StageKey};
use crate::progress::text;

#[derive(Debug, Args)]
pub(super) struct WhyArguments {
    #[command(flatten)]
    show: KnownArguments,
    /// The stage
    #[arg(value_name = "STAGE")]
    stage: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &WhyArguments) -> Result<u8, AppError> {
    let request = arguments.show.request();
    let session = Session::open(&request)?;
    let stage = arguments.stage.as_str();
    session.check_stage(stage)?;
    let plan = session.plan(&request.for_stages(vec![stage.to_owned()]))?;
    let Some(node) = plan.find(stage) else {
        return Err(AppError::Stopped(format!(
            "`{stage}` is not in its own plan; please report it"
        )));
    };
    let explanation = Explanation::new(&plan, node)?;
    if arguments.json {
        anstream::println!("{:#}", to_json(&explanation, stage));
    } else {
        anstream::print!("{}", to_text(&explanation, stage));
    }
    Ok(DONE)
}

fn to_json(explanation: &Explanation<'_>, stage: &str) -> Value {
    let decision = match &explanation.node.decision {
        Decision::Reuse(action) => json!({
            "decision": "reuse",
            "artifact": action.artifact,
            "made": action.made.value(),
        }),
        Decision::Run(_, reason) => json!({
            "decision": "run",
            "reason": reason,
            "because": reason.to_string(),
        }),
        Decision::Pending(upstream) => json!({"decision": "pending", "pending": upstream}),
    };
    let mut object = json!({
        "stage": stage,
        "fingerprint": explanation.node.decision.fingerprint(),
        "key": explanation.key,
        "earlier": explanation.earlier().map(|earlier| json!({"run": earlier.run, "key": earlier.key})),
        "changed_fields": explanation.changed().into_values().collect::<Vec<_>>(),
    });
    if let (Value::Object(object), Value::Object(decision)) = (&mut object, decision) {
        object.extend(decision);
    }
    object
}

fn to_text(explanation: &Explanation<'_>, stage: &str) -> String {
    let (bold, dim) = (anstyle::Style::new().bold(), anstyle::Style::new().dimmed());
    let mut out = String::new();
    let key = &explanation.key;
    let _ = writeln!(out, "{bold}{stage}{bold:#}  {} version {}", key.kind, key.version);
    match &explanation.node.decision {
        Decision::Reuse(action) => {
            let how = action.made.value();
            let made = |field: &str| how.get(field).and_then(Value::as_str).unwrap_or("?");
            let _ = writeln!(
                out,
                "  is reused: its result {} was made {} on {}",
                action.artifact.short(),
                made("started"),
                made("host")
            );
        }
        Decision::Run(_, reason) => {
            let _ = writeln!(out, "  would run: {reason}");
        }
        Decision::Pending(upstream) => {
            let _ = writeln!(
                out,
                "  waits for {}: it runs unless the result comes out as before and nothing below is marked",
                upstream.join(", ")
            );
        }
    }
    match explanation.node.decision.fingerprint() {
        Some(fingerprint) => {
            let _ = writeln!(out, "  {dim}fingerprint {fingerprint}{dim:#}");
        }
        None => {
            let _ = writeln!(out, "  {dim}fingerprint not known before its inputs are{dim:#}");
        }
    }
    match explanation.earlier() {
        Some(earlier) => {
            let _ = writeln!(out, "\nkey, beside that of run {}", earlier.run);
        }
        None => out.push_str("\nkey, and no earlier result to compare with\n"),
    }
    for (mark, name, now, then) in rows(explanation) {
        let style = if mark == ' ' {
            anstyle::Style::new()
        } else {
            anstyle::Style::new().fg_color(Some(anstyle::AnsiColor::Yellow.into()))
        };
        let was = then.map_or_else(String::new, |then| format!("  {dim}was{dim:#} {then}"));
        let _ = writeln!(out, "{style}{mark} {name}{style:#}  {now}{was}");
    }
    out
}

/// The key's lines: a mark where something changed, the name, the value now, and what it was.
fn rows(explanation: &Explanation<'_>) -> Vec<(char, String, String, Option<String>)> {
    let is_pending = matches!(explanation.node.decision, Decision::Pending(_));
    let mut rows = Vec::new();
    if let Some(earlier) = explanation.earlier() {
        let kind = |key: &StageKey| format!("{} version {}", key.kind, key.version);
        let (now, then) = (kind(&explanation.key), kind(&earlier.key));
        if now != then {
            rows.push(('*', "kind".to_owned(), now, Some(then)));
        }
    }
    let mut changed = explanation.changed();
    for (path, value) in leaves("", &explanation.key.fields) {
        let now = value_text(Some(value));
        match changed.remove(&path) {
            Some(difference) => {
                rows.push(('*', path, now, Some(value_text(difference.old.as_ref()))));
            }
            None if !value.is_null() => rows.push((' ', path, now, None)),
            None => {}
        }
    }
    // What is gone, and whole branches that became others.
    for (path, difference) in changed {
        let (old, new) = (
            value_text(difference.old.as_ref()),
            value_text(difference.new.as_ref()),
        );
        rows.push(('*', path, new, Some(old)));
    }
    let then = explanation.earlier().and_then(|earlier| earlier.key.seed);
    if explanation.key.seed.is_some() || then.is_some() {
        let text = |seed: Option<u64>| seed.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
        let differs = explanation.earlier().is_some() && then != explanation.key.seed;
        let mark = if differs { '*' } else { ' ' };
        rows.push((
            mark,
            "seed".to_owned(),
            text(explanation.key.seed),
            differs.then(|| text(then)),
        ));
    }
    let mut roles: Vec<&str> = explanation.origins.keys().copied().collect();
    let gone = explanation
        .earlier()
        .into_iter()
        .flat_map(|earlier| earlier.key.inputs.keys());
    roles.extend(
        gone.map(String::as_str)
            .filter(|role| !explanation.origins.contains_key(role)),
    );
    for role in roles {
        let [now, then] = explanation.input(role);
        let unknown = now.is_none() && is_pending && explanation.origins.contains_key(role);
        let differs = explanation.earlier().is_some() && !unknown && now != then;
        let short = |digest: Option<Digest>| {
            digest.map_or_else(|| "-".to_owned(), |digest| digest.short().to_string())
        };
        let origin = explanation
            .origins
            .get(role)
            .map_or_else(String::new, |origin| format!(" from {}", origin_text(origin)));
        let content = if unknown {
            "not known yet".to_owned()
        } else {
            short(now)
        };
        rows.push((
            if unknown {
                '?'
            } else if differs {
                '*'
            } else {
                ' '
            },
            format!("input {role}"),
            format!("{content}{origin}"),
            (differs || unknown)
                .then(|| short(then))
                .filter(|_| explanation.earlier().is_some()),
        ));
    }
    let width = rows
        .iter()
        .map(|(_, name, ..)| name.chars().count())
        .max()
        .unwrap_or(0);
    for row in &mut rows {
        row.1 = text::padded(&row.1, width);
    }
    rows
}

fn origin_text(origin: &KeyInput<'_>) -> String {
    match origin {
        KeyInput::Project(path) => shown_path(path),
        KeyInput::Stage(stage) => stage.clone(),
    }
}

/// The leaves of a value, each with its path.
fn leaves<'a>(path: &str, value: &'a Value) -> Vec<(String, &'a Value)> {
    match value {
        Value::Object(members) if !members.is_empty() => members
            .iter()
            .flat_map(|(name, value)| {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                leaves(&path, value)
            })
            .collect(),
        leaf => vec![(path.to_owned(), leaf)],
    }
}
