//! The embedded services as the Lambda engine reaches them: in-process, unsigned, past the call log and injected faults.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::{Method, Request};
use serde_json::{Map, Value, json};
use streamkit_lambda::ports::{
    Buckets, Credentials, KinesisRecord, LogEvent, LogGroups, MetricDatum, MetricStore, Ports, Queues, Reply, Roles,
    Streams, Topics, Transition, TransitionTimes,
};
use streamkit_wire::protocol::{body_of, error_of};
use streamkit_wire::{Call, CallError, Protocol, Service, clock};

use crate::rehearsal::{SeededTimes, StateChange};
use crate::services::iam;
use crate::services::registry::Services;

/// All ports of the Lambda engine, answered by these services.
pub(crate) fn ports(services: &Arc<Services>) -> Ports {
    let embedded = Arc::new(Embedded(Arc::clone(services)));
    Ports {
        streams: embedded.clone(),
        queues: embedded.clone(),
        topics: embedded.clone(),
        buckets: embedded.clone(),
        logs: embedded.clone(),
        metrics: embedded.clone(),
        roles: embedded,
        transitions: Arc::new(services.times.clone()),
    }
}

struct Embedded(Arc<Services>);

impl Embedded {
    /// What a mapping reads, while its region is not cut off.
    fn read<'a>(&'a self, service: Service, operation: &'a str, input: Value) -> Reply<'a, Value> {
        Box::pin(async move {
            self.0.check_up()?;
            self.0.run(service, operation, input).await
        })
    }

    /// Runs an operation whose answer says nothing.
    fn run<'a>(&'a self, service: Service, operation: &'a str, input: Value) -> Reply<'a, ()> {
        Box::pin(async move { self.0.run(service, operation, input).await.map(drop) })
    }

    async fn s3(&self, operation: &str, request: Request<Bytes>) -> Result<Bytes, CallError> {
        let call = Call { service: Service::S3, operation: operation.into(), protocol: Protocol::RestXml };
        let response = self.0.answer(&call, request).await;
        let status = response.status();
        let headers = response.headers().clone();
        let body = body_of(response).await?;
        if status.is_success() { Ok(body) } else { Err(error_of(status.as_u16(), &headers, &body)) }
    }
}

impl Streams for Embedded {
    fn kinesis<'a>(&'a self, operation: &'a str, input: Value) -> Reply<'a, Value> {
        self.read(Service::Kinesis, operation, input)
    }

    fn kinesis_records<'a>(
        &'a self,
        iterator: &'a str,
        limit: usize,
        see: &'a mut (dyn FnMut(KinesisRecord<'_>) + Send),
    ) -> Reply<'a, Option<String>> {
        Box::pin(async move {
            self.0.check_up()?;
            self.0.read_stream(iterator, limit, see).await
        })
    }

    fn dynamodb<'a>(&'a self, operation: &'a str, input: Value) -> Reply<'a, Value> {
        self.read(Service::DynamoDbStreams, operation, input)
    }
}

impl Queues for Embedded {
    fn sqs<'a>(&'a self, operation: &'a str, input: Value) -> Reply<'a, Value> {
        self.read(Service::Sqs, operation, input)
    }
}

impl Topics for Embedded {
    fn publish<'a>(&'a self, topic_arn: &'a str, message: &'a str, attributes: Map<String, Value>) -> Reply<'a, ()> {
        let input = json!({ "TopicArn": topic_arn, "Message": message, "MessageAttributes": attributes });
        self.run(Service::Sns, "Publish", input)
    }
}

impl Buckets for Embedded {
    fn get_object<'a>(&'a self, bucket: &'a str, key: &'a str, version: Option<&'a str>) -> Reply<'a, Vec<u8>> {
        Box::pin(async move {
            let version = version.map(|version| format!("?versionId={version}")).unwrap_or_default();
            let request = Request::builder()
                .uri(object_path(bucket, key) + &version)
                .body(Bytes::new())
                .map_err(CallError::internal)?;
            self.s3("GetObject", request).await.map(Vec::from)
        })
    }

