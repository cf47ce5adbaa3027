//! `erlen why`: the key of a stage, field by field, against that of the nearest earlier result.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::gather::ShowArguments;
use super::past::{shown_path, value_text};
use super::session::Session;
use super::{DONE, Fail};
use crate::fingerprint::Digest;
use crate::plan::{Decision, Difference, Earlier, Node, Plan, Source, StageKey, differences};
use crate::progress::text;
use crate::spec::suggest;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    show: ShowArguments,
    /// The stage
    #[arg(value_name = "STAGE")]
    stage: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let mut pipeline = arguments.show.pipeline();
    let session = Session::open(&pipeline)?;
    let stages = &session.pipeline.stages;
    let stage = arguments.stage.as_str();
    if !stages.contains_key(stage) {
        let help = suggest(stage, "stages", stages.keys().map(String::as_str));
        return Err(Fail::Usage(format!("there is no stage `{stage}`; {help}")));
    }
    pipeline.stages = vec![stage.to_owned()];
    let plan = session.plan(&pipeline)?;
    let Some(node) = plan.find(stage) else {
        return Err(Fail::Stopped(format!(
            "`{stage}` is not in its own plan; please report it"
        )));
    };
    let explanation = Explanation::new(&plan, node)?;
    if arguments.json {
        anstream::println!("{:#}", explanation.to_json(stage));
    } else {
        anstream::print!("{}", explanation.to_text(stage));
    }
    Ok(DONE)
}

/// What there is to say about a stage.
struct Explanation<'a> {
    node: &'a Node,
    /// The key, as far as it is known; inputs that are not known yet are missing.
    key: StageKey,
    /// Where each input comes from.
    origins: BTreeMap<&'a str, String>,
    earlier: Option<Arc<Earlier>>,
}

impl<'a> Explanation<'a> {
    fn new(plan: &'a Plan, node: &'a Node) -> Result<Self, Fail> {
        let mut origins = BTreeMap::new();
        for input in &node.inputs {
            let origin = match &input.source {
                Source::Project { path, .. } => shown_path(path),
                Source::Stage { node, path } => {
                    let path = path
                        .as_deref()
                        .map_or_else(String::new, |path| format!("/{path}"));
                    format!("{}{path}", plan.node(*node).name())
                }
            };
            origins.insert(input.role.as_str(), origin);
        }
        let key = match &node.decision {
            Decision::Run(key, _) => (**key).clone(),
            _ => StageKey::new(&node.stage.kind, node.seed, plan.contents(node)?.0),
        };
        Ok(Self {
            node,
            key,
            origins,
            earlier: plan.earlier(node),
        })
    }

    /// The digest of an input now, and in the earlier result.
    fn input(&self, role: &str) -> [Option<Digest>; 2] {
        let then = self
            .earlier()
            .as_ref()
            .and_then(|earlier| earlier.key.inputs.get(role));
        [self.key.inputs.get(role).copied(), then.copied()]
    }

    /// The fields that differ from the earlier result's.
    fn changed(&self) -> BTreeMap<String, Difference> {
        let changed = self
            .earlier()
            .map(|earlier| differences(&earlier.key.fields, &self.key.fields));
        changed
            .into_iter()
            .flatten()
            .map(|difference| (difference.path.clone(), difference))
            .collect()
    }

    fn earlier(&self) -> Option<&Earlier> {
        self.earlier.as_deref()
    }

    fn is_pending(&self) -> bool {
        matches!(self.node.decision, Decision::Pending(_))
    }

    fn to_json(&self, stage: &str) -> Value {
        let decision = match &self.node.decision {
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
            "fingerprint": self.node.decision.fingerprint(),
            "key": self.key,
            "earlier": self.earlier().map(|earlier| json!({"run": earlier.run, "key": earlier.key})),
            "changed_fields": self.changed().into_values().collect::<Vec<_>>(),
        });
        if let (Value::Object(object), Value::Object(decision)) = (&mut object, decision) {
            object.extend(decision);
        }
        object
    }

    fn to_text(&self, stage: &str) -> String {
        let (bold, dim) = (anstyle::Style::new().bold(), anstyle::Style::new().dimmed());
        let mut out = String::new();
        let key = &self.key;
        let _ = writeln!(out, "{bold}{stage}{bold:#}  {} version {}", key.kind, key.version);
        match &self.node.decision {
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
        match self.node.decision.fingerprint() {
            Some(fingerprint) => {
                let _ = writeln!(out, "  {dim}fingerprint {fingerprint}{dim:#}");
            }
            None => {
                let _ = writeln!(out, "  {dim}fingerprint not known before its inputs are{dim:#}");
            }
        }
        match self.earlier() {
            Some(earlier) => {
                let _ = writeln!(out, "\nkey, beside that of run {}", earlier.run);
            }
            None => out.push_str("\nkey, and no earlier result to compare with\n"),
        }
        for (mark, name, now, then) in self.rows() {
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
    fn rows(&self) -> Vec<(char, String, String, Option<String>)> {
        let mut rows = Vec::new();
        if let Some(earlier) = self.earlier() {
            let kind = |key: &StageKey| format!("{} version {}", key.kind, key.version);
            let (now, then) = (kind(&self.key), kind(&earlier.key));
            if now != then {
                rows.push(('*', "kind".to_owned(), now, Some(then)));
            }
        }
        let mut changed = self.changed();
        for (path, value) in leaves("", &self.key.fields) {
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
        let then = self.earlier().and_then(|earlier| earlier.key.seed);
        if self.key.seed.is_some() || then.is_some() {
            let text = |seed: Option<u64>| seed.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
            let differs = self.earlier().is_some() && then != self.key.seed;
            let mark = if differs { '*' } else { ' ' };
            rows.push((
                mark,
                "seed".to_owned(),
                text(self.key.seed),
                differs.then(|| text(then)),
            ));
        }
        let mut roles: Vec<&str> = self.origins.keys().copied().collect();
        let gone = self
            .earlier()
            .into_iter()
            .flat_map(|earlier| earlier.key.inputs.keys());
        roles.extend(
            gone.map(String::as_str)
                .filter(|role| !self.origins.contains_key(role)),
        );
        for role in roles {
            let [now, then] = self.input(role);
            let unknown = now.is_none() && self.is_pending() && self.origins.contains_key(role);
            let differs = self.earlier().is_some() && !unknown && now != then;
            let short = |digest: Option<Digest>| {
                digest.map_or_else(|| "-".to_owned(), |digest| digest.short().to_string())
            };
            let origin = self
                .origins
                .get(role)
                .map_or_else(String::new, |origin| format!(" from {origin}"));
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
                    .filter(|_| self.earlier().is_some()),
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
