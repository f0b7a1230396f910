//! Reads all resources at once, compares them with the spec, and makes the plan.

use std::pin::pin;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::aws::{KEYS_TAG, NODE_TAG, Tags, tag_changes};
use crate::pipeline::{Node, Pipeline, ReplacedWith};
use crate::plan::{Action, Change, Fields, Plan, Refusal, Step, Warning, differences, region_of};
use crate::preflight::preflight;
use crate::resources::{
    Any, Cx, Known, Observed, OwnedResource, Resource as _, UnreadableResource, may_be_told, owned_resources,
};

/// Steps that are refused unless their node is named on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed {
    /// Nodes that may be replaced although that loses something.
    pub(crate) replace: Vec<String>,
    /// Orphans that may be deleted although they hold data.
    pub(crate) delete: Vec<String>,
}

/// A plan, and the orphans: resources that are the pipeline's and not in the spec.
pub(crate) struct Observation {
    pub(crate) plan: Plan,
    pub(crate) orphans: Vec<OwnedResource>,
    /// What was seen of each node, in their order.
    pub(crate) seen: Vec<Option<Observed>>,
}

/// Reads all nodes and looks for orphans, in parallel, and compares with the spec.
///
/// Existing functions need their package to be compared: `note` is told of a build, and of whatever else takes time.
pub(crate) async fn observe(
    cx: &Cx,
    pipeline: &Pipeline,
    allowed: &Allowed,
    mut note: impl FnMut(&str),
) -> anyhow::Result<Observation> {
    let (notes, mut texts) = unbounded_channel();
    let cx = &cx.for_node("", notes);
    let mut reading = pin!(read(cx, pipeline, allowed));
    loop {
        tokio::select! {
            Some((_, text)) = texts.recv() => note(&text),
            observation = &mut reading => return observation,
        }
    }
}

async fn read(cx: &Cx, pipeline: &Pipeline, allowed: &Allowed) -> anyhow::Result<Observation> {
    let prefix = pipeline.naming.prefix();
    let told = &cx.going_by_told_tags();
    let reads = try_join_all(pipeline.nodes.iter().map(async |node| {
        let seen = node.resource.read(told).await?;
        if let Some(seen) = &seen
            && seen.may_be_changed(cx)
        {
            node.resource.prepare(cx).await?;
        }
        anyhow::Ok(seen)
    }));
    let known: Known<'_> = pipeline
        .nodes
        .iter()
        .map(|node| (node.resource.region(), node.resource.kind(), node.resource.name()))
        .collect();
    let (mut seen, search) = tokio::try_join!(reads, async {
        let found = owned_resources(cx, &prefix, &known).await;
        found.context("looking for resources that are no longer in the spec")
    })?;
    // Compared only now: a function refers to its role by what was read of the role.
    let mut compared = compare(cx, pipeline, &seen, allowed);
    if read_again(cx, pipeline, &compared, &mut seen).await? {
        compared = compare(cx, pipeline, &seen, allowed);
    }
    let (mut steps, later): (Vec<_>, Vec<_>) = compared.into_iter().unzip();
    replace_dependents(pipeline, &mut steps, &seen, allowed);
    let mut warnings = postponed(&steps, later);
    warnings.extend(unconfirmed(pipeline, &steps, &seen));
    let mut plan = Plan { steps, concurrency: pipeline.concurrency.clone(), warnings };
    Box::pin(preflight(cx, pipeline, &mut plan)).await;
    let orphans = search.owned;
    plan.warnings.extend(search.unreadable.iter().map(unreadable_warning));
    let deletions: Vec<Step> = orphans
        .iter()
        .map(|orphan| match rename(pipeline, &mut plan, orphan) {
            Some(refusal) if !allowed.delete.contains(&orphan.node) => {
                Step { refused: Some(refusal), ..deletion(orphan) }
            }
            _ => orphan_deletion(orphan, allowed),
        })
        .collect();
    plan.steps.extend(deletions);
    for step in &mut plan.steps {
        step.changes = step.changes.iter().map(|change| change.without(&pipeline.secrets)).collect();
    }
    for warning in &mut plan.warnings {
        warning.message = pipeline.secrets.hide(&warning.message);
    }
    Ok(Observation { plan, orphans, seen })
}

