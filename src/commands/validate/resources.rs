//! The check on the resources: all there, and as the spec says.

use aws_sdk_lambda::types::EventSourceMappingConfiguration;

use super::check::{Verdict, listed};
use super::validation::Validation;
use crate::aws::answered;
use crate::observe::{Allowed, observe};
use crate::pipeline::FlowSource;
use crate::plan::{Action, ResourceKind, Step};

/// Compares AWS with the spec. The second value names what is missing without which no event can flow.
pub(super) async fn check(validation: &Validation<'_>) -> anyhow::Result<(Verdict, Vec<String>)> {
    let steps =
        observe(&validation.session.cx, &validation.session.pipeline, &Allowed::default(), |_| {}).await?.plan.steps;
    let wrong: Vec<String> = steps.iter().filter_map(wrong).collect();
    let vital = steps.iter().filter(|step| step.action == Action::Create && is_vital(step, validation));
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

fn is_vital(step: &Step, validation: &Validation<'_>) -> bool {
    let flow = validation.flow;
    match step.kind {
        ResourceKind::Stream => step.name == flow.source.name(),
        ResourceKind::Table => step.name == flow.source.name() || Some(&step.name) == flow.table.as_ref(),
        ResourceKind::Bucket => Some(&step.name) == flow.bucket.as_ref(),
        ResourceKind::Topic => Some(&step.name) == flow.topic.as_ref(),
        ResourceKind::Function => step.name == flow.function,
        ResourceKind::Mapping => step.node == format!("function.{}.source", flow.key),
        _ => false,
    }
}

/// The state of the event source mapping from the flow's source to its function, for messages.
pub(super) async fn mapping(validation: &Validation<'_>) -> String {
    let call = validation.session.aws.lambda.list_event_source_mappings().function_name(&validation.flow.function);
    let mappings = match answered(call.send().await) {
        Ok(answer) => answer.event_source_mappings.unwrap_or_default(),
        Err(error) => return format!("the mapping's state can't be read ({error})"),
    };
    let source = match &validation.flow.source {
        FlowSource::Stream(name) => format!(":stream/{name}/"),
        FlowSource::Table(name) => format!(":table/{name}/"),
    };
    let ours = |mapping: &EventSourceMappingConfiguration| {
        mapping.event_source_arn().is_some_and(|arn| format!("{arn}/").contains(&source))
    };
    let Some(mapping) = mappings.into_iter().find(ours) else {
        return "there is no mapping from the source to the function".to_owned();
    };
    let result = mapping.last_processing_result.unwrap_or_else(|| "nothing processed".to_owned());
    let state = mapping.state.unwrap_or_else(|| "in no known state".to_owned());
    format!("the mapping is {state}, its last result: {result}")
}
