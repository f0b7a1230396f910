//! What a function's role may do: exact actions on exact ARNs, derived from its source and sinks.

use std::collections::BTreeSet;

use super::Builder;
use crate::aws::{Clients, Policy, Statement};
use crate::spec::{self, Encryption, Reference, SectionKind, named};

const READ_STREAM: [&str; 5] = [
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
];
const READ_TABLE_STREAM: [&str; 4] =
    ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"];

/// What code of one's own does with a table, and with a bucket and its objects, that it reads.
const READ_TABLE: [&str; 5] =
    ["dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"];

fn allow(actions: &[&str], resources: Vec<String>) -> Statement {
    Statement { actions: owned(actions), resources, condition: None }
}

fn owned(actions: &[&str]) -> Vec<String> {
    actions.iter().map(|action| (*action).to_owned()).collect()
}

impl Builder<'_> {
    pub(super) fn policy(&self, name: &str, function: &spec::Function) -> Policy {
        let source = function.source.get_ref();
        let mut statements = self.reads(source.from.get_ref());
        if *source.consumer.get_ref() == spec::Consumer::EnhancedFanOut {
            // A consumer's ARN ends with the time when it was registered.
            let consumer = format!("{}/consumer/{name}:*", self.arn(source.from.get_ref()));
            statements.push(allow(&["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"], vec![consumer]));
        }
        statements.extend(self.writes(function));
        statements.extend(self.sends(function));
        statements.extend(self.encrypts_fields(function));
        statements.extend(self.reads_besides(function));
        statements.extend(function.allow.iter().map(|allowed| self.allowed(allowed.get_ref())));
        // Without logs:CreateLogGroup: Lambda would make the group again after it was deleted.
        let group = self.aws.arn("logs", &format!("log-group:/aws/lambda/{name}:*"));
        statements.push(allow(&["logs:CreateLogStream", "logs:PutLogEvents"], vec![group]));
        if function.tracing {
            // X-Ray's actions can't be restricted to a resource.
            statements.push(allow(&["xray:PutTraceSegments", "xray:PutTelemetryRecords"], vec!["*".to_owned()]));
        }
        Policy(statements)
    }

    fn reads(&self, from: &Reference) -> Vec<Statement> {
        if from.kind == SectionKind::Table {
            // A stream's ARN ends with the time when it was switched on, which nobody knows before.
            return vec![allow(&READ_TABLE_STREAM, vec![format!("{}/stream/*", self.arn(from))])];
        }
        let mut statements = vec![allow(&READ_STREAM, vec![self.arn(from)])];
        if let Some(Encryption::Key(key)) = named(&self.spec.stream, &from.name).map(|stream| &stream.encryption) {
            statements.push(use_key(self.aws, key, &["kms:Decrypt"]));
        }
        statements
    }

    /// What code of one's own reads beside its source.
    fn reads_besides(&self, function: &spec::Function) -> Vec<Statement> {
        let mut statements = Vec::new();
        for read in function.reads.iter().map(spec::Spanned::get_ref) {
            let arn = self.arn(read);
            if read.kind == SectionKind::Table {
                let indexes = format!("{arn}/index/*");
                statements.push(allow(&READ_TABLE, vec![arn, indexes]));
            } else {
                statements.push(allow(&["s3:GetObject"], vec![format!("{arn}/*")]));
                statements.push(allow(&["s3:ListBucket"], vec![arn]));
                statements.extend(self.encrypts(read));
            }
        }
        statements
    }

    /// What the spec allows by itself, on what it names and what lies in that.
    fn allowed(&self, allowed: &spec::Allow) -> Statement {
        let resources = allowed.on.iter().flat_map(|on| match on.get_ref() {
            spec::Target::Arn(arn) => vec![arn.clone()],
            spec::Target::Section(section) => {
                // Functions come after their roles.
                let arn = match section.kind {
                    SectionKind::Function => {
                        self.aws.arn("lambda", &format!("function:{}", self.naming.physical(&section.name)))
                    }
                    _ => self.arn(section),
                };
                let within = match section.kind {
                    SectionKind::Table => Some(format!("{arn}/index/*")),
                    SectionKind::Bucket => Some(format!("{arn}/*")),
                    _ => None,
                };
                std::iter::once(arn).chain(within).collect()
            }
        });
        let actions = allowed.actions.iter().map(|action| action.get_ref().clone()).collect();
        Statement { actions, resources: resources.collect(), condition: None }
    }

    fn writes(&self, function: &spec::Function) -> Vec<Statement> {
        let mut statements = Vec::new();
        let of_kind = |kind: SectionKind| {
            function.writes.iter().map(spec::Spanned::get_ref).filter(move |sink| sink.kind == kind)
        };
        let tables: BTreeSet<_> = of_kind(SectionKind::Table).map(|table| self.arn(table)).collect();
        if !tables.is_empty() {
            // A replay looks whether an item is there.
            let mut actions = vec!["dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:PutItem"];
            let windowed = function.recipe().and_then(|recipe| recipe.windowed());
            if windowed.is_some_and(|windowed| windowed.stored().is_some()) {
                // To merge the items of a window, whichever shards they come from.
                actions.push("dynamodb:Query");
            }
            statements.push(allow(&actions, tables.into_iter().collect()));
        }
        if let Some(state) = &function.state {
            statements.push(allow(&["dynamodb:BatchGetItem", "dynamodb:PutItem"], vec![self.arn(state.get_ref())]));
        }
        let streams: BTreeSet<_> = of_kind(SectionKind::Stream).collect();
        if !streams.is_empty() {
            let actions: &[&str] = if function.recipe.is_some() {
                &["kinesis:PutRecords"]
            } else {
                &["kinesis:PutRecord", "kinesis:PutRecords"]
            };
            statements.push(allow(actions, streams.iter().map(|stream| self.arn(stream)).collect()));
        }
        for stream in streams {
            if let Some(Encryption::Key(key)) = named(&self.spec.stream, &stream.name).map(|stream| &stream.encryption)
            {
                statements.push(use_key(&self.clients_of_stream(&stream.name), key, &["kms:GenerateDataKey"]));
            }
        }
        // A recipe keeps to its prefix; what other code writes is not known.
        let prefix = function.recipe().and_then(|recipe| recipe.needs().bucket).unwrap_or_default();
        let objects: BTreeSet<_> =
            of_kind(SectionKind::Bucket).map(|bucket| format!("{}/{prefix}*", self.arn(bucket))).collect();
        if !objects.is_empty() {
            statements.push(allow(&["s3:PutObject"], objects.into_iter().collect()));
        }
        for bucket in of_kind(SectionKind::Bucket) {
            statements.extend(self.encrypts(bucket));
        }
        statements
    }

    /// Notifications, dead letters and on-failure records.
    fn sends(&self, function: &spec::Function) -> Vec<Statement> {
        let on_failure = function.source.get_ref().on_failure.as_ref();
        let targets: BTreeSet<&Reference> = function
            .publishes
            .iter()
            .chain(&function.dead_letters)
            .chain(on_failure)
            .map(spec::Spanned::get_ref)
            .collect();
        let arns = |kind: SectionKind| {
            targets.iter().filter(|target| target.kind == kind).map(|target| self.arn(target)).collect()
        };
        let mut statements = Vec::new();
        let queues: Vec<_> = arns(SectionKind::Queue);
        if !queues.is_empty() {
            statements.push(allow(&["sqs:SendMessage"], queues));
        }
        let topics: Vec<_> = arns(SectionKind::Topic);
        if !topics.is_empty() {
            statements.push(allow(&["sns:Publish"], topics));
        }
        let buckets: Vec<_> = arns(SectionKind::Bucket);
        if !buckets.is_empty() {
            // Lambda checks that the bucket exists, and writes on-failure records below this prefix.
            let objects = buckets.iter().map(|bucket| format!("{bucket}/aws/lambda/*")).collect();
            statements.push(allow(&["s3:ListBucket"], buckets));
            statements.push(allow(&["s3:PutObject"], objects));
        }
        statements.extend(targets.into_iter().filter_map(|target| self.encrypts(target)));
        statements
    }

    /// Permission to encrypt with the customer-managed key of a bucket or topic.
    fn encrypts(&self, sink: &Reference) -> Option<Statement> {
        let encryption = match sink.kind {
            SectionKind::Bucket => named(&self.spec.bucket, &sink.name)?.encryption.as_ref()?.get_ref(),
            SectionKind::Topic => named(&self.spec.topic, &sink.name)?.encryption.as_ref()?.get_ref(),
            _ => return None,
        };
        match encryption {
            Encryption::Key(key) => Some(use_key(self.aws, key, &["kms:Decrypt", "kms:GenerateDataKey"])),
            _ => None,
        }
    }
}

/// A policy can't name a key by its alias as a resource, only in a condition.
pub(crate) fn use_key(aws: &Clients, key: &str, actions: &[&str]) -> Statement {
    let alias = key.find("alias/").map(|start| &key[start..]);
    let (resource, condition) = match alias {
        None => (key.to_owned(), None),
        Some(alias) => {
            let condition = serde_json::json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": alias } });
            (aws.arn("kms", "key/*"), Some(condition))
        }
    };
    Statement { actions: owned(actions), resources: vec![resource], condition }
}
