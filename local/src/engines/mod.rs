//! All services of the embedded AWS but Lambda, and the way to each: over its wire protocol or in-process as JSON.

mod dynamodb;
mod kinesis;
mod mock;
mod s3;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::Value;

use crate::cloudwatch::CloudWatch;
use crate::iam::Roles;
use crate::logs::Logs;
use crate::pace::Pace;
use crate::sns::Sns;
use crate::sqs::Sqs;
use crate::sts::Sts;
use streamkit_wire::CallError;
use streamkit_wire::clock;
use streamkit_wire::protocol;
use streamkit_wire::{Call, Protocol, access_key};

/// Whether the gateway answers itself.
fn is_own(call: &Call) -> bool {
    match call.service.as_str() {
        "sqs" | "sns" | "cloudwatch" | "logs" | "sts" => true,
        "iam" => Roles::owns(&call.operation),
        _ => false,
    }
}

/// Every engine, behind one door.
pub(crate) struct Engines {
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) pace: Pace,
    address: SocketAddr,
    kinesis: kinesis::Kinesis,
    dynamodb: dynamodb::DynamoDb,
    mocks: mock::Mocks,
    sqs: Arc<Sqs>,
    pub(crate) sns: Sns,
    cloudwatch: CloudWatch,
    logs: Logs,
    pub(crate) roles: Roles,
    sts: Sts,
}

impl Engines {
    /// Starts every engine; `address` is where the gateway listens.
    pub(crate) fn start(region: &str, account: &str, address: SocketAddr, pace: Pace) -> anyhow::Result<Arc<Self>> {
        let sqs = Arc::new(Sqs::new(region, account, address, pace.clone()));
        Ok(Arc::new(Self {
            region: region.to_owned(),
            account: account.to_owned(),
            address,
            kinesis: kinesis::Kinesis::start(region, account, pace.clone()),
            dynamodb: dynamodb::DynamoDb::open(region, account, pace.clone())?,
            mocks: mock::Mocks::new(region, account),
            sns: Sns::new(region, account, Arc::clone(&sqs)),
            sqs,
            cloudwatch: CloudWatch::new(region, account),
            logs: Logs::new(region, account),
            roles: Roles::new(account, pace.clone()),
            sts: Sts::new(account),
            pace,
        }))
    }

    /// Where the gateway listens, as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers a request in its own protocol.
    pub(crate) async fn call(&self, call: &Call, request: Request<Bytes>) -> Response {
        match call.service.as_str() {
            "kinesis" => self.kinesis.http(call, request).await,
            "dynamodb" | "dynamodbstreams" => self.dynamodb.http(call, request.body()).await,
            _ if is_own(call) => {
                let body = protocol::query_bytes(&request);
                let outcome = match protocol::decode(call, &body) {
                    Ok(input) if call.service == "sts" => {
                        self.sts.call(&call.operation, &input, access_key(&request).as_deref())
                    }
                    Ok(input) => self.own(call, input).await,
                    Err(error) => Err(error),
                };
                protocol::encode(call, outcome)
            }
            _ => self.mocks.call(call, request).await,
        }
    }

    /// Calls a JSON operation in-process.
    pub(crate) async fn json(&self, service: &str, operation: &str, input: Value) -> Result<Value, CallError> {
        let call = Call { service: service.to_owned(), operation: operation.to_owned(), protocol: Protocol::Json };
        match service {
            "kinesis" => self.kinesis.json(operation, input).await,
            "dynamodb" | "dynamodbstreams" => self.dynamodb.json(operation, input).await,
            "sqs" | "sns" | "cloudwatch" | "logs" => self.own(&call, input).await,
            _ => {
                let request = Request::post("/")
                    .header("x-amz-target", format!("Embedded.{operation}"))
                    .header("content-type", "application/x-amz-json-1.1")
                    .body(Bytes::from(input.to_string()))
                    .map_err(CallError::internal)?;
                let answer = Box::pin(self.call(&call, request)).await;
                let status = answer.status();
                let headers = answer.headers().clone();
                let body = protocol::body_of(answer).await?;
                if !status.is_success() {
                    return Err(protocol::error_of(status.as_u16(), &headers, &body));
                }
                if body.is_empty() {
                    Ok(Value::Null)
                } else {
                    serde_json::from_slice(&body).map_err(CallError::internal)
                }
            }
        }
    }

    async fn own(&self, call: &Call, input: Value) -> Result<Value, CallError> {
        match call.service.as_str() {
            "sqs" => self.sqs.call(&call.operation, call.protocol, input).await,
            "sns" => self.sns.call(&call.operation, &input),
            "logs" => self.logs.call(&call.operation, &input),
            "iam" => self.roles.call(&call.operation, &input),
            _ => self.cloudwatch.call(&call.operation, &input),
        }
    }

    /// What services do by themselves: queue depth metrics, expiring items.
    pub(crate) async fn housekeep(&self) {
        self.dynamodb.expire_items().await;
        self.sqs.expire_messages();
        self.logs.expire_events();
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
        for note in self.cloudwatch.evaluate(clock::now_ms()) {
            self.sns.notify(&note.topic, &note.subject, &note.message);
        }
    }
}
