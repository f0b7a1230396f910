//! The sections of a function and its source.

use std::collections::BTreeSet;

use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FilterCriteria, FunctionResponseType, TracingMode};
use serde_json::{Value, json};
use streamkit_recipes::SettingKind;

use super::discover::thing;
use super::found::{FoundFunction, Gap, OWN_VARIABLES};
use super::names::Names;
use super::rights::{actions, allows};
use super::secret::may_be_secret;
use super::sections::{Section, list, pattern, quoted};
use crate::aws::Arn;
use crate::resources::Cx;
use crate::spec::{SectionKind, duration_text};

const DAY: u64 = 86_400;
/// The longest retention that CloudWatch Logs has.
const LONGEST: &str = "3653d";
/// What streamkit's functions run on.
const RUNTIME: &str = "provided.al2023";
/// The memory that a function starts with at `/tmp`, in MB.
const STORAGE: i32 = 512;

/// What the sections of a function need to know, and what they can't say.
pub(super) struct Writer<'a> {
    pub(super) cx: &'a Cx,
    pub(super) names: &'a Names,
    pub(super) gaps: &'a mut BTreeSet<Gap>,
    /// Variables that are not written out.
    pub(super) secrets: &'a mut BTreeSet<String>,
}

impl Writer<'_> {
    fn gap(&mut self, function: &FoundFunction, why: impl Into<String>) {
        self.gaps.insert(Gap { what: format!("function {}", function.name), why: why.into() });
    }

    fn reference(&self, arn: &str) -> Option<String> {
        let (kind, name) = thing(self.cx, arn).ok().flatten()?;
        self.names.reference(kind, &name).map(|reference| reference.to_string())
    }

    pub(super) fn function(&mut self, function: &FoundFunction) -> Vec<Section> {
        self.what_can_t_be_said(function);
        let key = self.names.key(SectionKind::Function, &function.name).to_owned();
        let configuration = &function.configuration;
        let mut section = Section::new(format!("function.{key}"));
        let recipe = function.recipe();
        match recipe {
            Some(recipe) => drop(section.text("recipe", recipe.name())),
            None => drop(section.said("code", quoted(&format!("{key}.zip")), "its program is called `bootstrap`")),
        }
        if !function.regions.is_empty() {
            section.raw("regions", list(function.regions.iter().map(|region| quoted(region))));
        }
        section.said("memory", configuration.memory_size.unwrap_or(128), "MB");
        let seconds = u64::try_from(configuration.timeout.unwrap_or(3)).unwrap_or_default();
        section.text("timeout", &duration_text(seconds));
        let architecture = configuration.architectures().first().map_or("x86_64", |architecture| architecture.as_str());
        if architecture != "x86_64" {
            section.text("architecture", architecture);
        }
        let tracing = configuration.tracing_config.as_ref().and_then(|tracing| tracing.mode.as_ref());
        if tracing == Some(&TracingMode::Active) {
            section.said("tracing", true, "AWS X-Ray");
        }
        if let Some(reserved) = function.reserved_concurrency {
            section.raw("reserved_concurrency", reserved);
        }
        let retention = function.log_retention.and_then(|days| u64::try_from(days).ok());
        if let Some(days) = retention {
            section.text("log_retention", &duration_text(days * DAY));
        } else {
            section.said("log_retention", quoted(LONGEST), "in AWS they never expire");
            self.gap(
                function,
                format!("its logs never expire, and a file can't say so: it has {LONGEST}, the longest that there is"),
            );
        }
        self.environment(function, &mut section);
        if recipe.is_some() {
            self.told(function, &mut section);
        } else {
            self.allowed(function, &mut section);
        }
        let mut sections = vec![section];
        sections.extend(self.source(function, &key));
        sections
    }

    /// What the handler of a recipe was told in its environment.
    fn told(&self, function: &FoundFunction, section: &mut Section) {
        let variable = |name: &str| function.told(name);
        let named = |kind: SectionKind, name: Option<&str>| {
            name.and_then(|name| self.names.reference(kind, name)).map(|reference| quoted(&reference.to_string()))
        };
        let sinks = [(SectionKind::Table, "TABLE"), (SectionKind::Bucket, "BUCKET")];
        let writes: Vec<String> = sinks.iter().filter_map(|(kind, name)| named(*kind, variable(name))).collect();
        if !writes.is_empty() {
            section.raw("writes", list(writes));
        }
        let topic = variable("TOPIC_ARN").and_then(|arn| arn.rsplit(':').next());
        let queue = variable("DEAD_LETTER_QUEUE_URL").and_then(|url| url.rsplit('/').next());
        let references = [
            ("publishes", named(SectionKind::Topic, topic)),
            ("state", named(SectionKind::Table, variable("STATE_TABLE"))),
            ("dead_letters", named(SectionKind::Queue, queue)),
        ];
        for (key, reference) in references {
            if let Some(reference) = reference {
                section.raw(key, reference);
            }
        }
        if let Some(identity) = variable("IDENTITY") {
            section.text("identity", identity);
        }
        let json = |name: &str| variable(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(Value::Object(mut settings)) = json("SETTINGS") {
            for setting in function.recipe().map_or(&[][..], |recipe| recipe.settings()) {
                let value = settings.get_mut(setting.name);
                if let (SettingKind::Seconds(..), Some(value)) = (setting.kind, value)
                    && let Some(seconds) = value.as_u64()
                {
                    *value = duration_text(seconds).into();
                }
            }
            section.raw("settings", pattern(&Value::Object(settings)));
        }
        if let Some(encryption) = json("ENCRYPT") {
            encrypted(&encryption, section);
            let key = encryption["key"].as_str().and_then(|arn| self.reference(arn));
            if let Some(key) = key {
                section.text("key", &key);
            }
        }
    }

    /// What a role lets code of one's own do, in the words of a file.
    fn allowed(&mut self, function: &FoundFunction, section: &mut Section) {
        let (mut writes, mut reads, mut topics, mut queues) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut rest: Vec<(String, Vec<String>)> = Vec::new();
        let sources: Vec<&str> =
            function.mappings.iter().filter_map(|mapping| mapping.event_source_arn.as_deref()).collect();
        for (resource, actions) in actions(&function.statements) {
            let is_of_mapping = |arn: &&str| *arn == resource || arn.starts_with(resource.trim_end_matches('*'));
            if sources.iter().any(is_of_mapping) && resource != "*" || is_given(&actions) {
                continue;
            }
            let Some(reference) = self.reference(resource.trim_end_matches("/*")) else {
                rest.push((resource, actions.into_iter().collect()));
                continue;
            };
            let can = |action: &str| allows(&actions, action);
            let quoted = quoted(&reference);
            let kind = reference.split('.').next().unwrap_or_default();
            let list = match kind {
                "table" if can("dynamodb:PutItem") => &mut writes,
                "table" if can("dynamodb:GetItem") || can("dynamodb:Query") => &mut reads,
                "bucket" if can("s3:PutObject") => &mut writes,
                "bucket" if can("s3:GetObject") => &mut reads,
                "topic" if can("sns:Publish") => &mut topics,
                "queue" if can("sqs:SendMessage") => &mut queues,
                _ => {
                    rest.push((resource, actions.into_iter().collect()));
                    continue;
                }
            };
            if !list.contains(&quoted) {
                list.push(quoted.clone());
            }
            // What streamkit grants with it is less than some roles have.
            let granted = [
                "dynamodb:BatchGetItem",
                "dynamodb:BatchWriteItem",
                "dynamodb:PutItem",
                "dynamodb:GetItem",
                "dynamodb:Query",
                "dynamodb:Scan",
                "dynamodb:DescribeTable",
                "s3:PutObject",
                "s3:GetObject",
                "s3:ListBucket",
                "sns:Publish",
                "sqs:SendMessage",
            ];
            let more: Vec<String> = actions
                .into_iter()
                .filter(|action| !granted.iter().any(|one| one.eq_ignore_ascii_case(action)))
                .collect();
            if !more.is_empty() {
                rest.push((reference, more));
            }
        }
        for (key, references) in [("writes", &writes), ("reads", &reads)] {
            if !references.is_empty() {
                section.raw(key, list(references));
            }
        }
        for (key, references) in [("publishes", topics), ("dead_letters", queues)] {
            if let Some((first, others)) = references.split_first() {
                section.raw(key, first);
                rest.extend(
                    others
                        .iter()
                        .map(|other| (other.trim_matches(['"', '\'']).to_owned(), vec![sending(key).to_owned()])),
                );
            }
        }
        let mut allow = Vec::new();
        for (on, actions) in rest {
            if actions.iter().any(|action| action.contains('*')) {
                let actions = actions.join(", ");
                self.gap(
                    function,
                    format!("its role allows {actions} on {on}: name the actions that it needs, in `allow`"),
                );
            } else {
                let actions = list(actions.iter().map(|action| quoted(action)));
                allow.push(format!("{{ actions = {actions}, on = [{}] }}", quoted(&on)));
            }
        }
        if !allow.is_empty() {
            section.raw("allow", list(allow));
        }
    }

    /// The variables that are not streamkit's own.
    fn environment(&mut self, function: &FoundFunction, section: &mut Section) {
        let mut variables = Vec::new();
        for (name, value) in &function.environment {
            if name.starts_with(OWN_VARIABLES) {
                continue;
            }
            if may_be_secret(name, value) {
                self.secrets.insert(name.clone());
                variables.push(format!("{name} = {}", quoted(&format!("${{env:{name}}}"))));
            } else {
                variables.push(format!("{name} = {}", quoted(value)));
            }
        }
        if !variables.is_empty() {
            section.raw("environment", format!("{{ {} }}", variables.join(", ")));
        }
    }

    fn source(&mut self, function: &FoundFunction, key: &str) -> Option<Section> {
        let streams = |mapping: &&EventSourceMappingConfiguration| {
            let arn = mapping.event_source_arn.as_deref().and_then(Arn::parse);
            arn.is_some_and(|arn| ["kinesis", "dynamodb"].contains(&arn.service.as_str()))
        };
        let chosen = function.mappings.iter().find(streams);
        for other in &function.mappings {
            if chosen.is_none_or(|chosen| chosen.uuid != other.uuid) {
                let source = other.event_source_arn.as_deref().unwrap_or("something that has no ARN");
                let why = if streams(&other) {
                    "a function has one source in a file"
                } else {
                    "a file's sources are streams"
                };
                self.gap(function, format!("its mapping from {source}: {why}. It stays as it is"));
            }
        }
        let Some(mapping) = chosen else {
            self.gap(function, "no stream calls it, and in a file each function has a `source`: write one");
            return None;
        };
        let arn = mapping.event_source_arn.as_deref().unwrap_or_default();
        let mut section = Section::new(format!("function.{key}.source"));
        if let Some(reference) = self.reference(arn) {
            section.text("from", &reference);
        } else {
            self.gap(
                function,
                format!("its source {arn}: a file names streams and tables of its own account and region"),
            );
            return None;
        }
        if let Some((_, consumer)) = arn.split_once("/consumer/") {
            section.text("consumer", "enhanced-fan-out");
            let name = consumer.split(':').next().unwrap_or_default();
            if name != function.name {
                self.gap(
                    function,
                    format!("it reads through the stream consumer {name}: streamkit registers one with the function's own name, and the mapping is replaced"),
                );
            }
        }
        self.filter(mapping, &mut section);
        settings(mapping, &mut section);
        let target = mapping.destination_config.as_ref().and_then(|config| config.on_failure.as_ref());
        if let Some(arn) = target.and_then(|target| target.destination.as_deref()) {
            match self.reference(arn) {
                Some(reference) => drop(section.text("on_failure", &reference)),
                None => self.gap(function, format!("its on-failure destination {arn}: a file names queues, topics and buckets of its own account and region")),
            }
        }
        if matches!(mapping.state.as_deref(), Some("Disabled" | "Disabling")) {
            section.raw("enabled", false);
        }
        let partial = mapping.function_response_types().contains(&FunctionResponseType::ReportBatchItemFailures);
        if !partial {
            self.gap(function, "it takes no partial batch responses; streamkit's always do, so `up` switches them on: see that the code answers with `batchItemFailures`, or with nothing");
        }
        Some(section)
    }

    /// The patterns, or what they stand for.
    fn filter(&self, mapping: &EventSourceMappingConfiguration, section: &mut Section) {
        let filters = mapping.filter_criteria.as_ref().map(FilterCriteria::filters).unwrap_or_default();
        let patterns: Vec<Value> =
            filters.iter().filter_map(|filter| serde_json::from_str(filter.pattern.as_deref()?).ok()).collect();
        if let Some((attribute, from)) = origin(&patterns, &self.cx.aws.region) {
            section.text("origin", &attribute);
            if from != "here" {
                section.text("changes_from", from);
            }
        } else if !patterns.is_empty() {
            section.raw("filter", list(patterns.iter().map(pattern)));
        }
    }

    fn what_can_t_be_said(&mut self, function: &FoundFunction) {
        if function.told("STREAM_ARN").is_some() {
            self.gap(
                function,
                "it copies into a stream of another region: add a section for that, and name it in `writes`",
            );
        }
        let configuration = &function.configuration;
        let runtime = configuration.runtime.as_ref().map_or("a container image", |runtime| runtime.as_str());
        if runtime != RUNTIME {
            self.gap(
                function,
                format!("it runs on {runtime}: streamkit's functions are programs on {RUNTIME}. Its code has to be written anew, or come as a `bootstrap` of its own"),
            );
        }
        let role = configuration.role.as_deref().and_then(Arn::parse);
        let key = self.names.key(SectionKind::Function, &function.name);
        let own = self.names.naming.role(key, &self.cx.aws.region);
        if let Some(role) = role.filter(|role| role.name() != own) {
            let role = role.name();
            self.gap(
                function,
                format!("its role {role}: streamkit makes {own} instead, whose rights follow from the file, and leaves {role} alone"),
            );
        }
        let has_network = configuration.vpc_config.as_ref().is_some_and(|vpc| !vpc.subnet_ids().is_empty());
        let is_started_quickly = configuration
            .snap_start
            .as_ref()
            .is_some_and(|start| start.apply_on.as_ref().is_some_and(|on| on.as_str() != "None"));
        let storage = configuration.ephemeral_storage.as_ref().map_or(STORAGE, |storage| storage.size);
        for (is_so, what) in [
            (has_network, "its VPC"),
            (!configuration.layers().is_empty(), "its layers"),
            (!configuration.file_system_configs().is_empty(), "its file systems"),
            (
                configuration.dead_letter_config.as_ref().is_some_and(|target| target.target_arn.is_some()),
                "its dead letter target for asynchronous invocations",
            ),
            (configuration.kms_key_arn.is_some(), "the key that encrypts its environment"),
            (is_started_quickly, "its SnapStart"),
            (storage != STORAGE, "the size of its `/tmp`"),
        ] {
            if is_so {
                self.gap(function, format!("{what}: a file has no key for it, and `up` leaves it as it is"));
            }
        }
    }
}

