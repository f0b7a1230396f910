//! Spec → nodes and edges. The only file that knows the topology of a pipeline.

mod alarm;
mod dashboard;
mod function;
mod key;
mod limits;
mod permissions;
mod regions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
pub(crate) use limits::over_limit;
pub(crate) use permissions::use_key;
use regions::Extent;
use serde_json::{Map, Value};
use streamkit_handler::encryption::{EncryptionSettings, Field};
use streamkit_recipes::{Sampled, Samples, SourceKind, samples_for};

use crate::aws::{Clients, FED_TAG, Owner, PROTECT_TAG, Tags};
use crate::failure::Hint;
use crate::graph::{Need, Until};
use crate::package::{Architecture, Code};
use crate::plan::{Concurrency, Secrets};
use crate::resources::{Any, Bucket, Queue, Redrive, Resource as _, Stream, Subscription, Table, Topic};
use crate::spec::{self, Encryption, FilterOn, Naming, Recipient, Reference, SectionKind, Spanned, Spec, named};

/// How often a queue's message is received before it counts as a dead letter.
const DEFAULT_RECEIVES: i64 = 5;

/// One resource of the graph.
#[derive(Debug)]
pub(crate) struct Node {
    /// `kind.name`, and for what a function brings along `function.name.part`.
    pub(crate) id: String,
    pub(crate) resource: Any,
    pub(crate) needs: Vec<Need>,
    pub(crate) tags: Tags,
    /// Refuses deletion and replacement.
    pub(crate) protect: bool,
    /// The node with which it has to be replaced: it refers to it by an ARN that AWS gives anew.
    pub(crate) replaced_with: Option<ReplacedWith>,
}

/// A node is replaced with another: when that is created or replaced, or when the named field of it changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplacedWith {
    /// The other node's index.
    pub(crate) node: usize,
    pub(crate) field: &'static str,
}

/// One function with its source and sinks, by their names in AWS.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// The function's name in the spec.
    pub(crate) key: String,
    /// One of streamkit's; `None` for a function with code of its own.
    pub(crate) recipe: Option<String>,
    pub(crate) source: FlowSource,
    /// The mapping's patterns, of which one must match.
    pub(crate) filter: Vec<Value>,
    /// The attribute in which the writers of a global table note their region, if the function goes by it.
    pub(crate) origin: Option<String>,
    /// The field of a payload in which an event has its own id.
    pub(crate) identity: String,
    pub(crate) function: String,
    pub(crate) log_group: String,
    /// The table that the recipe's items go to.
    pub(crate) table: Option<String>,
    /// The bucket that the recipe's objects go to.
    pub(crate) bucket: Option<String>,
    /// The ARN of the stream that the recipe's records go to, which may be in another region.
    pub(crate) stream: Option<String>,
    /// The topic that the recipe's notifications go to.
    pub(crate) topic: Option<String>,
    pub(crate) dead_letters: Option<String>,
    /// The table in which a recipe with a memory keeps its states.
    pub(crate) state: Option<String>,
    /// What the spec tells the recipe.
    pub(crate) settings: Map<String, Value>,
    /// Where the mapping's on-failure records go: a queue, a topic or a bucket.
    pub(crate) on_failure: Option<(SectionKind, String)>,
    /// The length of the windows in which it looks at records together.
    pub(crate) tumbling_window: Option<Duration>,
    /// The most records of one invocation.
    pub(crate) batch_size: usize,
    /// The fields that are encrypted before the recipe sees a record.
    pub(crate) encryption: Option<EncryptionSettings>,
}

impl Flow {
    /// The fields that are encrypted before the recipe sees a record; mostly none.
    pub(crate) fn encrypted(&self) -> &[Field] {
        self.encryption.as_ref().map_or(&[], |settings| &settings.fields)
    }

    /// What the events mean.
    ///
    /// # Errors
    /// The function has code of its own, so nobody but it knows.
    pub(crate) fn recipe(&self) -> anyhow::Result<&'static dyn Sampled> {
        match &self.recipe {
            Some(name) => streamkit_recipes::find(name).context("the spec names an unknown recipe"),
            None => Err(Hint::error(
                format!("the function `{}` has code of its own: only it knows what its events are", self.key),
                "choose a function with a recipe with --function, or send events of your own with `send --from`",
            )),
        }
    }
}

/// Where a function's events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FlowSource {
    /// A Kinesis data stream.
    Stream(String),
    /// A DynamoDB table's change stream.
    Table(String),
}

impl FlowSource {
    pub(crate) fn kind(&self) -> SourceKind {
        match self {
            Self::Stream(_) => SourceKind::Stream,
            Self::Table(_) => SourceKind::Table,
        }
    }