/// The step of each node, and why changes of it have to wait for a later run.
fn compare(cx: &Cx, pipeline: &Pipeline, seen: &[Option<Observed>], allowed: &Allowed) -> Vec<(Step, Vec<String>)> {
    pipeline.nodes.iter().zip(seen).map(|(node, seen)| step(cx, node, seen.as_ref(), allowed)).collect()
}

/// Reads what is not to stay as it is again, where its tags were told with those of others; whether there is such a one.
async fn read_again(
    cx: &Cx,
    pipeline: &Pipeline,
    compared: &[(Step, Vec<String>)],
    seen: &mut [Option<Observed>],
) -> anyhow::Result<bool> {
    // Some answers are shared, and were read with tags that were told.
    let cx = &cx.as_of_now();
    let steps = pipeline.nodes.iter().zip(compared).zip(seen);
    let doubted = steps.filter(|((node, (step, _)), seen)| {
        seen.is_some() && may_be_told(node.resource.kind()) && step.action != Action::Unchanged
    });
    let again = try_join_all(doubted.map(async |((node, _), seen)| {
        *seen = node.resource.read(cx).await?;
        anyhow::Ok(())
    }));
    Ok(!again.await?.is_empty())
}

/// The step of a node, and why changes of it have to wait for a later run.
fn step(cx: &Cx, node: &Node, seen: Option<&Observed>, allowed: &Allowed) -> (Step, Vec<String>) {
    let resource = &node.resource;
    let mut step = Step {
        arn: seen.map_or_else(|| resource.arn(&cx.aws), |seen| seen.arn.clone()),
        wanted: wanted(node),
        ..Step::new(&node.id, resource.kind(), resource.name(), Action::Create)
    };
    let Some(seen) = seen else { return (creation(step, node), Vec::new()) };
    step.unsettled = !seen.settled;
    if !seen.may_be_changed(cx) {
        step.action = Action::Unchanged;
        step.seen = json!("foreign");
        step.refused = Some(Refusal {
            why: format!("{} exists already and does not belong to this pipeline", resource.label()),
            hint:
                "rename the pipeline or use --stage; or take it over with --adopt, which changes its settings and tags"
                    .to_owned(),
        });
        return (step, Vec::new());
    }
    if let Some(refusal) = of_another_home(cx, node, seen) {
        step.action = Action::Unchanged;
        step.refused = Some(refusal);
        return (step, Vec::new());
    }
    step.changes = differences(&seen.fields, &resource.desired());
    let mut later = Vec::new();
    step.changes.retain(|change| match resource.postponed(&change.field, seen) {
        Some(why) => {
            later.push(why);
            false
        }
        None => true,
    });
    let of_tags = seen.tags.as_ref().map(|tags| tag_differences(tags, &node.tags)).unwrap_or_default();
    // What differs tells, beside what is wanted, all of what is there that the spec is about.
    step.seen = json!([step.changes, of_tags]);
    let replacing = step
        .changes
        .iter()
        .find_map(|change| resource.replacing(&change.field).map(|loses| (change.field.clone(), loses)));
    step.changes.extend(of_tags);
    step.changes = step.changes.into_iter().flat_map(Change::shown).collect();
    step.action = if step.changes.is_empty() { Action::Unchanged } else { Action::Update };
    if let Some((field, loses)) = replacing {
        step.action = Action::Replace;
        step.continuity = resource.continuity(seen);
        if step.continuity.is_none() {
            step.loses = Some(loses.to_owned());
            step.refused = replacement_refusal(node, &field, loses, allowed);
        }
    }
    (step, later)
}

/// Refuses what this pipeline has in this region for the sake of another one, which is its own: run for this one, it would be two.
fn of_another_home(cx: &Cx, node: &Node, seen: &Observed) -> Option<Refusal> {
    let tagged = seen.tags.as_ref()?.get(NODE_TAG)?;
    if node.tags.get(NODE_TAG).is_some_and(|own| region_of(own).is_some())
        || region_of(tagged) != Some(&cx.aws.region)
        || cx.adopt
    {
        return None;
    }
    Some(Refusal {
        why: format!("{} is what the pipeline of another region has here, as {tagged}", node.resource.label()),
        hint: "pass --region with the region that the pipeline itself is in".to_owned(),
    })
}

