//! The check on the resources: all there, and as the spec says.

use super::check::{Verdict, listed};
use super::run::Run;
use crate::observe::{Allowed, observe};
use crate::plan::{Action, Step};
use crate::resources::Type;

/// Compares AWS with the spec. The second value names what is missing without which no event can flow.
pub(super) async fn check(run: &Run<'_>) -> anyhow::Result<(Verdict, Vec<String>)> {
    let steps = observe(&run.session.cx, &run.session.pipeline, &Allowed::default(), |_| {}).await?.plan.steps;
    let wrong: Vec<String> = steps.iter().filter_map(wrong).collect();
    let vital = steps.iter().filter(|step| step.action == Action::Create && is_vital(step, run));
    let missing = vital.map(|step| format!("{} ({})", step.kind.text(), step.name)).collect();
    let observed = if wrong.is_empty() { format!("all {}", steps.len()) } else { listed(&wrong) };
    Ok((Verdict::new(wrong.is_empty(), observed).or_hint("see `streamkit plan`; `streamkit up` makes it so"), missing))
}

fn wrong(step: &Step) -> Option<String> {
    let how = match (step.action, &step.refused) {
        (Action::Unchanged, None) if step.unsettled => "is still being changed".to_owned(),
        (Action::Unchanged, None) => return None,
        (Action::Unchanged, Some(refusal)) => refusal.why.clone(),
        (Action::Create, _) => "is missing".to_owned(),
        (Action::Delete, _) => "is not in the spec".to_owned(),
        (Action::Update | Action::Replace, _) => {
            let fields: Vec<_> = step.changes.iter().map(|change| change.field.as_str()).collect();
            format!("differs in {}", fields.join(", "))
        }
    };
    Some(format!("{} {how}", step.node))
}

fn is_vital(step: &Step, run: &Run<'_>) -> bool {
    let flow = run.flow;
    match step.kind {
        Type::Stream => step.name == flow.source.name(),
        Type::Table => Some(&step.name) == flow.table.as_ref(),
        Type::Function => step.name == flow.function,
        Type::Mapping => step.node == format!("function.{}.source", flow.key),
        _ => false,
    }
}
