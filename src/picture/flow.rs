//! Pipeline → picture: the arrows follow from mappings, from what roles allow, and from who is told by topics and alarms.

use std::collections::{BTreeMap, BTreeSet};

use super::drawing::{Arrow, ArrowKind, Drawing, Shape};
use crate::aws::{Clients, Statement};
use crate::pipeline::{Flow, FlowSource, Node, Pipeline};
use crate::plan::{Action, Plan, ResourceKind, id_at_home, region_of};
use crate::resources::{Any, Mapping, MappingSource, Resource as _};
use crate::spec::{Seconds, duration_text};

/// The most characters of a filter in a label.
const FILTER: usize = 60;

/// The picture of a pipeline, with what flows in other regions; with a plan it says what happens to each resource, orphans included.
pub(crate) fn drawing<'a>(
    pipeline: &Pipeline,
    elsewhere: impl Iterator<Item = (&'a str, &'a Pipeline)>,
    aws: &Clients,
    plan: Option<&Plan>,
) -> Drawing {
    let actions: BTreeMap<&str, Action> =
        plan.iter().flat_map(|plan| &plan.steps).map(|step| (step.node.as_str(), step.action)).collect();
    let mut builder = Builder { pipeline, aws, actions, shapes: Vec::new(), arrows: Vec::new() };
    for node in pipeline.nodes.iter().filter(|node| is_shown(node.resource.kind())) {
        builder.add(&node.id, node.resource.kind(), vec![node.resource.name().to_owned()]);
    }
    for flow in &pipeline.flows {
        builder.flow(flow, None);
    }
    for (region, pipeline) in elsewhere {
        for flow in &pipeline.flows {
            builder.flow(flow, Some(region));
        }
    }
    builder.replicas();
    builder.topics();
    builder.queues();
    builder.alarms();
    let known: BTreeSet<&str> = pipeline.nodes.iter().map(|node| node.id.as_str()).collect();
    for step in plan.iter().flat_map(|plan| &plan.steps).filter(|step| !known.contains(step.node.as_str())) {
        if is_shown(step.kind) {
            builder.add(&step.node, step.kind, vec![step.name.clone()]);
        }
    }
    Drawing { name: pipeline.naming.prefix(), shapes: builder.shapes, arrows: builder.arrows }
}

/// False for what a function brings along, and for what nothing flows through.
fn is_shown(kind: ResourceKind) -> bool {
    match kind {
        ResourceKind::Function
        | ResourceKind::Topic
        | ResourceKind::Queue
        | ResourceKind::Bucket
        | ResourceKind::Table
        | ResourceKind::Stream => true,
        ResourceKind::Dashboard
        | ResourceKind::Alarm
        | ResourceKind::Mapping
        | ResourceKind::Consumer
        | ResourceKind::LogGroup
        | ResourceKind::Role
        | ResourceKind::Key => false,
    }
}

struct Builder<'a> {
    pipeline: &'a Pipeline,
    aws: &'a Clients,
    actions: BTreeMap<&'a str, Action>,
    shapes: Vec<Shape>,
    arrows: Vec<Arrow>,
}

