//! Plans and results as people read them.

use std::fmt::Write as _;

use serde_json::Value;

use super::json::RunReport;
use crate::critical_path::Link;
use crate::graph::Until;
use crate::plan::{Action, Concurrency, Plan, Step};

/// The mark in front of a step: `+ ~ ± -`, or a space.
pub(crate) fn action_mark(action: Action) -> &'static str {
    match action {
        Action::Create => "+",
        Action::Update => "~",
        Action::Replace => "±",
        Action::Delete => "-",
        Action::Unchanged => " ",
    }
}

/// A field's value in one line; long ones are cut.
pub(crate) fn value_text(value: &Value) -> String {
    const LONGEST: usize = 160;
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    let cut: String = text.chars().take(LONGEST - 1).collect();
    format!("{cut}…")
}

/// How many invocations run at a time, and why.
fn concurrency_text(concurrency: &Concurrency) -> String {
    let Concurrency { function, shards, parallelization_factor: factor, invocations, reserved } = concurrency;
    let limit = match (reserved, shards.map(|shards| shards * factor)) {
        (Some(reserved), Some(wanted)) if *reserved >= wanted => format!(", of {reserved} reserved"),
        (Some(reserved), _) => format!(", limited to {reserved} by its reserved concurrency"),
        (None, _) => String::new(),
    };
    match (shards, invocations) {
        (Some(shards), Some(_)) => {
            let wanted = shards * factor;
            let s = |count: i64| if count == 1 { "" } else { "s" };
            format!(
                "{function}: {shards} shard{} × factor {factor} = up to {wanted} invocation{} at a time{limit}",
                s(*shards),
                s(wanted)
            )
        }
        _ => format!("{function}: as many shards as AWS opens × factor {factor} invocations at a time{limit}"),
    }
}

/// The plan: each step, and field by field what changes.
pub(super) fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    let width = plan.steps.iter().map(|step| step.node.len()).max().unwrap_or(0);
    for step in plan.steps.iter().filter(|step| step.action != Action::Unchanged || step.refused.is_some()) {
        line(&mut text, step, width);
    }
    for concurrency in &plan.concurrency {
        let _ = writeln!(text, "{}", concurrency_text(concurrency));
    }
    let unchanged = plan.steps.iter().filter(|step| step.action == Action::Unchanged && step.refused.is_none()).count();
    if plan.is_empty() {
        let _ = writeln!(text, "nothing to change: {unchanged} resources are as the spec says");
        return text;
    }
    let counts = [
        (Action::Create, "to create"),
        (Action::Update, "to change"),
        (Action::Replace, "to replace"),
        (Action::Delete, "to delete"),
    ];
    let mut words: Vec<String> = counts
        .iter()
        .map(|(action, word)| (plan.count(*action), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    words.push(format!("{unchanged} unchanged"));
    let _ = writeln!(text, "\n{}", words.join(", "));
    text
}

fn line(text: &mut String, step: &Step, width: usize) {
    let mark = if step.refused.is_some() { "!" } else { action_mark(step.action) };
    let _ = writeln!(text, "{mark} {:width$}  {} {}", step.node, step.kind.text(), step.name);
    for change in &step.changes {
        let _ = match change.hidden() {
            Some(how) => writeln!(text, "    {}: {how}", change.field),
            None => writeln!(text, "    {}: {} → {}", change.field, value_text(&change.from), value_text(&change.to)),
        };
    }
    if let Some(loses) = &step.loses {
        let _ = writeln!(text, "    loses {loses}");
    }
    if let Some(continuity) = step.continuity {
        let _ = writeln!(text, "    {continuity}");
    }
}

/// What the run waited for, node after node.
fn critical_path(links: &[Link]) -> String {
    let text = |link: &Link| {
        let until = if link.until == Until::Exists { " (until it existed)" } else { "" };
        // Less than a tick of the clock below is no waiting for a place.
        let queued =
            if link.queued >= 0.1 { format!(" ({:.1} s of it for a free place)", link.queued) } else { String::new() };
        format!("{} {:.1} s{until}{queued}", link.node, link.seconds)
    };
    links.iter().map(text).collect::<Vec<_>>().join(" → ")
}

/// The last lines of a run.
pub(super) fn summary(report: &RunReport) -> String {
    let summary = &report.summary;
    let counts = [
        (summary.create, "created"),
        (summary.update, "changed"),
        (summary.replace, "replaced"),
        (summary.delete, "deleted"),
        (summary.unchanged, "unchanged"),
        (summary.failed, "failed"),
        (summary.skipped, "skipped"),
    ];
    let words: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let words = if words.is_empty() { "nothing to do".to_owned() } else { words.join(", ") };
    let mut text = format!("{}: {words} in {:.1} s\n", report.pipeline, report.seconds);
    if !report.rolled_back.is_empty() {
        let _ = writeln!(text, "rolled back: {}", report.rolled_back.join(", "));
    }
    if !report.critical_path.is_empty() {
        let _ = writeln!(text, "critical path: {}", critical_path(&report.critical_path));
    }
    text
}
