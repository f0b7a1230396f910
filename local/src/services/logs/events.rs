//! Log streams and their events: putting, paging, filtering.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use streamkit_wire::clock;
use streamkit_wire::input::{flag, integer, list, text, texts};

use super::pattern::Pattern;
use super::service::{Answer, invalid};

/// A stream keeps its newest events: this many, so that a chatty function cannot fill the memory.
const KEPT_EVENTS: usize = 100_000;
const MAX_PAGE: usize = 10_000;
const MAX_EVENTS_PER_PUT: usize = 10_000;

pub(super) struct Stream {
    created_ms: i64,
    ingested_ms: Option<i64>,
    /// In order of time; equal times in order of arrival.
    events: VecDeque<Event>,
    /// Number of the next event: event ids and page tokens stay valid when old events go.
    next: u64,
    bytes: usize,
}

struct Event {
    number: u64,
    time_ms: i64,
    ingested_ms: i64,
    message: String,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self { created_ms: clock::now_ms(), ingested_ms: None, events: VecDeque::new(), next: 0, bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn expire(&mut self, before_ms: i64) {
        while self.events.front().is_some_and(|event| event.time_ms < before_ms) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.message.len();
        }
    }

    pub(super) fn put(&mut self, input: &Value) -> Answer {
        let events = list(&input["logEvents"]);
        if events.is_empty() || events.len() > MAX_EVENTS_PER_PUT {
            return Err(invalid("logEvents must have 1 to 10000 events"));
        }
        let now = clock::now_ms();
        self.ingested_ms = Some(now);
        for event in events {
            let (Some(time_ms), Some(message)) = (integer(&event["timestamp"]), event["message"].as_str()) else {
                return Err(invalid("every log event needs a timestamp and a message"));
            };
            let event = Event { number: self.next, time_ms, ingested_ms: now, message: message.to_owned() };
            self.next += 1;
            self.bytes += event.message.len();
            // Almost always the end; late events are put where their time belongs.
            let at = self.events.iter().rposition(|other| other.time_ms <= time_ms).map_or(0, |at| at + 1);
            self.events.insert(at, event);
            if self.events.len() > KEPT_EVENTS {
                self.drop_oldest();
            }
        }
        Ok(json!({"nextSequenceToken": format!("{:056}", self.next)}))
    }

    /// One page, from the newest backwards unless `startFromHead`; tokens are `f/N` and `b/N` as in AWS.
    pub(super) fn get(&self, input: &Value) -> Value {
        let within = Span::of(input);
        let found: Vec<&Event> = self.events.iter().filter(|event| within.has(event.time_ms)).collect();
        let limit = page_size(input);
        let token = text(input, "nextToken").and_then(|token| {
            let (direction, position) = token.split_once('/')?;
            Some((direction.to_owned(), position.parse::<usize>().ok()?))
        });
        let (start, end) = match token {
            Some((direction, at)) if direction == "b" => {
                (at.min(found.len()).saturating_sub(limit), at.min(found.len()))
            }
            Some((_, at)) => (at.min(found.len()), (at + limit).min(found.len())),
            None if flag(&input["startFromHead"]).unwrap_or_default() => (0, limit.min(found.len())),
            None => (found.len().saturating_sub(limit), found.len()),
        };
        let shown: Vec<Value> = found[start..end]
            .iter()
            .map(|event| json!({"timestamp": event.time_ms, "message": event.message, "ingestionTime": event.ingested_ms}))
            .collect();
        json!({"events": shown, "nextForwardToken": format!("f/{end}"), "nextBackwardToken": format!("b/{start}")})
    }
}

pub(super) fn describe_streams(streams: &BTreeMap<String, Stream>, scope: &str, input: &Value) -> Value {
    let prefix = text(input, "logStreamNamePrefix").unwrap_or_default();
    let mut found: Vec<(&String, &Stream)> = streams.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    if text(input, "orderBy") == Some("LastEventTime") {
        found.sort_by_key(|(_, stream)| stream.events.back().map_or(stream.created_ms, |event| event.time_ms));
    }
    if flag(&input["descending"]).unwrap_or_default() {
        found.reverse();
    }
    let start: usize = text(input, "nextToken").and_then(|token| token.parse().ok()).unwrap_or_default();
    let limit = integer(&input["limit"]).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(super::service::PAGE);
    let shown: Vec<Value> = found
        .iter()
        .skip(start)
        .take(limit)
        .map(|(name, stream)| {
            let mut description = json!({
                "logStreamName": name,
                "arn": format!("{scope}:log-stream:{name}"),
                "creationTime": stream.created_ms,
                "storedBytes": 0,
                "uploadSequenceToken": format!("{:056}", stream.next),
            });
            if let (Some(first), Some(last)) = (stream.events.front(), stream.events.back()) {
                description["firstEventTimestamp"] = first.time_ms.into();
                description["lastEventTimestamp"] = last.time_ms.into();
                description["lastIngestionTime"] = stream.ingested_ms.into();
            }
            description
        })
        .collect();
    let mut answer = json!({"logStreams": shown});
    if found.len() > start + limit {
        answer["nextToken"] = Value::String((start + limit).to_string());
    }
    answer
}

pub(super) fn filter(streams: &BTreeMap<String, Stream>, input: &Value) -> Answer {
    let pattern = Pattern::parse(input["filterPattern"].as_str().unwrap_or_default())?;
    let names = texts(&input["logStreamNames"]);
    let prefix = text(input, "logStreamNamePrefix").unwrap_or_default();
    let within = Span::of(input);
    let mut found: Vec<(&String, &Event)> = streams
        .iter()
        .filter(|(name, _)| (names.is_empty() || names.contains(name)) && name.starts_with(prefix))
        .flat_map(|(name, stream)| stream.events.iter().map(move |event| (name, event)))
        .filter(|(_, event)| within.has(event.time_ms) && pattern.matches(&event.message))
        .collect();
    found.sort_by_key(|(_, event)| event.time_ms);
    let limit = page_size(input);
    let start: usize = match text(input, "nextToken") {
        Some(token) => token.parse().map_err(|_| invalid("the specified nextToken is invalid"))?,
        None => 0,
    };
    let shown: Vec<Value> = found
        .iter()
        .skip(start)
        .take(limit)
        .map(|(name, event)| {
            json!({
                "logStreamName": name,
                "timestamp": event.time_ms,
                "message": event.message,
                "ingestionTime": event.ingested_ms,
                "eventId": format!("{}{:020}", event.time_ms, event.number),
            })
        })
        .collect();
    let mut answer = json!({"events": shown, "searchedLogStreams": []});
    if found.len() > start + limit {
        answer["nextToken"] = Value::String((start + limit).to_string());
    }
    Ok(answer)
}

/// `startTime` (inclusive) to `endTime` (exclusive), epoch milliseconds.
struct Span {
    start: i64,
    end: i64,
}

impl Span {
    fn of(input: &Value) -> Self {
        Self {
            start: integer(&input["startTime"]).unwrap_or(i64::MIN),
            end: integer(&input["endTime"]).unwrap_or(i64::MAX),
        }
    }

    fn has(&self, time_ms: i64) -> bool {
        (self.start..self.end).contains(&time_ms)
    }
}

fn page_size(input: &Value) -> usize {
    let asked = integer(&input["limit"]).and_then(|limit| usize::try_from(limit).ok());
    asked.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE)
}