    /// The name of the stream or table.
    pub(crate) fn name(&self) -> &str {
        let (Self::Stream(name) | Self::Table(name)) = self;
        name
    }
}

/// A pipeline's resources, each after those that it needs.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) naming: Naming,
    pub(crate) nodes: Vec<Node>,
    pub(crate) flows: Vec<Flow>,
    /// For each function that reads a source with shards.
    pub(crate) concurrency: Vec<Concurrency>,
    /// Values of the environment that must not be shown.
    pub(crate) secrets: Secrets,
    /// Set before applying, for each stream that the run makes.
    pub(crate) new_streams: BTreeMap<String, Arc<AtomicBool>>,
}

impl Pipeline {
    /// The sample events for a flow's source: the recipe's own, or, for one that takes whatever there is, those of another
    /// function that reads the same source.
    pub(crate) fn samples(&self, flow: &Flow) -> anyhow::Result<Samples<'static>> {
        let own = flow.recipe()?.samples();
        if !matches!(own, Samples::OfOthers) {
            return Ok(own);
        }
        let beside = self.flows.iter().filter(|other| other.source == flow.source);
        let samples = beside.filter_map(|other| Some(other.recipe().ok()?.samples()));
        let mut samples = samples.filter(|samples| !matches!(samples, Samples::OfOthers));
        Ok(samples.next().unwrap_or_else(|| samples_for(flow.source.kind())))
    }

    /// Names, ARNs, permissions and order of everything in a checked spec.
    pub(crate) fn build(parts: &Parts<'_>) -> Self {
        let mut builder = Builder::new(parts, parts.aws, Extent::Whole { elsewhere: parts.spec.only_elsewhere() });
        builder.all(parts);
        for region in parts.regions() {
            builder.add_region(parts, region);
        }
        builder.pipeline()
    }

    /// What of it is in another region, as a pipeline of its own.
    pub(crate) fn build_in(parts: &Parts<'_>, region: &str) -> Self {
        Builder::in_region(parts, region)
    }

    /// The regions in which it has anything, its own left out.
    pub(crate) fn regions(&self) -> BTreeSet<&str> {
        self.nodes.iter().filter_map(|node| node.resource.region()).collect()
    }

    /// The functions' physical names.
    pub(crate) fn functions(&self) -> BTreeSet<String> {
        self.flows.iter().map(|flow| flow.function.clone()).collect()
    }
}

/// The names of what the function's events become.
struct Sinks {
    table: Option<String>,
    bucket: Option<String>,
    /// By its ARN.
    stream: Option<String>,
    topic: Option<String>,
    dead_letters: Option<String>,
    /// The table in which a recipe with a memory keeps its states.
    state: Option<String>,
}

/// What a pipeline is built from.
pub(crate) struct Parts<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) naming: &'a Naming,
    pub(crate) aws: &'a Clients,
    /// That of this machine, where functions run on it.
    pub(crate) architecture: Option<Architecture>,
    pub(crate) code: &'a dyn Fn(&spec::Function, Architecture) -> Arc<Code>,
}

struct Builder<'a> {
    spec: &'a Spec,
    naming: &'a Naming,
    /// Of the region that is built for.
    aws: &'a Clients,
    /// The pipeline's own region.
    home: &'a str,
    extent: Extent,
    owner: Owner,
    tags: Tags,
    nodes: Vec<Node>,
    flows: Vec<Flow>,
    concurrency: Vec<Concurrency>,
    new_streams: BTreeMap<String, Arc<AtomicBool>>,
}

/// The key that a resource's name in AWS is made of: a section that was renamed keeps its data, and so the old one.
fn kept<'n>(name: &'n str, renamed_from: Option<&'n Spanned<Reference>>) -> &'n str {
    renamed_from.map_or(name, |from| &from.get_ref().name)
}

impl<'a> Builder<'a> {
    fn new(parts: &Parts<'a>, aws: &'a Clients, extent: Extent) -> Self {
        let of_spec = parts.spec.tags.iter();
        let naming = parts.naming;
        Self {
            spec: parts.spec,
            naming,
            aws,
            home: &parts.aws.region,
            extent,
            owner: Owner { pipeline: naming.pipeline.clone(), stage: naming.stage.clone() },
            tags: of_spec.map(|(key, value)| (key.get_ref().clone(), value.get_ref().clone())).collect(),
            nodes: Vec::new(),
            flows: Vec::new(),
            concurrency: Vec::new(),
            new_streams: BTreeMap::new(),
        }
    }

