//! A plan in words.

use std::fmt::Write as _;

use crate::plan::{Decision, Plan, PlanNode};

/// The plan as lines: a stage each, with its decision and the reason for it.
pub(super) fn to_text(plan: &Plan) -> String {
    let nodes: Vec<&PlanNode> = plan.order().iter().map(|&index| plan.node(index)).collect();
    let names: Vec<String> = nodes.iter().map(|node| names_text(node)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = headline(plan) + "\n";
    for (node, name) in nodes.iter().zip(names) {
        let (mark, style, words) = match &node.decision {
            Decision::Reuse(action) => (
                '✓',
                anstyle::AnsiColor::Green,
                format!("reuse  {}", action.artifact.short()),
            ),
            Decision::Run(_, reason) => ('▸', anstyle::AnsiColor::Yellow, format!("run    {reason}")),
            Decision::Pending(upstream) => (
                '·',
                anstyle::AnsiColor::Cyan,
                format!("wait   for {}", upstream.join(", ")),
            ),
        };
        let style = anstyle::Style::new().fg_color(Some(style.into()));
        let kind = node.stage.kind.name();
        let _ = writeln!(text, "  {style}{mark}{style:#} {name:width$}  {kind:10}  {words}");
    }
    if nodes
        .iter()
        .any(|node| matches!(node.decision, Decision::Pending(_)))
    {
        text.push_str("A stage that waits is reused if what it waits for comes out as before.\n");
    }
    text
}

fn names_text(node: &PlanNode) -> String {
    let names: Vec<String> = node.names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// The plan in one line: what is to run, and what is known.
pub(super) fn headline(plan: &Plan) -> String {
    let count = |wanted: fn(&Decision) -> bool| {
        let nodes = plan.order().iter().map(|&index| plan.node(index));
        nodes
            .filter(|node| wanted(&node.decision))
            .map(|node| node.names.len())
            .sum::<usize>()
    };
    let reused = count(|decision| matches!(decision, Decision::Reuse(..)));
    let run = count(|decision| matches!(decision, Decision::Run(..)));
    let waiting = count(|decision| matches!(decision, Decision::Pending(_)));
    let total = reused + run + waiting;
    let stages = if total == 1 { "stage" } else { "stages" };
    if reused == total {
        return format!("{}: {total} {stages}, all up to date", plan.pipeline());
    }
    let parts = [(run, "to run"), (waiting, "waiting"), (reused, "reused")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!("{}: {total} {stages}: {}", plan.pipeline(), parts.join(", "))
}
