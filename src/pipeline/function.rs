//! A function with its role, log group, event source mapping and stream consumer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use streamkit_handler::encryption::EncryptionSettings;
use streamkit_recipes::IDENTITY_FIELD;

use super::{Builder, Flow, FlowSource, ReplacedWith, Sinks};
use crate::graph::{Need, Until};
use crate::package::{Architecture, Code};
use crate::plan::Concurrency;
use crate::resources::{Any, Consumer, Function, LogGroup, Mapping, MappingSource, OF_FUNCTIONS, Role, RoleArn};
use crate::spec::{self, Reference, Seconds, SectionKind, StreamMode, named};

/// The field in which an event has its own id, where the spec names one.
fn identity(function: &spec::Function) -> Option<&str> {
    function.identity.as_ref().map(|field| field.get_ref().as_str())
}

impl Builder<'_> {
    pub(super) fn function(
        &mut self,
        key: &str,
        function: &spec::Function,
        architecture: Architecture,
        code: Arc<Code>,
    ) {
        let id = format!("function.{key}");
        let name = self.naming.physical(key);
        let role_name = self.naming.role(key, &self.aws.region);
        let role_arn = RoleArn::new(self.aws, &role_name);
        let role = Role { name: role_name, policy: self.policy(&name, function), arn: role_arn.clone() };
        let role = self.push(format!("{id}.role"), Any::Role(role), Vec::new(), false);
        let group = LogGroup { name: format!("{OF_FUNCTIONS}{name}"), retention: *function.log_retention.get_ref() };
        let log_group = group.name.clone();
        let group = self.push(format!("{id}.logs"), Any::LogGroup(group), Vec::new(), false);
        let sinks = self.sinks(function);
        let encryption = self.encryption(function, &sinks);
        let resource = Function {
            name: name.clone(),
            role: role_arn,
            memory: *function.memory.get_ref(),
            timeout: *function.timeout.get_ref(),
            tracing: function.tracing,
            reserved_concurrency: function.reserved_concurrency.as_ref().map(|reserved| *reserved.get_ref()),
            architecture,
            environment: self.environment(function, &sinks, encryption.as_ref()),
            code,
        };
        // Lambda checks the role when the function is made, and is asked again until it knows the role.
        let needs = vec![Need { node: role, until: Until::Exists }];
        let resource = self.push(id.clone(), Any::Function(resource), needs, false);
        // A mapping can be created while its function is Pending. It uses the role's rights, and Lambda must not make the log group.
        let needs = vec![
            Need { node: resource, until: Until::Exists },
            Need { node: role, until: Until::Ready },
            Need { node: group, until: Until::Ready },
        ];
        self.mapping(&id, &name, function, needs);
        let from = function.source.get_ref().from.get_ref();
        self.concurrency.push(self.concurrency_of(id, function));
        let source = match from.kind {
            SectionKind::Table => FlowSource::Table(self.physical(from)),
            _ => FlowSource::Stream(self.physical(from)),
        };
        self.flows.push(Flow {
            key: key.to_owned(),
            recipe: function.recipe.as_ref().map(|recipe| recipe.get_ref().clone()),
            source,
            filter: self.filter(function.source.get_ref()).into_iter().map(|pattern| pattern.0).collect(),
            origin: function.source.get_ref().origin.as_ref().map(|attribute| attribute.get_ref().clone()),
            identity: identity(function).unwrap_or(IDENTITY_FIELD).to_owned(),
            function: name,
            log_group,
            table: sinks.table,
            bucket: sinks.bucket,
            stream: sinks.stream,
            topic: sinks.topic,
            dead_letters: sinks.dead_letters,
            state: sinks.state,
            settings: function.given_settings(),
            on_failure: function.source.get_ref().on_failure.as_ref().map(|target| {
                let target = target.get_ref();
                (target.kind, self.physical(target))
            }),
            tumbling_window: function
                .source
                .get_ref()
                .tumbling_window
                .as_ref()
                .map(|window| Duration::from_secs(window.get_ref().0)),
            encryption,
            batch_size: usize::try_from(*function.source.get_ref().batch_size.get_ref()).unwrap_or(1),
        });
    }

    fn mapping(&mut self, id: &str, function_name: &str, function: &spec::Function, mut needs: Vec<Need>) {
        let source = function.source.get_ref();
        let from = source.from.get_ref();
        let consumer = (*source.consumer.get_ref() == spec::Consumer::EnhancedFanOut)
            .then(|| self.consumer(id, function_name, from));
        let reads = match from.kind {
            SectionKind::Table => MappingSource::table(self.aws, self.physical(from)),
            _ if consumer.is_some() => {
                MappingSource::Consumer { stream: self.arn(from), name: function_name.to_owned() }
            }
            _ => MappingSource::Stream(self.arn(from)),
        };
        let source_is_new = self.new_streams.get(&self.physical(from)).cloned().unwrap_or_default();
        let mapping = Mapping {
            function: function_name.to_owned(),
            source_arn: Arc::new(Mutex::new(reads.known_arn())),
            source: reads,
            renamed_from: function.renamed_from.as_ref().map(|old| self.naming.physical(&old.get_ref().name)),
            batch_size: *source.batch_size.get_ref(),
            batch_window: *source.batch_window.get_ref(),
            starting_position: source.starting_position.as_ref().map(|position| *position.get_ref()),
            parallelization_factor: *source.parallelization_factor.get_ref(),
            bisect_on_error: source.bisect_on_error,
            max_retries: *source.max_retries.get_ref(),
            max_record_age: source.max_record_age.as_ref().map(|age| *age.get_ref()),
            on_failure: source.on_failure.as_ref().map(|target| self.arn(target.get_ref())),
            filter: self.filter(source),
            tumbling_window: source.tumbling_window.as_ref().map_or(Seconds(0), |window| *window.get_ref()),
            enabled: source.enabled,
            beside_earlier_stream: Arc::default(),
            source_is_new,
        };
        needs.push(self.need(from, Until::Exists));
        // Events flow as soon as the mapping exists, so the sinks come first. A new table takes items before it has all settings.
        let until = |kind| if kind == SectionKind::Table { Until::Exists } else { Until::Ready };
        let sinks =
            function.writes.iter().chain(&function.publishes).chain(&function.dead_letters).chain(&source.on_failure);
        let sinks = sinks.chain(&function.state).chain(&function.reads).map(spec::Spanned::get_ref);
        let sinks = sinks.filter(|sink| self.has_node(sink));
        needs.extend(sinks.map(|sink| self.need(sink, until(sink.kind))));
        needs.extend(self.needs_keys(function));
        needs.extend(consumer.map(|node| Need { node, until: Until::Ready }));
        let mapping = self.push(format!("{id}.source"), Any::Mapping(mapping), needs, false);
        if from.kind == SectionKind::Table {
            // Each stream of a table has an ARN of its own, and each registration of a consumer.
            self.nodes[mapping].replaced_with =
                Some(ReplacedWith { node: self.index(&from.to_string()), field: "stream" });
        } else if let Some(node) = consumer {
            self.nodes[mapping].replaced_with = Some(ReplacedWith { node, field: "stream" });
        }
    }

    fn consumer(&mut self, id: &str, function_name: &str, stream: &Reference) -> usize {
        let consumer = Consumer { name: function_name.to_owned(), stream: self.arn(stream) };
        let needs = vec![self.need(stream, Until::Exists)];
        self.push(format!("{id}.consumer"), Any::Consumer(consumer), needs, false)
    }

    fn concurrency_of(&self, id: String, function: &spec::Function) -> Concurrency {
        let source = function.source.get_ref();
        let stream = named(&self.spec.stream, &source.from.get_ref().name)
            .filter(|_| source.from.get_ref().kind == SectionKind::Stream);
        // On demand, and for a table's stream, AWS has as many shards as the traffic needs.
        let shards = stream.filter(|stream| stream.mode() == StreamMode::Provisioned).map(spec::Stream::shards);
        let reserved = function.reserved_concurrency.as_ref().map(|reserved| *reserved.get_ref());
        Concurrency::new(id, shards, *source.parallelization_factor.get_ref(), reserved)
    }

    fn sinks(&self, function: &spec::Function) -> Sinks {
        let name = |reference: &spec::Spanned<Reference>| self.physical(reference.get_ref());
        let first = |kind: SectionKind| function.writes.iter().find(|sink| sink.get_ref().kind == kind);
        Sinks {
            table: first(SectionKind::Table).map(name),
            bucket: first(SectionKind::Bucket).map(name),
            stream: first(SectionKind::Stream).map(|sink| self.arn(sink.get_ref())),
            topic: function.publishes.as_ref().map(name),
            dead_letters: function.dead_letters.as_ref().map(name),
            state: function.state.as_ref().map(name),
        }
    }

    /// The handler's environment variables; only those that it needs.
    fn environment(
        &self,
        function: &spec::Function,
        sinks: &Sinks,
        encryption: Option<&EncryptionSettings>,
    ) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<_, _> =
            function.environment.iter().map(|(name, value)| (name.get_ref().clone(), value.clone())).collect();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                variables.insert(format!("STREAMKIT_{name}"), value);
            }
        };
        set("RECIPE", function.recipe.as_ref().map(|recipe| recipe.get_ref().clone()));
        set("PIPELINE", Some(self.naming.prefix()));
        set("IDENTITY", identity(function).map(str::to_owned));
        set("ENCRYPT", encryption.map(|settings| serde_json::to_string(settings).expect("names always serialize")));
        set("TABLE", sinks.table.clone());
        set("BUCKET", sinks.bucket.clone());
        set("STREAM_ARN", sinks.stream.clone());
        set("TOPIC_ARN", sinks.topic.as_ref().map(|topic| self.aws.arn("sns", topic)));
        // The state depends on what comes in order.
        let factor = *function.source.get_ref().parallelization_factor.get_ref();
        set("PARALLELIZATION_FACTOR", sinks.state.as_ref().filter(|_| factor > 1).map(|_| factor.to_string()));
        set("STATE_TABLE", sinks.state.clone());
        let settings = function.given_settings();
        set("SETTINGS", (!settings.is_empty()).then(|| Value::Object(settings).to_string()));
        set("DEAD_LETTER_QUEUE_URL", sinks.dead_letters.as_ref().map(|queue| self.aws.queue_url(queue)));
        variables
    }
}
