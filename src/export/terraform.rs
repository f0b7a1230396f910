//! Terraform: HCL with `import` blocks, after which `terraform plan` has nothing to add, change or destroy.
//!
//! Written for version 5 of the AWS provider, from 5.100 on:
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs>

mod alarm;
mod bucket;
mod function;
mod key;
mod mapping;
mod queue;
mod stream;
mod table;
mod topic;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::document::{Export, Note};
use super::hcl::{Block, Body, Expression, file};
use super::live::{Live, tags};
use super::references::References;
use crate::aws::{Clients, NODE_TAG, PROTECT_TAG, Tags};
use crate::pipeline::{Node, Pipeline};
use crate::plan::id_at_home;
use crate::resources::{Any, Resource as _, key_alias};

/// The file of what holds for all others.
const MAIN: &str = "main.tf";
const IMPORTS: &str = "imports.tf";
const VARIABLES: &str = "variables.tf";

/// Import blocks came with 1.5.
const TERRAFORM: &str = ">= 1.5.0";
const PROVIDER: &str = "~> 5.100";

/// What a resource is called in the files.
fn word(text: &str) -> String {
    let word: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if word.starts_with(|c: char| c.is_ascii_digit()) { format!("_{word}") } else { word }
}

/// A variable's name as Terraform has it.
fn variable_name(name: &str) -> String {
    word(name)
}

/// One node, and what it is called.
struct Subject<'a> {
    node: &'a Node,
    live: &'a Live,
    /// The label of its resources.
    label: String,
    /// The provider's alias, where it is in another region than the pipeline.
    alias: Option<String>,
    /// Of its region.
    aws: Arc<Clients>,
}

impl Subject<'_> {
    fn is_there(&self) -> bool {
        self.live.seen.is_some()
    }

    /// The id of an import, if there is something to import.
    fn import(&self, id: impl Into<String>) -> Option<String> {
        self.is_there().then(|| id.into())
    }

    fn tags(&self) -> Tags {
        tags(self.node, Some(self.live))
    }
}

/// The files as they come about.
struct Files<'a> {
    aws: &'a Clients,
    pipeline: &'a Pipeline,
    references: References,
    /// The tags that all resources have.
    common: Tags,
    blocks: BTreeMap<&'static str, Vec<Block>>,
    imports: Vec<Block>,
    notes: Vec<Note>,
}

/// The pipeline, each of whose nodes is there as `live` says, as Terraform's files.
pub(crate) fn terraform(pipeline: &Pipeline, aws: &Arc<Clients>, live: &[Live]) -> Export {
    let subjects = subjects(pipeline, aws, live);
    let mut files = Files {
        aws,
        pipeline,
        references: references(pipeline, &subjects),
        common: common(&subjects),
        blocks: BTreeMap::new(),
        imports: Vec::new(),
        notes: Vec::new(),
    };
    for subject in &subjects {
        files.references.at(subject.node.resource.region());
        match subject.node.resource.inner() {
            Any::Stream(stream) => files.stream(subject, stream),
            Any::Table(table) => files.table(subject, table),
            Any::Replica(replica) => files.replica(subject, replica),
            Any::Queue(queue) => files.queue(subject, queue),
            Any::Bucket(bucket) => files.bucket(subject, bucket),
            Any::Role(role) => files.role(subject, role),
            Any::LogGroup(group) => files.log_group(subject, group),
            Any::Function(function) => files.function(subject, function),
            Any::Mapping(mapping) => files.mapping(subject, mapping),
            Any::Consumer(consumer) => files.consumer(subject, consumer),
            Any::Topic(topic) => files.topic(subject, topic),
            Any::Alarm(alarm) => files.alarm(subject, alarm),
            Any::Dashboard(dashboard) => files.dashboard(subject, dashboard),
            Any::Key(key) => files.key(subject, key),
            // A resource in another region is one of the others, in there.
            Any::Elsewhere(_) => {}
        }
    }
    files.export()
}

fn subjects<'a>(pipeline: &'a Pipeline, aws: &Arc<Clients>, live: &'a [Live]) -> Vec<Subject<'a>> {
    let mut taken = BTreeSet::new();
    let subject = |(node, live): (&'a Node, &'a Live)| {
        let region = node.resource.region();
        let id = id_at_home(&node.id);
        let mut parts = id.split('.').skip(1);
        // The dashboard has no name in the file.
        let mut label = word(parts.next().unwrap_or(&pipeline.naming.pipeline));
        if matches!(node.resource.inner(), Any::Key(_)) && parts.next().is_some() {
            label.push_str("_index");
        }
        if let Some(region) = region {
            label = format!("{label}_{}", word(region));
        }
        // `a-b` and `a_b` are the same word.
        while !taken.insert((node.resource.kind(), label.clone())) {
            label.push('_');
        }
        Subject {
            node,
            live,
            label,
            alias: region.map(word),
            aws: region.map_or_else(|| Arc::clone(aws), |region| aws.in_region(region)),
        }
    };
    pipeline.nodes.iter().zip(live).map(subject).collect()
}

