//! Messages: sending, receiving with long polls, deleting, hiding, and moving to a dead letter queue.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};
use streamkit_wire::input::{integer, required, text, texts};
use streamkit_wire::{CallError, clock};
use uuid::Uuid;

use super::deduplication::deduplication_id;
use super::message_attributes;
use super::ready::Place;
use super::service::{Answer, Sqs, missing, queue_name, queue_of};

const MAX_RECEIVE: i64 = 10;
const MAX_WAIT_SECONDS: i64 = 20;
const MAX_DELAY_SECONDS: i64 = 900;
const MAX_HIDDEN_SECONDS: i64 = 43_200;

/// What can be done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Delayed,
    InFlight,
}

#[derive(Clone)]
pub(super) struct Message {
    id: String,
    body: String,
    attributes: Map<String, Value>,
    pub(super) group: Option<String>,
    /// Deduplication id and sequence number in a FIFO queue.
    fifo: Option<(String, String)>,
    trace: Option<String>,
    /// ARN of the queue that it was a dead letter of.
    pub(super) died_in: Option<String>,
    sent_ms: i64,
    /// From when on its retention counts: a dead letter's goes on, unless the queues are FIFO.
    pub(super) since_ms: i64,
    first_received_ms: Option<i64>,
    receives: u32,
    /// How often it was received from the queue that it is in.
    pub(super) receives_here: u32,
    pub(super) visible_at: i64,
    pub(super) state: State,
    pub(super) place: Place,
    /// Every receipt ever given out; each one deletes the message.
    pub(super) receipts: Vec<String>,
}

impl Message {
    pub(super) fn new(body: String, attributes: Map<String, Value>, delay_ms: i64) -> Self {
        let now = clock::now_ms();
        Self {
            id: Uuid::new_v4().to_string(),
            body,
            attributes,
            group: None,
            fifo: None,
            trace: None,
            died_in: None,
            sent_ms: now,
            since_ms: now,
            first_received_ms: None,
            receives: 0,
            receives_here: 0,
            visible_at: now + delay_ms,
            state: State::Ready,
            place: Place::default(),
            receipts: Vec::new(),
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        const OVERHEAD: usize = 512;
        let attribute = |value: &Value| {
            let lengths = value.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()).map(str::len);
            OVERHEAD + lengths.sum::<usize>()
        };
        OVERHEAD + self.body.len() + self.attributes.values().map(attribute).sum::<usize>()
    }

    /// Gives a new receipt, and one that was given long ago and holds no longer.
    pub(super) fn receive(&mut self, now: i64) -> (String, Option<String>) {
        /// A message that is received for ever must not take ever more memory.
        const RECEIPTS: usize = 1_000;
        self.receives += 1;
        self.receives_here += 1;
        self.first_received_ms.get_or_insert(now);
        let receipt = STANDARD.encode(format!("{} {}", self.id, Uuid::new_v4()));
        self.receipts.push(receipt.clone());
        let old = (self.receipts.len() > RECEIPTS).then(|| self.receipts.remove(0));
        (receipt, old)
    }

    /// A dead letter keeps its id, its times and its count; only the new queue's own redrive policy counts anew.
    fn dead(mut self, of: &str, fifo: bool, now: i64) -> Self {
        self.died_in = Some(of.to_owned());
        if fifo {
            self.since_ms = now;
        }
        self.receives_here = 0;
        self.visible_at = 0;
        self.receipts.clear();
        self
    }

