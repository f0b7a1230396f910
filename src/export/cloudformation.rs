//! CloudFormation: a template for each region, and the resources that an import change set takes into a stack.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-manually.html>

mod data;
mod function;
mod messages;
mod values;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::document::{Export, Note};
use super::live::{Live, tags};
use super::references::References;
use crate::aws::{Clients, Tags};
use crate::pipeline::{Node, Pipeline};
use crate::plan::id_at_home;
use crate::resources::{Any, Resource as _};

/// What logical ids and parameters are made of: letters and digits.
fn word(text: &str) -> String {
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let capital = |part: &str| {
        let (first, rest) = part.split_at(1);
        first.to_uppercase() + rest
    };
    parts.map(capital).collect()
}

/// One node, and what it is called.
struct Subject<'a> {
    node: &'a Node,
    /// `None` where nobody has looked.
    live: Option<&'a Live>,
    /// The logical id of its first resource.
    id: String,
    /// Of its region.
    aws: Arc<Clients>,
}

impl Subject<'_> {
    fn tags(&self) -> Tags {
        tags(self.node, self.live)
    }

    /// A list of pairs, as most types have them.
    fn tag_list(&self) -> Value {
        self.tags().iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
    }

    /// The name of the section.
    fn section(&self) -> &str {
        let id = id_at_home(&self.node.id);
        id.split('.').nth(1).unwrap_or(id)
    }

    fn is_there(&self) -> bool {
        self.live.is_some_and(|live| live.seen.is_some())
    }
}

/// A template as it comes about.
struct Template<'a> {
    pipeline: &'a Pipeline,
    references: References,
    resources: Map<String, Value>,
    /// Parameters besides secrets.
    parameters: Map<String, Value>,
    imports: Vec<Value>,
    notes: Vec<Note>,
}

/// The pipeline as CloudFormation's files; with `live`, where somebody has looked, also what to import.
pub(crate) fn cloudformation(pipeline: &Pipeline, aws: &Arc<Clients>, live: Option<&[Live]>) -> Export {
    let mut export =
        Export { files: BTreeMap::new(), resources: 0, imports: 0, variables: Vec::new(), notes: Vec::new() };
    let regions = std::iter::once(None).chain(pipeline.regions().into_iter().map(Some));
    for region in regions {
        let subjects = subjects(pipeline, aws, live, region);
        let mut template = Template {
            pipeline,
            references: references(pipeline, &subjects),
            resources: Map::new(),
            parameters: Map::new(),
            imports: Vec::new(),
            notes: Vec::new(),
        };
        for subject in &subjects {
            template.add(subject);
        }
        let end = region.map(|region| format!("-{region}")).unwrap_or_default();
        export.resources += template.resources.len();
        export.imports += template.imports.len();
        if !template.imports.is_empty() {
            export.files.insert(format!("resources-to-import{end}.json"), text(&json!(template.imports)));
        }
        export.variables.extend(template.secrets().into_keys());
        let document = template.document();
        export.notes.extend(template.notes);
        export.files.insert(format!("template{end}.json"), text(&document));
    }
    export.variables.sort();
    export.variables.dedup();
    export
}

fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

fn subjects<'a>(
    pipeline: &'a Pipeline,
    aws: &Arc<Clients>,
    live: Option<&'a [Live]>,
    region: Option<&str>,
) -> Vec<Subject<'a>> {
    let mut taken = BTreeSet::new();
    let aws = region.map_or_else(|| Arc::clone(aws), |region| aws.in_region(region));
    let here = pipeline.nodes.iter().enumerate().filter(|(_, node)| node.resource.region() == region);
    let subject = |(at, node): (usize, &'a Node)| {
        let own = id_at_home(&node.id);
        let end = match node.resource.inner() {
            Any::Stream(_) => "Stream",
            Any::Table(_) | Any::Replica(_) => "Table",
            Any::Queue(_) => "Queue",
            Any::Bucket(_) => "Bucket",
            Any::Role(_) => "Role",
            Any::LogGroup(_) => "LogGroup",
            Any::Function(_) => "Function",
            Any::Mapping(_) => "Mapping",
            Any::Consumer(_) => "Consumer",
            Any::Topic(_) => "Topic",
            Any::Alarm(_) => "Alarm",
            Any::Key(_) if own.split('.').count() > 2 => "IndexKey",
            Any::Key(_) => "Key",
            Any::Dashboard(_) | Any::Elsewhere(_) => "",
        };
        let mut id = word(own.split('.').nth(1).unwrap_or(own)) + end;
        // `a-b` and `a_b` are the same word.
        while !taken.insert(id.clone()) {
            id.push('2');
        }
        Subject { node, live: live.map(|live| &live[at]), id, aws: Arc::clone(&aws) }
    };
    here.map(subject).collect()
}

