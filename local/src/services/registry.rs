//! All services of the embedded AWS, and the way to each: a request in its protocol, or an operation in-process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::Value;
use streamkit_wire::{Call, CallError, Protocol, Service, clock, protocol};

use super::autoscaling::autoscaling;
use super::cloudwatch::CloudWatch;
use super::dynamodb::DynamoDb;
use super::iam::{Access, Iam, Roles};
use super::kinesis::Kinesis;
use super::kms::kms;
use super::lambda::Lambda;
use super::logs::Logs;
use super::s3::S3;
use super::service::AwsService;
use super::sns::Sns;
use super::sqs::Sqs;
use super::sts::Sts;
use super::winterbaume;
use crate::rehearsal::SeededTimes;

/// Every service, and by name those that others use.
pub(crate) struct Services {
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) times: SeededTimes,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) roles: Arc<Roles>,
    pub(crate) access: Arc<Access>,
    address: SocketAddr,
    cloudwatch: Arc<CloudWatch>,
    sns: Arc<Sns>,
    sqs: Arc<Sqs>,
    all: Vec<(Service, Arc<dyn AwsService>)>,
}

impl Services {
    /// Starts all services; `address` is where the gateway listens.
    pub(crate) fn start(
        region: &str,
        account: &str,
        address: SocketAddr,
        times: SeededTimes,
    ) -> anyhow::Result<Arc<Self>> {
        winterbaume::set_account(account);
        let cloudwatch = Arc::new(CloudWatch::new(region, account));
        let dynamodb = Arc::new(DynamoDb::open(region, account, times.clone())?);
        let lambda = Arc::new(Lambda::default());
        let roles = Arc::new(Roles::new(account, times.clone()));
        let access = Arc::new(Access::new(account, roles.clone()));
        let sqs = Arc::new(Sqs::new(region, account, address, times.clone()));
        let sns = Arc::new(Sns::new(region, account, sqs.clone(), lambda.clone()));
        let all: Vec<(Service, Arc<dyn AwsService>)> = vec![
            (Service::ApplicationAutoScaling, Arc::new(autoscaling(region))),
            (Service::CloudWatch, cloudwatch.clone()),
            (Service::DynamoDb, dynamodb.clone()),
            (Service::DynamoDbStreams, dynamodb),
            (Service::Iam, Arc::new(Iam::new(region, roles.clone(), access.clone()))),
            (Service::Kinesis, Arc::new(Kinesis::start(region, account, times.clone()))),
            (Service::Kms, Arc::new(kms(region))),
            (Service::Lambda, lambda.clone()),
            (Service::Logs, Arc::new(Logs::new(region, account))),
            (Service::S3, Arc::new(S3::new(region))),
            (Service::Sns, sns.clone()),
            (Service::Sqs, sqs.clone()),
            (Service::Sts, Arc::new(Sts::new(account, region, roles.clone(), access.clone()))),
        ];
        Ok(Arc::new(Self {
            region: region.to_owned(),
            account: account.to_owned(),
            times,
            lambda,
            roles,
            access,
            address,
            cloudwatch,
            sns,
            sqs,
            all,
        }))
    }

    /// Where the gateway listens, as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
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

    /// Runs an operation in-process.
    pub(crate) async fn run(&self, service: Service, operation: &str, input: Value) -> Result<Value, CallError> {
        let call = Call { service, operation: operation.to_owned(), protocol: Protocol::Json };
        match self.service(&call.service) {
            Some(service) => service.run(&call, input).await,
            None => Err(unknown(&call)),
        }
    }

    /// What services do by themselves, such as dropping what has expired.
    pub(crate) async fn housekeeping(&self) {
        for (service, engine) in &self.all {
            // DynamoDB Streams is DynamoDB, which has its turn.
            if *service != Service::DynamoDbStreams {
                engine.housekeeping().await;
            }
        }
    }

    /// Publishes queue depths, evaluates every alarm, and sends what the changed ones have to say.
    pub(crate) fn evaluate_alarms(&self) {
        for (queue, visible, in_flight) in self.sqs.depths() {
            for (metric, messages) in
                [("ApproximateNumberOfMessagesVisible", visible), ("ApproximateNumberOfMessagesNotVisible", in_flight)]
            {
                #[expect(clippy::cast_precision_loss, reason = "a queue in memory is far below 2^52 messages")]
                let value = messages as f64;
                self.cloudwatch.observe("AWS/SQS", metric, ("QueueName", &queue), value, "Count");
            }
        }
        for notification in self.cloudwatch.evaluate(clock::now_ms()) {
            self.sns.notify(&notification.topic, &notification.subject, &notification.message);
        }
    }
}

fn unknown(call: &Call) -> CallError {
    CallError::unknown_operation(call.service.name(), &call.operation)
}