    fn put_object<'a>(&'a self, bucket: &'a str, key: &'a str, body: Vec<u8>) -> Reply<'a, ()> {
        Box::pin(async move {
            let request = Request::builder()
                .method(Method::PUT)
                .uri(object_path(bucket, key))
                .header("content-type", "application/json")
                .body(Bytes::from(body))
                .map_err(CallError::internal)?;
            self.s3("PutObject", request).await.map(drop)
        })
    }
}

impl LogGroups for Embedded {
    fn create_group<'a>(&'a self, group: &'a str) -> Reply<'a, ()> {
        self.run(Service::Logs, "CreateLogGroup", json!({ "logGroupName": group }))
    }

    fn create_stream<'a>(&'a self, group: &'a str, stream: &'a str) -> Reply<'a, ()> {
        self.run(Service::Logs, "CreateLogStream", json!({ "logGroupName": group, "logStreamName": stream }))
    }

    fn put_events<'a>(&'a self, group: &'a str, stream: &'a str, events: &'a [LogEvent]) -> Reply<'a, ()> {
        // Lines of several processes meet here, and AWS takes them in order of time only.
        let mut events: Vec<&LogEvent> = events.iter().collect();
        events.sort_by_key(|event| event.time_ms);
        let events: Vec<Value> =
            events.iter().map(|event| json!({ "timestamp": event.time_ms, "message": event.message })).collect();
        let input = json!({ "logGroupName": group, "logStreamName": stream, "logEvents": events });
        self.run(Service::Logs, "PutLogEvents", input)
    }
}

impl MetricStore for Embedded {
    fn put_metric_data<'a>(&'a self, namespace: &'a str, data: &'a [MetricDatum]) -> Reply<'a, ()> {
        let data: Vec<Value> = data.iter().map(datum).collect();
        self.run(Service::CloudWatch, "PutMetricData", json!({ "Namespace": namespace, "MetricData": data }))
    }
}

impl Roles for Embedded {
    fn is_assumable(&self, arn: &str) -> bool {
        self.0.roles.is_assumable(arn, "lambda.amazonaws.com")
    }

    fn credentials(&self, arn: &str, function: &str) -> Credentials {
        let iam::Credentials { access_key, secret, token, .. } = self.0.access.for_function(arn, function);
        Credentials { access_key, secret, token }
    }

    fn check(&self, arn: &str, action: &str, resource: &str) -> Result<(), CallError> {
        self.0.access.check_role(arn, action, resource, &self.0.region)
    }

    fn is_permitted(&self, arn: &str) -> bool {
        // The name comes last, after the path.
        self.0.roles.is_permitted(arn.rsplit('/').next().unwrap_or(arn))
    }
}

impl TransitionTimes for SeededTimes {
    fn time(&self, transition: Transition, name: &str) -> Duration {
        self.time(StateChange::Lambda(transition), name)
    }

    fn is_immediate(&self) -> bool {
        self.is_none()
    }
}

fn datum(datum: &MetricDatum) -> Value {
    let dimensions: Vec<Value> =
        datum.dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    let mut shown = json!({
        "MetricName": datum.name,
        "Unit": datum.unit,
        "Timestamp": clock::iso(datum.time_seconds * 1000),
        "Dimensions": dimensions,
    });
    if let [(value, 1)] = datum.values.as_slice() {
        shown["Value"] = json!(value);
    } else {
        shown["Values"] = datum.values.iter().map(|(value, _)| json!(value)).collect();
        shown["Counts"] = datum.values.iter().map(|(_, count)| json!(count)).collect();
    }
    shown
}

fn object_path(bucket: &str, key: &str) -> String {
    let parts: Vec<String> = key
        .split('/')
        .map(|part| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20"))
        .collect();
    format!("/{bucket}/{}", parts.join("/"))
}
