//! The streams: what the engine answers, and the operations that it needs help with.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use ferrokinesis::actions::{Operation, dispatch};
use ferrokinesis::error::KinesisErrorResponse;
use ferrokinesis::store::{Store, StoreOptions};
use http::Request;
use serde_json::{Map, Value, json};
use streamkit_wire::input::integer;
use streamkit_wire::{Call, CallError, clock, protocol};

use super::layout::Layouts;
use super::lineage::is_closed;
use super::rates::{self, Rates};
use super::records::{Read, Records, Throughput};
use super::subscription::Subscriptions;
use super::{requests, states, tags, validation};
use crate::Strictness;
use crate::rehearsal::SeededTimes;
use crate::services::passing_states::PassingStates;
use crate::services::service::{AwsService, BoxFuture};

/// The engine does everything at once; what takes time is in `states.rs`.
const STATE_CHANGE_MS: u64 = 0;
/// AWS's quota in the large regions is 20,000 shards for an account.
const SHARD_LIMIT: u32 = 20_000;

/// Who calls an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A client, whose requests are checked.
    Outside,
    /// Another service.
    Service,
}

pub(crate) struct Kinesis {
    pub(super) store: Store,
    pub(super) records: Arc<Records>,
    pub(super) layouts: Arc<Layouts>,
    pub(super) throughput: Throughput,
    pub(super) subscriptions: Arc<Subscriptions>,
    /// Whether shards take and give no more than AWS's.
    pub(super) strict_rates: bool,
    pub(super) account: String,
    pub(super) times: SeededTimes,
    pub(super) changing: PassingStates,
    rates: Rates,
}

impl AwsService for Kinesis {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(self.call(&call.operation, input, Caller::Service))
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(self.http(call, request))
    }

    fn housekeeping(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.expire())
    }
}

impl Kinesis {
    pub(crate) fn start(region: &str, account: &str, times: SeededTimes, strict: Strictness) -> Self {
        let store = Store::new(StoreOptions {
            create_stream_ms: STATE_CHANGE_MS,
            delete_stream_ms: STATE_CHANGE_MS,
            update_stream_ms: STATE_CHANGE_MS,
            shard_limit: SHARD_LIMIT,
            aws_account_id: account.to_owned(),
            aws_region: region.to_owned(),
            ..StoreOptions::default()
        });
        Self {
            store,
            records: Arc::default(),
            layouts: Arc::default(),
            throughput: Throughput::default(),
            subscriptions: Arc::default(),
            strict_rates: strict.rates,
            account: account.to_owned(),
            times,
            changing: PassingStates::default(),
            rates: Rates::default(),
        }
    }

    /// A request of a client; `SubscribeToShard` streams.
    async fn http(&self, call: &Call, request: Request<Bytes>) -> Response {
        if let Some(answer) = self.put_records_plainly(call, request.body()).await {
            return answer;
        }
        let input = match protocol::decode(call, request.body()) {
            Ok(input) => input,
            Err(error) => return protocol::error_response(call, &error),
        };
        if call.operation == "SubscribeToShard" {
            let subscribed = self.subscribe(&input).await;
            return subscribed.unwrap_or_else(|error| protocol::error_response(call, &error));
        }
        match self.call(&call.operation, input, Caller::Outside).await {
            Ok(answer) if answer.as_object().is_some_and(Map::is_empty) => protocol::empty(call),
            outcome => protocol::encode(call, outcome),
        }
    }

    /// `GetRecords` for another service: the records as they are kept.
    pub(crate) async fn read_for_service(&self, iterator: &str, limit: usize) -> Result<Read, CallError> {
        if self.has_states("GetRecords") {
            self.settle().await;
        }
        self.read(iterator, limit, Caller::Service).await
    }

    /// An operation, which streams on their way to another state may refuse, or which sets one on its way.
    async fn call(&self, operation: &str, input: Value, caller: Caller) -> Result<Value, CallError> {
        if !self.has_states(operation) {
            return self.at_once(operation, input, caller).await;
        }
        self.settle().await;
        let stream = states::stream(&input);
        self.refused(operation, &stream)?;
        if operation == "DeleteStream" && self.delete_later(&stream, &input).await? {
            return Ok(json!({}));
        }
        let mut answer = self.at_once(operation, input, caller).await?;
        self.began(operation, &stream);
        self.show(operation, &mut answer);
        Ok(answer)
    }

    /// The same, as if nothing took time.
    pub(super) async fn at_once(&self, operation: &str, mut input: Value, caller: Caller) -> Result<Value, CallError> {
        requests::prepare(operation, &mut input)?;
        let _change = may_change(operation).then(|| self.layouts.change());
        if tags::owns(operation) {
            return tags::change(&self.store, operation, &input).await;
        }
        if caller == Caller::Outside {
            validation::check(known(operation)?, &input)?;
        }
        match operation {
            "PutRecord" => self.put_record(&input).await,
            "PutRecords" => self.put_records(&input).await,
            "GetRecords" => self.get_records(&input, caller).await,
            "GetShardIterator" => self.shard_iterator(input).await,
            "CreateStream" => self.create(input).await,
            "RegisterStreamConsumer" => self.register_consumer(input).await,
            "DescribeStreamConsumer" => self.describe_consumer(input).await,
            _ => self.control(operation, input).await,
        }
    }

