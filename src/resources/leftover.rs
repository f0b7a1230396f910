//! Finds what carries this pipeline's tags, by asking each service for names with the pipeline's prefix.
//!
//! The Resource Groups Tagging API would be one call, but it does not know roles, lags behind by minutes, and no emulator
//! has all of it. Names are deterministic, so looking for them is exact.

mod names;
mod stub;

use std::collections::BTreeSet;

use anyhow::Context as _;
use futures_util::future::try_join_all;

use self::stub::stub;
use super::Consumer;
use super::any::Any;
use super::context::Cx;
use super::mapping::mappings_of;
use super::resource::Resource as _;
use super::role::{function_of, is_of_region};
use crate::aws::{NODE_TAG, PIPELINE_TAG, PROTECT_TAG};
use crate::plan::ResourceKind;

/// A resource that is this pipeline's.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// The node that it is or was.
    pub(crate) node: String,
    pub(crate) arn: String,
    pub(crate) resource: Any,
    /// `protect = true` in the spec that made it.
    pub(crate) protected: bool,
    /// What goes with it.
    pub(crate) contents: Option<String>,
}

/// Finds all that the owner has in the account and region, in the order in which it is taken down, but for what is `known`.
///
/// Mappings, and log groups that Lambda has made, carry no tags: they are whose function they belong to. Where that is gone,
/// they are whose its role is.
pub(crate) async fn leftovers(
    cx: &Cx,
    prefix: &str,
    known: &BTreeSet<(ResourceKind, &str)>,
) -> anyhow::Result<Vec<Leftover>> {
    let start = format!("{prefix}-");
    let (streams, tables, buckets, queues, roles, groups, lambdas, topics, alarms, dashboards) = tokio::try_join!(
        names::streams(cx, &start),
        names::tables(cx, &start),
        names::buckets(cx, &start),
        names::queues(cx, &start),
        names::roles(cx, &start),
        names::log_groups(cx, &start),
        names::lambdas(cx, &start),
        names::topics(cx, &start),
        names::alarms(cx, &start),
        names::dashboards(cx, &start),
    )?;
    let of = |kind: ResourceKind, names: Vec<String>| {
        names.into_iter().map(move |name| stub(cx, kind, &name)).collect::<Vec<_>>()
    };
    let existing: BTreeSet<String> = lambdas.iter().cloned().collect();
    let mut candidates = of(ResourceKind::Alarm, alarms);
    candidates.extend(of(ResourceKind::Dashboard, dashboards));
    candidates.extend(of(ResourceKind::Function, lambdas));
    candidates.extend(of(ResourceKind::LogGroup, groups));
    candidates.extend(of(ResourceKind::Role, roles));
    candidates.extend(of(ResourceKind::Topic, topics));
    candidates.extend(of(ResourceKind::Queue, queues));
    candidates.extend(of(ResourceKind::Bucket, buckets));
    candidates.extend(of(ResourceKind::Table, tables));
    candidates.extend(of(ResourceKind::Stream, streams));
    candidates.retain(|resource| !known.contains(&(resource.kind(), resource.name())));
    let looked = try_join_all(candidates.into_iter().map(async |resource| {
        let seen = resource.read(cx).await?;
        anyhow::Ok((resource, seen))
    }))
    .await?;
    let mut found = Vec::new();
    let mut untagged_groups = Vec::new();
    let mut functions = BTreeSet::new();
    for (resource, seen) in looked {
        let Some(seen) = seen else { continue };
        let tags = seen.tags.unwrap_or_default();
        if cx.owner.owns(&tags) {
            match resource.kind() {
                ResourceKind::Function => functions.insert(resource.name().to_owned()),
                // A role may outlive its function. A function that exists says itself whose it is.
                ResourceKind::Role => {
                    if !is_of_region(resource.name(), &seen.fields, &cx.aws.region) {
                        continue;
                    }
                    let function = function_of(resource.name(), &cx.aws.region).to_owned();
                    !existing.contains(&function) && functions.insert(function)
                }
                _ => false,
            };
            let node = tags.get(NODE_TAG).cloned().unwrap_or_else(|| resource.name().to_owned());
            let protected = tags.get(PROTECT_TAG).is_some_and(|value| value == "true");
            found.push(Leftover { node, arn: seen.arn, resource, protected, contents: None });
        } else if resource.kind() == ResourceKind::LogGroup && !tags.contains_key(PIPELINE_TAG) {
            untagged_groups.push((resource, seen.arn));
        }
    }
    for (resource, arn) in untagged_groups {
        if resource.name().strip_prefix("/aws/lambda/").is_some_and(|function| functions.contains(function)) {
            let node = resource.name().to_owned();
            found.push(Leftover { node, arn, resource, protected: false, contents: None });
        }
    }
    functions.retain(|function| !known.contains(&(ResourceKind::Mapping, function)));
    let mappings = try_join_all(functions.iter().map(async |function| {
        let all = mappings_of(cx, function).await.with_context(|| format!("listing the mappings of {function}"))?;
        anyhow::Ok(all.into_iter().next().map(|mapping| (function, mapping.event_source_mapping_arn)))
    }))
    .await?;
    for (function, arn) in mappings.into_iter().flatten() {
        let key = function.strip_prefix(&start).unwrap_or(function);
        let resource = stub(cx, ResourceKind::Mapping, function);
        found.push(Leftover {
            node: format!("function.{key}.source"),
            arn: arn.unwrap_or_default(),
            resource,
            protected: false,
            contents: None,
        });
    }
    found.extend(consumers(cx, &start, &found, known).await?);
    found.sort_by(|a, b| (a.resource.kind(), &a.node).cmp(&(b.resource.kind(), &b.node)));
    try_join_all(found.iter_mut().map(async |leftover| {
        leftover.contents = leftover.resource.contents(cx).await?;
        anyhow::Ok(())
    }))
    .await?;
    Ok(found)
}

/// The stream consumers of our streams that were registered for functions of this pipeline.
async fn consumers(
    cx: &Cx,
    start: &str,
    found: &[Leftover],
    known: &BTreeSet<(ResourceKind, &str)>,
) -> anyhow::Result<Vec<Leftover>> {
    let of_found = found.iter().map(|leftover| (leftover.resource.kind(), leftover.resource.name()));
    let streams: BTreeSet<&str> = known
        .iter()
        .copied()
        .chain(of_found)
        .filter(|(kind, _)| *kind == ResourceKind::Stream)
        .map(|(_, name)| name)
        .collect();
    let listed = try_join_all(streams.into_iter().map(async |stream| {
        let stream = cx.aws.arn("kinesis", &format!("stream/{stream}"));
        let consumers = names::consumers(cx, &stream, start).await?;
        anyhow::Ok(
            consumers
                .into_iter()
                .map(|(name, arn)| {
                    let node = format!("function.{}.consumer", name.strip_prefix(start).unwrap_or(&name));
                    let resource = Any::Consumer(Consumer { name, stream: stream.clone() });
                    Leftover { node, arn, resource, protected: false, contents: None }
                })
                .collect::<Vec<_>>(),
        )
    }))
    .await?;
    Ok(listed
        .into_iter()
        .flatten()
        .filter(|leftover| !known.contains(&(ResourceKind::Consumer, leftover.resource.name())))
        .collect())
}