/// What every function of streamkit's may do without being told.
fn is_given(actions: &BTreeSet<String>) -> bool {
    actions.iter().all(|action| action.starts_with("logs:") || action.starts_with("xray:"))
}

fn sending(key: &str) -> &'static str {
    if key == "publishes" { "sns:Publish" } else { "sqs:SendMessage" }
}

/// The settings that differ from the file's defaults.
fn settings(mapping: &EventSourceMappingConfiguration, section: &mut Section) {
    let seconds = |value: Option<i32>| value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
    if let Some(window) = seconds(mapping.tumbling_window_in_seconds) {
        section.text("tumbling_window", &duration_text(window));
    }
    section.raw("batch_size", mapping.batch_size.unwrap_or(100));
    if let Some(window) = seconds(mapping.maximum_batching_window_in_seconds) {
        section.text("batch_window", &duration_text(window));
    }
    if let Some(factor) = mapping.parallelization_factor.filter(|factor| *factor > 1) {
        section.raw("parallelization_factor", factor);
    }
    if mapping.bisect_batch_on_function_error == Some(true) {
        section.raw("bisect_on_error", true);
    }
    if let Some(retries) = mapping.maximum_retry_attempts.filter(|retries| *retries >= 0) {
        section.raw("max_retries", retries);
    }
    if let Some(age) = seconds(mapping.maximum_record_age_in_seconds) {
        section.text("max_record_age", &duration_text(age));
    }
}

