//! `SubscribeToShard`: a shard's records as they come, for five minutes, as an event stream.
//!
//! See <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use ferrokinesis::actions::Operation;
use ferrokinesis::event_stream::{encode_initial_response, encode_subscribe_event};
use ferrokinesis::shard_iterator::decode_shard_iterator;
use ferrokinesis::store::Store;
use ferrokinesis::types::{ConsumerStatus, StreamStatus};
use http::{HeaderValue, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use streamkit_wire::input::text;
use streamkit_wire::{CallError, clock};
use tokio::time::Instant;

use super::layout::Layouts;
use super::lineage::{self, is_closed};
use super::records::{ConsumerThroughput, MAX_PAGE_BYTES, Number, PageLimit, Record, Records, after, kept_since};
use super::service::{Kinesis, failed};
use super::validation;

/// A subscription ends after this time, and the consumer makes another.
const LIFE: Duration = Duration::from_mins(5);
/// An event comes at least this often, with or without records.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How soon it is looked again what a consumer may be sent.
const PACE: Duration = Duration::from_millis(50);
/// A shard can be subscribed to again so long after the last time.
const AGAIN_AFTER_MS: i64 = 5000;
const MAX_RECORDS: usize = 10_000;

/// The latest subscription of each consumer to each shard: a later one takes its place.
#[derive(Default)]
pub(super) struct Subscriptions(Mutex<HashMap<(String, String), Begun>>);

#[derive(Clone, Copy)]
struct Begun {
    number: u64,
    at_ms: i64,
}

impl Subscriptions {
    /// Gives the number of a new subscription.
    fn begin(&self, consumer: &str, shard: &str, now_ms: i64, strict: bool) -> Result<u64, CallError> {
        let mut all = self.0.lock();
        let place = (consumer.to_owned(), shard.to_owned());
        let last = all.get(&place).copied();
        if strict && last.is_some_and(|last| (0..AGAIN_AFTER_MS).contains(&(now_ms - last.at_ms))) {
            return Err(CallError::bad(
                "ResourceInUseException",
                format!("Another active subscription exists for this consumer: {consumer}, shard: {shard}"),
            ));
        }
        let number = last.map_or(0, |last| last.number + 1);
        all.insert(place, Begun { number, at_ms: now_ms });
        Ok(number)
    }

    fn is_latest(&self, consumer: &str, shard: &str, number: u64) -> bool {
        let place = (consumer.to_owned(), shard.to_owned());
        self.0.lock().get(&place).is_some_and(|latest| latest.number == number)
    }
}

impl Kinesis {
    pub(super) async fn subscribe(&self, input: &Value) -> Result<Response, CallError> {
        validation::check(Operation::SubscribeToShard, input)?;
        let consumer = text(input, "ConsumerARN").unwrap_or_default();
        let (stream, shard) = (super::states::stream(input), text(input, "ShardId").unwrap_or_default());
        self.settle().await;
        self.refused("SubscribeToShard", &stream)?;
        let known =
            self.store.get_consumer(consumer).await.ok_or_else(|| {
                CallError::bad("ResourceNotFoundException", format!("Consumer {consumer} not found."))
            })?;
        if known.consumer_status != ConsumerStatus::Active {
            return Err(CallError::bad("ResourceInUseException", format!("Consumer {consumer} is not ACTIVE.")));
        }
        let described = self.store.get_stream(&stream).await.map_err(failed)?;
        if !matches!(described.stream_status, StreamStatus::Active | StreamStatus::Updating) {
            return Err(failed(ferrokinesis::error::KinesisErrorResponse::stream_not_found(&stream, &self.account)));
        }
        let from = self.starting(&stream, shard, &input["StartingPosition"]).await?;
        let number = self.subscriptions.begin(consumer, shard, clock::now_ms(), self.strict_rates)?;
        let subscription = Subscription {
            store: self.store.clone(),
            layouts: Arc::clone(&self.layouts),
            records: Arc::clone(&self.records),
            subscriptions: Arc::clone(&self.subscriptions),
            consumer: consumer.to_owned(),
            number,
            stream,
            shard: shard.to_owned(),
            from,
            ends: Instant::now() + LIFE,
            throughput: self.strict_rates.then(|| ConsumerThroughput::new(clock::now_ms())),
            next: Next::Greeting,
        };
        let events = futures_util::stream::unfold(subscription, |mut subscription| async move {
            let event = subscription.event().await?;
            Some((Ok::<_, std::convert::Infallible>(event), subscription))
        });
        let mut answer = Response::new(Body::from_stream(events));
        let kind = HeaderValue::from_static("application/vnd.amazon.eventstream");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
            answer.headers_mut().insert("x-amzn-requestid", id);
        }
        Ok(answer)
    }

    /// The number that a subscription begins with.
    async fn starting(&self, stream: &str, shard: &str, position: &Value) -> Result<Number, CallError> {
        let mut input = json!({"StreamName": stream, "ShardId": shard, "ShardIteratorType": position["Type"]});
        for (member, of_iterator) in [("SequenceNumber", "StartingSequenceNumber"), ("Timestamp", "Timestamp")] {
            if !position[member].is_null() {
                input[of_iterator] = position[member].clone();
            }
        }
        validation::check(Operation::GetShardIterator, &input)?;
        let answer = self.shard_iterator(input).await?;
        let (_, _, _, from) =
            decode_shard_iterator(text(&answer, "ShardIterator").unwrap_or_default()).map_err(CallError::internal)?;
        Number::parse(&from).ok_or_else(|| CallError::internal("the iterator has no number"))
    }
}

