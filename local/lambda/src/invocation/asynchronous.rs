//! Asynchronous invocations: retries, age, destinations and the function's own dead letter queue, and the operations that
//! configure them.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use streamkit_wire::{CallError, clock};
use tokio::time::Instant;
use uuid::Uuid;

use crate::Engine;
use crate::function::invoke_config::InvokeConfig;
use crate::function::target::{Purpose, Target};
use crate::function::version::{LATEST, qualified};
use crate::invocation::invoke::{Event, NotInvoked, Outcome};
use crate::settings::Settings;

/// Lambda tries a failed asynchronous invocation again after one minute, and once more after two.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];
/// The same where changes take no time.
const SHORT_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// Pause after a throttle; it doubles up to [`LAST_THROTTLE`].
const FIRST_THROTTLE: Duration = Duration::from_secs(1);
const LAST_THROTTLE: Duration = Duration::from_mins(5);
const DEFAULT_RETRIES: u32 = 2;
const DEFAULT_AGE_SECONDS: u32 = 21_600;
/// Longest error message in a dead letter, in bytes.
const MAX_ERROR: usize = 1024;

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    RetriesExhausted,
    EventAgeExceeded,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
        }
    }
}

impl Engine {
    /// Takes an event for later; the function is named in any form.
    pub fn invoke_async(self: &Arc<Self>, function: &str, payload: Bytes) -> Result<(), CallError> {
        let target = self.invoked(function)?;
        self.take_event(target, Event::new(payload));
        Ok(())
    }