    /// The engine's own answer.
    pub(super) async fn engine(&self, operation: &str, input: Value) -> Result<Value, CallError> {
        let answer = dispatch(&self.store, known(operation)?, input).await.map_err(failed)?;
        Ok(answer.unwrap_or_else(|| json!({})))
    }

    /// An operation on a stream that the engine does right but for how often it may be done, and for what it leaves out.
    async fn control(&self, operation: &str, input: Value) -> Result<Value, CallError> {
        let stream = states::stream(&input);
        self.check_rates(operation, &stream, &input).await?;
        let mut answer = self.engine(operation, input.clone()).await?;
        self.rates.note(operation, &stream, clock::now_ms());
        if operation == "DeleteStream" {
            // Who began to put before has put by then.
            self.records.puts_ended().await;
            self.forget(&stream);
        }
        self.complete(operation, &input, &mut answer).await;
        Ok(answer)
    }

    fn forget(&self, stream: &str) {
        self.records.forget(stream);
        self.throughput.forget(stream);
    }

    /// Forgets records whose retention is over, and those of streams that are gone.
    async fn expire(&self) {
        for stream in self.records.streams() {
            match self.store.get_stream(&stream).await {
                Ok(described) => self.records.expire(&stream, super::records::kept_since(&described)),
                Err(_) => self.forget(&stream),
            }
        }
    }

    /// The engine's `RegisterStreamConsumer` knows no tags.
    async fn register_consumer(&self, mut input: Value) -> Result<Value, CallError> {
        let tags = input.as_object_mut().and_then(|input| input.remove("Tags")).unwrap_or_default();
        let answer = self.engine("RegisterStreamConsumer", input).await?;
        if tags.as_object().is_some_and(|tags| !tags.is_empty()) {
            let tags = json!({"ResourceARN": answer["Consumer"]["ConsumerARN"], "Tags": tags});
            tags::change(&self.store, "TagResource", &tags).await?;
        }
        Ok(answer)
    }

    /// The engine leaves out which stream the consumer reads.
    async fn describe_consumer(&self, input: Value) -> Result<Value, CallError> {
        let mut answer = self.engine("DescribeStreamConsumer", input).await?;
        let consumer = &mut answer["ConsumerDescription"];
        let stream = consumer["ConsumerARN"].as_str().and_then(|arn| Some(arn.split_once("/consumer/")?.0.to_owned()));
        consumer["StreamARN"] = json!(stream);
        Ok(answer)
    }

    /// Refuses steps that are too large, and changes that come too often.
    async fn check_rates(&self, operation: &str, name: &str, input: &Value) -> Result<(), CallError> {
        if operation == "UpdateShardCount"
            && let Ok(stream) = self.store.get_stream(name).await
        {
            let open = stream.shards.iter().filter(|shard| !is_closed(shard)).count();
            rates::check_step(i64::try_from(open).unwrap_or(i64::MAX), input)?;
        }
        self.rates.check(operation, name, clock::now_ms())
    }

    /// The engine's `CreateStream` knows neither tags nor modes nor record sizes.
    async fn create(&self, input: Value) -> Result<Value, CallError> {
        let answer = self.engine("CreateStream", input.clone()).await?;
        let name = &input["StreamName"];
        let on_demand = requests::is_on_demand(&input);
        let has_tags = input["Tags"].as_object().is_some_and(|tags| !tags.is_empty());
        let size_kib = integer(&input["MaxRecordSizeInKiB"]).and_then(|size| u32::try_from(size).ok());
        if !on_demand && !has_tags && size_kib.is_none() {
            return Ok(answer);
        }
        // The engine activates a stream in a task of its own, and changes none that is not active.
        let summary = loop {
            let answer = self.engine("DescribeStreamSummary", json!({"StreamName": name})).await?;
            let summary = answer["StreamDescriptionSummary"].clone();
            if summary["StreamStatus"] == "ACTIVE" {
                break summary;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        if on_demand {
            let change = json!({"StreamARN": summary["StreamARN"], "StreamModeDetails": input["StreamModeDetails"]});
            self.engine("UpdateStreamMode", change).await?;
        }
        if let Some(size_kib) = size_kib {
            let change = json!({"StreamARN": summary["StreamARN"], "MaxRecordSizeInKiB": size_kib});
            self.engine("UpdateMaxRecordSize", change).await?;
        }
        if has_tags {
            let tags = json!({"StreamName": name, "Tags": input["Tags"]});
            tags::change(&self.store, "AddTagsToStream", &tags).await?;
        }
        Ok(answer)
    }
}

/// Whether an operation may change a stream.
fn may_change(operation: &str) -> bool {
    !["Put", "Get", "List", "Describe", "Subscribe"].iter().any(|verb| operation.starts_with(verb))
}

fn known(operation: &str) -> Result<Operation, CallError> {
    operation.parse().map_err(|()| CallError::unknown_operation("kinesis", operation))
}

pub(super) fn failed(error: KinesisErrorResponse) -> CallError {
    CallError::new(error.status_code, error.body.error_type, error.body.message.unwrap_or_default())
}
