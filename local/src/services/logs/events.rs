//! Log streams and their events: putting, paging, filtering.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use streamkit_wire::clock;
use streamkit_wire::input::{flag, integer, list, text, texts};

use super::pattern::Pattern;
use super::service::{Answer, invalid};
use super::validation::{bad_token, limit};

/// A stream keeps its newest events, in number and in size, so that a chatty function cannot fill the memory.
const KEPT_EVENTS: usize = 100_000;
const KEPT_BYTES: usize = 32 * 1024 * 1024;
/// What AWS counts for an event besides its message.
pub(super) const EVENT_OVERHEAD: usize = 26;
const MAX_PAGE: usize = 10_000;
const MAX_EVENTS_PER_PUT: usize = 10_000;
const MAX_BYTES_PER_PUT: usize = 1_048_576;
const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How far from now an event's time may be.
const FUTURE_MS: i64 = 2 * HOUR_MS;
const PAST_MS: i64 = 14 * DAY_MS;

pub(super) struct Stream {
    created_ms: i64,
    ingested_ms: Option<i64>,
    /// In order of time; equal times in order of arrival.
    events: VecDeque<Event>,
    /// Number of the next event: event ids and page tokens stay valid when old events go.
    next: u64,
    /// With the overhead of each event.
    bytes: usize,
    /// How many events, and bytes, went because the stream was full. While there are any, the first event says so.
    dropped: (u64, usize),
}

struct Event {
    number: u64,
    time_ms: i64,
    ingested_ms: i64,
    message: String,
}

impl Event {
    fn bytes(&self) -> usize {
        self.message.len() + EVENT_OVERHEAD
    }

    /// Where it stands in its stream.
    fn place(&self) -> Place {
        Place { time_ms: self.time_ms, number: self.number }
    }
}

/// A place in a stream, which stays the same whatever comes before it or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time_ms: i64,
    number: u64,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self {
            created_ms: clock::now_ms(),
            ingested_ms: None,
            events: VecDeque::new(),
            next: 0,
            bytes: 0,
            dropped: (0, 0),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn expire(&mut self, before_ms: i64) {
        while self.events.front().is_some_and(|event| event.time_ms < before_ms) {
            self.take_oldest();
        }
    }

    fn take_oldest(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= event.bytes();
        Some(event)
    }

    /// Makes room by letting go of the oldest events, and says so in their place.
    fn drop_oldest(&mut self, events: usize) {
        if self.dropped.0 > 0 {
            self.take_oldest();
        }
        let mut last = None;
        for _ in 0..events {
            let Some(event) = self.take_oldest() else { break };
            self.dropped.0 += 1;
            self.dropped.1 += event.bytes();
            last = Some(event);
        }
        let Some(mut notice) = last else { return };
        notice.message = format!(
            "streamkit: {} older events ({} bytes) of this log stream were dropped, because the embedded AWS keeps only so much in memory",
            self.dropped.0, self.dropped.1
        );
        self.bytes += notice.bytes();
        self.events.push_front(notice);
    }

    pub(super) fn drop_half(&mut self) {
        self.drop_oldest(1 + self.events.len() / 2);
    }

    fn is_full(&self) -> bool {
        self.events.len() > KEPT_EVENTS || self.bytes > KEPT_BYTES
    }

    /// Gives the answer, and what was accepted: time and message of each.
    pub(super) fn put<'a>(
        &mut self,
        input: &'a Value,
        retention_days: Option<i64>,
    ) -> Result<(Value, Vec<Accepted<'a>>), streamkit_wire::CallError> {
        let events = read_events(input)?;
        let now = clock::now_ms();
        let oldest = now - PAST_MS;
        let expired = retention_days.map_or(i64::MIN, |days| now - days * DAY_MS);
        // In order of time, the refused ones are at the ends.
        let before = |time_ms: i64| events.iter().take_while(|event| event.time_ms < time_ms).count();
        let (too_old, expired) = (before(oldest), before(expired));
        let too_new = before(now + FUTURE_MS + 1);
        let mut rejected = json!({});
        if too_old > 0 {
            rejected["tooOldLogEventEndIndex"] = json!(too_old);
        }
        if expired > too_old {
            rejected["expiredLogEventEndIndex"] = json!(expired);
        }
        if too_new < events.len() {
            rejected["tooNewLogEventStartIndex"] = json!(too_new);
        }
        let accepted: Vec<Accepted> =
            events.into_iter().take(too_new).skip(too_old.max(expired)).map(|event| self.add(event, now)).collect();
        while self.is_full() {
            self.drop_oldest(1 + self.events.len() / 100);
        }
        let mut answer = json!({"nextSequenceToken": format!("{:056}", self.next)});
        if rejected != json!({}) {
            answer["rejectedLogEventsInfo"] = rejected;
        }
        Ok((answer, accepted))
    }

    fn add<'a>(&mut self, sent: Sent<'a>, now: i64) -> Accepted<'a> {
        let event =
            Event { number: self.next, time_ms: sent.time_ms, ingested_ms: now, message: sent.message.to_owned() };
        self.ingested_ms = Some(now);
        self.next += 1;
        self.bytes += event.bytes();
        let id = event_id(&event);
        // Almost always the end; late events are put where their time belongs.
        let at = self.events.iter().rposition(|other| other.time_ms <= event.time_ms).map_or(0, |at| at + 1);
        self.events.insert(at, event);
        Accepted { id, time_ms: sent.time_ms, message: sent.message }
    }

    /// One page, from the newest backwards unless `startFromHead`. A token is a direction and a place.
    pub(super) fn get(&self, input: &Value) -> Answer {
        let within = Span::of(input);
        let limit = limit(input, "limit", MAX_PAGE)?.unwrap_or(MAX_PAGE);
        let token = text(input, "nextToken").map(|token| read_token(token).ok_or_else(bad_token)).transpose()?;
        let found: Vec<&Event> = self.events.iter().filter(|event| within.has(event.time_ms)).collect();
        let before = |place: Place| found.partition_point(|event| event.place() < place);
        let (start, end) = match token {
            Some((Direction::Backward, place)) => (before(place).saturating_sub(limit), before(place)),
            Some((Direction::Forward, place)) => (before(place), (before(place) + limit).min(found.len())),
            None if flag(&input["startFromHead"]).unwrap_or_default() => (0, limit.min(found.len())),
            None => (found.len().saturating_sub(limit), found.len()),
        };
        let page = &found[start..end];
        let given = token.map_or(Place { time_ms: 0, number: 0 }, |(_, place)| place);
        let first = page.first().map_or(given, |event| event.place());
        let after = page.last().map_or(given, |event| Place { number: event.number + 1, ..event.place() });
        let shown: Vec<Value> = page
            .iter()
            .map(|event| json!({"timestamp": event.time_ms, "message": event.message, "ingestionTime": event.ingested_ms}))
            .collect();
        Ok(json!({
            "events": shown,
            "nextForwardToken": token_text("f", after),
            "nextBackwardToken": token_text("b", first),
        }))
    }
}

