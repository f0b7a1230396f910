//! What of a pipeline is in other regions than its own: replicas of tables, and functions with all that they need there.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::{Builder, Node, Parts, Pipeline, ReplacedWith, kept};
use crate::aws::Clients;
use crate::graph::{Need, Until};
use crate::resources::{Any, Replica};
use crate::spec::{self, ChangesFrom, Pattern, Recipient, Reference, SectionKind, Spanned, Spec, Target, named};

/// How much of a spec is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it but for what is only in other regions, which these are.
    Whole { elsewhere: BTreeSet<Reference> },
    /// What is in this region, and what follows functions there.
    Region { region: String, sections: BTreeSet<Reference> },
}

impl Extent {
    pub(super) fn has(&self, kind: SectionKind, name: &str) -> bool {
        match self {
            Self::Whole { elsewhere } => !elsewhere.contains(&Reference::new(kind, name)),
            Self::Region { sections, .. } => sections.contains(&Reference::new(kind, name)),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole { .. })
    }

    /// A node's id among those of all regions.
    pub(super) fn full_id(&self, id: &str) -> String {
        match self {
            Self::Whole { .. } => id.to_owned(),
            Self::Region { region, .. } => format!("{id}@{region}"),
        }
    }
}

impl Parts<'_> {
    /// The other regions that functions or streams are in.
    pub(crate) fn regions(&self) -> BTreeSet<&str> {
        let of_functions = self.spec.function.values().flat_map(|function| &function.regions);
        let of_streams = self.spec.stream.values().filter_map(|stream| stream.region.as_ref());
        of_functions.chain(of_streams).map(|region| region.get_ref().as_str()).collect()
    }
}

/// The sections that are in a region: its streams, the functions that name it or read one of these, what they read and write, what
/// of that leads to something else, and the alarms on any of it with whom they notify.
fn sections_in(spec: &Spec, region: &str) -> BTreeSet<Reference> {
    let is_here = |stream: &str| spec.region_of_stream(stream) == Some(region);
    let streams = spec.stream.keys().map(Spanned::get_ref).filter(|name| is_here(name));
    let mut sections: BTreeSet<_> = streams.map(|name| Reference::new(SectionKind::Stream, name)).collect();
    for (name, function) in &spec.function {
        let is_named = function.regions.iter().any(|named| named.get_ref() == region);
        if !is_named && spec.region_of_function(function) != Some(region) {
            continue;
        }
        sections.insert(Reference::new(SectionKind::Function, name.get_ref()));
        let source = function.source.get_ref();
        let used = function.writes.iter().chain(&function.reads).chain(&function.publishes);
        let used = used.chain(&function.dead_letters).chain(&source.on_failure).chain([&source.from]);
        // A stream is in one region, from wherever it is written.
        let used = used.map(Spanned::get_ref).filter(|used| used.kind != SectionKind::Stream || is_here(&used.name));
        sections.extend(used.cloned());
        for target in function.allow.iter().flat_map(|allowed| &allowed.get_ref().on) {
            if let Target::Section(section) = target.get_ref()
                && !matches!(section.kind, SectionKind::Function | SectionKind::Stream)
            {
                sections.insert(section.clone());
            }
        }
    }
    for (name, alarm) in &spec.alarm {
        let watched = alarm.watch.as_ref().and_then(|watch| spec::watched(watch.get_ref(), spec).ok());
        if watched.is_some_and(|(section, _)| sections.contains(&section)) {
            sections.extend(alarm.notify.0.iter().map(|topic| topic.get_ref().clone()));
            sections.insert(Reference::new(SectionKind::Alarm, name.get_ref()));
        }
    }
    loop {
        let more: Vec<Reference> = sections.iter().flat_map(|section| leads_to(spec, section)).collect();
        let before = sections.len();
        sections.extend(more);
        if sections.len() == before {
            return sections;
        }
    }
}

/// The queues that something leads to: of a queue's dead letters, and of a topic's subscribers.
fn leads_to(spec: &Spec, section: &Reference) -> Vec<Reference> {
    match section.kind {
        SectionKind::Queue => {
            let next = named(&spec.queue, &section.name).and_then(|queue| queue.dead_letters.as_ref());
            next.map(|next| next.get_ref().clone()).into_iter().collect()
        }
        SectionKind::Topic => {
            let subscribers = named(&spec.topic, &section.name).into_iter().flat_map(|topic| &topic.subscribers);
            let queues = subscribers.filter_map(|subscriber| match &subscriber.get_ref().to {
                Recipient::Queue(queue) => Some(queue.clone()),
                Recipient::Address(..) => None,
            });
            queues.collect()
        }
        _ => Vec::new(),
    }
}

/// The patterns by which each change of a global table is processed in one region: the one that its writer noted in the attribute. Who
/// deletes an item notes nothing, so its last writer counts. What lacks the attribute is the pipeline's own region's.
///
/// DynamoDB itself does not mark what it replicates:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html>
fn origin_patterns(attribute: &str, from: ChangesFrom, region: &str, home: &str) -> Vec<Pattern> {
    let values = match (from, region == home) {
        (ChangesFrom::Here, true) => json!([region, { "exists": false }]),
        (ChangesFrom::Here, false) => json!([region]),
        (ChangesFrom::Elsewhere, true) => json!([{ "anything-but": [region] }]),
        (ChangesFrom::Elsewhere, false) => json!([{ "anything-but": [region] }, { "exists": false }]),
    };
    let pattern = |events: &[&str], image: &str| {
        Pattern(json!({ "eventName": events, "dynamodb": { image: { attribute: { "S": values } } } }))
    };
    vec![pattern(&["INSERT", "MODIFY"], "NewImage"), pattern(&["REMOVE"], "OldImage")]
}

