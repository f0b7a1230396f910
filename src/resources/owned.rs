//! The pipeline's resources as AWS has them, whether or not they are in the spec: found by name and tags, deleted by name.
//!
//! The Resource Groups Tagging API would be one call, but it does not know roles, lags behind by minutes, and no emulator
//! has all of it. Names are deterministic, so looking for them is exact; what it tells saves questions, where that does no harm.

mod by_kind;
mod names;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use futures_util::future::{join_all, try_join_all};

pub(super) use names::consumers as stream_consumers;

use super::consumer;
use super::context::Cx;
use super::log_group::OF_FUNCTIONS;
use super::mapping::mappings_of;
use super::role::{function_of, is_of_region};
use super::stream;
use super::table;
use crate::aws::{AwsError, NODE_TAG, PROTECT_TAG, Parent, Tags, VALIDATE_TAG, until_seen};
use crate::failure::Hint;
use crate::plan::{ResourceKind, region_of};

/// A resource that is this pipeline's.
#[derive(Debug)]
pub(crate) struct OwnedResource {
    pub(crate) kind: ResourceKind,
    pub(crate) name: String,
    pub(crate) arn: String,
    /// The node that it is or was.
    pub(crate) node: String,
    /// `protect = true` in the spec that made it.
    pub(crate) protected: bool,
    /// What is deleted with it, such as a table's items; `None` when it holds nothing.
    pub(crate) contents: Option<String>,
    /// What a mapping reads from.
    pub(crate) source: Option<String>,
    /// The region that it is in, where that is not the pipeline's own.
    pub(crate) region: Option<String>,
    /// Of a stream: the regions that it is copied into, or was.
    pub(crate) feeds: Vec<String>,
    /// A run of `validate` has made it for itself: nobody misses what it holds.
    is_of_validate: bool,
}

impl OwnedResource {
    /// A resource by its own tags.
    fn tagged(cx: &Cx, kind: ResourceKind, name: &str, tags: &Tags) -> Self {
        let node = tags.get(NODE_TAG).map_or(name, String::as_str);
        let protected = tags.get(PROTECT_TAG).is_some_and(|value| value == "true");
        let is_of_validate = tags.contains_key(VALIDATE_TAG);
        let arn = by_kind::arn(&cx.aws, kind, name);
        let feeds = stream::regions_fed(tags).filter(|_| kind == ResourceKind::Stream).collect();
        Self { protected, feeds, is_of_validate, ..Self::new(kind, name, arn, node.to_owned()) }
    }

    /// A resource that holds nothing and is not protected.
    pub(crate) fn new(kind: ResourceKind, name: &str, arn: String, node: String) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            arn,
            node,
            protected: false,
            contents: None,
            source: None,
            region: None,
            feeds: Vec::new(),
            is_of_validate: false,
        }
    }

    /// `Kinesis stream (retail-events)`, as errors name it.
    pub(crate) fn label(&self) -> String {
        let label = self.kind.label(&self.name);
        self.region.as_ref().map_or_else(|| label.clone(), |region| format!("{label} in {region}"))
    }

    /// Whether it is one of these.
    pub(crate) fn is_among(&self, others: &[Self]) -> bool {
        let key = |resource: &Self| (resource.kind, resource.name.clone(), resource.region.clone());
        others.iter().any(|other| key(other) == key(self))
    }

    /// Asks AWS to delete the resource; gone already is fine.
    pub(crate) async fn begin_deletion(&self, cx: &Cx) -> anyhow::Result<()> {
        let home = &cx.aws.region;
        let cx = &cx.at(self.region.as_deref());
        let deletion = async {
            match self.kind {
                ResourceKind::Table if self.region.is_some() => table::remove_replica(cx, &self.name, home).await,
                _ => by_kind::delete(cx, self).await,
            }
        };
        deletion.await.with_context(|| format!("deleting {}", self.label()))
    }

    /// Waits until the resource is gone, if its deletion takes AWS a while.
    pub(crate) async fn until_gone(&self, cx: &Cx) -> anyhow::Result<()> {
        let cx = &cx.at(self.region.as_deref());
        by_kind::until_gone(cx, self).await.with_context(|| format!("deleting {}", self.label()))
    }

    /// Deletes the resource, if it still is the owner's, and waits until no search finds it; gone already is fine.
    pub(crate) async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        if !self.is_still_owned(&cx.as_of_now()).await? {
            let message = format!("{} was left, since it does not belong to this pipeline any more", self.label());
            return Err(Hint::error(message, "run the same command again to see what is the pipeline's"));
        }
        self.begin_deletion(cx).await?;
        self.until_gone(cx).await?;
        let unfound = async || Ok((!self.is_found(cx).await).then_some(()));
        until_seen(unfound, cx.noting()).await.map(drop)
    }

    /// False once its tags name somebody else, or nobody where they once named the owner.
    async fn is_still_owned(&self, cx: &Cx) -> anyhow::Result<bool> {
        let cx = &cx.at(self.region.as_deref());
        let tags = match self.kind {
            // It has the owner of its function.
            ResourceKind::Mapping => return Ok(true),
            ResourceKind::Consumer => consumer::tags(cx, &self.arn).await,
            kind => by_kind::tags(cx, kind, &self.name).await,
        };
        let tags = tags.with_context(|| format!("reading the tags of {}", self.label()))?;
        // Lambda makes log groups without tags, and so did earlier versions with consumers.
        let may_lack_tags = matches!(self.kind, ResourceKind::LogGroup | ResourceKind::Consumer) || self.is_replica();
        let parent = if may_lack_tags { Parent::Owned } else { Parent::None };
        Ok(tags.is_none_or(|tags| cx.owner.owns(Some(&tags), parent)))
    }

    /// A replica of a table of the pipeline: AWS makes it without tags.
    fn is_replica(&self) -> bool {
        self.kind == ResourceKind::Table && self.region.is_some()
    }

    /// A search finds it for as long as AWS shows its tags.
    async fn is_found(&self, cx: &Cx) -> bool {
        let cx = &cx.at(self.region.as_deref());
        matches!(by_kind::tags(cx, self.kind, &self.name).await, Ok(Some(_)))
    }
}

