//! The queues and buckets of a pipeline that failures go to, and which of their messages are meant.

use std::collections::BTreeSet;

use anyhow::Context as _;

use crate::aws::Arn;
use crate::commands::session::Session;
use crate::dead_letters::{Facts, Message, Selection, Store, Usage};
use crate::failure::{Hint, Usage as UsageMistake};
use crate::pipeline::{Flow, Pipeline};
use crate::plan::ResourceKind;
use crate::resources::{Any, Resource as _, is_owned};
use crate::spec::SectionKind;

/// A queue or bucket.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Such as `queue.dlq`.
    pub(super) node: String,
    /// In AWS.
    pub(super) name: String,
    pub(super) store: Store,
    pub(super) usage: Usage,
    /// Why its messages are not looked at; they are counted only.
    pub(super) unread: Option<String>,
}

/// Finds those that failures go to, or the one that is named. Those that do not exist are passed over.
///
/// # Errors
/// The named one is none of the pipeline's; what has its name in AWS is somebody else's.
pub(super) async fn find(session: &Session, named: Option<&str>) -> anyhow::Result<Vec<Place>> {
    let pipeline = &session.pipeline;
    let failures = failure_queues(session);
    let buckets: BTreeSet<&str> = targets(pipeline, SectionKind::Bucket).collect();
    let mut places = Vec::new();
    let mut known = Vec::new();
    for node in &pipeline.nodes {
        let name = node.resource.name().to_owned();
        let (kind, store, is_end) = match &node.resource {
            Any::Queue(_) => (ResourceKind::Queue, Store::queue(&session.aws, &name), failures.contains(&name)),
            Any::Bucket(_) if buckets.contains(name.as_str()) => {
                (ResourceKind::Bucket, Store::bucket(&session.aws, &name), true)
            }
            _ => continue,
        };
        known.push(node.id.clone());
        if named.is_some_and(|named| named != node.id && named != name) {
            continue;
        }
        match is_owned(&session.cx, kind, &name).await? {
            None => {
                if named.is_some() {
                    return Err(Hint::error(
                        format!("there is no {} in AWS", kind.label(&name)),
                        "bring the pipeline up with `streamkit up` first",
                    ));
                }
                continue;
            }
            Some(false) => {
                return Err(Hint::error(
                    format!("{} is not this pipeline's, so it is left alone", kind.label(&name)),
                    "see what `streamkit plan` says of it",
                ));
            }
            Some(true) => {}
        }
        let mut place =
            Place { node: node.id.clone(), name: name.clone(), store, usage: Usage::default(), unread: None };
        place.usage = place.store.usage().await?.with_context(|| format!("{} has just gone", kind.label(&name)))?;
        let moves_on = place.usage.max_receives;
        place.unread = match (moves_on, named) {
            _ if !is_end && named.is_none() => Some("no failures go to it: name it with --queue to look".to_owned()),
            (Some(most), None) => {
                Some(format!("it moves messages on after {most} receives: name it with --queue to look all the same"))
            }
            // A look is one receive, and one more is for whom the message is meant.
            (Some(most), Some(_)) if most < 3 => Some(format!(
                "it moves messages on after {most} receives, so it can't be looked at without moving them"
            )),
            _ => None,
        };
        places.push(place);
    }
    if let Some(named) = named
        && places.is_empty()
    {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(UsageMistake(format!(
            "`{named}` is no queue or on-failure bucket of this pipeline; it has {known}"
        ))
        .into());
    }
    Ok(places)
}

/// # Errors
/// There is nothing that failures could have gone to.
pub(super) fn expect_some(places: &[Place]) -> anyhow::Result<()> {
    if places.is_empty() {
        return Err(Hint::error(
            "no queue or bucket of this pipeline is there that failures go to",
            "bring the pipeline up with `streamkit up` first",
        ));
    }
    Ok(())
}

/// The names of all on-failure destinations of a kind.
fn targets(pipeline: &Pipeline, kind: SectionKind) -> impl Iterator<Item = &str> {
    let all = pipeline.flows.iter().filter_map(|flow| flow.on_failure.as_ref());
    all.filter(move |(of, _)| *of == kind).map(|(_, name)| name.as_str())
}

/// The queues that get dead letters: of functions, of mappings (through a topic too), and of other queues.
fn failure_queues(session: &Session) -> BTreeSet<String> {
    let pipeline = &session.pipeline;
    let mut names: BTreeSet<String> = pipeline.flows.iter().filter_map(|flow| flow.dead_letters.clone()).collect();
    names.extend(targets(pipeline, SectionKind::Queue).map(str::to_owned));
    let topics: BTreeSet<String> =
        targets(pipeline, SectionKind::Topic).map(|topic| session.aws.arn("sns", topic)).collect();
    for node in &pipeline.nodes {
        let Any::Queue(queue) = &node.resource else { continue };
        if queue.fed_by.iter().any(|topic| topics.contains(topic)) {
            names.insert(queue.name.clone());
        }
        names.extend(queue.redrive.iter().filter_map(|redrive| Some(Arn::parse(&redrive.queue)?.name().to_owned())));
    }
    names
}

/// Which messages are meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen<'a> {
    /// By its name in the spec.
    pub(super) function: Option<&'a str>,
    pub(super) selection: Option<&'a Selection>,
}

impl Chosen<'_> {
    /// Whether a message is meant, as far as it tells itself.
    pub(super) fn includes(&self, message: &Message, flow: Option<&Flow>, now_ms: i64) -> bool {
        if let Some(wanted) = self.function
            && flow.is_none_or(|flow| flow.key != wanted)
        {
            return false;
        }
        self.selection.is_none_or(|selection| {
            super::reading::with_facts(message, flow, now_ms, |facts: &Facts<'_>| selection.includes(facts))
        })
    }
}

/// The function that a message is about.
pub(super) fn flow_of<'s>(session: &'s Session, message: &Message) -> Option<&'s Flow> {
    let function = message.kind.function()?;
    session.pipeline.flows.iter().find(|flow| flow.function == function)
}