/// Warns of the changes that no run can make before some time is over.
fn postponed(steps: &[Step], later: Vec<Vec<String>>) -> Vec<Warning> {
    let taken = steps.iter().zip(later).filter(|(step, _)| step.refused.is_none());
    let warning = |node: &str, message: String| {
        let help = Some("run `streamkit up` again then".to_owned());
        Warning { rule: "postponed", node: node.to_owned(), line: None, message, help }
    };
    taken.flat_map(|(step, later)| later.into_iter().map(|why| warning(&step.node, why))).collect()
}

/// Warns of subscribers that are told nothing yet.
fn unconfirmed(pipeline: &Pipeline, steps: &[Step], seen: &[Option<Observed>]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for ((node, step), seen) in pipeline.nodes.iter().zip(steps).zip(seen) {
        let Any::Topic(topic) = node.resource.inner() else { continue };
        let unconfirmed = if step.refused.is_none() { topic.unconfirmed(seen.as_ref()) } else { Vec::new() };
        if !unconfirmed.is_empty() {
            warnings.push(Warning {
                rule: "unconfirmed-subscriber",
                node: node.id.clone(),
                line: None,
                message: format!(
                    "{} of {} is not confirmed, and is told nothing until then",
                    unconfirmed.join(", "),
                    node.id
                ),
                help: Some(
                    "AWS sends a message with a link to confirm it by; a link is good for three days".to_owned(),
                ),
            });
        }
    }
    warnings
}

/// All that the resource is to be. Its code is hashed only where that is needed, and so is left out.
fn wanted(node: &Node) -> Value {
    let mut fields = node.resource.desired();
    fields.remove("code");
    json!([fields, node.tags])
}

/// The step with all that the new resource gets, and which of it goes without saying.
fn creation(mut step: Step, node: &Node) -> Step {
    let (wants, defaults) = (node.resource.desired(), node.resource.defaults());
    let is_default = |change: &Change| defaults.get(change.field.as_str()) == Some(&change.to);
    for change in differences(&Fields::new(), &wants) {
        let goes_without_saying = is_default(&change);
        for shown in change.shown() {
            if goes_without_saying || shown.is_own_variable() {
                step.defaults.insert(shown.field.clone());
            }
            step.changes.push(shown);
        }
    }
    if !step.kind.has_tags() {
        return step;
    }
    // The spec gives the same tags to all resources.
    let tags = tag_differences(&Tags::new(), &node.tags);
    step.defaults.extend(tags.iter().map(|change| change.field.clone()));
    step.changes.extend(tags);
    step
}

/// Plans the replacement of nodes that refer to another one by an ARN which changes when that one is replaced.
fn replace_dependents(pipeline: &Pipeline, steps: &mut [Step], seen: &[Option<Observed>], allowed: &Allowed) {
    for (index, node) in pipeline.nodes.iter().enumerate() {
        let Some(replaced_with) = node.replaced_with else { continue };
        let other = &steps[replaced_with.node];
        let changed = is_changed(other, replaced_with);
        let Some(seen) = &seen[index] else { continue };
        if !is_renewed(other, replaced_with) || !matches!(steps[index].action, Action::Unchanged | Action::Update) {
            continue;
        }
        let field = "source";
        let Some(loses) = node.resource.replacing(field) else { continue };
        let to = Value::String(format!("the new one of {}", other.node));
        let continuity = node.resource.continuity(seen);
        // Where the source is gone, or its replacement allowed, the position in it is lost already.
        let refused =
            if changed && continuity.is_none() { replacement_refusal(node, field, loses, allowed) } else { None };
        let step = &mut steps[index];
        step.action = Action::Replace;
        step.changes.retain(|change| change.field != field);
        step.changes.push(Change {
            field: field.to_owned(),
            from: seen.fields.get(field).cloned().unwrap_or_default(),
            to,
        });
        step.loses = continuity.is_none().then(|| loses.to_owned());
        step.continuity = continuity;
        step.refused = refused;
    }
}

fn is_changed(other: &Step, replaced_with: ReplacedWith) -> bool {
    other.action == Action::Update && other.changes.iter().any(|change| change.field == replaced_with.field)
}

/// Whether what carries out this step of another node gives it another ARN.
pub(crate) fn is_renewed(other: &Step, replaced_with: ReplacedWith) -> bool {
    is_changed(other, replaced_with) || matches!(other.action, Action::Create | Action::Replace)
}