/// A resource whose name begins as the pipeline's do and whose tags the caller may not read.
///
/// It may be the pipeline's or somebody else's, so it is never touched, and always reported.
#[derive(Debug)]
pub(crate) struct UnreadableResource {
    pub(crate) kind: ResourceKind,
    pub(crate) name: String,
    pub(crate) region: Option<String>,
    pub(crate) error: AwsError,
}

impl UnreadableResource {
    pub(crate) fn label(&self) -> String {
        let label = self.kind.label(&self.name);
        self.region.as_ref().map_or_else(|| label.clone(), |region| format!("{label} in {region}"))
    }
}

/// What a search need not look at, since somebody else does: kind and name, and the region where that is not the pipeline's own.
pub(crate) type Known<'a> = BTreeSet<(Option<&'a str>, ResourceKind, &'a str)>;

/// What a search for the pipeline's resources found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// In the order of their deletion.
    pub(crate) owned: Vec<OwnedResource>,
    pub(crate) unreadable: Vec<UnreadableResource>,
}

/// Finds all that the owner has in the account, in the context's region and in those that its tables have replicas in and its streams
/// are copied into, but for what is `known`.
///
/// Of a resource that is somebody else's nothing but the tags is read.
pub(crate) async fn owned_resources(cx: &Cx, prefix: &str, known: &Known<'_>) -> anyhow::Result<Search> {
    let of_region = |region: Option<&str>| -> BTreeSet<(ResourceKind, &str)> {
        known.iter().filter(|(of, ..)| *of == region).map(|(_, kind, name)| (*kind, *name)).collect()
    };
    let here = of_region(None);
    let mut search = owned_in_region(cx, prefix, &here, &BTreeSet::new()).await?;
    if cx.is_guest {
        return Ok(search);
    }
    let tables = here.iter().copied().chain(search.owned.iter().map(|owned| (owned.kind, owned.name.as_str())));
    let tables = tables.filter(|(kind, _)| *kind == ResourceKind::Table).map(|(_, name)| name);
    let mut replicated = replicated_tables(cx, tables).await?;
    let fed = search.owned.iter().flat_map(|owned| owned.feeds.iter().cloned());
    for region in fed.chain(regions_fed(cx, &here).await?) {
        replicated.entry(region).or_default();
    }
    replicated.remove(&cx.aws.region);
    for region in known.iter().filter_map(|(region, ..)| *region) {
        replicated.entry(region.to_owned()).or_default();
    }
    let elsewhere = try_join_all(replicated.iter().map(async |(region, tables)| {
        let found = owned_in_region(&cx.in_region(region), prefix, &of_region(Some(region)), tables).await;
        let mut found = found.with_context(|| format!("looking in {region}"))?;
        for owned in &mut found.owned {
            if region_of(&owned.node).is_none() {
                owned.node = format!("{}@{region}", owned.node);
            }
            owned.region = Some(region.clone());
        }
        for unreadable in &mut found.unreadable {
            unreadable.region = Some(region.clone());
        }
        anyhow::Ok(found)
    }))
    .await?;
    for found in elsewhere {
        search.owned.extend(found.owned);
        search.unreadable.extend(found.unreadable);
    }
    search.owned.sort_by(|a, b| (a.kind, &a.node).cmp(&(b.kind, &b.node)));
    Ok(search)
}

