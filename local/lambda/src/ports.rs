//! Ports: the traits through which the engine reaches the rest of AWS. Whoever embeds the engine implements those that its
//! functions and mappings need; each has answers for an AWS that lacks the service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::{list, time_ms};

/// The answer to a call on another service, when it comes.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send + 'a>>;

/// The services that functions and mappings use. The default has none of them, allows everything and delays nothing.
#[derive(Clone)]
pub struct Ports {
    /// Kinesis data streams and DynamoDB streams: sources of mappings.
    pub streams: Arc<dyn Streams>,
    /// SQS queues: sources of mappings, destinations and dead letter queues.
    pub queues: Arc<dyn Queues>,
    /// SNS topics: destinations and targets of dead letters.
    pub topics: Arc<dyn Topics>,
    /// S3 buckets: deployment packages and destinations.
    pub buckets: Arc<dyn Buckets>,
    /// CloudWatch Logs: where functions log to.
    pub logs: Arc<dyn LogGroups>,
    /// CloudWatch: the metrics of functions and mappings.
    pub metrics: Arc<dyn MetricStore>,
    /// IAM: whether execution roles can be used.
    pub roles: Arc<dyn Roles>,
    /// How long functions and mappings take from one state to the next.
    pub transitions: Arc<dyn TransitionTimes>,
}

impl Default for Ports {
    fn default() -> Self {
        let absent = Arc::new(Absent);
        Self {
            streams: absent.clone(),
            queues: absent.clone(),
            topics: absent.clone(),
            buckets: absent.clone(),
            logs: absent.clone(),
            metrics: absent.clone(),
            roles: absent.clone(),
            transitions: absent,
        }
    }
}

/// A record of a Kinesis stream.
#[derive(Debug, Clone, Copy)]
pub struct KinesisRecord<'a> {
    /// Decimal digits.
    pub sequence_number: &'a str,
    /// None where the service chose the shard.
    pub partition_key: Option<&'a str>,
    /// In base64.
    pub data: &'a str,
    /// Milliseconds since 1970.
    pub arrived_ms: i64,
}

impl<'a> KinesisRecord<'a> {
    /// Reads one of an answer of `GetRecords`; `None` if it lacks a member.
    fn of(record: &'a Value) -> Option<Self> {
        Some(Self {
            sequence_number: record["SequenceNumber"].as_str()?,
            partition_key: record["PartitionKey"].as_str(),
            data: record["Data"].as_str()?,
            arrived_ms: time_ms(&record["ApproximateArrivalTimestamp"])?,
        })
    }
}

/// Streams that mappings read. Input and answer of an operation are those of its JSON protocol.
pub trait Streams: Send + Sync {
    /// Runs an operation of Kinesis Data Streams: `ListShards`, `DescribeStreamSummary`, `DescribeStreamConsumer`,
    /// `GetShardIterator` or `GetRecords`.
    fn kinesis<'a>(&'a self, operation: &'a str, _input: Value) -> Reply<'a, Value> {
        absent("kinesis", operation)
    }

    /// Runs `GetRecords` of Kinesis Data Streams: shows each record, and gives `NextShardIterator`. Streams that have their records at
    /// hand show them as they are, without an answer in JSON.
    fn kinesis_records<'a>(
        &'a self,
        iterator: &'a str,
        limit: usize,
        see: &'a mut (dyn FnMut(KinesisRecord<'_>) + Send),
    ) -> Reply<'a, Option<String>> {
        let read = self.kinesis("GetRecords", json!({ "ShardIterator": iterator, "Limit": limit }));
        Box::pin(async move {
            let read = read.await?;
            list(&read["Records"]).iter().filter_map(KinesisRecord::of).for_each(see);
            Ok(read["NextShardIterator"].as_str().map(str::to_owned))
        })
    }

    /// Runs an operation of DynamoDB Streams: `DescribeStream`, `GetShardIterator` or `GetRecords`.
    fn dynamodb<'a>(&'a self, operation: &'a str, _input: Value) -> Reply<'a, Value> {
        absent("dynamodbstreams", operation)
    }
}

/// Queues that mappings read and that records are sent to.
pub trait Queues: Send + Sync {
    /// Runs an operation of SQS: `GetQueueUrl`, `GetQueueAttributes`, `ReceiveMessage`, `DeleteMessageBatch` or
    /// `SendMessage`. Input and answer are those of its JSON protocol.
    fn sqs<'a>(&'a self, operation: &'a str, _input: Value) -> Reply<'a, Value> {
        absent("sqs", operation)
    }
}

/// Topics that records are published to.
pub trait Topics: Send + Sync {
    /// SNS `Publish`; the attributes are in the form of `MessageAttributes`.
    fn publish<'a>(&'a self, _topic_arn: &'a str, _message: &'a str, _attributes: Map<String, Value>) -> Reply<'a, ()> {
        absent("sns", "Publish")
    }
}

