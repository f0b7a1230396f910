//! What others have attached to the pipeline's resources: shown by `plan`, and never touched.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde::Serialize;

use super::any::Any;
use super::context::Cx;
use super::mapping::{function_of, mappings_from};
use super::owned::stream_consumers;
use super::resource::Resource as _;
use crate::plan::ResourceKind;

/// Something of somebody else's at one of the pipeline's resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Attachment {
    /// The pipeline's node.
    pub(crate) node: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Its name, or for a mapping what it connects.
    pub(crate) name: String,
    pub(crate) arn: String,
}

/// What others have attached to these resources, which exist; `own` are all that are the pipeline's.
///
/// It is read to help: what the caller may not see, or an endpoint does not know, is passed over.
pub(crate) async fn attached(cx: &Cx, nodes: &[(&str, &Any)], own: &BTreeSet<(ResourceKind, &str)>) -> Vec<Attachment> {
    let (mappings, consumers, subscriptions) =
        tokio::join!(mappings(cx, nodes, own), consumers(cx, nodes, own), subscriptions(cx, nodes));
    let found: BTreeSet<Attachment> = mappings.into_iter().chain(consumers).chain(subscriptions).collect();
    found.into_iter().collect()
}

/// Mappings of the pipeline's functions that it did not make, and those from its streams and queues to other functions.
async fn mappings(cx: &Cx, nodes: &[(&str, &Any)], own: &BTreeSet<(ResourceKind, &str)>) -> Vec<Attachment> {
    let of_functions = nodes.iter().filter_map(|(_, any)| match any {
        Any::Mapping(mapping) => Some(mapping),
        _ => None,
    });
    let foreign = join_all(of_functions.map(async |mapping| {
        let node = of_kind(nodes, ResourceKind::Function).find(|(_, any)| any.name() == mapping.function);
        let found = mapping.foreign(cx).await.unwrap_or_default();
        found
            .into_iter()
            .filter_map(|(source, arn)| Some(attachment(node?.0, &source, &mapping.function, arn)))
            .collect()
    }));
    let sources = nodes.iter().filter_map(|(node, any)| Some((*node, source_arn(cx, nodes, any)?)));
    let readers = join_all(sources.map(async |(node, source)| {
        let others = mappings_from(cx, &source).await.unwrap_or_default().into_iter().filter_map(|mapping| {
            let name = function_of(&mapping)?.to_owned();
            let arn = mapping.event_source_mapping_arn.or(mapping.uuid)?;
            (!own.contains(&(ResourceKind::Function, name.as_str()))).then(|| attachment(node, &source, &name, arn))
        });
        others.collect::<Vec<_>>()
    }));
    let (foreign, readers): (Vec<Vec<_>>, Vec<Vec<_>>) = tokio::join!(foreign, readers);
    foreign.into_iter().chain(readers).flatten().collect()
}

fn attachment(node: &str, source: &str, function: &str, arn: String) -> Attachment {
    let kind = ResourceKind::Mapping.text();
    Attachment { node: node.to_owned(), kind, name: format!("{source} to {function}"), arn }
}

/// The ARN that mappings name when they read from the resource.
fn source_arn(cx: &Cx, nodes: &[(&str, &Any)], any: &Any) -> Option<String> {
    match any {
        Any::Stream(_) | Any::Queue(_) => Some(any.arn(&cx.aws)),
        // The ARN of a table's stream is known where a mapping of the pipeline reads it.
        Any::Table(table) => nodes.iter().find_map(|(_, any)| match any {
            Any::Mapping(mapping) => mapping.stream_of_table(&table.name),
            _ => None,
        }),
        _ => None,
    }
}

/// Consumers of the pipeline's streams that are not the pipeline's.
async fn consumers(cx: &Cx, nodes: &[(&str, &Any)], own: &BTreeSet<(ResourceKind, &str)>) -> Vec<Attachment> {
    let found = join_all(of_kind(nodes, ResourceKind::Stream).map(async |(node, stream)| {
        let listed = stream_consumers(cx, &stream.arn(&cx.aws), "").await.unwrap_or_default();
        let others = listed.into_iter().filter(|(name, _)| !own.contains(&(ResourceKind::Consumer, name.as_str())));
        let kind = ResourceKind::Consumer.text();
        others.map(|(name, arn)| Attachment { node: node.to_owned(), kind, name, arn }).collect::<Vec<_>>()
    }));
    found.await.into_iter().flatten().collect()
}

/// Subscriptions of the pipeline's topics that it did not make.
async fn subscriptions(cx: &Cx, nodes: &[(&str, &Any)]) -> Vec<Attachment> {
    let topics = nodes.iter().filter_map(|(node, any)| match any {
        Any::Topic(topic) => Some((*node, topic)),
        _ => None,
    });
    let found = join_all(topics.map(async |(node, topic)| {
        let others = topic.subscriptions_of_others(cx).await.unwrap_or_default().into_iter();
        let attachment = |(name, arn)| Attachment { node: node.to_owned(), kind: "SNS subscription", name, arn };
        others.map(attachment).collect::<Vec<_>>()
    }));
    found.await.into_iter().flatten().collect()
}

fn of_kind<'a>(nodes: &'a [(&'a str, &'a Any)], kind: ResourceKind) -> impl Iterator<Item = (&'a str, &'a Any)> {
    nodes.iter().copied().filter(move |(_, any)| any.kind() == kind)
}