/// The regions that known streams are copied into, or were.
async fn regions_fed(cx: &Cx, known: &BTreeSet<(ResourceKind, &str)>) -> anyhow::Result<BTreeSet<String>> {
    let streams = known.iter().filter(|(kind, _)| *kind == ResourceKind::Stream);
    let tags = try_join_all(streams.map(async |(kind, name)| {
        let described = stream::described(cx, name).await.with_context(|| format!("reading {}", kind.label(name)))?;
        if described.is_none() {
            return Ok(None);
        }
        let tags = stream::tags_of(cx, name).await;
        tags.with_context(|| format!("reading the tags of {}", kind.label(name))).map(Some)
    }))
    .await?;
    let ours = tags.iter().flatten().filter_map(|tags| tags.as_ref().as_ref());
    Ok(ours.filter(|tags| cx.owner.owns(Some(tags), Parent::None)).flat_map(stream::regions_fed).collect())
}

/// The regions in which these tables have replicas, and which tables do.
async fn replicated_tables<'a>(
    cx: &Cx,
    tables: impl Iterator<Item = &'a str>,
) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let described = try_join_all(tables.map(async |name| {
        let table = table::described(cx, name).await;
        anyhow::Ok((name, table.with_context(|| format!("reading {}", ResourceKind::Table.label(name)))?))
    }))
    .await?;
    let mut regions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, table) in &described {
        for region in table.iter().flat_map(table::replica_regions) {
            regions.entry(region.clone()).or_default().insert((*name).to_owned());
        }
    }
    Ok(regions)
}

/// What the owner has in the context's region; `replicas` are tables that replicate one of the owner's.
async fn owned_in_region(
    cx: &Cx,
    prefix: &str,
    known: &BTreeSet<(ResourceKind, &str)>,
    replicas: &BTreeSet<String>,
) -> anyhow::Result<Search> {
    let start = format!("{prefix}-");
    // `down` knows nothing of the spec; what a spec names is looked for by itself.
    let names = names::starting_with(cx, &start, known.is_empty()).await?;
    let unknown = names.iter().filter(|(kind, name)| !known.contains(&(*kind, name.as_str())));
    let (tagged, mut unreadable) = read_tags(cx, unknown, known.is_empty()).await?;
    let mut owned = owned_by_tags(cx, &tagged).await?;
    owned.extend(untagged_replicas(cx, &tagged, replicas, &start));
    let functions = functions(cx, &owned, &names);
    owned.extend(untagged_log_groups(cx, &tagged, &functions));
    owned.extend(mappings(cx, &start, &functions, known).await?);
    let (consumers, denied) = consumers(cx, &start, &owned, &functions, known).await?;
    owned.extend(consumers);
    unreadable.extend(denied);
    owned.sort_by(|a, b| (a.kind, &a.node).cmp(&(b.kind, &b.node)));
    measure_contents(cx, &mut owned).await?;
    Ok(Search { owned, unreadable })
}

/// Whether a resource that is tagged itself is the owner's; `None` where there is none of that name.
pub(crate) async fn is_owned(cx: &Cx, kind: ResourceKind, name: &str) -> anyhow::Result<Option<bool>> {
    let tags = by_kind::tags(cx, kind, name).await;
    let tags = tags.with_context(|| format!("reading the tags of {}", kind.label(name)))?;
    Ok(tags.map(|tags| cx.owner.owns(Some(&tags), Parent::None)))
}