    fn all(&mut self, parts: &Parts<'a>) {
        self.streams();
        self.tables();
        self.queues();
        self.buckets();
        self.topics();
        self.keys();
        let spec = self.spec;
        for (name, function) in &spec.function {
            if self.extent.has(SectionKind::Function, name.get_ref()) {
                let architecture = parts.architecture.unwrap_or(Architecture::of(function.architecture));
                self.function(name.get_ref(), function, architecture, (parts.code)(function, architecture));
            }
        }
        self.alarms();
        if self.extent.is_whole() {
            self.dashboard();
        }
    }

    fn pipeline(self) -> Pipeline {
        Pipeline {
            naming: self.naming.clone(),
            nodes: self.nodes,
            flows: self.flows,
            concurrency: self.concurrency,
            secrets: Secrets::default(),
            new_streams: self.new_streams,
        }
    }

    fn push(&mut self, id: String, resource: Any, needs: Vec<Need>, protect: bool) -> usize {
        let mut tags = self.owner.tags(&self.extent.full_id(&id), &self.tags);
        if protect {
            tags.insert(PROTECT_TAG.to_owned(), "true".to_owned());
        }
        self.nodes.push(Node { id, resource, needs, tags, protect, replaced_with: None });
        self.nodes.len() - 1
    }

    fn index(&self, id: &str) -> usize {
        self.nodes.iter().position(|node| node.id == id).expect("the checks of the spec found every reference")
    }

    fn need(&self, reference: &Reference, until: Until) -> Need {
        Need { node: self.index(&self.node_id(reference)), until }
    }

    fn arn(&self, reference: &Reference) -> String {
        if reference.kind == SectionKind::Stream {
            return self.stream_arn(&reference.name);
        }
        self.nodes[self.index(&reference.to_string())].resource.arn(self.aws)
    }

    /// The name in AWS of something in the spec.
    fn physical(&self, reference: &Reference) -> String {
        self.nodes[self.index(&reference.to_string())].resource.name().to_owned()
    }

    fn streams(&mut self) {
        let spec = self.spec;
        let (own, others): (Vec<_>, Vec<_>) = spec.stream.iter().partition(|(_, stream)| stream.region.is_none());
        for (name, stream) in own.into_iter().chain(others) {
            let is_here = self.extent.has(SectionKind::Stream, name.get_ref());
            if !is_here && !self.extent.is_whole() {
                continue;
            }
            let resource = Stream {
                name: self.naming.physical(kept(name.get_ref(), stream.renamed_from.as_ref())),
                mode: stream.mode(),
                shards: stream.shards(),
                retention: *stream.retention.get_ref(),
                encryption: stream.encryption.clone(),
                max_record_size: *stream.max_record_size.get_ref(),
            };
            self.new_streams.insert(resource.name.clone(), Arc::new(AtomicBool::new(false)));
            let reference = Reference::new(SectionKind::Stream, name.get_ref());
            let resource = match &stream.region {
                Some(region) if !is_here => Any::Stream(resource).elsewhere(region.get_ref()),
                _ => Any::Stream(resource),
            };
            let needs = self.feeders(name.get_ref());
            let node = self.push(self.node_id(&reference), resource, needs, stream.protect);
            if self.extent.is_whole() {
                // A search that knows no spec looks there, too.
                let fed = self.spec.regions_fed_by(name.get_ref()).into_iter();
                self.nodes[node].tags.extend(fed.map(|region| (format!("{FED_TAG}{region}"), "true".to_owned())));
            }
        }
    }

    fn tables(&mut self) {
        for (name, table) in &self.spec.table {
            if !self.extent.has(SectionKind::Table, name.get_ref()) {
                continue;
            }
            if !self.extent.is_whole() {
                self.replica_here(name.get_ref(), table);
                continue;
            }
            let resource = Table {
                name: self.naming.physical(kept(name.get_ref(), table.renamed_from.as_ref())),
                partition_key: table.partition_key.get_ref().clone(),
                sort_key: table.sort_key.as_ref().map(|key| key.get_ref().clone()),
                billing: *table.billing.get_ref(),
                ttl: table.ttl.as_ref().map(|ttl| ttl.get_ref().clone()),
                stream: table.stream,
                point_in_time_recovery: table.point_in_time_recovery,
                protect: table.protect,
            };
            let physical = resource.name.clone();
            let id = format!("table.{}", name.get_ref());
            let home = self.push(id.clone(), Any::Table(resource), Vec::new(), table.protect);
            self.replicas(&id, &physical, home, table);
        }
    }

