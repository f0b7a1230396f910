//! What is there of each node: what plans compare, and what beside that a tool needs which takes it over.

use anyhow::Context as _;
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::aws::Tags;
use crate::pipeline::{Node, Pipeline};
use crate::resources::{Any, Cx, Observed, Subscription};

/// A node as AWS has it.
#[derive(Debug)]
pub(crate) struct Live {
    /// `None` where there is nothing yet.
    pub(crate) seen: Option<Observed>,
    pub(crate) details: Details,
}

/// What no plan compares.
#[derive(Debug)]
pub(crate) enum Details {
    None,
    Function {
        description: String,
        handler: String,
    },
    Role {
        description: String,
        path: String,
    },
    Mapping {
        uuid: String,
        position: Option<String>,
        timestamp: Option<String>,
    },
    /// Each with its ARN, once it is confirmed.
    Topic(Vec<(Subscription, Option<String>)>),
    Key {
        id: String,
        description: String,
    },
    /// Scalable dimensions with the names of their policies.
    Table(Vec<(String, String)>),
}

/// The tags that a node has, or else is to have. What AWS itself has put there is nobody's to set.
pub(super) fn tags(node: &Node, live: Option<&Live>) -> Tags {
    let has = live.and_then(|live| live.seen.as_ref()).and_then(|seen| seen.tags.clone());
    let mut tags = has.unwrap_or_else(|| node.tags.clone());
    tags.retain(|key, _| !key.starts_with("aws:"));
    tags
}

/// Looks for the details of all nodes, of which `seen` was seen.
pub(crate) async fn look(cx: &Cx, pipeline: &Pipeline, seen: Vec<Option<Observed>>) -> anyhow::Result<Vec<Live>> {
    try_join_all(pipeline.nodes.iter().zip(seen).map(async |(node, seen)| {
        let details = if seen.is_some() { Box::pin(details(cx, node)).await? } else { Details::None };
        Ok(Live { seen, details })
    }))
    .await
}

async fn details(cx: &Cx, node: &Node) -> anyhow::Result<Details> {
    let cx = &cx.at(node.resource.region());
    let details = match node.resource.inner() {
        Any::Function(function) => {
            let (description, handler) = function.description(cx).await?;
            Details::Function { description, handler }
        }
        Any::Role(role) => {
            let role = role.described(cx).await?.context("the role is gone")?;
            Details::Role { description: role.description.unwrap_or_default(), path: role.path }
        }
        Any::Mapping(mapping) => {
            let found = mapping.find(cx).await?.context("the mapping is gone")?;
            let timestamp = found.starting_position_timestamp.and_then(|at| Timestamp::from_second(at.secs()).ok());
            Details::Mapping {
                uuid: found.uuid.context("a mapping without a UUID")?,
                position: found.starting_position.map(|position| position.as_str().to_owned()),
                timestamp: timestamp.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            }
        }
        Any::Topic(topic) => Details::Topic(topic.present(cx).await?),
        Any::Key(key) => {
            let (id, description) = key.description(cx).await?;
            Details::Key { id, description }
        }
        Any::Table(table) if table.is_scaled() => Details::Table(table.scaling_policies(cx).await?),
        _ => Details::None,
    };
    Ok(details)
}