    /// A message that was moved out of a dead letter queue is a new message with the same content.
    pub(super) fn moved(self, now: i64) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            died_in: None,
            sent_ms: now,
            since_ms: now,
            first_received_ms: None,
            receives: 0,
            receives_here: 0,
            visible_at: now,
            receipts: Vec::new(),
            ..self
        }
    }

    /// Whether this receipt is the one that it is in flight with.
    pub(super) fn is_held_by(&self, receipt: &str) -> bool {
        self.state == State::InFlight && self.receipts.last().is_some_and(|last| last == receipt)
    }

    fn shown(&self, input: &Value) -> Value {
        let mut wanted = texts(&input["MessageSystemAttributeNames"]);
        wanted.extend(texts(&input["AttributeNames"]));
        let mut system = Map::new();
        for (name, value) in [
            ("SenderId", Some("AIDALOCAL".to_owned())),
            ("SentTimestamp", Some(self.sent_ms.to_string())),
            ("ApproximateReceiveCount", Some(self.receives.to_string())),
            ("ApproximateFirstReceiveTimestamp", self.first_received_ms.map(|ms| ms.to_string())),
            ("MessageGroupId", self.group.clone()),
            ("MessageDeduplicationId", self.fifo.as_ref().map(|(deduplication, _)| deduplication.clone())),
            ("SequenceNumber", self.fifo.as_ref().map(|(_, sequence)| sequence.clone())),
            ("AWSTraceHeader", self.trace.clone()),
            ("DeadLetterQueueSourceArn", self.died_in.clone()),
        ] {
            if let Some(value) = value
                && wanted.iter().any(|it| it == name || it == "All")
            {
                system.insert(name.to_owned(), Value::String(value));
            }
        }
        let mut shown = json!({
            "MessageId": self.id,
            "ReceiptHandle": self.receipts.last(),
            "MD5OfBody": md5(self.body.as_bytes()),
            "Body": self.body,
        });
        if !system.is_empty() {
            shown["Attributes"] = Value::Object(system);
        }
        let names = texts(&input["MessageAttributeNames"]);
        let chosen: Map<String, Value> = self
            .attributes
            .iter()
            .filter(|(name, _)| names.iter().any(|wanted| matches_name(wanted, name)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !chosen.is_empty() {
            shown["MD5OfMessageAttributes"] = Value::String(message_attributes::digest(&chosen));
            shown["MessageAttributes"] = Value::Object(chosen);
        }
        shown
    }
}

impl Sqs {
    pub(super) fn send(&self, input: &Value) -> Answer {
        let name = queue_name(input)?;
        let body = required(input, "MessageBody")?;
        let mut queues = self.queues();
        let queue = queues.get_mut(&name).ok_or_else(missing)?;
        let attributes = input["MessageAttributes"].as_object().cloned().unwrap_or_default();
        message_attributes::check(&attributes)?;
        check_characters(body)?;
        let bytes = body.len() + message_attributes::bytes(&attributes);
        if i64::try_from(bytes).unwrap_or(i64::MAX) > queue.seconds("MaximumMessageSize") {
            return Err(CallError::bad(
                "InvalidParameterValue",
                format!(
                    "One or more parameters are invalid. Reason: Message must be shorter than {} bytes.",
                    queue.setting("MaximumMessageSize")
                ),
            ));
        }
        let mut answer = json!({"MD5OfMessageBody": md5(body.as_bytes())});
        for (given, digest) in [
            ("MessageAttributes", "MD5OfMessageAttributes"),
            ("MessageSystemAttributes", "MD5OfMessageSystemAttributes"),
        ] {
            if let Some(given) = input[given].as_object().filter(|given| !given.is_empty()) {
                answer[digest] = Value::String(message_attributes::digest(given));
            }
        }
        let delay = in_range(input, "DelaySeconds", MAX_DELAY_SECONDS)?;
        if queue.fifo && delay.is_some_and(|delay| delay > 0) {
            return Err(invalid(
                input,
                "DelaySeconds",
                "The request include parameter that is not valid for this queue type.",
            ));
        }
        if let Some(given) = text(input, "MessageDeduplicationId").filter(|_| !queue.fifo) {
            return Err(CallError::bad(
                "InvalidParameterValue",
                format!(
                    "Value {given} for parameter MessageDeduplicationId is invalid. Reason: The request include parameter that is not valid for this queue type."
                ),
            ));
        }
        let delay = delay.unwrap_or_else(|| queue.seconds("DelaySeconds"));
        let mut message = Message::new(body.to_owned(), attributes, delay * 1000);
        message.group = text(input, "MessageGroupId").map(str::to_owned);
        message.trace = text(&input["MessageSystemAttributes"]["AWSTraceHeader"], "StringValue").map(str::to_owned);
        if queue.fifo {
            if message.group.is_none() {
                return Err(CallError::bad(
                    "MissingParameter",
                    "The request must contain the parameter MessageGroupId.",
                ));
            }
            let deduplication = match text(input, "MessageDeduplicationId") {
                Some(given) => given.to_owned(),
                None if queue.setting("ContentBasedDeduplication") == "true" => deduplication_id(body),
                None => {
                    return Err(CallError::bad(
                        "InvalidParameterValue",
                        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
                    ));
                }
            };
            // The same id in another group is another message if the queue says so.
            let key = match (queue.setting("DeduplicationScope"), &message.group) {
                ("messageGroup", Some(group)) => format!("{group} {deduplication}"),
                _ => deduplication.clone(),
            };
            let now = clock::now_ms();
            if let Some((id, sequence)) = queue.recent.earlier(&key, now) {
                answer["MessageId"] = Value::String(id);
                answer["SequenceNumber"] = Value::String(sequence);
                return Ok(answer);
            }
            let sequence = queue.next_sequence();
            queue.recent.remember(key, (message.id.clone(), sequence.clone()), now);
            answer["SequenceNumber"] = Value::String(sequence.clone());
            message.fifo = Some((deduplication, sequence));
        }
        answer["MessageId"] = Value::String(message.id.clone());
        queue.push(message);
        drop(queues);
        self.arrived.notify_waiters();
        Ok(answer)
    }

    pub(super) async fn receive(&self, input: &Value) -> Answer {
        let name = queue_name(input)?;
        let most = integer(&input["MaxNumberOfMessages"]).unwrap_or(1);
        if !(1..=MAX_RECEIVE).contains(&most) {
            return Err(CallError::bad(
                "InvalidParameterValue",
                format!(
                    "Value {most} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
                ),
            ));
        }
        let hide = in_range(input, "VisibilityTimeout", MAX_HIDDEN_SECONDS)?;
        let wait = in_range(input, "WaitTimeSeconds", MAX_WAIT_SECONDS)?;
        let started = clock::now_ms();
        let mut deadline = None;
        loop {
            // Registered before the look, so that a message which comes between look and wait is not missed.
            let arrival = self.arrived.notified();
            let now = clock::now_ms();
            let wake = {
                let mut queues = self.queues();
                let target = queues.get(&name).ok_or_else(missing)?.redrive().map(|(arn, _)| arn);
                let target = target.filter(|arn| queue_of(&queues, arn).is_some());
                let queue = queues.get_mut(&name).ok_or_else(missing)?;
                let wait = wait.unwrap_or_else(|| queue.seconds("ReceiveMessageWaitTimeSeconds"));
                let deadline = *deadline.get_or_insert(started + wait * 1000);
                let hide = hide.unwrap_or_else(|| queue.seconds("VisibilityTimeout")) * 1000;
                let (taken, dead) = queue.take(usize::try_from(most).unwrap_or(1), hide, now, target.is_some());
                let (from, fifo) = (queue.arn.clone(), queue.fifo);
                let next = queue.next_wake();
                if let Some(queue) = target.and_then(|arn| queues.get_mut(arn.rsplit(':').next().unwrap_or_default()))
                    && !dead.is_empty()
                {
                    for message in dead {
                        queue.push(message.dead(&from, fifo, now));
                    }
                    self.arrived.notify_waiters();
                }
                if !taken.is_empty() {
                    let shown: Vec<Value> = taken.iter().map(|message| message.shown(input)).collect();
                    return Ok(json!({"Messages": shown}));
                }
                if now >= deadline {
                    return Ok(json!({}));
                }
                next.map_or(deadline, |at| at.min(deadline))
            };
            let pause = Duration::from_millis(u64::try_from(wake - now).unwrap_or_default().max(1));
            // Either outcome means: look again.
            let _ = tokio::time::timeout(pause, arrival).await;
        }
    }

    pub(super) fn delete(&self, input: &Value) -> Answer {
        let receipt = required(input, "ReceiptHandle")?;
        check_receipt(receipt)?;
        self.with(input, |queue| queue.delete(receipt, clock::now_ms()).map(|()| json!({})))
    }

    pub(super) fn change_visibility(&self, input: &Value) -> Answer {
        let receipt = required(input, "ReceiptHandle")?;
        check_receipt(receipt)?;
        let seconds = in_range(input, "VisibilityTimeout", MAX_HIDDEN_SECONDS)?.ok_or_else(|| {
            CallError::bad("MissingParameter", "The request must contain the parameter VisibilityTimeout.")
        })?;
        let now = clock::now_ms();
        let answer = self.with(input, |queue| {
            if queue.hide(receipt, now + seconds * 1000, now) {
                Ok(json!({}))
            } else {
                Err(CallError::bad(
                    "InvalidParameterValue",
                    format!(
                        "Value {receipt} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change."
                    ),
                ))
            }
        });
        self.arrived.notify_waiters();
        answer
    }
}

/// Refuses what was never a receipt; one of a message that is gone is another matter.
fn check_receipt(receipt: &str) -> Result<(), CallError> {
    let text = STANDARD.decode(receipt).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if text.is_some_and(|text| text.split(' ').filter(|part| Uuid::try_parse(part).is_ok()).count() == 2) {
        return Ok(());
    }
    Err(CallError::bad(
        "ReceiptHandleIsInvalid",
        format!("The input receipt handle \"{receipt}\" is not a valid receipt handle."),
    ))
}

/// A body may have the characters that XML may have.
fn check_characters(body: &str) -> Result<(), CallError> {
    let legal = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    match body.chars().find(|letter| !legal(*letter)) {
        None => Ok(()),
        Some(letter) => Err(CallError::bad(
            "InvalidMessageContents",
            format!(
                "Invalid binary character '#x{:X}' was found in the message body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
                u32::from(letter)
            ),
        )),
    }
}

/// A number from 0 to `most`, if there is one.
fn in_range(input: &Value, name: &str, most: i64) -> Result<Option<i64>, CallError> {
    match integer(&input[name]) {
        Some(number) if !(0..=most).contains(&number) => {
            Err(invalid(input, name, &format!("Must be >= 0 and <= {most}, if provided.")))
        }
        number => Ok(number),
    }
}

fn invalid(input: &Value, name: &str, why: &str) -> CallError {
    let given = integer(&input[name]).unwrap_or_default();
    CallError::bad("InvalidParameterValue", format!("Value {given} for parameter {name} is invalid. Reason: {why}"))
}

fn matches_name(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix(".*") {
        Some(prefix) => name.starts_with(prefix),
        None => wanted == "All" || wanted == name,
    }
}

fn md5(bytes: &[u8]) -> String {
    format!("{:x}", Md5::digest(bytes))
}