/// Buckets with deployment packages, and with the records of failed invocations.
pub trait Buckets: Send + Sync {
    /// S3 `GetObject`.
    fn get_object<'a>(&'a self, _bucket: &'a str, _key: &'a str, _version: Option<&'a str>) -> Reply<'a, Vec<u8>> {
        absent("s3", "GetObject")
    }

    /// S3 `PutObject`.
    fn put_object<'a>(&'a self, _bucket: &'a str, _key: &'a str, _body: Vec<u8>) -> Reply<'a, ()> {
        absent("s3", "PutObject")
    }
}

/// One event of a log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The line, without its end.
    pub message: String,
}

/// Log groups of functions. What is not implemented takes everything and keeps nothing.
pub trait LogGroups: Send + Sync {
    /// `CreateLogGroup`.
    fn create_group<'a>(&'a self, _group: &'a str) -> Reply<'a, ()> {
        done()
    }

    /// `CreateLogStream`; `ResourceNotFoundException` says that the group is missing and makes the engine create it.
    fn create_stream<'a>(&'a self, _group: &'a str, _stream: &'a str) -> Reply<'a, ()> {
        done()
    }

    /// `PutLogEvents`; `ResourceNotFoundException` makes the engine create the stream again.
    fn put_events<'a>(&'a self, _group: &'a str, _stream: &'a str, _events: &'a [LogEvent]) -> Reply<'a, ()> {
        done()
    }
}

/// Values of one metric within one second.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricDatum {
    /// `MetricName`.
    pub name: String,
    /// Names and values of the dimensions.
    pub dimensions: Vec<(String, String)>,
    /// CloudWatch's name of the unit, e.g. `Count`.
    pub unit: String,
    /// Seconds since 1970.
    pub time_seconds: i64,
    /// Distinct values, at most 150, each with how often it occurred.
    pub values: Vec<(f64, u64)>,
}

/// Where metrics go. What is not implemented takes everything and keeps nothing.
pub trait MetricStore: Send + Sync {
    /// `PutMetricData`, at most 1,000 data at a time.
    fn put_metric_data<'a>(&'a self, _namespace: &'a str, _data: &'a [MetricDatum]) -> Reply<'a, ()> {
        done()
    }
}

/// Temporary credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: String,
    /// `AWS_SESSION_TOKEN`.
    pub token: String,
}

/// Execution roles. What is not implemented allows everything.
pub trait Roles: Send + Sync {
    /// Whether Lambda may act as the role of this ARN: it exists, trusts Lambda, and Lambda knows of both by now.
    fn is_assumable(&self, _arn: &str) -> bool {
        true
    }

    /// Credentials of the role of this ARN for the processes of a function.
    fn credentials(&self, _arn: &str, _function: &str) -> Credentials {
        Credentials {
            access_key: "ASIALOCALFUNCTION000".to_owned(),
            secret: "local".to_owned(),
            token: "local".to_owned(),
        }
    }

    /// Whether the role of this ARN may do something, such as `kinesis:GetRecords`, on the resource of an ARN.
    ///
    /// Errors with what AWS says to a refusal.
    fn check(&self, _arn: &str, _action: &str, _resource: &str) -> Result<(), CallError> {
        Ok(())
    }

    /// Whether the policies of the role of this ARN are known to the other services by now.
    fn is_permitted(&self, _arn: &str) -> bool {
        true
    }
}

/// A change of state that takes AWS a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transition {
    /// A function from Pending to Active.
    FunctionCreate,
    /// A function's last update from InProgress to Successful.
    FunctionUpdate,
    /// A mapping from Creating to Enabled or Disabled.
    MappingCreate,
    /// A mapping from Updating, Enabling or Disabling to Enabled or Disabled.
    MappingUpdate,
    /// A mapping until it is gone.
    MappingDelete,
    /// A mapping from Enabled until it looks at its source.
    MappingPolling,
}

/// How long changes of state take. What is not implemented takes no time.
pub trait TransitionTimes: Send + Sync {
    /// How long this transition takes for the function or mapping of this name.
    fn time(&self, _transition: Transition, _name: &str) -> Duration {
        Duration::ZERO
    }

    /// Whether everything happens at once; then failed asynchronous invocations are tried again sooner than on AWS, too.
    fn is_immediate(&self) -> bool {
        true
    }
}

/// Every port of an AWS that has nothing but Lambda.
struct Absent;

impl Streams for Absent {}
impl Queues for Absent {}
impl Topics for Absent {}
impl Buckets for Absent {}
impl LogGroups for Absent {}
impl MetricStore for Absent {}
impl Roles for Absent {}
impl TransitionTimes for Absent {}

fn absent<'a, T>(service: &str, operation: &str) -> Reply<'a, T> {
    let error = CallError::unknown_operation(service, operation);
    Box::pin(async { Err(error) })
}

fn done<'a>() -> Reply<'a, ()> {
    Box::pin(async { Ok(()) })
}
