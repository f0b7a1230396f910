//! The engine of the streams, and the operations that it needs help with.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use ferrokinesis::actions::{Operation, dispatch};
use ferrokinesis::error::KinesisErrorResponse;
use ferrokinesis::store::{Store, StoreOptions};
use ferrokinesis::types::Shard;
use http::{HeaderValue, Request, header};
use serde_json::{Value, json};
use streamkit_wire::{Call, CallError, clock, protocol};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tower::ServiceExt as _;

use super::rates::{self, Rates};
use super::{requests, states, tags};
use crate::rehearsal::SeededTimes;
use crate::services::passing_states::PassingStates;
use crate::services::service::{AwsService, BoxFuture};

/// The engine does everything at once; what takes time is in `states.rs`.
const STATE_CHANGE_MS: u64 = 0;
/// AWS's quota in the large regions is 20,000 shards for an account.
const SHARD_LIMIT: u32 = 20_000;
/// What AWS starts an on-demand stream with.
const ON_DEMAND_SHARDS: i64 = 4;
/// Of answers that have no content.
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const EXPIRED_RECORDS_SWEEP_SECONDS: u64 = 60;

pub(crate) struct Kinesis {
    router: Router,
    pub(super) store: Store,
    /// The engine numbers records before it stores them: with two writers at once, a reader could pass a record that is still
    /// to come, and lose it. It also holds a lock while it waits for one that a writer has, which can stop every thread.
    order: RwLock<()>,
    pub(super) account: String,
    pub(super) times: SeededTimes,
    pub(super) changing: PassingStates,
    rates: Rates,
}

impl AwsService for Kinesis {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(self.json(&call.operation, input))
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(self.http(call, request))
    }
}

impl Kinesis {
    pub(crate) fn start(region: &str, account: &str, times: SeededTimes) -> Self {
        let (router, store) = ferrokinesis::create_app(StoreOptions {
            create_stream_ms: STATE_CHANGE_MS,
            delete_stream_ms: STATE_CHANGE_MS,
            update_stream_ms: STATE_CHANGE_MS,
            shard_limit: SHARD_LIMIT,
            retention_check_interval_secs: EXPIRED_RECORDS_SWEEP_SECONDS,
            aws_account_id: account.to_owned(),
            aws_region: region.to_owned(),
            ..StoreOptions::default()
        });
        // The gateway has checked the size; a call may have 10 MiB.
        Self {
            router: router.layer(DefaultBodyLimit::disable()),
            store,
            order: RwLock::default(),
            account: account.to_owned(),
            times,
            changing: PassingStates::default(),
            rates: Rates::default(),
        }
    }

    /// The wire protocol, JSON or CBOR; `SubscribeToShard` streams.
    pub(super) async fn http(&self, call: &Call, request: Request<Bytes>) -> Response {
        if !self.has_states(&call.operation) {
            return self.at_once(call, request).await;
        }
        match self.in_time(call, request).await {
            Ok(response) => response,
            Err(error) => protocol::error_response(call, &error),
        }
    }

