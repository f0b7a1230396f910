//! Functions with their roles, log groups and mappings.

use serde_json::{Value, json};

use super::{Subject, Template, word};
use crate::aws::assume_role_policy;
use crate::export::live::Details;
use crate::resources::{Any, Function, LogGroup, Mapping, MappingSource, ROLE_PATH, ROLE_POLICY, Resource as _, Role};
use crate::spec::StartingPosition;

const DAY: u64 = 86_400;
/// The parameter with the bucket that packages are in.
const CODE_BUCKET: &str = "CodeBucket";

impl Template<'_> {
    pub(super) fn role(&mut self, subject: &Subject<'_>, role: &Role) {
        let mut properties = json!({
            "RoleName": role.name,
            "Path": ROLE_PATH,
            "AssumeRolePolicyDocument": assume_role_policy(),
            "Policies": [{ "PolicyName": ROLE_POLICY, "PolicyDocument": self.references.document(&role.policy.document()) }],
            "Tags": subject.tag_list(),
        });
        if let Some(Details::Role { description, path }) = subject.live.map(|live| &live.details) {
            properties["Path"] = json!(path);
            if !description.is_empty() {
                properties["Description"] = json!(description);
            }
        }
        let kind = "AWS::IAM::Role";
        self.put(&subject.id, kind, properties, &[]);
        self.import(subject, &subject.id, kind, json!({ "RoleName": role.name }));
    }

    pub(super) fn log_group(&mut self, subject: &Subject<'_>, group: &LogGroup) {
        let properties = json!({
            "LogGroupName": group.name, "RetentionInDays": group.retention.0 / DAY, "Tags": subject.tag_list(),
        });
        let kind = "AWS::Logs::LogGroup";
        self.put(&subject.id, kind, properties, &[]);
        self.import(subject, &subject.id, kind, json!({ "LogGroupName": group.name }));
    }

    pub(super) fn function(&mut self, subject: &Subject<'_>, function: &Function) {
        let wanted = function.desired();
        let key = format!("{}CodeKey", word(subject.section()));
        let bucket = "The bucket with the functions' zip files";
        self.parameters.insert(CODE_BUCKET.to_owned(), json!({ "Type": "String", "Description": bucket }));
        let says = format!("The key of the zip file of {}, which `streamkit package` makes", function.name);
        self.parameters.insert(key.clone(), json!({ "Type": "String", "Description": says }));
        let variables = function.environment.iter().map(|(name, value)| (name.clone(), self.references.named(value)));
        let variables: Value = variables.collect();
        let mut properties = json!({
            "FunctionName": function.name,
            "Role": self.references.string(&function.role.get()),
            "Runtime": wanted["runtime"],
            "Handler": "bootstrap",
            "Architectures": [wanted["architecture"]],
            "Code": { "S3Bucket": { "Ref": CODE_BUCKET }, "S3Key": { "Ref": key } },
            "MemorySize": function.memory,
            "Timeout": function.timeout.0,
            "TracingConfig": { "Mode": if function.tracing { "Active" } else { "PassThrough" } },
            "Environment": { "Variables": variables },
            "Tags": subject.tag_list(),
        });
        if let Some(reserved) = function.reserved_concurrency {
            properties["ReservedConcurrentExecutions"] = json!(reserved);
        }
        if let Some(Details::Function { description, handler }) = subject.live.map(|live| &live.details) {
            properties["Handler"] = json!(handler);
            if !description.is_empty() {
                properties["Description"] = json!(description);
            }
        }
        let kind = "AWS::Lambda::Function";
        // Lambda would make the log group by itself, without an end to its retention.
        self.put(&subject.id, kind, properties, &[format!("{}LogGroup", word(subject.section()))]);
        self.import(subject, &subject.id, kind, json!({ "FunctionName": function.name }));
    }

    pub(super) fn mapping(&mut self, subject: &Subject<'_>, mapping: &Mapping) {
        let section = word(subject.section());
        let wanted = match mapping.starting_position {
            Some(StartingPosition::Latest) => "LATEST",
            _ => "TRIM_HORIZON",
        };
        let mut properties = json!({
            "FunctionName": { "Ref": format!("{section}Function") },
            "EventSourceArn": self.source(subject, mapping, &section),
            "StartingPosition": wanted,
            "Enabled": mapping.enabled,
            "BatchSize": mapping.batch_size,
            "MaximumBatchingWindowInSeconds": mapping.batch_window.0,
            "ParallelizationFactor": mapping.parallelization_factor,
            "BisectBatchOnFunctionError": mapping.bisect_on_error,
            "MaximumRetryAttempts": mapping.max_retries,
            "MaximumRecordAgeInSeconds": mapping.max_record_age.map_or(-1, crate::spec::Seconds::as_i32),
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "MetricsConfig": { "Metrics": ["EventCount"] },
        });
        if mapping.tumbling_window.0 > 0 {
            properties["TumblingWindowInSeconds"] = json!(mapping.tumbling_window.0);
        }
        if let Some(target) = &mapping.on_failure {
            properties["DestinationConfig"] = json!({ "OnFailure": { "Destination": self.references.string(target) } });
        }
        if !mapping.filter.is_empty() {
            let filters = mapping.filter.iter().map(|pattern| json!({ "Pattern": pattern.to_string() }));
            properties["FilterCriteria"] = json!({ "Filters": filters.collect::<Vec<_>>() });
        }
        let kind = "AWS::Lambda::EventSourceMapping";
        let uuid = match subject.live.map(|live| &live.details) {
            Some(Details::Mapping { uuid, position, timestamp }) => {
                if let Some(position) = position {
                    properties["StartingPosition"] = json!(position);
                }
                let seconds = timestamp.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
                if let Some(at) = seconds {
                    properties["StartingPositionTimestamp"] = json!(at.as_second());
                }
                Some(uuid)
            }
            _ => None,
        };
        self.put(&subject.id, kind, properties, &[]);
        if let Some(uuid) = uuid {
            self.import(subject, &subject.id, kind, json!({ "Id": uuid }));
        }
    }

    /// The ARN of what it reads.
    fn source(&mut self, subject: &Subject<'_>, mapping: &Mapping, section: &str) -> Value {
        match &mapping.source {
            MappingSource::Stream(arn) => self.references.string(arn),
            MappingSource::Consumer { .. } => json!({ "Fn::GetAtt": [format!("{section}Consumer"), "ConsumerARN"] }),
            MappingSource::TableStream { table, .. } => {
                let is_it = |node: &&crate::pipeline::Node| {
                    node.resource.region() == subject.node.resource.region()
                        && matches!(node.resource.inner(), Any::Table(_))
                        && node.resource.name() == table
                };
                let of = self.pipeline.nodes.iter().find(is_it);
                if let Some(node) = of {
                    let name = node.id.split('.').nth(1).unwrap_or_default();
                    return json!({ "Fn::GetAtt": [Self::table_id(name), "StreamArn"] });
                }
                // The global table is in another region's template.
                let parameter = format!("{section}StreamArn");
                let says = format!("The ARN of the stream of {table} in this region");
                let seen = subject.live.and_then(|live| live.seen.as_ref()).and_then(|seen| seen.fields.get("source"));
                let mut declared = json!({ "Type": "String", "Description": says });
                if let Some(source) = seen.filter(|source| source.is_string()) {
                    declared["Default"] = source.clone();
                }
                self.parameters.insert(parameter.clone(), declared);
                json!({ "Ref": parameter })
            }
        }
    }
}
