//! Kinesis streams and their consumers.

use serde_json::Value;

use super::super::hcl::Body;
use super::{Files, Subject};
use crate::resources::{Consumer, Resource, Stream};
use crate::spec::{Encryption, MebiBytes, StreamMode};

const STREAMS: &str = "streams.tf";
const HOUR: u64 = 3_600;

impl Files<'_> {
    pub(super) fn stream(&mut self, subject: &Subject<'_>, stream: &Stream) {
        let mut body = Body::default();
        body.text("name", &stream.name);
        if stream.mode == StreamMode::Provisioned {
            body.raw("shard_count", stream.shards);
        }
        body.raw("retention_period", stream.retention.0 / HOUR);
        let key = match &stream.encryption {
            Encryption::None => None,
            Encryption::AwsManaged => Some("alias/aws/kinesis"),
            Encryption::Key(key) => Some(key.as_str()),
        };
        body.text("encryption_type", if key.is_some() { "KMS" } else { "NONE" });
        if let Some(key) = key {
            body.set("kms_key_id", self.references.text(key));
        }
        body.set("tags", self.tags(subject));
        body.block("stream_mode_details", |body| {
            let mode = if stream.mode == StreamMode::Provisioned { "PROVISIONED" } else { "ON_DEMAND" };
            body.text("stream_mode", mode);
        });
        if stream.max_record_size != MebiBytes(1) {
            let size = stream.max_record_size;
            let says = format!(
                "records of up to {size}: version 5 of the AWS provider has no argument for it, and leaves it as it is"
            );
            self.note(subject, says);
        }
        self.add(STREAMS, subject, "aws_kinesis_stream", body, subject.import(&stream.name));
    }

    pub(super) fn consumer(&mut self, subject: &Subject<'_>, consumer: &Consumer) {
        let mut body = Body::default();
        body.text("name", &consumer.name).set("stream_arn", self.references.text(&consumer.stream));
        let arn = subject.live.seen.as_ref().map(|seen| seen.arn.clone());
        self.add(STREAMS, subject, "aws_kinesis_stream_consumer", body, arn);
        if subject.live.seen.as_ref().is_some_and(|seen| seen.tags.as_ref().is_some_and(|tags| !tags.is_empty())) {
            let says = "the tags of a stream consumer: version 5 of the AWS provider has no argument for them, and leaves them as they are";
            self.note(subject, says);
        }
    }
}

/// What a plan calls a field, in AWS's words.
pub(super) fn field(resource: &impl Resource, name: &str) -> String {
    match resource.desired().get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