fn replacement_refusal(node: &Node, field: &str, loses: &str, allowed: &Allowed) -> Option<Refusal> {
    let why = format!("changing `{field}` of {} needs a new one and loses {loses}", node.resource.label());
    if node.protect {
        return Some(Refusal { why, hint: format!("`protect = true` of {} forbids that", node.id) });
    }
    let hint = format!("to do it all the same, pass --allow-replace {}", node.id);
    (!allowed.replace.contains(&node.id)).then_some(Refusal { why, hint })
}

fn tag_differences(has: &Tags, wants: &Tags) -> Vec<Change> {
    let (set, remove) = tag_changes(has, wants);
    let value = |tags: &Tags, key: &String| tags.get(key).map_or(Value::Null, |value| Value::String(value.clone()));
    let keys: Vec<_> = set.keys().chain(&remove).collect();
    // What it says follows from the other tags: shown only where it is all that changes.
    let told = keys.iter().any(|key| *key != KEYS_TAG);
    keys.into_iter()
        .filter(|key| !told || *key != KEYS_TAG)
        .map(|key| Change { field: format!("tags.{key}"), from: value(has, key), to: value(wants, key) })
        .collect()
}

/// Warns of a resource that may be an orphan.
fn unreadable_warning(resource: &UnreadableResource) -> Warning {
    Warning {
        rule: "unreadable-tags",
        node: resource.name.clone(),
        line: None,
        message: format!(
            "{} has a name like this pipeline's, and the caller may not read its tags ({})",
            resource.label(),
            resource.error
        ),
        help: Some(
            "it is left alone; if it is the pipeline's and not in the spec, allow the call, and the next `up` deletes it"
                .to_owned(),
        ),
    }
}

/// Says of the new mapping that takes over an orphan's place how it goes on; and of an orphan that looks as if its function had got
/// another name without saying so, what would be lost.
fn rename(pipeline: &Pipeline, plan: &mut Plan, orphan: &OwnedResource) -> Option<Refusal> {
    let source = orphan.source.as_deref()?;
    let new = pipeline.nodes.iter().zip(&mut plan.steps).find_map(|(node, step)| match &node.resource {
        Any::Mapping(mapping) if step.action == Action::Create && mapping.reads(source) => Some((node, mapping, step)),
        _ => None,
    });
    let (node, mapping, step) = new?;
    if mapping.renamed_from.as_ref() == Some(&orphan.name) {
        step.continuity = Some(
            "goes on from where the mapping of the function's old name is: some minutes before the last record that was \
             processed, or for a table from the stream's beginning",
        );
        return None;
    }
    let section = |node: &str| node.trim_end_matches(".source").to_owned();
    let (old, new) = (section(&orphan.node), section(&node.id));
    Some(Refusal {
        why: format!(
            "{old} is not in the spec any more, and {new}, which is new, reads the same source from now on: what {old} has not \
             processed yet is lost"
        ),
        hint: format!(
            "if {new} is {old} under another name, write renamed_from = \"{old}\" in its section; else pass --allow-delete {}",
            orphan.node
        ),
    })
}

/// The step that deletes an orphan; data goes only where its node is named.
fn orphan_deletion(orphan: &OwnedResource, allowed: &Allowed) -> Step {
    let mut step = deletion(orphan);
    let Some(loses) = step.loses.as_ref().filter(|_| step.kind.keeps_data() && step.refused.is_none()) else {
        return step;
    };
    if !allowed.delete.contains(&step.node) {
        step.refused = Some(Refusal {
            why: format!("{} is not in the spec any more, and deleting it loses {loses}", orphan.label()),
            hint: format!(
                "to delete it, pass --allow-delete {0}; to keep it, put its section back: a section that gets another name is \
                 deleted and created, unless the new one says renamed_from = \"{0}\"",
                step.node
            ),
        });
    }
    step
}

/// The step that deletes what is the pipeline's.
pub(crate) fn deletion(owned: &OwnedResource) -> Step {
    Step {
        arn: owned.arn.clone(),
        loses: owned.contents.clone(),
        refused: owned.protected.then(|| Refusal {
            why: format!("{} is protected", owned.label()),
            hint: format!("set `protect = false` for {} and run `streamkit up` first", owned.node),
        }),
        seen: json!([owned.arn, owned.protected]),
        ..Step::new(&owned.node, owned.kind, &owned.name, Action::Delete)
    }
}
