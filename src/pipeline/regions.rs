//! What of a pipeline is in other regions than its own: replicas of tables, and functions with all that they need there.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Builder, Node, Parts, Pipeline, ReplacedWith, kept};
use crate::graph::{Need, Until};
use crate::resources::{Any, Replica};
use crate::spec::{self, ChangesFrom, Pattern, Recipient, Reference, SectionKind, Spec, Target, named};

/// How much of a spec is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// What follows functions into this region.
    Region { region: String, sections: BTreeSet<Reference> },
}

impl Extent {
    pub(super) fn has(&self, kind: SectionKind, name: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Region { sections, .. } => sections.contains(&Reference::new(kind, name)),
        }
    }

    /// A node's id among those of all regions.
    pub(super) fn full_id(&self, id: &str) -> String {
        match self {
            Self::Whole => id.to_owned(),
            Self::Region { region, .. } => format!("{id}@{region}"),
        }
    }
}

impl Parts<'_> {
    /// The other regions that functions are in.
    pub(crate) fn regions(&self) -> BTreeSet<&str> {
        self.spec
            .function
            .values()
            .flat_map(|function| &function.regions)
            .map(|region| region.get_ref().as_str())
            .collect()
    }
}

/// The sections that are in a region, too: the functions that name it, what they read and write, what of that leads to something else,
/// and the alarms on any of it with whom they notify.
fn sections_in(spec: &Spec, region: &str) -> BTreeSet<Reference> {
    let mut sections = BTreeSet::new();
    for (name, function) in &spec.function {
        if !function.regions.iter().any(|named| named.get_ref() == region) {
            continue;
        }
        sections.insert(Reference::new(SectionKind::Function, name.get_ref()));
        let source = function.source.get_ref();
        let used = function.writes.iter().chain(&function.reads).chain(&function.publishes);
        let used = used.chain(&function.dead_letters).chain(&source.on_failure).chain([&source.from]);
        sections.extend(used.map(|section| section.get_ref().clone()));
        for target in function.allow.iter().flat_map(|allowed| &allowed.get_ref().on) {
            if let Target::Section(section) = target.get_ref()
                && section.kind != SectionKind::Function
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

    /// Builds what follows functions into a region, by itself.
    pub(super) fn in_region(parts: &Parts<'_>, region: &str) -> Pipeline {
        let aws = parts.aws.in_region(region);
        let extent = Extent::Region { region: region.to_owned(), sections: sections_in(parts.spec, region) };
        let mut builder = Builder::new(parts, &aws, extent);
        builder.all(parts);
        builder.pipeline()
    }

    /// Adds the nodes of a region to those of the pipeline's own. Its replicas are among them already.
    pub(super) fn add_region(&mut self, parts: &Parts<'a>, region: &str) {
        let built = Self::in_region(parts, region);
        let mut places = Vec::new();
        for node in built.nodes {
            let id = format!("{}@{region}", node.id);
            if matches!(node.resource, Any::Replica(_)) {
                places.push(self.index(&id));
                continue;
            }
            let needs = node.needs.iter().map(|need| Need { node: places[need.node], ..*need }).collect();
            let replaced_with = node.replaced_with.map(|with| ReplacedWith { node: places[with.node], ..with });
            places.push(self.nodes.len());
            let resource = node.resource.elsewhere(region);
            self.nodes.push(Node { id, resource, needs, replaced_with, ..node });
        }
        self.concurrency.extend(built.concurrency.into_iter().map(|mut concurrency| {
            concurrency.function = format!("{}@{region}", concurrency.function);
            concurrency
        }));
    }
}
