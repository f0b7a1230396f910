//! Spec → nodes and edges. The only file that knows how the parts of a pipeline hang together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use toml::Spanned;

use crate::aws::{Aws, Owner, PROTECT_TAG, Policy, Statement, Tags};
use crate::code::Code;
use crate::graph::{Need, Until};
use crate::package::Architecture;
use crate::resources::{
    Alarm, AlarmMetric, Any, Function, LogGroup, Mapping, Queue, Resource as _, Role, Stream, Table, Topic,
};
use crate::spec::{self, Encryption, Kind, Naming, Reference, Spec};

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
}

/// The way of events through one function, by physical names.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// The function's name in the spec.
    pub(crate) key: String,
    pub(crate) recipe: String,
    pub(crate) stream: String,
    pub(crate) function: String,
    pub(crate) log_group: String,
    pub(crate) table: String,
    pub(crate) dead_letters: Option<String>,
}

/// A whole pipeline, in an order in which every node comes after what it needs.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) naming: Naming,
    pub(crate) nodes: Vec<Node>,
    pub(crate) flows: Vec<Flow>,
    /// Set before applying, for each stream that the run makes.
    pub(crate) new_streams: BTreeMap<String, Arc<AtomicBool>>,
}

impl Pipeline {
    /// Names, ARNs, permissions and order of everything in a checked spec.
    pub(crate) fn build(
        spec: &Spec,
        naming: &Naming,
        aws: &Aws,
        architecture: Option<Architecture>,
        code: &dyn Fn(Architecture) -> Arc<Code>,
    ) -> Self {
        let tags = spec.tags.iter().map(|(key, value)| (key.get_ref().clone(), value.get_ref().clone())).collect();
        let owner = Owner { pipeline: naming.pipeline.clone(), stage: naming.stage.clone() };
        let mut builder = Builder {
            spec,
            naming,
            aws,
            owner,
            tags,
            nodes: Vec::new(),
            flows: Vec::new(),
            new_streams: BTreeMap::new(),
        };
        builder.streams();
        builder.tables();
        builder.queues();
        builder.topics();
        for (name, function) in &spec.function {
            let architecture = architecture.unwrap_or(match function.architecture {
                spec::Architecture::X86_64 => Architecture::X86_64,
                spec::Architecture::Arm64 => Architecture::Arm64,
            });
            builder.function(name.get_ref(), function, architecture, code(architecture));
        }
        builder.alarms();
        Self { naming: naming.clone(), nodes: builder.nodes, flows: builder.flows, new_streams: builder.new_streams }
    }

    /// The functions' physical names.
    pub(crate) fn functions(&self) -> BTreeSet<String> {
        self.flows.iter().map(|flow| flow.function.clone()).collect()
    }
}

struct Builder<'a> {
    spec: &'a Spec,
    naming: &'a Naming,
    aws: &'a Aws,
    owner: Owner,
    tags: Tags,
    nodes: Vec<Node>,
    flows: Vec<Flow>,
    new_streams: BTreeMap<String, Arc<AtomicBool>>,
}