impl<'a> Builder<'a> {
    /// The patterns of a function's source.
    pub(super) fn filter(&self, source: &spec::Source) -> Vec<Pattern> {
        match &source.origin {
            Some(attribute) => {
                let from = source.changes_from.as_ref().map_or(ChangesFrom::Here, |from| *from.get_ref());
                origin_patterns(attribute.get_ref(), from, &self.aws.region, self.home)
            }
            None => source.filter.iter().map(|pattern| pattern.get_ref().clone()).collect(),
        }
    }

    /// The replicas of a table, of which DynamoDB makes one at a time.
    pub(super) fn replicas(&mut self, id: &str, physical: &str, home: usize, table: &spec::Table) {
        let mut last = home;
        for region in &table.replicas {
            let region = region.get_ref();
            let replica = Any::Replica(self.replica(physical, table)).elsewhere(region);
            let needs = [home, last].into_iter().map(|node| Need { node, until: Until::Ready }).collect();
            last = self.push(format!("{id}@{region}"), replica, needs, table.protect);
            // A replica of a table that is made anew is another one.
            self.nodes[last].replaced_with = Some(ReplacedWith { node: home, field: "keys" });
        }
    }

    /// The replica in the region that is built for.
    pub(super) fn replica_here(&mut self, name: &str, table: &spec::Table) {
        let physical = self.naming.physical(kept(name, table.renamed_from.as_ref()));
        let replica = self.replica(&physical, table);
        self.push(format!("table.{name}"), Any::Replica(replica), Vec::new(), table.protect);
    }

    fn replica(&self, physical: &str, table: &spec::Table) -> Replica {
        Replica {
            name: physical.to_owned(),
            home: self.home.to_owned(),
            point_in_time_recovery: table.point_in_time_recovery,
            protect: table.protect,
        }
    }

    /// Whether what is built has a node of its own for the section.
    pub(super) fn has_node(&self, reference: &Reference) -> bool {
        self.extent.is_whole() || self.extent.has(reference.kind, &reference.name)
    }

    /// The id of a section's node in what is built.
    pub(super) fn node_id(&self, reference: &Reference) -> String {
        let region = match reference.kind {
            SectionKind::Stream if self.extent.is_whole() => self.spec.region_of_stream(&reference.name),
            _ => None,
        };
        region.map_or_else(|| reference.to_string(), |region| format!("{reference}@{region}"))
    }

    /// The clients of the region that a stream is in.
    pub(super) fn clients_of_stream(&self, name: &str) -> Arc<Clients> {
        self.aws.in_region(self.spec.region_of_stream(name).unwrap_or(self.home))
    }

    /// The ARN of a stream, wherever it is.
    pub(super) fn stream_arn(&self, name: &str) -> String {
        let renamed_from = named(&self.spec.stream, name).and_then(|stream| stream.renamed_from.as_ref());
        let physical = self.naming.physical(kept(name, renamed_from));
        self.clients_of_stream(name).arn("kinesis", &format!("stream/{physical}"))
    }

    /// The streams that are copied into this one, if that is in another region: their tags say where to look for it, so they are made
    /// before.
    pub(super) fn feeders(&self, name: &str) -> Vec<Need> {
        let Some(region) = self.spec.region_of_stream(name).filter(|_| self.extent.is_whole()) else {
            return Vec::new();
        };
        let own = self.spec.stream.iter().filter(|(_, stream)| stream.region.is_none());
        own.filter(|(other, _)| self.spec.regions_fed_by(other.get_ref()).contains(region))
            .map(|(other, _)| self.need(&Reference::new(SectionKind::Stream, other.get_ref()), Until::Exists))
            .collect()
    }

    /// Builds what follows functions into a region, by itself.
    pub(super) fn in_region(parts: &Parts<'_>, region: &str) -> Pipeline {
        let aws = parts.aws.in_region(region);
        let extent = Extent::Region { region: region.to_owned(), sections: sections_in(parts.spec, region) };
        let mut builder = Builder::new(parts, &aws, extent);
        builder.all(parts);
        builder.pipeline()
    }

    /// Adds the nodes of a region to those of the pipeline's own. Its replicas and streams are among them already.
    pub(super) fn add_region(&mut self, parts: &Parts<'a>, region: &str) {
        let built = Self::in_region(parts, region);
        let mut places = Vec::new();
        for node in built.nodes {
            let id = format!("{}@{region}", node.id);
            if matches!(node.resource, Any::Replica(_) | Any::Stream(_)) {
                places.push(self.index(&id));
                continue;
            }
            let needs = node.needs.iter().map(|need| Need { node: places[need.node], ..*need }).collect();
            let replaced_with = node.replaced_with.map(|with| ReplacedWith { node: places[with.node], ..with });
            places.push(self.nodes.len());
            let resource = node.resource.elsewhere(region);
            self.nodes.push(Node { id, resource, needs, replaced_with, ..node });
        }
        // A mapping waits for the streams in other regions, too, that its function writes to.
        for (name, function) in &parts.spec.function {
            let sinks = function.writes.iter().map(Spanned::get_ref).filter(|sink| sink.kind == SectionKind::Stream);
            let sinks = sinks.filter(|sink| parts.spec.region_of_stream(&sink.name) != Some(region));
            let mapping = format!("function.{}.source@{region}", name.get_ref());
            if let Some(mapping) = self.nodes.iter().position(|node| node.id == mapping) {
                let needs: Vec<_> = sinks.map(|sink| self.need(sink, Until::Ready)).collect();
                self.nodes[mapping].needs.extend(needs);
            }
        }
        self.new_streams.extend(built.new_streams);
        self.concurrency.extend(built.concurrency.into_iter().map(|mut concurrency| {
            concurrency.function = format!("{}@{region}", concurrency.function);
            concurrency
        }));
    }
}
