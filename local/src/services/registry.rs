//! All services of one region, and the way to each: a request in its protocol, or an operation in-process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use axum::response::Response;
use ferrokinesis::shard_iterator::decode_shard_iterator;
use http::Request;
use serde_json::Value;
use streamkit_lambda::ports::KinesisRecord;
use streamkit_wire::{Call, CallError, Protocol, Service, clock, protocol};

use super::autoscaling::AutoScaling;
use super::cloudwatch::{CallCounter, CloudWatch, Published};
use super::dynamodb::{DynamoDb, OtherRegions, Replication};
use super::iam::{Access, Iam, Roles};
use super::kinesis::Kinesis;
use super::kms::Kms;
use super::lambda::Lambda;
use super::logs::Logs;
use super::s3::S3;
use super::service::{AwsService, BoxFuture};
use super::sns::{Receivers, Sns};
use super::sqs::Sqs;
use super::sts::Sts;
use super::tagging::Tagging;
use crate::Strictness;
use crate::rehearsal::{FailedEntries, SeededTimes};

/// What all regions share: the account, and the services that know no regions.
pub(crate) struct Global {
    pub(crate) account: String,
    /// Where the gateway listens.
    pub(crate) address: SocketAddr,
    pub(crate) times: SeededTimes,
    /// Where services are to be as strict as AWS although that takes time.
    pub(crate) strict: Strictness,
    /// How services reach the queues and functions of every region.
    pub(crate) receivers: Arc<dyn Receivers>,
    /// Of the tables that several regions have.
    pub(crate) replication: Arc<Replication>,
    roles: Arc<Roles>,
    access: Arc<Access>,
    iam: Arc<Iam>,
    s3: Arc<S3>,
    sts: Arc<Sts>,
}

impl Global {
    /// `region` is where buckets are made that nobody names a region for.
    pub(crate) fn new(
        account: &str,
        region: &str,
        address: SocketAddr,
        times: SeededTimes,
        strict: Strictness,
        receivers: Arc<dyn Receivers>,
        others: Arc<dyn OtherRegions>,
    ) -> Self {
        let roles = Arc::new(Roles::new(account, times.clone()));
        let access = Arc::new(Access::new(account, roles.clone()));
        Self {
            account: account.to_owned(),
            address,
            strict,
            receivers,
            replication: Arc::new(Replication::new(others, times.clone())),
            times,
            iam: Arc::new(Iam::new(roles.clone(), access.clone())),
            sts: Arc::new(Sts::new(account, region, roles.clone(), access.clone())),
            roles,
            access,
            s3: Arc::new(S3::new(account, region)),
        }
    }

    /// Whether a service is the same in all regions.
    pub(crate) fn has(service: &Service) -> bool {
        matches!(service, Service::Iam | Service::S3 | Service::Sts)
    }

    /// Where the gateway listens, as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Every service of one region, and by name those that others use.
pub(crate) struct Services {
    pub(crate) times: SeededTimes,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) roles: Arc<Roles>,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) access: Arc<Access>,
    pub(crate) dynamodb: Arc<DynamoDb>,
    /// Whether a rehearsal has cut the region off.
    pub(crate) down: AtomicBool,
    cloudwatch: Arc<CloudWatch>,
    counter: Arc<CallCounter>,
    /// Whose records mappings read as they are kept.
    records: Arc<Kinesis>,
    sns: Arc<Sns>,
    pub(crate) sqs: Arc<Sqs>,
    all: Vec<(Service, Arc<dyn AwsService>)>,
}

impl Services {
    /// Starts all services of a region.
    pub(crate) fn start(region: &str, global: &Global) -> anyhow::Result<Arc<Self>> {
        let Global { account, address, times, .. } = global;
        let cloudwatch = Arc::new(CloudWatch::new(region, account));
        let counter = Arc::new(CallCounter::new(cloudwatch.clone()));
        let replication = Arc::clone(&global.replication);
        let dynamodb = Arc::new(DynamoDb::open(region, account, times.clone(), global.strict, replication)?);
        let kinesis = Arc::new(Kinesis::start(region, account, times.clone(), global.strict));
        let records = Arc::clone(&kinesis);
        let kinesis: Arc<dyn AwsService> = Arc::new(Published::new(kinesis, counter.clone()));
        let lambda = Arc::new(Lambda::default());
        let logs = Logs::new(region, account, cloudwatch.clone(), kinesis.clone(), global.receivers.clone());
        let sqs = Arc::new(Sqs::new(region, account, *address, times.clone()));
        let sns = Arc::new(Sns::new(region, account, global.receivers.clone()));
        let mut all: Vec<(Service, Arc<dyn AwsService>)> = vec![
            (Service::ApplicationAutoScaling, Arc::new(AutoScaling::new(region, account))),
            (Service::CloudWatch, cloudwatch.clone()),
            (Service::DynamoDb, Arc::new(Published::new(dynamodb.clone(), counter.clone()))),
            (Service::DynamoDbStreams, dynamodb.clone()),
            (Service::Iam, global.iam.clone()),
            (Service::Kinesis, kinesis),
            (Service::Kms, Arc::new(Kms::new(region, account))),
            (Service::Lambda, lambda.clone()),
            (Service::Logs, Arc::new(logs)),
            (Service::S3, global.s3.clone()),
            (Service::Sns, sns.clone()),
            (Service::Sqs, sqs.clone()),
            (Service::Sts, global.sts.clone()),
        ];
        let tagging = Tagging::new(region, account, &all, global.strict.consistency);
        all.push((Service::Tagging, Arc::new(tagging)));
        Ok(Arc::new(Self {
            region: region.to_owned(),
            account: account.clone(),
            times: times.clone(),
            lambda,
            roles: global.roles.clone(),
            access: global.access.clone(),
            dynamodb,
            down: AtomicBool::new(false),
            cloudwatch,
            counter,
            records,
            sns,
            sqs,
            all,
        }))
    }