/// What comes next in an event stream.
enum Next {
    Greeting,
    /// An event in any case: the first, or one that tells of a change.
    Event,
    Records,
    End,
}

/// One subscription on its way.
struct Subscription {
    store: Store,
    layouts: Arc<Layouts>,
    records: Arc<Records>,
    subscriptions: Arc<Subscriptions>,
    consumer: String,
    number: u64,
    stream: String,
    shard: String,
    from: Number,
    ends: Instant,
    /// What it may still be sent this second, where that is limited.
    throughput: Option<ConsumerThroughput>,
    next: Next,
}

impl Subscription {
    /// The next event; none when the subscription is over.
    async fn event(&mut self) -> Option<Bytes> {
        match self.next {
            Next::Greeting => {
                self.next = Next::Event;
                return Some(encode_initial_response().into());
            }
            Next::End => return None,
            Next::Event | Next::Records => {}
        }
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let may_send = self.throughput.as_mut().is_none_or(|left| left.may_send(clock::now_ms()));
            // Before looking, so that nothing comes unseen between looking and waiting.
            let records = Arc::clone(&self.records);
            let appended = records.appended.notified();
            let layout = self.layouts.of(&self.store, &self.stream).await.ok()?;
            let stream = &layout.stream;
            let shard = stream.shards.iter().find(|shard| shard.shard_id == self.shard)?;
            let latest = self.subscriptions.is_latest(&self.consumer, &self.shard, self.number);
            if !latest || self.store.get_consumer(&self.consumer).await.is_none() || Instant::now() >= self.ends {
                return None;
            }
            let limit = PageLimit { records: if may_send { MAX_RECORDS } else { 0 }, bytes: MAX_PAGE_BYTES };
            if is_closed(shard) {
                self.records.puts_ended().await;
            }
            let page = self.records.page(&self.stream, &self.shard, self.from, kept_since(stream), limit);
            let over = is_closed(shard) && page.at_end;
            let due = matches!(self.next, Next::Event) || Instant::now() >= heartbeat;
            if page.records.is_empty() && !over && !due {
                let wait = if may_send { heartbeat } else { heartbeat.min(Instant::now() + PACE) };
                // Either way it is looked again.
                let _ = tokio::time::timeout_at(wait, appended).await;
                continue;
            }
            if let Some(last) = page.records.last() {
                self.from = Number::parse(&after(last.number).ok()?)?;
            }
            if let Some(left) = &mut self.throughput {
                left.sent(page.records.iter().map(Record::size).sum());
            }
            let newest = page.records.last().filter(|_| !page.at_end);
            let behind_ms = newest.map_or(0, |newest| (clock::now_ms() - newest.arrived_ms).max(0));
            let mut event = json!({
                "Records": page.records.iter().map(Record::to_json).collect::<Vec<_>>(),
                "ContinuationSequenceNumber": self.from.to_string(),
                "MillisBehindLatest": behind_ms,
            });
            self.next = Next::Records;
            if over {
                event["ChildShards"] = lineage::children(&stream.shards, shard);
                self.next = Next::End;
            }
            // Events are JSON, whatever the request was in: so the Java SDKs read them, too.
            let payload = event.to_string();
            return Some(encode_subscribe_event(payload.as_bytes(), "application/json").into());
        }
    }
}