    /// Takes an event, and runs it to its end in a task of its own.
    pub(crate) fn take_event(self: &Arc<Self>, target: Target, event: Event) {
        let engine = Arc::clone(self);
        let stop = self.stop.clone();
        self.metrics.function(&target.function.name, "AsyncEventsReceived", "Count", 1.0);
        let place = self.event_queue.place(event.payload.len());
        self.tasks.spawn(async move {
            let Some(_place) = place else { return engine.drop_event(&target, &event).await };
            let gone = target.function.gone.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = gone.cancelled() => {}
                () = engine.run_to_end(&target, event) => {}
            }
        });
    }

    /// Gives up an event for which there was no place: as if it had waited for too long.
    async fn drop_event(self: &Arc<Self>, target: &Target, event: &Event) {
        tracing::warn!(
            function = target.function.name,
            request_id = event.request_id,
            "an asynchronous event was dropped: too many are waiting"
        );
        let config = target.function.invoke_config(target.qualifier()).unwrap_or_default();
        self.conclude(target, event, &config, End::EventAgeExceeded, 0, None).await;
    }

    async fn run_to_end(self: &Arc<Self>, target: &Target, event: Event) {
        let function = &target.function;
        let config = function.invoke_config(target.qualifier()).unwrap_or_default();
        let retries = config.retries.unwrap_or(DEFAULT_RETRIES);
        let age = Duration::from_secs(config.age_seconds.unwrap_or(DEFAULT_AGE_SECONDS).into());
        let pauses = if self.ports.transitions.is_immediate() { SHORT_PAUSES } else { RETRY_PAUSES };
        let (began, mut attempts, mut throttle) = (Instant::now(), 0, FIRST_THROTTLE);
        let mut last = None;
        let end = loop {
            let reserved = *function.reserved();
            let Some(turn) = function.invocations.turn(reserved).await else { return };
            let waited = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
            self.metrics.function(&function.name, "AsyncEventAge", "Milliseconds", waited.into());
            // What an alias means may have changed since.
            let Ok(now) = self.resolve(Purpose::Invocation, &function.name, target.qualifier()) else { return };
            let result = self.run(&now, event.clone()).await;
            drop(turn);
            let pause = match result {
                Ok(outcome) => {
                    attempts += 1;
                    let failed = outcome.failed;
                    last = Some(outcome);
                    if !failed {
                        break End::Success;
                    }
                    if attempts > retries {
                        break End::RetriesExhausted;
                    }
                    usize::try_from(attempts - 1).ok().and_then(|at| pauses.get(at)).copied().unwrap_or(pauses[1])
                }
                Err(NotInvoked::Gone) => return,
                Err(NotInvoked::TooLarge) => break End::RetriesExhausted,
                // Throttled events stay in the queue and use up no attempt.
                Err(NotInvoked::Throttled | NotInvoked::Pending) => {
                    let pause = throttle;
                    throttle = (throttle * 2).min(LAST_THROTTLE);
                    pause
                }
            };
            if began.elapsed() + pause > age {
                break End::EventAgeExceeded;
            }
            tokio::time::sleep(pause).await;
        };
        self.conclude(target, &event, &config, end, attempts, last).await;
    }

    async fn conclude(
        self: &Arc<Self>,
        target: &Target,
        event: &Event,
        config: &InvokeConfig,
        end: End,
        attempts: u32,
        last: Option<Outcome>,
    ) {
        let function = &target.function;
        let destination = if end == End::Success { &config.on_success } else { &config.on_failure };
        if let Some(destination) = destination {
            let now_ms = clock::now_ms();
            let body = record(target, event, end, attempts, last.as_ref(), now_ms).to_string();
            let role = &target.version.settings.role;
            if !self.send_record(role, destination, &object_key(&function.name, now_ms), &body).await {
                self.metrics.function(&function.name, "DestinationDeliveryFailures", "Count", 1.0);
            }
        }
        if end == End::Success {
            return;
        }
        self.metrics.function(&function.name, "AsyncEventsDropped", "Count", 1.0);
        let settings = &target.version.settings;
        if !settings.dead_letters.is_empty() && self.send_dead_letter(settings, event, last.as_ref()).await.is_err() {
            self.metrics.function(&function.name, "DeadLetterErrors", "Count", 1.0);
        }
    }

    /// The event itself, with the error in its attributes.
    async fn send_dead_letter(
        &self,
        settings: &Settings,
        event: &Event,
        last: Option<&Outcome>,
    ) -> Result<(), CallError> {
        let to = &settings.dead_letters;
        self.check_sender(&settings.role, to, "")?;
        let body = String::from_utf8_lossy(&event.payload).into_owned();
        let error = last.and_then(|outcome| serde_json::from_slice::<Value>(&outcome.payload).ok());
        let message = error.as_ref().and_then(|error| error["errorMessage"].as_str()).unwrap_or("Unknown error");
        let message = &message[..message.floor_char_boundary(MAX_ERROR)];
        let attributes = [
            ("RequestID", "String", event.request_id.as_str()),
            ("ErrorCode", "Number", "200"),
            ("ErrorMessage", "String", message),
        ];
        let attributes: serde_json::Map<_, _> = attributes
            .into_iter()
            .map(|(name, kind, value)| (name.to_owned(), json!({ "DataType": kind, "StringValue": value })))
            .collect();
        if to.split(':').nth(2) == Some("sns") {
            return self.ports.topics.publish(to, &body, attributes).await;
        }
        let name = to.rsplit(':').next().unwrap_or_default();
        let queue = self.ports.queues.sqs("GetQueueUrl", json!({ "QueueName": name })).await?;
        let message = json!({ "QueueUrl": queue["QueueUrl"], "MessageBody": body, "MessageAttributes": attributes });
        self.ports.queues.sqs("SendMessage", message).await.map(drop)
    }
}

/// The invocation record of a destination.
fn record(target: &Target, event: &Event, end: End, attempts: u32, last: Option<&Outcome>, now_ms: i64) -> Value {
    let json_of = |bytes: &[u8]| {
        serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
    };
    let mut record = json!({
        "version": "1.0",
        "timestamp": clock::iso(now_ms),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": qualified(&target.function.arn, Some(target.qualifier().unwrap_or(LATEST))),
            "condition": end.name(),
            "approximateInvokeCount": attempts,
        },
        "requestPayload": json_of(&event.payload),
    });
    if let Some(outcome) = last {
        record["responseContext"] = json!({ "statusCode": 200, "executedVersion": outcome.version });
        if outcome.failed {
            record["responseContext"]["functionError"] = json!("Unhandled");
        }
        record["responsePayload"] = json_of(&outcome.payload);
    }
    record
}

fn object_key(function: &str, now_ms: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(now_ms).unwrap_or_default();
    format!("aws/lambda/async/{function}/{}-{}", time.format("%Y/%m/%d/%Y-%m-%dT%H.%M.%S"), Uuid::new_v4())
}