/// The tags of each resource that there is, and the resources whose tags may not be read; `of_all` of the pipeline's, or of some.
///
/// What holds data, or has to be known for certain, is asked itself. While some of it is there, the rest of the whole pipeline goes by
/// what is told of it: after a deletion, that may be told for minutes, and listed as long as lists lag.
async fn read_tags<'a>(
    cx: &Cx,
    names: impl Iterator<Item = &'a (ResourceKind, String)>,
    of_all: bool,
) -> anyhow::Result<(Vec<(ResourceKind, &'a str, Tags)>, Vec<UnreadableResource>)> {
    let (replaceable, certain): (Vec<_>, Vec<_>) = names.partition(|(kind, _)| by_kind::holds_nothing(*kind));
    let (mut tagged, mut unreadable) = ask_for_tags(cx, certain).await?;
    let stands = of_all && tagged.iter().any(|(_, _, tags)| cx.owner.owns(Some(tags), Parent::None));
    let cx = if stands { &cx.going_by_told_tags() } else { cx };
    let (more, denied) = ask_for_tags(cx, replaceable).await?;
    tagged.extend(more);
    unreadable.extend(denied);
    Ok((tagged, unreadable))
}

async fn ask_for_tags<'a>(
    cx: &Cx,
    names: Vec<&'a (ResourceKind, String)>,
) -> anyhow::Result<(Vec<(ResourceKind, &'a str, Tags)>, Vec<UnreadableResource>)> {
    let answers =
        try_join_all(names.into_iter().map(async |(kind, name)| match by_kind::tags(cx, *kind, name).await {
            Err(error) if !error.is_denied() => {
                Err(error).with_context(|| format!("reading the tags of {}", kind.label(name)))
            }
            answer => Ok((*kind, name, answer)),
        }))
        .await?;
    let mut tagged = Vec::new();
    let mut unreadable = Vec::new();
    for (kind, name, answer) in answers {
        match answer {
            Ok(Some(tags)) => tagged.push((kind, name.as_str(), tags)),
            Ok(None) => {}
            Err(error) => unreadable.push(UnreadableResource { kind, name: name.clone(), region: None, error }),
        }
    }
    Ok((tagged, unreadable))
}

/// The resources whose own tags name the owner.
async fn owned_by_tags(cx: &Cx, tagged: &[(ResourceKind, &str, Tags)]) -> anyhow::Result<Vec<OwnedResource>> {
    let mut owned = Vec::new();
    for (kind, name, tags) in tagged.iter().filter(|(_, _, tags)| cx.owner.owns(Some(tags), Parent::None)) {
        if *kind != ResourceKind::Role || is_of_region(cx, name).await? {
            owned.push(OwnedResource::tagged(cx, *kind, name, tags));
        }
    }
    Ok(owned)
}

/// Replicas that nobody has tagged yet, since a run ended before it could.
fn untagged_replicas(
    cx: &Cx,
    tagged: &[(ResourceKind, &str, Tags)],
    replicas: &BTreeSet<String>,
    start: &str,
) -> Vec<OwnedResource> {
    let is_untagged =
        |tags: &Tags| !cx.owner.owns(Some(tags), Parent::None) && cx.owner.owns(Some(tags), Parent::Owned);
    let found = tagged
        .iter()
        .filter(|(kind, name, tags)| *kind == ResourceKind::Table && replicas.contains(*name) && is_untagged(tags));
    let replica = |name: &str| {
        let node = format!("table.{}", name.strip_prefix(start).unwrap_or(name));
        OwnedResource::new(ResourceKind::Table, name, by_kind::arn(&cx.aws, ResourceKind::Table, name), node)
    };
    found.map(|(_, name, _)| replica(name)).collect()
}

/// The functions that are the owner's by their tags, or where a function is gone, by those of the role that it had.
fn functions(cx: &Cx, owned: &[OwnedResource], names: &BTreeSet<(ResourceKind, String)>) -> BTreeSet<String> {
    let function = |resource: &OwnedResource| match resource.kind {
        ResourceKind::Function => Some(resource.name.clone()),
        ResourceKind::Role => {
            let of_role = (ResourceKind::Function, function_of(&resource.name, &cx.aws.region).to_owned());
            (!names.contains(&of_role)).then_some(of_role.1)
        }
        _ => None,
    };
    owned.iter().filter_map(function).collect()
}

/// The log groups that Lambda has made by itself for the functions: without tags.
fn untagged_log_groups(
    cx: &Cx,
    tagged: &[(ResourceKind, &str, Tags)],
    functions: &BTreeSet<String>,
) -> Vec<OwnedResource> {
    let is_of_function =
        |name: &str| name.strip_prefix(OF_FUNCTIONS).is_some_and(|function| functions.contains(function));
    let parent = |name: &str| if is_of_function(name) { Parent::Owned } else { Parent::None };
    let by_parent =
        |name: &str, tags: &Tags| cx.owner.owns(Some(tags), parent(name)) && !cx.owner.owns(Some(tags), Parent::None);
    tagged
        .iter()
        .filter(|(kind, name, tags)| *kind == ResourceKind::LogGroup && by_parent(name, tags))
        .map(|(kind, name, _)| OwnedResource::new(*kind, name, by_kind::arn(&cx.aws, *kind, name), (*name).to_owned()))
        .collect()
}

/// The event source mappings of the functions: one resource for all of a function's.
async fn mappings(
    cx: &Cx,
    start: &str,
    functions: &BTreeSet<String>,
    known: &BTreeSet<(ResourceKind, &str)>,
) -> anyhow::Result<Vec<OwnedResource>> {
    let unknown = functions.iter().filter(|function| !known.contains(&(ResourceKind::Mapping, function)));
    let found = try_join_all(unknown.map(async |function| {
        let all = mappings_of(cx, function).await.with_context(|| format!("listing the mappings of {function}"))?;
        let node = format!("function.{}.source", function.strip_prefix(start).unwrap_or(function));
        anyhow::Ok(all.into_iter().next().map(|first| {
            let arn = first.event_source_mapping_arn.unwrap_or_default();
            let source = first.event_source_arn;
            OwnedResource { source, ..OwnedResource::new(ResourceKind::Mapping, function, arn, node) }
        }))
    }))
    .await?;
    Ok(found.into_iter().flatten().collect())
}

/// The consumers of the pipeline's streams that are the owner's, and those whose tags may not be read.
///
/// Earlier versions registered consumers without tags: such a one has the owner of the function of its name.
async fn consumers(
    cx: &Cx,
    start: &str,
    owned: &[OwnedResource],
    functions: &BTreeSet<String>,
    known: &BTreeSet<(ResourceKind, &str)>,
) -> anyhow::Result<(Vec<OwnedResource>, Vec<UnreadableResource>)> {
    let kind = ResourceKind::Consumer;
    let of_owned = owned.iter().map(|resource| (resource.kind, resource.name.as_str()));
    let streams = known.iter().copied().chain(of_owned).filter(|(kind, _)| *kind == ResourceKind::Stream);
    let listed = try_join_all(streams.map(async |(_, stream)| {
        names::consumers(cx, &by_kind::arn(&cx.aws, ResourceKind::Stream, stream), start).await
    }))
    .await?;
    let unknown = listed.into_iter().flatten().filter(|(name, _)| !known.contains(&(kind, name)));
    let answers = join_all(unknown.map(async |(name, arn)| (consumer::tags(cx, &arn).await, name, arn))).await;
    let is_function = |name: &str| functions.contains(name) || known.contains(&(ResourceKind::Function, name));
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for (tags, name, arn) in answers {
        match tags {
            Ok(Some(tags)) if cx.owner.owns(Some(&tags), Parent::None) => {
                found.push(OwnedResource { arn, ..OwnedResource::tagged(cx, kind, &name, &tags) });
            }
            // One with other tags was registered by somebody else, whatever its name.
            Ok(Some(tags)) if tags.is_empty() && is_function(&name) && cx.owner.owns(Some(&tags), Parent::Owned) => {
                let node = format!("function.{}.consumer", name.strip_prefix(start).unwrap_or(&name));
                found.push(OwnedResource::new(kind, &name, arn, node));
            }
            Ok(_) => {}
            Err(error) if error.is_denied() => unreadable.push(UnreadableResource { kind, name, region: None, error }),
            Err(error) => return Err(error).with_context(|| format!("reading the tags of {}", kind.label(&name))),
        }
    }
    Ok((found, unreadable))
}

/// Waits until a later search does not find these either, as lists may show for a while what is gone; gives what is left.
pub(crate) async fn until_unfound(cx: &Cx, mut left: Vec<OwnedResource>) -> anyhow::Result<Vec<OwnedResource>> {
    let unfound = async || {
        let found = join_all(left.iter().map(|resource| resource.is_found(cx))).await;
        let mut found = found.into_iter();
        left.retain(|_| found.next().unwrap_or(true));
        Ok(left.is_empty().then_some(()))
    };
    until_seen(unfound, |_| {}).await?;
    Ok(left)
}

async fn measure_contents(cx: &Cx, owned: &mut [OwnedResource]) -> anyhow::Result<()> {
    let kept = owned.iter_mut().filter(|resource| !resource.is_of_validate);
    try_join_all(kept.map(async |resource| {
        let contents = by_kind::contents(cx, resource.kind, &resource.name).await;
        resource.contents = contents.with_context(|| format!("measuring the contents of {}", resource.label()))?;
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}
