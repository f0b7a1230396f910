//! Plans and results as people read them.

use std::fmt::Write as _;

use super::changes;
use super::json::RunReport;
use super::paint::Paint;
use crate::critical_path::Link;
use crate::graph::Until;
use crate::plan::{Action, Change, Concurrency, Place, Plan, ResourceKind, Step};
use crate::resources::Attachment;

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

/// Whose plan it is, and where it is carried out.
fn place_text(place: &Place) -> String {
    let part = |word: &str, part: &Option<String>| part.as_ref().map(|part| format!("{word} {part}"));
    let parts = [
        Some(format!("pipeline {}", place.pipeline)),
        part("stage", &place.stage),
        part("account", &place.account),
        part("region", &place.region),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The spec's tags, which all that is created gets.
fn tags_text(plan: &Plan) -> Option<String> {
    let first = plan.steps.iter().find(|step| step.action == Action::Create)?;
    let tag = |change: &Change| {
        let key = change.field.strip_prefix("tags.").filter(|key| !key.starts_with("streamkit:"))?;
        Some(format!("{key} = {}", changes::value_text(&change.to)))
    };
    let tags: Vec<_> = first.changes.iter().filter_map(tag).collect();
    (!tags.is_empty()).then(|| format!("tags of all of them: {}", tags.join(", ")))
}

/// The plan: where it is carried out, each step, and field by field what changes.
pub(super) fn plan(plan: &Plan, place: &Place, paint: Paint) -> String {
    let mut text = format!("{}\n", place_text(place));
    let width = plan.steps.iter().map(|step| step.node.len()).max().unwrap_or(0);
    for step in plan.steps.iter().filter(|step| step.action != Action::Unchanged || step.refused.is_some()) {
        line(&mut text, step, width, paint);
    }
    if let Some(tags) = tags_text(plan) {
        let _ = writeln!(text, "{tags}");
    }
    for concurrency in plan.concurrency.iter().filter(|concurrency| is_news(concurrency, plan)) {
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

/// What others have attached to the pipeline's resources.
pub(super) fn attached(attached: &[Attachment]) -> String {
    let mut text = String::new();
    for Attachment { node, kind, name, arn } in attached {
        let _ = writeln!(text, "{node}: somebody else has attached the {kind} {name} ({arn}); it is left alone");
    }
    text
}

/// Whether anything about a function's concurrency changes: the function, its mapping, or the shards that are read.
fn is_news(concurrency: &Concurrency, plan: &Plan) -> bool {
    const FIELDS: [&str; 5] = ["shards", "mode", "parallelization_factor", "reserved_concurrency", "source"];
    let mapping = format!("{}.source", concurrency.function);
    plan.steps.iter().any(|step| {
        (step.node == concurrency.function || step.node == mapping || step.kind == ResourceKind::Stream)
            && (matches!(step.action, Action::Create | Action::Replace)
                || step.changes.iter().any(|change| FIELDS.contains(&change.field.as_str())))
    })
}

fn line(text: &mut String, step: &Step, width: usize, paint: Paint) {
    let mark = if step.refused.is_some() { paint.bad("!") } else { paint.mark(step.action) };
    let _ = writeln!(text, "{mark} {:width$}  {} {}", step.node, step.kind.text(), step.name);
    let creating = step.action == Action::Create;
    for change in step.changes.iter().filter(|change| !step.defaults.contains(&change.field)) {
        for line in changes::lines(change, creating) {
            let _ = writeln!(text, "    {line}");
        }
    }
    // A refusal for what is lost says so itself.
    let told = |loses: &String| step.refused.as_ref().is_some_and(|refusal| refusal.why.contains(loses));
    match &step.loses {
        Some(loses) if told(loses) => {}
        Some(loses) => {
            let said = if step.action == Action::Delete {
                format!("{loses} will be deleted")
            } else {
                format!("loses {loses}")
            };
            let _ = writeln!(text, "    {said}");
        }
        None => {}
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
pub(super) fn summary(report: &RunReport, paint: Paint) -> String {
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
    let said = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| {
        let said = format!("{count} {word}");
        if *word == "failed" { paint.bad(&said) } else { said }
    });
    let words: Vec<_> = said.collect();
    let words = if words.is_empty() { "nothing to do".to_owned() } else { words.join(", ") };
    let stage = report.stage.as_ref().map_or_else(String::new, |stage| format!(" (stage {stage})"));
    let mut text = format!("{}{stage}: {words} in {:.1} s\n", report.pipeline, report.seconds);
    if !report.rolled_back.is_empty() {
        let _ = writeln!(text, "rolled back: {}", report.rolled_back.join(", "));
    }
    if !report.critical_path.is_empty() {
        let _ = writeln!(text, "critical path: {}", critical_path(&report.critical_path));
        let (took, needed) = report
            .critical_path
            .iter()
            .fold((0.0, 0.0), |(took, needed), link| (took + link.seconds, needed + link.aws_seconds));
        // Where AWS has everything at once, there is nothing to compare with.
        if needed >= 1.0 {
            let _ = writeln!(text, "of these {took:.1} s AWS needed at least {needed:.1} s");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::Refusal;

    const PLAIN: Paint = Paint::NONE;

    fn step(node: &str, kind: ResourceKind, action: Action) -> Step {
        Step::new(node, kind, &format!("orders-{node}"), action)
    }

    fn place(stage: Option<&str>) -> Place {
        let some = |text: &str| Some(text.to_owned());
        let (account, region) = (some("123456789012"), some("eu-west-1"));
        Place { pipeline: "orders".to_owned(), stage: stage.map(str::to_owned), account, region }
    }

    fn changed(node: &str, kind: ResourceKind, field: &str) -> Step {
        let change = Change { field: field.to_owned(), from: json!(1), to: json!(2) };
        Step { changes: vec![change], ..step(node, kind, Action::Update) }
    }

    #[test]
    fn concurrency_is_told_only_when_something_about_it_changes() {
        let told = |step: Step| {
            let concurrency = vec![Concurrency::new("function.f".to_owned(), Some(2), 3, None)];
            super::plan(&Plan { steps: vec![step], concurrency, ..Plan::default() }, &place(None), PLAIN)
                .contains("up to 6 invocations")
        };
        assert!(told(step("function.f", ResourceKind::Function, Action::Create)));
        assert!(told(changed("stream.s", ResourceKind::Stream, "shards")));
        assert!(told(changed("function.f.source", ResourceKind::Mapping, "parallelization_factor")));
        assert!(!told(changed("alarm.a", ResourceKind::Alarm, "threshold")));
        assert!(!told(changed("stream.s", ResourceKind::Stream, "retention")));
        assert!(!told(step("table.t", ResourceKind::Table, Action::Create)));
    }

    #[test]
    fn loss_of_data_is_told_once() {
        let told = |step: Step| super::plan(&Plan { steps: vec![step], ..Plan::default() }, &place(None), PLAIN);
        let lost =
            |action| Step { loses: Some("all items".to_owned()), ..step("table.t", ResourceKind::Table, action) };
        assert!(told(lost(Action::Replace)).contains("    loses all items\n"));
        assert!(told(lost(Action::Delete)).contains("    all items will be deleted\n"));
        let refusal = |why: &str| Some(Refusal { why: why.to_owned(), hint: String::new() });
        let refused = Step { refused: refusal("changing it loses all items"), ..lost(Action::Replace) };
        assert!(!told(refused).contains("loses"));
        let protected = Step { refused: refusal("it is protected"), ..lost(Action::Delete) };
        assert!(told(protected).contains("all items will be deleted"));
    }

    #[test]
    fn a_plan_says_where_and_a_creation_shows_what_differs_from_the_defaults() {
        let new = |field: &str, to| Change { field: field.to_owned(), from: Value::Null, to };
        let created = Step {
            changes: vec![
                new("retention", json!("24h")),
                new("shards", json!(8)),
                new("tags.Team", json!("shop")),
                new("tags.streamkit:pipeline", json!("orders")),
            ],
            defaults: ["retention", "tags.Team", "tags.streamkit:pipeline"].map(str::to_owned).into(),
            ..step("stream.s", ResourceKind::Stream, Action::Create)
        };
        let told = super::plan(&Plan { steps: vec![created], ..Plan::default() }, &place(Some("dev")), PLAIN);
        let expected = "pipeline orders, stage dev, account 123456789012, region eu-west-1\n\
                        + stream.s  Kinesis stream orders-stream.s\n    shards: 8\n\
                        tags of all of them: Team = shop\n\n1 to create, 0 unchanged\n";
        assert_eq!(told, expected);
    }

    #[test]
    fn summary_names_the_stage() {
        let report = |stage| super::super::json::run_report(&place(stage), Plan::default(), None, 1.0);
        assert_eq!(summary(&report(Some("dev")), PLAIN), "orders (stage dev): nothing to do in 1.0 s\n");
        assert_eq!(summary(&report(None), PLAIN), "orders: nothing to do in 1.0 s\n");
    }
}