impl Builder<'_> {
    fn push(&mut self, id: String, resource: Any, needs: Vec<Need>, protect: bool) -> usize {
        let mut tags = self.owner.tags(&id, &self.tags);
        if protect {
            tags.insert(PROTECT_TAG.to_owned(), "true".to_owned());
        }
        self.nodes.push(Node { id, resource, needs, tags, protect });
        self.nodes.len() - 1
    }

    fn index(&self, id: &str) -> usize {
        self.nodes.iter().position(|node| node.id == id).expect("the checks of the spec found every reference")
    }

    fn need(&self, reference: &Reference, until: Until) -> Need {
        Need { node: self.index(&reference.to_string()), until }
    }

    fn arn(&self, reference: &Reference) -> String {
        self.nodes[self.index(&reference.to_string())].resource.arn(self.aws)
    }

    fn streams(&mut self) {
        for (name, stream) in &self.spec.stream {
            let resource = Stream {
                name: self.naming.physical(name.get_ref()),
                mode: stream.mode(),
                shards: stream.shards(),
                retention: *stream.retention.get_ref(),
                encryption: stream.encryption.clone(),
            };
            self.new_streams.insert(resource.name.clone(), Arc::new(AtomicBool::new(false)));
            self.push(format!("stream.{}", name.get_ref()), Any::Stream(resource), Vec::new(), stream.protect);
        }
    }

    fn tables(&mut self) {
        for (name, table) in &self.spec.table {
            let resource = Table {
                name: self.naming.physical(name.get_ref()),
                partition_key: table.partition_key.get_ref().clone(),
                sort_key: table.sort_key.as_ref().map(|key| key.get_ref().clone()),
                billing: *table.billing.get_ref(),
                ttl: table.ttl.as_ref().map(|ttl| ttl.get_ref().clone()),
                stream: table.stream,
                point_in_time_recovery: table.point_in_time_recovery,
                protect: table.protect,
            };
            self.push(format!("table.{}", name.get_ref()), Any::Table(resource), Vec::new(), table.protect);
        }
    }

    fn queues(&mut self) {
        for (name, queue) in &self.spec.queue {
            let resource = Queue {
                name: self.naming.physical(name.get_ref()),
                retention: *queue.retention.get_ref(),
                visibility: *queue.visibility.get_ref(),
            };
            self.push(format!("queue.{}", name.get_ref()), Any::Queue(resource), Vec::new(), queue.protect);
        }
    }

    fn topics(&mut self) {
        for (name, topic) in &self.spec.topic {
            let own = Reference::new(Kind::Topic, name.get_ref());
            let notified = self.spec.has_alarm_that_notifies(name.get_ref());
            let encryption = match &topic.encryption {
                Some(encryption) => encryption.get_ref().clone(),
                // CloudWatch may not use the AWS-managed key: the alarms would stay silent.
                None if notified => Encryption::None,
                None => Encryption::AwsManaged,
            };
            let subscribers = topic.subscribers.iter().map(|subscriber| subscriber.get_ref().clone()).collect();
            let resource = Topic { name: self.naming.physical(name.get_ref()), subscribers, encryption };
            self.push(own.to_string(), Any::Topic(resource), Vec::new(), false);
        }
    }

    fn function(&mut self, key: &str, function: &spec::Function, architecture: Architecture, code: Arc<Code>) {
        let id = format!("function.{key}");
        let name = self.naming.physical(key);
        let source = function.source.get_ref();
        let stream = source.from.get_ref();
        let role = Role { name: name.clone(), policy: self.policy(&name, function) };
        let role_arn = role.arn(self.aws);
        let role = self.push(format!("{id}.role"), Any::Role(role), Vec::new(), false);
        let group = LogGroup { name: format!("/aws/lambda/{name}"), retention: *function.log_retention.get_ref() };
        let log_group = group.name.clone();
        let group = self.push(format!("{id}.logs"), Any::LogGroup(group), Vec::new(), false);

        let table =
            function.writes.first().map(|table| self.naming.physical(&table.get_ref().name)).unwrap_or_default();
        let dead_letters = function.dead_letters.as_ref().map(|queue| self.naming.physical(&queue.get_ref().name));
        let resource = Function {
            name: name.clone(),
            role: role_arn,
            memory: *function.memory.get_ref(),
            timeout: *function.timeout.get_ref(),
            tracing: function.tracing,
            architecture,
            environment: self.environment(function, &table, dead_letters.as_deref()),
            code,
        };
        // Lambda must not make the log group itself, and checks the role when the function is made.
        let needs = vec![Need { node: role, until: Until::Ready }, Need { node: group, until: Until::Exists }];
        let resource = self.push(id.clone(), Any::Function(resource), needs, false);

        let source_is_new = self.new_streams.get(&self.naming.physical(&stream.name)).cloned().unwrap_or_default();
        let mapping = Mapping {
            function: name.clone(),
            source: self.arn(stream),
            batch_size: *source.batch_size.get_ref(),
            batch_window: *source.batch_window.get_ref(),
            starting_position: source.starting_position.as_ref().map(|position| *position.get_ref()),
            parallelization_factor: *source.parallelization_factor.get_ref(),
            bisect_on_error: source.bisect_on_error,
            max_retries: *source.max_retries.get_ref(),
            max_record_age: source.max_record_age.as_ref().map(|age| *age.get_ref()),
            on_failure: source.on_failure.as_ref().map(|target| self.arn(target.get_ref())),
            enabled: source.enabled,
            source_is_new,
        };
        // A mapping takes a function that is still Pending. Events flow as soon as it is there, so its sinks come first.
        let mut needs = vec![Need { node: resource, until: Until::Exists }, self.need(stream, Until::Ready)];
        let sinks = function.writes.iter().chain(&function.dead_letters).chain(&source.on_failure);
        needs.extend(sinks.map(|sink| self.need(sink.get_ref(), Until::Ready)));
        self.push(format!("{id}.source"), Any::Mapping(mapping), needs, false);
        self.flows.push(Flow {
            key: key.to_owned(),
            recipe: function.recipe.get_ref().clone(),
            stream: self.naming.physical(&stream.name),
            function: name,
            log_group,
            table,
            dead_letters,
        });
    }

    fn environment(
        &self,
        function: &spec::Function,
        table: &str,
        dead_letters: Option<&str>,
    ) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<_, _> =
            function.environment.iter().map(|(name, value)| (name.get_ref().clone(), value.clone())).collect();
        let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
        set("STREAMKIT_RECIPE", function.recipe.get_ref().clone());
        set("STREAMKIT_PIPELINE", self.naming.prefix());
        set("STREAMKIT_TABLE", table.to_owned());
        if let Some(queue) = dead_letters {
            set("STREAMKIT_DEAD_LETTER_QUEUE_URL", self.aws.queue_url(queue));
        }
        variables
    }

    /// What the arrows of the spec allow: exact actions on exact ARNs.
    fn policy(&self, name: &str, function: &spec::Function) -> Policy {
        let allow = |actions: &[&'static str], resources: Vec<String>| Statement {
            actions: actions.to_vec(),
            resources,
            condition: None,
        };
        let source = function.source.get_ref();
        let stream = source.from.get_ref();
        let read = [
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
        ];
        let mut statements = vec![allow(&read, vec![self.arn(stream)])];
        let encryption = self
            .spec
            .stream
            .iter()
            .find(|(key, _)| *key.get_ref() == stream.name)
            .map(|(_, stream)| &stream.encryption);
        if let Some(Encryption::Key(key)) = encryption {
            statements.push(self.decrypt(key));
        }
        let arns = |references: &mut dyn Iterator<Item = &Spanned<Reference>>| -> Vec<String> {
            references.map(|reference| self.arn(reference.get_ref())).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let tables = arns(&mut function.writes.iter());
        if !tables.is_empty() {
            statements.push(allow(&["dynamodb:BatchWriteItem", "dynamodb:PutItem"], tables));
        }
        let targets = || function.dead_letters.iter().chain(&source.on_failure);
        let queues = arns(&mut targets().filter(|target| target.get_ref().kind == Kind::Queue));
        if !queues.is_empty() {
            statements.push(allow(&["sqs:SendMessage"], queues));
        }
        let topics = arns(&mut targets().filter(|target| target.get_ref().kind == Kind::Topic));
        if !topics.is_empty() {
            statements.push(allow(&["sns:Publish"], topics));
        }
        // Without logs:CreateLogGroup: Lambda would make the group again after it was deleted.
        let group = self.aws.arn("logs", &format!("log-group:/aws/lambda/{name}:*"));
        statements.push(allow(&["logs:CreateLogStream", "logs:PutLogEvents"], vec![group]));
        if function.tracing {
            // X-Ray has no resources to name.
            statements.push(allow(&["xray:PutTraceSegments", "xray:PutTelemetryRecords"], vec!["*".to_owned()]));
        }
        Policy(statements)
    }

    /// A key's alias is no resource that a policy can name; a condition is.
    fn decrypt(&self, key: &str) -> Statement {
        let alias = key.find("alias/").map(|start| &key[start..]);
        let (resource, condition) = match alias {
            None => (key.to_owned(), None),
            Some(alias) => {
                let condition = serde_json::json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": alias } });
                (self.aws.arn("kms", "key/*"), Some(condition))
            }
        };
        Statement { actions: vec!["kms:Decrypt"], resources: vec![resource], condition }
    }

    fn alarms(&mut self) {
        for (name, alarm) in &self.spec.alarm {
            let (metric, statistic, threshold) = self.alarm_metric(alarm);
            let evaluation_periods = *alarm.evaluation_periods.get_ref();
            let resource = Alarm {
                name: self.naming.physical(name.get_ref()),
                description: alarm.description.clone(),
                metric,
                statistic,
                period: *alarm.period.get_ref(),
                threshold,
                comparison: alarm.comparison,
                evaluation_periods,
                datapoints: alarm.datapoints.as_ref().map_or(evaluation_periods, |datapoints| *datapoints.get_ref()),
                missing_data: alarm.missing_data,
                notify: alarm.notify.0.iter().map(|target| self.arn(target.get_ref())).collect(),
            };
            // CloudWatch takes actions on topics that are not there yet, so alarms wait for nothing.
            self.push(format!("alarm.{}", name.get_ref()), Any::Alarm(resource), Vec::new(), false);
        }
    }

    fn alarm_metric(&self, alarm: &spec::Alarm) -> (AlarmMetric, spec::Statistic, f64) {
        let given = alarm.statistic.as_ref().map(|statistic| *statistic.get_ref());
        let threshold = *alarm.threshold.get_ref();
        if let Some((reference, metric)) = alarm.watch.as_ref().and_then(|watch| spec::watched(watch.get_ref()).ok()) {
            let dimensions = BTreeMap::from([(metric.dimension.to_owned(), self.naming.physical(&reference.name))]);
            let watched =
                AlarmMetric { namespace: metric.namespace.to_owned(), name: metric.name.to_owned(), dimensions };
            return (watched, given.unwrap_or(metric.statistic), metric.measures.threshold(threshold));
        }
        let text = alarm.metric.as_ref().map_or("", |metric| metric.get_ref());
        let (namespace, name) = text.rsplit_once('/').unwrap_or_default();
        let metric = AlarmMetric {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: alarm.dimensions.clone(),
        };
        (metric, given.unwrap_or(spec::Statistic::Sum), spec::Measures::Count.threshold(threshold))
    }
}