/// What stands for the subjects' ARNs and names.
fn references(pipeline: &Pipeline, subjects: &[Subject<'_>]) -> References {
    let mut references =
        References::with_secrets(&pipeline.secrets.variables, |name| format!("var.{}", variable_name(name)));
    for Subject { node, live, label, aws, .. } in subjects {
        references.at(node.resource.region());
        let resource = &node.resource;
        let name = resource.name();
        let (kind, attribute) = match resource.inner() {
            Any::Stream(_) => ("aws_kinesis_stream", "name"),
            Any::Table(_) => ("aws_dynamodb_table", "name"),
            Any::Queue(_) => ("aws_sqs_queue", "name"),
            Any::Bucket(_) => ("aws_s3_bucket", "bucket"),
            Any::Function(_) => ("aws_lambda_function", "function_name"),
            Any::Topic(_) => ("aws_sns_topic", "name"),
            Any::Key(_) => {
                let alias = format!("aws_kms_alias.{label}");
                references.name(&key_alias(name), format!("{alias}.name"));
                references.arn(&resource.arn(aws), format!("{alias}.arn"));
                if let Some(seen) = &live.seen {
                    references.arn(&seen.arn, format!("aws_kms_key.{label}.arn"));
                }
                continue;
            }
            // Nothing names these but their ARNs.
            Any::Replica(_) => {
                references.arn(&resource.arn(aws), format!("aws_dynamodb_table_replica.{label}.arn"));
                continue;
            }
            Any::Role(_) => {
                references.arn(&resource.arn(aws), format!("aws_iam_role.{label}.arn"));
                continue;
            }
            Any::LogGroup(_) => {
                references.arn(&resource.arn(aws), format!("aws_cloudwatch_log_group.{label}.arn"));
                continue;
            }
            Any::Alarm(_) => {
                references.arn(&resource.arn(aws), format!("aws_cloudwatch_metric_alarm.{label}.arn"));
                continue;
            }
            Any::Mapping(_) | Any::Consumer(_) | Any::Dashboard(_) | Any::Elsewhere(_) => continue,
        };
        references.arn(&resource.arn(aws), format!("{kind}.{label}.arn"));
        references.name(name, format!("{kind}.{label}.{attribute}"));
        if matches!(resource.inner(), Any::Queue(_)) {
            references.name(&aws.queue_url(name), format!("{kind}.{label}.url"));
        }
    }
    references
}

/// The tags that all subjects have, but what is each one's own.
fn common(subjects: &[Subject<'_>]) -> Tags {
    let mut all = subjects.iter().filter(|subject| subject.node.resource.kind().has_tags());
    let Some(first) = all.next() else { return Tags::new() };
    let mut common = first.node.tags.clone();
    common.retain(|key, value| {
        key != NODE_TAG && key != PROTECT_TAG && subjects.iter().all(|other| other.node.tags.get(key) == Some(value))
    });
    common
}

impl Files<'_> {
    fn note(&mut self, subject: &Subject<'_>, message: impl Into<String>) {
        let message = self.pipeline.secrets.hide(&message.into());
        self.notes.push(Note { node: subject.node.id.clone(), message });
    }

    /// Adds a resource of Terraform's; `import` is the id of what is there.
    fn add(&mut self, file: &'static str, subject: &Subject<'_>, kind: &str, body: Body, import: Option<String>) {
        self.add_labelled(file, subject, (kind, &subject.label), body, import, &[]);
    }

    /// The same with a label of its own, and with what is to be said before it.
    fn add_labelled(
        &mut self,
        file: &'static str,
        subject: &Subject<'_>,
        (kind, label): (&str, &str),
        body: Body,
        import: Option<String>,
        comments: &[String],
    ) {
        let mut block = Block::new("resource", &[kind, label], subject.within(body));
        for comment in comments {
            block.comment(comment);
        }
        self.blocks.entry(file).or_default().push(block);
        if let Some(id) = import {
            let mut body = Body::default();
            body.raw("to", format!("{kind}.{label}")).text("id", &id);
            self.imports.push(Block::new("import", &[], body));
        }
    }

    /// Adds what is only read.
    fn add_data(&mut self, file: &'static str, subject: &Subject<'_>, kind: &str, body: Body) {
        let block = Block::new("data", &[kind, &subject.label], subject.within(body));
        self.blocks.entry(file).or_default().push(block);
    }

    /// A resource's tags.
    fn tags(&self, subject: &Subject<'_>) -> Expression {
        let mut tags = subject.tags();
        let has_common = !self.common.is_empty() && self.common.iter().all(|(key, value)| tags.get(key) == Some(value));
        if has_common {
            tags.retain(|key, _| !self.common.contains_key(key));
        }
        let own = Expression::Object(tags.iter().map(|(key, value)| (key.clone(), Expression::text(value))).collect());
        if has_common { Expression::Call("merge", vec![Expression::raw("local.tags"), own]) } else { own }
    }

    fn export(mut self) -> Export {
        let name = self.pipeline.naming.prefix();
        let mut main = vec![settings()];
        main.extend(self.providers());
        if !self.common.is_empty() {
            let common = self.common.iter().map(|(key, value)| (key.clone(), Expression::text(value)));
            let mut locals = Body::default();
            locals.set("tags", Expression::Object(common.collect()));
            main.push(Block::new("locals", &[], locals));
        }
        let resources = self.blocks.values().flatten().filter(|block| block.is("resource")).count();
        let mut files = BTreeMap::new();
        let introduction = format!("The pipeline {name}, as streamkit had it. It is Terraform's from now on.");
        files.insert(MAIN.to_owned(), file(&self.introduction(&introduction), &main));
        for (name, blocks) in &self.blocks {
            files.insert((*name).to_owned(), file("", blocks));
        }
        if !self.imports.is_empty() {
            let says =
                "What is there already: `terraform apply` takes it into its state, and this file has done its work.";
            files.insert(IMPORTS.to_owned(), file(says, &self.imports));
        }
        let secrets = self.secrets(&files);
        if !secrets.is_empty() {
            let says = "Secrets: give each as TF_VAR_NAME, or in a .tfvars file that nobody commits.";
            let declared: Vec<Block> = secrets.iter().map(|(name, variable)| declaration(name, variable)).collect();
            files.insert(VARIABLES.to_owned(), file(says, &declared));
        }
        let variables = secrets.into_keys().collect();
        let imports = self.imports.len();
        Export { files, resources, imports, variables, notes: std::mem::take(&mut self.notes) }
    }

    /// The first lines of the main file, with all that could not be said.
    fn introduction(&self, says: &str) -> String {
        let mut lines = vec![says.to_owned()];
        lines.extend(self.notes.iter().map(|note| format!("- {}: {}", note.node, note.message)));
        lines.join("\n")
    }

    /// The provider, once for each region. It refuses other accounts.
    fn providers(&self) -> Vec<Block> {
        let regions: BTreeSet<&str> = self.pipeline.regions();
        let provider = |region: &str, alias: Option<String>| {
            let mut body = Body::default();
            if let Some(alias) = alias {
                body.text("alias", &alias);
            }
            body.text("region", region);
            let account = Expression::text(&self.aws.account);
            body.set("allowed_account_ids", Expression::List(vec![account]));
            if self.aws.endpoint.is_some() {
                body.comment("Not AWS: AWS_ENDPOINT_URL says where it is.");
                body.raw("s3_use_path_style", true).raw("skip_credentials_validation", true);
                body.raw("skip_metadata_api_check", true);
            }
            Block::new("provider", &["aws"], body)
        };
        let home = provider(&self.aws.region, None);
        std::iter::once(home).chain(regions.into_iter().map(|region| provider(region, Some(word(region))))).collect()
    }

    /// The secrets that the files refer to: their names, and the variables of the environment that they come from.
    fn secrets(&self, files: &BTreeMap<String, String>) -> BTreeMap<String, &str> {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let is_used = |name: &str| {
            let reference = format!("var.{name}");
            let mut places = files.values().flat_map(|text| text.split(&reference).skip(1));
            places.any(|rest| !rest.starts_with(is_word))
        };
        let secrets = self.pipeline.secrets.variables.iter();
        let secrets = secrets.map(|variable| (variable_name(&variable.name), variable.name.as_str()));
        secrets.filter(|(name, _)| is_used(name)).collect()
    }
}

/// `variable "api_token" { … }`
fn declaration(name: &str, variable: &str) -> Block {
    let mut body = Body::default();
    body.text("description", &format!("What streamkit took from the variable {variable} of the environment"));
    body.raw("type", "string").raw("sensitive", true);
    Block::new("variable", &[name], body)
}

impl Subject<'_> {
    /// The body with the provider of the subject's region.
    fn within(&self, body: Body) -> Body {
        match &self.alias {
            Some(alias) => body.after("provider", Expression::raw(format!("aws.{alias}"))),
            None => body,
        }
    }
}

/// `terraform { … }`
fn settings() -> Block {
    let mut body = Body::default();
    body.text("required_version", TERRAFORM);
    body.block("required_providers", |body| {
        let aws = [("source", "hashicorp/aws"), ("version", PROVIDER)];
        let aws = aws.map(|(key, value)| (key.to_owned(), Expression::text(value)));
        body.set("aws", Expression::Object(aws.to_vec()));
    });
    Block::new("terraform", &[], body)
}