    /// A call that streams on their way to another state may refuse, or that sets one on its way.
    async fn in_time(&self, call: &Call, request: Request<Bytes>) -> Result<Response, CallError> {
        let operation = call.operation.as_str();
        let cbor = is_cbor(&request);
        let input = protocol::decode_as(cbor, request.body())?;
        self.settle().await;
        self.refused(operation, &input)?;
        if operation == "DeleteStream" && self.delete_later(&input).await? {
            return Ok(protocol::response(200, CONTENT_TYPE, Vec::new()));
        }
        let answer = self.at_once(call, request).await;
        if !answer.status().is_success() {
            return Ok(answer);
        }
        self.began(operation, &input);
        if !matches!(operation, "DescribeStream" | "DescribeStreamSummary" | "ListStreams") {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let mut body = protocol::body_of(Response::new(body)).await?;
        let mut tree = protocol::decode_as(cbor, &body)?;
        if self.show(operation, &mut tree) {
            body = protocol::encode_as(cbor, &tree)?.into();
        }
        let mut answer = Response::from_parts(parts, Body::from(body));
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        Ok(answer)
    }

    async fn at_once(&self, call: &Call, mut request: Request<Bytes>) -> Response {
        sign(&mut request);
        if requests::is_on_records(&call.operation) {
            let _in_order = self.ordered(&call.operation).await;
            return self.engine(request).await;
        }
        match self.control(call, request).await {
            Ok(response) => response,
            Err(error) => protocol::error_response(call, &error),
        }
    }

    /// An operation on streams, not on their records.
    async fn control(&self, call: &Call, mut request: Request<Bytes>) -> Result<Response, CallError> {
        let operation = call.operation.as_str();
        let cbor = is_cbor(&request);
        let Ok(mut input) = protocol::decode_as(cbor, request.body()) else {
            // The engine says what it cannot read in AWS's words.
            return Ok(self.engine(request).await);
        };
        requests::prepare(operation, &mut input)?;
        if tags::owns(operation) {
            tags::change(&self.store, operation, &input).await?;
            // These operations answer with nothing at all.
            return Ok(protocol::response(200, CONTENT_TYPE, Vec::new()));
        }
        if operation == "RegisterStreamConsumer" {
            return self.register_consumer(cbor, input).await;
        }
        if operation == "DescribeStreamConsumer" {
            return self.describe_consumer(cbor, input).await;
        }
        *request.body_mut() = protocol::encode_as(cbor, &input)?.into();
        request.headers_mut().remove(header::CONTENT_LENGTH);
        if operation == "CreateStream" {
            return self.create(request).await;
        }
        self.check_rates(operation, &input).await?;
        let answer = self.engine(request).await;
        if !answer.status().is_success() {
            return Ok(answer);
        }
        self.rates.note(operation, &states::stream(&input), clock::now_ms());
        if !requests::is_completed(operation) {
            return Ok(answer);
        }
        let mut tree = protocol::decode_as(cbor, &protocol::body_of(answer).await?)?;
        self.complete(operation, &input, &mut tree).await;
        Ok(protocol::response(200, content_type(cbor), protocol::encode_as(cbor, &tree)?))
    }

    /// The engine's `RegisterStreamConsumer` knows no tags.
    async fn register_consumer(&self, cbor: bool, mut input: Value) -> Result<Response, CallError> {
        let tags = input.as_object_mut().and_then(|input| input.remove("Tags")).unwrap_or_default();
        let answer = self.json("RegisterStreamConsumer", input).await?;
        if tags.as_object().is_some_and(|tags| !tags.is_empty()) {
            let tags = json!({"ResourceARN": answer["Consumer"]["ConsumerARN"], "Tags": tags});
            tags::change(&self.store, "TagResource", &tags).await?;
        }
        Ok(protocol::response(200, content_type(cbor), protocol::encode_as(cbor, &answer)?))
    }

    /// The engine leaves out which stream the consumer reads.
    async fn describe_consumer(&self, cbor: bool, input: Value) -> Result<Response, CallError> {
        let mut answer = self.json("DescribeStreamConsumer", input).await?;
        let consumer = &mut answer["ConsumerDescription"];
        let stream = consumer["ConsumerARN"].as_str().and_then(|arn| Some(arn.split_once("/consumer/")?.0.to_owned()));
        consumer["StreamARN"] = json!(stream);
        Ok(protocol::response(200, content_type(cbor), protocol::encode_as(cbor, &answer)?))
    }

    /// Refuses steps that are too large, and changes that come too often.
    async fn check_rates(&self, operation: &str, input: &Value) -> Result<(), CallError> {
        let name = states::stream(input);
        if operation == "UpdateShardCount"
            && let Ok(stream) = self.store.get_stream(&name).await
        {
            let is_open = |shard: &&Shard| shard.sequence_number_range.ending_sequence_number.is_none();
            let open = stream.shards.iter().filter(is_open).count();
            rates::check_step(i64::try_from(open).unwrap_or(i64::MAX), input)?;
        }
        self.rates.check(operation, &name, clock::now_ms())
    }

    async fn ordered(&self, operation: &str) -> (Option<RwLockReadGuard<'_, ()>>, Option<RwLockWriteGuard<'_, ()>>) {
        match operation {
            "PutRecord" | "PutRecords" => (None, Some(self.order.write().await)),
            "GetRecords" => (Some(self.order.read().await), None),
            _ => (None, None),
        }
    }

    pub(super) async fn engine(&self, request: Request<Bytes>) -> Response {
        let answer: Result<Response, Infallible> = self.router.clone().oneshot(request.map(Body::from)).await;
        match answer {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The engine's `CreateStream` knows neither tags nor modes, and divides by the shard count that on-demand lacks.
    async fn create(&self, request: Request<Bytes>) -> Result<Response, CallError> {
        let cbor = is_cbor(&request);
        let (parts, body) = request.into_parts();
        let mut input = protocol::decode_as(cbor, &body)?;
        let on_demand = input["StreamModeDetails"]["StreamMode"] == "ON_DEMAND";
        let shards = if on_demand { ON_DEMAND_SHARDS } else { input["ShardCount"].as_i64().unwrap_or_default() };
        if shards < 1 {
            return Err(CallError::bad("InvalidArgumentException", "ShardCount is required and must be at least 1"));
        }
        input["ShardCount"] = shards.into();
        let body = protocol::encode_as(cbor, &input)?;
        let response = self.engine(Request::from_parts(parts, body.into())).await;
        if response.status().is_success() {
            self.finish(&input, on_demand).await?;
        }
        Ok(response)
    }

    async fn finish(&self, input: &Value, on_demand: bool) -> Result<(), CallError> {
        let name = &input["StreamName"];
        let mode = input["StreamModeDetails"].clone();
        let has_tags = input["Tags"].as_object().is_some_and(|tags| !tags.is_empty());
        if !on_demand && !has_tags {
            return Ok(());
        }
        // The engine activates a stream in a task of its own, and changes none that is not active.
        let summary = loop {
            let answer = self.dispatch("DescribeStreamSummary", json!({"StreamName": name})).await?;
            let summary = answer["StreamDescriptionSummary"].clone();
            if summary["StreamStatus"] == "ACTIVE" {
                break summary;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        if on_demand {
            let change = json!({"StreamARN": summary["StreamARN"], "StreamModeDetails": mode});
            self.dispatch("UpdateStreamMode", change).await?;
        }
        if has_tags {
            self.dispatch("AddTagsToStream", json!({"StreamName": name, "Tags": input["Tags"]})).await?;
        }
        Ok(())
    }

    /// An operation from inside, where all sees the same states.
    pub(super) async fn json(&self, operation: &str, input: Value) -> Result<Value, CallError> {
        if !self.has_states(operation) {
            return self.dispatch(operation, input).await;
        }
        self.settle().await;
        self.refused(operation, &input)?;
        let mut answer = self.dispatch(operation, input).await?;
        self.show(operation, &mut answer);
        Ok(answer)
    }

    /// The engine's own answer.
    pub(super) async fn dispatch(&self, operation: &str, mut input: Value) -> Result<Value, CallError> {
        if !requests::is_on_records(operation) {
            requests::prepare(operation, &mut input)?;
        }
        if tags::owns(operation) {
            return tags::change(&self.store, operation, &input).await;
        }
        let known: Operation = operation.parse().map_err(|()| CallError::unknown_operation("kinesis", operation))?;
        let _in_order = self.ordered(operation).await;
        if !requests::is_completed(operation) {
            let answer = dispatch(&self.store, known, input).await.map_err(failed)?;
            return Ok(answer.unwrap_or_else(|| json!({})));
        }
        let answer = dispatch(&self.store, known, input.clone()).await.map_err(failed)?;
        let mut answer = answer.unwrap_or_else(|| json!({}));
        self.complete(operation, &input, &mut answer).await;
        Ok(answer)
    }
}

fn content_type(cbor: bool) -> &'static str {
    if cbor { "application/x-amz-cbor-1.1" } else { CONTENT_TYPE }
}

fn is_cbor(request: &Request<Bytes>) -> bool {
    request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"cbor-1.1"))
}

pub(super) fn failed(error: KinesisErrorResponse) -> CallError {
    CallError::new(error.status_code, error.body.error_type, error.body.message.unwrap_or_default())
}

/// The engine insists on a complete signature, which local tools and our own calls need not have.
fn sign(request: &mut Request<Bytes>) {
    let headers = request.headers_mut();
    headers.insert(
        "authorization",
        HeaderValue::from_static(
            "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0",
        ),
    );
    headers.entry("x-amz-date").or_insert(HeaderValue::from_static("20260101T000000Z"));
}