/// `encrypt` from what the handler was told.
fn encrypted(encryption: &Value, section: &mut Section) {
    let fields = encryption["fields"].as_array().cloned().unwrap_or_default();
    let field = |field: &Value| match field {
        Value::String(name) => Some(quoted(name)),
        other => {
            let name = quoted(other["field"].as_str()?);
            Some(if other["index"] == true { format!("{{ field = {name}, index = true }}") } else { name })
        }
    };
    section.raw("encrypt", list(fields.iter().filter_map(field)));
}

/// The attribute and the word of `changes_from`, if the patterns are those by which a function in this region takes its share of a
/// global table's changes.
fn origin(patterns: &[Value], region: &str) -> Option<(String, &'static str)> {
    let [first, second] = patterns else { return None };
    let of = |pattern: &Value, image: &str| {
        let attributes = pattern["dynamodb"][image].as_object()?;
        let (attribute, values) = attributes.iter().next().filter(|_| attributes.len() == 1)?;
        Some((attribute.clone(), values["S"].clone()))
    };
    let (new, old) = (
        of(first, "NewImage").or_else(|| of(second, "NewImage"))?,
        of(second, "OldImage").or_else(|| of(first, "OldImage"))?,
    );
    if new != old {
        return None;
    }
    let (attribute, values) = new;
    let others = json!({ "anything-but": [region] });
    let is_here = values == json!([region, { "exists": false }]) || values == json!([region]);
    let is_elsewhere = values == json!([others]) || values == json!([others, { "exists": false }]);
    (is_here || is_elsewhere).then_some((attribute, if is_here { "here" } else { "elsewhere" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_an_origin_are_told_from_others() {
        let pattern = |events: &[&str], image: &str, values: Value| json!({"eventName": events, "dynamodb": {image: {"region": {"S": values}}}});
        let both = |values: &Value| {
            [
                pattern(&["INSERT", "MODIFY"], "NewImage", values.clone()),
                pattern(&["REMOVE"], "OldImage", values.clone()),
            ]
        };
        let here = both(&json!(["us-east-1", {"exists": false}]));
        assert_eq!(origin(&here, "us-east-1"), Some(("region".to_owned(), "here")));
        let elsewhere = both(&json!([{"anything-but": ["us-east-1"]}]));
        assert_eq!(origin(&elsewhere, "us-east-1"), Some(("region".to_owned(), "elsewhere")));
        assert_eq!(origin(&both(&json!(["x"])), "us-east-1"), None);
        assert_eq!(origin(&[json!({"data": {}})], "us-east-1"), None);
    }
}