    fn queues(&mut self) {
        for (name, queue) in self.dead_letters_first() {
            if !self.extent.has(SectionKind::Queue, name) {
                continue;
            }
            let redrive = queue.dead_letters.as_ref().map(|target| Redrive {
                queue: self.arn(target.get_ref()),
                max_receives: queue.max_receives.as_ref().map_or(DEFAULT_RECEIVES, |receives| *receives.get_ref()),
            });
            // SQS checks that the dead letter queue exists.
            let needs = queue.dead_letters.iter().map(|target| self.need(target.get_ref(), Until::Ready)).collect();
            let resource = Queue {
                name: self.naming.physical(kept(name, queue.renamed_from.as_ref())),
                retention: *queue.retention.get_ref(),
                visibility: *queue.visibility.get_ref(),
                redrive,
                fed_by: self.topics_that_feed(name),
            };
            self.push(format!("queue.{name}"), Any::Queue(resource), needs, queue.protect);
        }
    }

    /// The queues, each after the one that its dead letters go to.
    fn dead_letters_first(&self) -> Vec<(&'a str, &'a spec::Queue)> {
        let spec = self.spec;
        // The checks of the spec found no cycle of dead letter queues.
        let depth = |queue: &spec::Queue| {
            let next = |queue: &&spec::Queue| named(&spec.queue, &queue.dead_letters.as_ref()?.get_ref().name);
            std::iter::successors(Some(queue), next).count()
        };
        let mut queues: Vec<_> = spec.queue.iter().map(|(name, queue)| (name.get_ref().as_str(), queue)).collect();
        queues.sort_by_key(|(_, queue)| depth(queue));
        queues
    }

    fn topics_that_feed(&self, queue: &str) -> Vec<String> {
        let queue = Recipient::Queue(Reference::new(SectionKind::Queue, queue));
        let feeds = |topic: &spec::Topic| topic.subscribers.iter().any(|subscriber| subscriber.get_ref().to == queue);
        let topics = self
            .spec
            .topic
            .iter()
            .filter(|(name, topic)| self.extent.has(SectionKind::Topic, name.get_ref()) && feeds(topic));
        let name = |name: &'a Spanned<String>, topic: &'a spec::Topic| {
            self.naming.physical(kept(name.get_ref(), topic.renamed_from.as_ref()))
        };
        topics.map(|(key, topic)| self.aws.arn("sns", &name(key, topic))).collect()
    }

    fn buckets(&mut self) {
        for (name, bucket) in &self.spec.bucket {
            if !self.extent.has(SectionKind::Bucket, name.get_ref()) {
                continue;
            }
            let physical = self.naming.bucket(
                kept(name.get_ref(), bucket.renamed_from.as_ref()),
                bucket.namespace,
                &self.aws.account,
                &self.aws.region,
            );
            let resource = Bucket {
                arn: self.aws.bucket_arn(&physical),
                name: physical,
                namespace: bucket.namespace,
                encryption: bucket.encryption.as_ref().map(|encryption| encryption.get_ref().clone()),
                versioning: bucket.versioning,
                expire: bucket.expire.as_ref().map(|age| *age.get_ref()),
                transition: bucket.transition.as_ref().map(|transition| *transition.get_ref()),
            };
            self.push(format!("bucket.{}", name.get_ref()), Any::Bucket(resource), Vec::new(), bucket.protect);
        }
    }

    fn topics(&mut self) {
        for (name, topic) in &self.spec.topic {
            if !self.extent.has(SectionKind::Topic, name.get_ref()) {
                continue;
            }
            let own = Reference::new(SectionKind::Topic, name.get_ref());
            let notified = self.spec.has_alarm_that_notifies(name.get_ref());
            let encryption = match &topic.encryption {
                Some(encryption) => encryption.get_ref().clone(),
                // CloudWatch may not use the AWS-managed key, so its alarms could not publish.
                None if notified => Encryption::None,
                None => Encryption::AwsManaged,
            };
            let mut needs = Vec::new();
            let subscribers = topic.subscribers.iter().map(|subscriber| {
                let subscriber = subscriber.get_ref();
                let (protocol, endpoint) = match &subscriber.to {
                    Recipient::Address(protocol, endpoint) => (*protocol, endpoint.clone()),
                    Recipient::Queue(queue) => {
                        // Messages published before the queue policy allows the topic would be lost.
                        needs.push(self.need(queue, Until::Ready));
                        ("sqs", self.arn(queue))
                    }
                };
                Subscription {
                    protocol: protocol.to_owned(),
                    endpoint,
                    raw: subscriber.raw,
                    filter: subscriber.filter.clone(),
                    filter_on_body: subscriber.filter_on == FilterOn::Body,
                }
            });
            let subscribers = subscribers.collect();
            let name = self.naming.physical(kept(name.get_ref(), topic.renamed_from.as_ref()));
            let resource = Topic { name, subscribers, encryption };
            self.push(own.to_string(), Any::Topic(resource), needs, false);
        }
    }
}