impl Builder<'_> {
    fn add(&mut self, node: &str, kind: ResourceKind, names: Vec<String>) -> usize {
        let action = self.action(&[node]);
        self.shapes.push(Shape { action, ..Shape::new(node, kind, names) });
        self.shapes.len() - 1
    }

    /// What happens to these nodes and their parts together; `None` without a plan.
    fn action(&self, nodes: &[&str]) -> Option<Action> {
        let is_part = |part: &str| {
            nodes
                .iter()
                .any(|node| part.strip_prefix(node).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        let mut actions = self.actions.iter().filter(|(node, _)| is_part(node)).map(|(_, action)| *action);
        let first = actions.next()?;
        Some(if actions.all(|action| action == first) { first } else { Action::Update })
    }

    fn node(&self, id: &str) -> Option<&Node> {
        self.pipeline.nodes.iter().find(|node| node.id == id)
    }

    fn shape(&self, node: &str) -> Option<usize> {
        self.shapes.iter().position(|shape| shape.node == node)
    }

    fn named(&self, kind: ResourceKind, name: &str, region: Option<&str>) -> Option<usize> {
        let is = |shape: &Shape| shape.kind == kind && shape.names.iter().any(|own| own == name);
        self.shapes.iter().position(|shape| is(shape) && region_of(&shape.node) == region)
    }

    /// The shape of the resource that an ARN of a policy is, or is a part of.
    fn of_arn(&self, arn: &str) -> Option<usize> {
        let nodes = self.pipeline.nodes.iter().filter(|node| is_shown(node.resource.kind()));
        let mut matching = nodes.filter(|node| {
            let own = node.resource.arn(self.aws);
            !own.is_empty()
                && arn.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
        });
        matching.next().and_then(|node| self.shape(&node.id))
    }

    fn arrow(&mut self, from: Option<usize>, to: Option<usize>, kind: ArrowKind, label: Vec<String>) {
        if let (Some(from), Some(to)) = (from, to) {
            self.arrows.push(Arrow { from, to, kind, label });
        }
    }

    /// The source of a function, there where that is, and what its role allows it to write.
    fn flow(&mut self, flow: &Flow, region: Option<&str>) {
        let id = |part: &str| {
            let id = format!("function.{}{part}", flow.key);
            region.map_or_else(|| id.clone(), |region| format!("{id}@{region}"))
        };
        let function = self.shape(&id(""));
        if let Some(shape) = function {
            self.shapes[shape].encrypts = flow.encrypted().iter().map(|field| field.field.clone()).collect();
        }
        let source = match &flow.source {
            FlowSource::Stream(name) => self.named(ResourceKind::Stream, name, region),
            FlowSource::Table(name) => self.named(ResourceKind::Table, name, region),
        };
        let mapping = match self.node(&id(".source")).map(|node| node.resource.inner()) {
            Some(Any::Mapping(mapping)) => Some(mapping.clone()),
            _ => None,
        };
        let label = mapping.as_ref().map(mapping_label).unwrap_or_default();
        self.arrow(source, function, ArrowKind::Reads, label);
        let statements: Vec<Statement> = match self.node(&id(".role")).map(|node| node.resource.inner()) {
            Some(Any::Role(role)) => role.policy.0.clone(),
            _ => Vec::new(),
        };
        let mut allowed: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for statement in &statements {
            for to in statement.resources.iter().filter_map(|arn| self.of_arn(arn)) {
                let actions = statement.actions.iter().filter(|action| Some(to) != source || !is_read(action));
                let actions: Vec<_> = actions.map(|action| action_name(action).to_owned()).collect();
                if !actions.is_empty() {
                    allowed.entry(to).or_default().extend(actions);
                }
            }
        }
        let dead_letters = flow.dead_letters.as_ref().and_then(|queue| self.named(ResourceKind::Queue, queue, region));
        let given_up = mapping.as_ref().and_then(|mapping| self.of_arn(mapping.on_failure.as_deref()?));
        let states = flow.state.as_ref().and_then(|table| self.named(ResourceKind::Table, table, region));
        for (to, actions) in allowed {
            let mut label = Vec::new();
            if Some(to) == dead_letters {
                label.push("dead letters".to_owned());
            }
            if Some(to) == given_up {
                label.push("batches given up".to_owned());
            }
            let kind = if label.is_empty() { ArrowKind::Writes } else { ArrowKind::Failures };
            if Some(to) == states {
                label.push("states".to_owned());
            }
            label.push(actions.into_iter().collect::<Vec<_>>().join(", "));
            self.arrow(function, Some(to), kind, label);
        }
    }

    /// DynamoDB brings each write to all replicas: a chain of arrows says so with the fewest of them.
    fn replicas(&mut self) {
        for node in &self.pipeline.nodes {
            let Any::Replica(_) = node.resource.inner() else { continue };
            let Some(replica) = self.shape(&node.id) else { continue };
            let table = id_at_home(&node.id);
            let last = self.shapes[..replica].iter().rposition(|shape| id_at_home(&shape.node) == table);
            self.arrow(last, Some(replica), ArrowKind::Replicates, vec!["replicates".to_owned()]);
        }
    }

    fn topics(&mut self) {
        for node in &self.pipeline.nodes {
            let Any::Topic(topic) = node.resource.inner() else { continue };
            for subscription in topic.subscribers.iter().filter(|subscription| subscription.protocol == "sqs") {
                let filter = subscription.filter.iter().map(|filter| filter_text(&filter.to_string()));
                let (from, to) = (self.shape(&node.id), self.of_arn(&subscription.endpoint));
                self.arrow(from, to, ArrowKind::Messages, filter.collect());
            }
        }
    }

    fn queues(&mut self) {
        for node in &self.pipeline.nodes {
            let Any::Queue(queue) = node.resource.inner() else { continue };
            let Some(redrive) = &queue.redrive else { continue };
            let label = vec![format!("after {} receives", redrive.max_receives)];
            self.arrow(self.shape(&node.id), self.of_arn(&redrive.queue), ArrowKind::Failures, label);
        }
    }

    /// One shape for the alarms of a region that tell the same topics.
    fn alarms(&mut self) {
        let mut told = BTreeMap::<_, Vec<(&str, String)>>::new();
        for node in &self.pipeline.nodes {
            if let Any::Alarm(alarm) = node.resource.inner() {
                let together = (region_of(&node.id), alarm.notify.clone());
                told.entry(together).or_default().push((&node.id, alarm.name.clone()));
            }
        }
        for ((_, topics), alarms) in told {
            let (nodes, names): (Vec<&str>, Vec<String>) = alarms.into_iter().unzip();
            let action = self.action(&nodes);
            let node = nodes.first().copied().unwrap_or_default();
            let shape = self.add(node, ResourceKind::Alarm, names);
            self.shapes[shape].action = action;
            for topic in topics {
                self.arrow(Some(shape), self.of_arn(&topic), ArrowKind::Messages, Vec::new());
            }
        }
    }
}

/// How a function reads its source, as far as that is not the default.
fn mapping_label(mapping: &Mapping) -> Vec<String> {
    let mut label = Vec::new();
    let window = if mapping.batch_window == Seconds(0) {
        String::new()
    } else {
        format!(" or {}", duration_text(mapping.batch_window.0))
    };
    label.push(format!("batches of {}{window}", mapping.batch_size));
    if mapping.parallelization_factor > 1 {
        label.push(format!("{} at a time from each shard", mapping.parallelization_factor));
    }
    if matches!(mapping.source, MappingSource::Consumer { .. }) {
        label.push("enhanced fan-out".to_owned());
    }
    if mapping.tumbling_window != Seconds(0) {
        label.push(format!("windows of {}", duration_text(mapping.tumbling_window.0)));
    }
    if !mapping.enabled {
        label.push("disabled".to_owned());
    }
    label.extend(mapping.filter.iter().map(|pattern| filter_text(&pattern.to_string())));
    label
}

fn filter_text(pattern: &str) -> String {
    match pattern.char_indices().nth(FILTER) {
        Some((end, _)) => format!("if {}…", &pattern[..end]),
        None => format!("if {pattern}"),
    }
}

/// `PutItem` of `dynamodb:PutItem`.
fn action_name(action: &str) -> &str {
    action.split_once(':').map_or(action, |(_, name)| name)
}

fn is_read(action: &str) -> bool {
    ["Get", "List", "Describe", "SubscribeTo"].iter().any(|verb| action_name(action).starts_with(verb))
}