/// What stands for the subjects' ARNs and names: `Id` for `Ref`, and `Id.Attribute` for `Fn::GetAtt`.
fn references(pipeline: &Pipeline, subjects: &[Subject<'_>]) -> References {
    let mut references = References::with_secrets(&pipeline.secrets.variables, word);
    for Subject { node, id, aws, .. } in subjects {
        let name = node.resource.name();
        // A resource in a template's own region: its own ARN, whatever the pipeline's home is.
        let arn = node.resource.inner().arn(aws);
        match node.resource.inner() {
            Any::Stream(_) | Any::Table(_) | Any::Bucket(_) | Any::Function(_) => {
                references.arn(&arn, format!("{id}.Arn"));
                references.name(name, id.clone());
            }
            Any::Queue(_) => {
                references.arn(&arn, format!("{id}.Arn"));
                references.name(name, format!("{id}.QueueName"));
                references.name(&aws.queue_url(name), id.clone());
            }
            Any::Topic(_) => {
                references.arn(&arn, id.clone());
                references.name(name, format!("{id}.TopicName"));
            }
            Any::Role(_) | Any::Alarm(_) => references.arn(&arn, format!("{id}.Arn")),
            // What CloudFormation calls its ARN ends like this.
            Any::LogGroup(_) => references.arn(&format!("{arn}:*"), format!("{id}.Arn")),
            // A key's policy names roles, so a role's must not name the key.
            Any::Key(_)
            | Any::Replica(_)
            | Any::Mapping(_)
            | Any::Consumer(_)
            | Any::Dashboard(_)
            | Any::Elsewhere(_) => {}
        }
    }
    references
}

impl<'a> Template<'a> {
    fn add(&mut self, subject: &Subject<'_>) {
        match subject.node.resource.inner() {
            Any::Stream(stream) => self.stream(subject, stream),
            Any::Table(table) => self.table(subject, table),
            Any::Queue(queue) => self.queue(subject, queue),
            Any::Bucket(bucket) => self.bucket(subject, bucket),
            Any::Role(role) => self.role(subject, role),
            Any::LogGroup(group) => self.log_group(subject, group),
            Any::Function(function) => self.function(subject, function),
            Any::Mapping(mapping) => self.mapping(subject, mapping),
            Any::Consumer(consumer) => self.consumer(subject, consumer),
            Any::Topic(topic) => self.topic(subject, topic),
            Any::Alarm(alarm) => self.alarm(subject, alarm),
            Any::Dashboard(dashboard) => self.dashboard(subject, dashboard),
            Any::Key(key) => self.key(subject, key),
            // The global table has its replicas.
            Any::Replica(_) | Any::Elsewhere(_) => {}
        }
    }

    fn note(&mut self, subject: &Subject<'_>, message: impl Into<String>) {
        let message = self.pipeline.secrets.hide(&message.into());
        self.notes.push(Note { node: subject.node.id.clone(), message });
    }

    /// Adds a resource. It stays when it leaves the stack: an import asks for that to be said.
    fn put(&mut self, id: &str, kind: &str, properties: Value, needs: &[String]) {
        let mut resource = json!({
            "Type": kind,
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
        });
        resource["Properties"] = properties;
        if !needs.is_empty() {
            resource["DependsOn"] = json!(needs);
        }
        self.resources.insert(id.to_owned(), resource);
    }

    /// Something that is there, by what its type goes by.
    fn import(&mut self, subject: &Subject<'_>, id: &str, kind: &str, identifier: Value) {
        if subject.is_there() {
            let mut import = json!({ "ResourceType": kind, "LogicalResourceId": id });
            import["ResourceIdentifier"] = identifier;
            self.imports.push(import);
        }
    }

    /// The secrets that the resources refer to: their parameters, and the variables of the environment that they come from.
    fn secrets(&self) -> BTreeMap<String, &'a str> {
        let written = self.resources.values().map(Value::to_string).collect::<String>();
        let is_used =
            |name: &str| [format!("\"Ref\":\"{name}\""), format!("${{{name}}}")].iter().any(|it| written.contains(it));
        let secrets =
            self.pipeline.secrets.variables.iter().map(|variable| (word(&variable.name), variable.name.as_str()));
        secrets.filter(|(name, _)| is_used(name)).collect()
    }

    fn document(&mut self) -> Value {
        let secrets = self.secrets();
        let mut parameters = std::mem::take(&mut self.parameters);
        for (name, variable) in secrets {
            let says = format!("What streamkit took from the variable {variable} of the environment");
            parameters.insert(name, json!({ "Type": "String", "NoEcho": true, "Description": says }));
        }
        let mut says = format!("The pipeline {}, as streamkit had it.", self.pipeline.naming.prefix());
        for note in &self.notes {
            // Writing to a String cannot fail.
            let _ = write!(says, " Left out: {}: {}.", note.node, note.message);
        }
        // A description has at most 1,024 bytes.
        if says.len() > 1_000 {
            says = format!(
                "The pipeline {}, as streamkit had it. Some of it could not be said here.",
                self.pipeline.naming.prefix()
            );
        }
        let mut document = json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": says,
            "Resources": std::mem::take(&mut self.resources),
        });
        if !parameters.is_empty() {
            document["Parameters"] = Value::Object(parameters);
        }
        document
    }
}