/// An event as it was sent.
#[derive(Debug, Clone, Copy)]
struct Sent<'a> {
    time_ms: i64,
    message: &'a str,
}

/// An event that a stream took.
pub(super) struct Accepted<'a> {
    pub(super) id: String,
    pub(super) time_ms: i64,
    pub(super) message: &'a str,
}

fn read_events(input: &Value) -> Result<Vec<Sent<'_>>, streamkit_wire::CallError> {
    let events = list(&input["logEvents"]);
    if events.is_empty() || events.len() > MAX_EVENTS_PER_PUT {
        return Err(invalid("logEvents must have 1 to 10000 events"));
    }
    let read = events.iter().map(|event| {
        let (time_ms, message) = integer(&event["timestamp"]).zip(event["message"].as_str())?;
        Some(Sent { time_ms, message })
    });
    let read: Option<Vec<Sent>> = read.collect();
    let read = read.ok_or_else(|| invalid("every log event needs a timestamp and a message"))?;
    if !read.is_sorted_by_key(|event| event.time_ms) {
        return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    let last = read.last().map_or(0, |event| event.time_ms);
    if last.saturating_sub(read[0].time_ms) > DAY_MS {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    let bytes: usize = read.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum();
    if bytes > MAX_BYTES_PER_PUT {
        return Err(invalid(&format!("Upload too large: {bytes} bytes exceeds limit of {MAX_BYTES_PER_PUT}")));
    }
    Ok(read)
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

fn token_text(direction: &str, place: Place) -> String {
    format!("{direction}/{:020}{:036}/s", place.time_ms, place.number)
}

fn read_token(token: &str) -> Option<(Direction, Place)> {
    const TIME: usize = 20;
    let (direction, rest) = token.split_once('/')?;
    let direction = match direction {
        "f" => Direction::Forward,
        "b" => Direction::Backward,
        _ => return None,
    };
    let (time, number) = rest.strip_suffix("/s")?.split_at_checked(TIME)?;
    Some((direction, Place { time_ms: time.parse().ok()?, number: number.parse().ok()? }))
}

fn event_id(event: &Event) -> String {
    format!("{}{:020}", event.time_ms, event.number)
}

pub(super) fn describe_streams(streams: &BTreeMap<String, Stream>, scope: &str, input: &Value) -> Answer {
    let prefix = text(input, "logStreamNamePrefix").unwrap_or_default();
    let mut found: Vec<(&String, &Stream)> = streams.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    if text(input, "orderBy") == Some("LastEventTime") {
        if !prefix.is_empty() {
            return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        found.sort_by_key(|(_, stream)| stream.events.back().map_or(stream.created_ms, |event| event.time_ms));
    }
    if flag(&input["descending"]).unwrap_or_default() {
        found.reverse();
    }
    let start: usize = text(input, "nextToken").map_or(Ok(0), |token| token.parse().map_err(|_| bad_token()))?;
    let limit = limit(input, "limit", super::service::PAGE)?.unwrap_or(super::service::PAGE);
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
    if found.len().saturating_sub(start) > limit {
        answer["nextToken"] = Value::String((start + limit).to_string());
    }
    Ok(answer)
}

pub(super) fn filter(streams: &BTreeMap<String, Stream>, input: &Value) -> Answer {
    let limit = limit(input, "limit", MAX_PAGE)?.unwrap_or(MAX_PAGE);
    let pattern = Pattern::parse(input["filterPattern"].as_str().unwrap_or_default())?;
    let names = texts(&input["logStreamNames"]);
    let prefix = text(input, "logStreamNamePrefix").unwrap_or_default();
    if !names.is_empty() && !prefix.is_empty() {
        return Err(invalid("LogStream names and LogStream name prefix are mutually exclusive parameters."));
    }
    let within = Span::of(input);
    let after = text(input, "nextToken").map(|token| read_filter_token(token).ok_or_else(bad_token)).transpose()?;
    let mut found: Vec<(&String, &Event)> = streams
        .iter()
        .filter(|(name, _)| (names.is_empty() || names.contains(name)) && name.starts_with(prefix))
        .flat_map(|(name, stream)| stream.events.iter().map(move |event| (name, event)))
        .filter(|(name, event)| {
            let later = |(time_ms, stream, number): &(i64, String, u64)| {
                (event.time_ms, name.as_str(), event.number) > (*time_ms, stream.as_str(), *number)
            };
            within.has(event.time_ms) && after.as_ref().is_none_or(later) && pattern.matches(&event.message)
        })
        .collect();
    found.sort_by_key(|(name, event)| (event.time_ms, *name, event.number));
    let more = found.len() > limit;
    found.truncate(limit);
    let shown: Vec<Value> = found
        .iter()
        .map(|(name, event)| {
            json!({
                "logStreamName": name,
                "timestamp": event.time_ms,
                "message": event.message,
                "ingestionTime": event.ingested_ms,
                "eventId": event_id(event),
            })
        })
        .collect();
    let mut answer = json!({"events": shown, "searchedLogStreams": []});
    if more && let Some((name, event)) = found.last() {
        let last = format!("{}:{}:{name}", event.time_ms, event.number);
        answer["nextToken"] = Value::String(BASE64.encode(last));
    }
    Ok(answer)
}

/// Time, stream and number of the last event that was shown.
fn read_filter_token(token: &str) -> Option<(i64, String, u64)> {
    let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    let mut parts = text.splitn(3, ':');
    let (time_ms, number) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((time_ms, parts.next()?.to_owned(), number))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use streamkit_wire::clock;

    use super::{KEPT_BYTES, Stream};

    fn put(stream: &mut Stream, time_ms: i64, message: &str) {
        let input = json!({"logEvents": [{"timestamp": time_ms, "message": message}]});
        stream.put(&input, None).expect("an event");
    }

    fn messages(page: &Value) -> Vec<&str> {
        page["events"].as_array().expect("events").iter().filter_map(|event| event["message"].as_str()).collect()
    }

    #[test]
    fn page_tokens_hold_when_late_events_come_and_old_ones_go() {
        let (mut stream, now) = (Stream::new(), clock::now_ms());
        for at in 0..4 {
            put(&mut stream, now + at, &at.to_string());
        }
        let page = stream.get(&json!({"startFromHead": true, "limit": 2})).expect("a page");
        assert_eq!(messages(&page), ["0", "1"]);
        put(&mut stream, now - 10, "late");
        stream.expire(now + 1);
        let page = stream.get(&json!({"nextToken": page["nextForwardToken"], "limit": 10})).expect("a page");
        assert_eq!(messages(&page), ["2", "3"]);
        let end = stream.get(&json!({"nextToken": page["nextForwardToken"]})).expect("a page");
        assert_eq!((messages(&end).len(), &end["nextForwardToken"]), (0, &page["nextForwardToken"]));
        put(&mut stream, now + 9, "new");
        let page = stream.get(&json!({"nextToken": end["nextForwardToken"]})).expect("a page");
        assert_eq!(messages(&page), ["new"]);
        let back = stream.get(&json!({"nextToken": page["nextBackwardToken"], "limit": 1})).expect("a page");
        assert_eq!(messages(&back), ["3"]);
    }

    #[test]
    fn full_stream_drops_its_oldest_events_and_says_so() {
        let (mut stream, now) = (Stream::new(), clock::now_ms());
        let megabyte = "x".repeat(1_000_000);
        for at in 0..40 {
            put(&mut stream, now + at, &megabyte);
        }
        assert!(stream.bytes() <= KEPT_BYTES);
        let page = stream.get(&json!({"startFromHead": true, "limit": 2})).expect("a page");
        assert!(messages(&page)[0].starts_with("streamkit: 7 older events (7000182 bytes)"), "{}", messages(&page)[0]);
        assert_eq!(messages(&page)[1].len(), 1_000_000);
    }
}