    /// The error of whatever a region is asked that is cut off.
    pub(crate) fn check_up(&self) -> Result<(), CallError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(CallError::new(503, "ServiceUnavailable", format!("the region {} is cut off", self.region)));
        }
        Ok(())
    }

    fn service(&self, service: &Service) -> Option<&dyn AwsService> {
        self.all.iter().find(|(known, _)| known == service).map(|(_, service)| &**service)
    }

    /// Answers a request in its own protocol.
    pub(crate) async fn answer(&self, call: &Call, request: Request<Bytes>) -> Response {
        match self.service(&call.service) {
            Some(service) => service.answer(call, request).await,
            None => protocol::error_response(call, &unknown(call)),
        }
    }

    /// Answers a call of which some entries fail. A call without entries is answered as always.
    pub(crate) async fn answer_with_failures(&self, call: &Call, request: Request<Bytes>, seed: u64) -> Response {
        let Some(service) = self.service(&call.service) else { return protocol::error_response(call, &unknown(call)) };
        let Ok(mut input) = protocol::decode(call, &protocol::query_bytes(&request)) else {
            return service.answer(call, request).await;
        };
        let Some(failed) = FailedEntries::take(call, &mut input, seed) else {
            return service.answer(call, request).await;
        };
        let outcome = if failed.some_left() {
            service.run(call, input).await.map(|answer| failed.put_into(call, answer))
        } else {
            failed.answer_alone(call)
        };
        protocol::encode(call, outcome)
    }

    /// Runs an operation in-process.
    pub(crate) async fn run(&self, service: Service, operation: &str, input: Value) -> Result<Value, CallError> {
        let call = Call { service, operation: operation.to_owned(), protocol: Protocol::Json };
        match self.service(&call.service) {
            Some(service) => service.run(&call, input).await,
            None => Err(unknown(&call)),
        }
    }

    /// `GetRecords` of a mapping: shows the records of a Kinesis stream from an iterator on, and gives the iterator to go on with.
    pub(crate) async fn read_stream(
        &self,
        iterator: &str,
        limit: usize,
        see: &mut (dyn FnMut(KinesisRecord<'_>) + Send),
    ) -> Result<Option<String>, CallError> {
        match self.records.read_for_service(iterator, limit).await {
            Ok(read) => {
                let (stream, traffic) = read.traffic();
                self.counter.count_get(stream, Ok(&traffic));
                Ok(read.each(see))
            }
            Err(error) => {
                if let Ok((_, stream, _, _)) = decode_shard_iterator(iterator) {
                    self.counter.count_get(&stream, Err(&error));
                }
                Err(error)
            }
        }
    }

    /// What services do by themselves, such as dropping what has expired: a task of each.
    pub(crate) fn housekeeping(&self) -> impl Iterator<Item = BoxFuture<'_, ()>> {
        // DynamoDB Streams is DynamoDB, which has its turn.
        let services = self.all.iter().filter(|(service, _)| *service != Service::DynamoDbStreams);
        services.map(|(_, engine)| engine.housekeeping())
    }

    /// Counts a call that was refused before it reached its service.
    pub(crate) fn count_refused(&self, call: &Call, body: &[u8], error: &CallError) {
        self.counter.refused(call, body, error);
    }

    /// Publishes queue depths and deliveries, evaluates every alarm, and sends what the changed ones have to say.
    pub(crate) fn evaluate_alarms(&self) {
        for (queue, gauges) in self.sqs.gauges() {
            for (metric, value, unit) in gauges {
                self.cloudwatch.gauge("AWS/SQS", metric, ("QueueName", &queue), value, unit);
            }
        }
        for (topic, metric) in self.sns.take_outcomes() {
            let name = topic.rsplit(':').next().unwrap_or(&topic);
            self.cloudwatch.observe("AWS/SNS", metric, ("TopicName", name), 1.0, "Count");
        }
        for notification in self.cloudwatch.evaluate(clock::now_ms()) {
            self.sns.notify(&notification.alarm, &notification.topic, &notification.subject, &notification.message);
        }
    }
}

fn unknown(call: &Call) -> CallError {
    CallError::unknown_operation(call.service.name(), &call.operation)
}
