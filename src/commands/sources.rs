//! What records are read from: the stream of a node.

use anyhow::Context as _;

use super::session::Session;
use crate::aws::{answered, existing};
use crate::failure::{Hint, Usage};
use crate::pipeline::FlowSource;
use crate::records::Source;
use crate::resources::{Any, Resource as _};

/// The node of a source.
pub(super) fn node_of(session: &Session, source: &FlowSource) -> anyhow::Result<String> {
    let is = |resource: &Any| match (resource, source) {
        (Any::Stream(stream), FlowSource::Stream(name)) => stream.name() == name,
        (Any::Table(_) | Any::Replica(_), FlowSource::Table(name)) => resource.name() == name,
        _ => false,
    };
    let node = session.pipeline.nodes.iter().find(|node| is(&node.resource));
    node.map(|node| node.id.clone()).context("the function's source is not in the spec")
}

/// What is read: the stream of this node.
pub(super) async fn source(session: &Session, node: &str) -> anyhow::Result<Source> {
    let up_first = |what: String| Hint::error(what, "bring the pipeline up with `streamkit up` first");
    match session.pipeline.nodes.iter().find(|other| other.id == node).map(|node| &node.resource) {
        Some(Any::Stream(stream)) => Ok(Source::new(&stream.arn(&session.aws))),
        Some(table @ (Any::Table(_) | Any::Replica(_))) => {
            let name = table.name();
            let call = session.aws.dynamodb.describe_table().table_name(name);
            let described = existing(answered(call.send().await))
                .with_context(|| format!("looking for the stream of DynamoDB table ({name})"))?;
            let described = described.and_then(|answer| answer.table);
            let described = described.ok_or_else(|| up_first(format!("there is no DynamoDB table {name}")))?;
            // A stream that was switched off stays readable for a day.
            let arn = described.latest_stream_arn;
            arn.map(|arn| Source::new(&arn)).ok_or_else(|| {
                Hint::error(
                    format!("{node} has no stream of changes"),
                    "write stream = \"new-and-old-images\" in its section, and run `streamkit up`",
                )
            })
        }
        Some(_) => Err(Usage(format!("{node} has no records to read: name a stream or a table")).into()),
        None => {
            let nodes = session.pipeline.nodes.iter();
            let readable =
                nodes.filter(|node| matches!(node.resource, Any::Stream(_) | Any::Table(_) | Any::Replica(_)));
            let readable: Vec<_> = readable.map(|node| node.id.as_str()).collect();
            Err(Usage(format!("there is no {node} in this pipeline; there is {}", readable.join(", "))).into())
        }
    }
}
