//! Event source mappings.

use super::super::hcl::{Body, Expression};
use super::super::live::Details;
use super::function::FUNCTIONS;
use super::{Files, Subject, word};
use crate::plan::id_at_home;
use crate::resources::{Mapping, MappingSource};
use crate::spec::StartingPosition;

impl Files<'_> {
    pub(super) fn mapping(&mut self, subject: &Subject<'_>, mapping: &Mapping) {
        let mut body = Body::default();
        body.set("function_name", Expression::raw(format!("aws_lambda_function.{}.arn", subject.label)));
        let source = self.source(subject, mapping);
        body.set("event_source_arn", source);
        let (uuid, position, timestamp) = match &subject.live.details {
            Details::Mapping { uuid, position, timestamp, .. } => {
                (Some(uuid), position.as_deref(), timestamp.as_deref())
            }
            _ => (None, None, None),
        };
        let wanted = match mapping.starting_position {
            Some(StartingPosition::Latest) => "LATEST",
            _ => "TRIM_HORIZON",
        };
        // As it was made: another one would be a new mapping.
        body.text("starting_position", position.unwrap_or(wanted));
        if let Some(timestamp) = timestamp {
            body.text("starting_position_timestamp", timestamp);
        }
        body.raw("enabled", mapping.enabled)
            .raw("batch_size", mapping.batch_size)
            .raw("maximum_batching_window_in_seconds", mapping.batch_window.0)
            .raw("parallelization_factor", mapping.parallelization_factor)
            .raw("bisect_batch_on_function_error", mapping.bisect_on_error)
            .raw("maximum_retry_attempts", mapping.max_retries);
        let age = mapping.max_record_age.map_or_else(|| "-1".to_owned(), |age| age.0.to_string());
        body.raw("maximum_record_age_in_seconds", age);
        if mapping.tumbling_window.0 > 0 {
            body.raw("tumbling_window_in_seconds", mapping.tumbling_window.0);
        }
        let partial = vec![Expression::text("ReportBatchItemFailures")];
        body.set("function_response_types", Expression::List(partial));
        body.block("metrics_config", |body| {
            body.set("metrics", Expression::List(vec![Expression::text("EventCount")]));
        });
        if let Some(target) = &mapping.on_failure {
            let target = self.references.text(target);
            body.block("destination_config", |body| {
                body.block("on_failure", |body| {
                    body.set("destination_arn", target);
                });
            });
        }
        if !mapping.filter.is_empty() {
            let patterns: Vec<_> = mapping.filter.iter().map(|pattern| self.references.encoded(&pattern.0)).collect();
            body.block("filter_criteria", |body| {
                for pattern in patterns {
                    body.block("filter", |body| {
                        body.set("pattern", pattern);
                    });
                }
            });
        }
        // Without the role's rights Lambda refuses the mapping.
        let rights = Expression::raw(format!("aws_iam_role_policy.{}", subject.label));
        body.set("depends_on", Expression::List(vec![rights]));
        self.add(FUNCTIONS, subject, "aws_lambda_event_source_mapping", body, uuid.cloned());
    }

    /// The ARN of what it reads.
    fn source(&mut self, subject: &Subject<'_>, mapping: &Mapping) -> Expression {
        match &mapping.source {
            MappingSource::Stream(arn) => self.references.text(arn),
            MappingSource::Consumer { .. } => {
                Expression::raw(format!("aws_kinesis_stream_consumer.{}.arn", subject.label))
            }
            MappingSource::TableStream { table, .. } => {
                let prefix = format!("{}-", self.pipeline.naming.prefix());
                let of = |node: &&crate::pipeline::Node| {
                    use crate::resources::{Any, Resource as _};
                    node.resource.region() == subject.node.resource.region()
                        && matches!(node.resource.inner(), Any::Table(_) | Any::Replica(_))
                        && node.resource.name() == table
                };
                let node = self.pipeline.nodes.iter().find(of);
                let label = node.map_or(table.strip_prefix(&prefix).unwrap_or(table), |node| {
                    id_at_home(&node.id).trim_start_matches("table.")
                });
                match &subject.alias {
                    Some(alias) => {
                        Expression::raw(format!("data.aws_dynamodb_table.{}_{alias}.stream_arn", word(label)))
                    }
                    None => Expression::raw(format!("aws_dynamodb_table.{}.stream_arn", word(label))),
                }
            }
        }
    }
}
