//! Where events come from: a recipe's generator, or lines of a file.

use std::borrow::Cow;
use std::path::Path;
use std::time::SystemTime;
use std::{fmt, io};

use anyhow::Context as _;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use streamkit_recipes::{Event, Generator, Recipe, Record, StreamRecord, StreamSamples};
use tokio::io::{AsyncRead, BufReader};
use tokio::sync::mpsc;

use super::lines::{Line, Lines};
use super::share::Share;
use crate::producer::{KEY_CHARS, RECORD_BYTES, size};

/// How many lines are read ahead; long ones cost a megabyte each.
const READ_AHEAD: usize = 64;
const READ_BUFFER: usize = 256 << 10;

/// An endless or finite source of events.
pub(in crate::commands) enum Source {
    Generator { generator: Box<dyn Generator + Send>, poison: Option<Share>, made: u64, ids: Ids },
    Lines { reading: Reading, lines: mpsc::Receiver<io::Result<Line>> },
}

/// What is known of lines.
pub(in crate::commands) struct Reading {
    /// Tells which it rejects; `None` where only the function's own code knows.
    pub(in crate::commands) recipe: Option<&'static dyn Recipe>,
    /// The field of the payload that is the partition key.
    pub(in crate::commands) partition_field: String,
}

/// What a source gives.
#[derive(Debug)]
pub(in crate::commands) enum Next {
    Event {
        event: Event,
        poison: bool,
        json: bool,
    },
    /// A line that no stream takes.
    TooLong {
        line: u64,
        bytes: u64,
    },
    End,
}

impl Source {
    /// Generated events get ids of their own, in this field of their payload.
    pub(in crate::commands) fn generator(
        samples: &dyn StreamSamples,
        seed: u64,
        poison: Option<Share>,
        identity: &str,
    ) -> Self {
        Self::Generator { generator: samples.generator(seed), poison, made: 0, ids: Ids::new(identity) }
    }

    /// Opens the file, or standard input for `-`.
    pub(super) async fn lines(reading: Reading, path: &Path) -> anyhow::Result<Self> {
        Ok(Self::Lines { reading, lines: open(path).await? })
    }

    /// The next event, if there is one without waiting.
    pub(in crate::commands) fn ready(&mut self) -> Option<io::Result<Next>> {
        match self {
            Self::Generator { generator, poison, made, ids } => {
                let poison = poison.is_some_and(|share| share.holds(*made));
                *made += 1;
                let event = if poison { generator.poison() } else { generator.next(now_ms()) };
                let event = ids.give(event, *made);
                Some(Ok(Next::Event { event, poison, json: true }))
            }
            Self::Lines { reading, lines } => {
                let line = lines.try_recv().ok()?;
                Some(line.map(|line| reading.event(line)))
            }
        }
    }

    /// An event that the recipe rejects; none from a file.
    pub(in crate::commands) fn poison(&mut self) -> Option<Event> {
        let Self::Generator { generator, made, ids, .. } = self else { return None };
        *made += 1;
        Some(ids.give(generator.poison(), *made))
    }

    /// The next event. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Next> {
        match self {
            Self::Generator { .. } => self.ready().unwrap_or(Ok(Next::End)),
            Self::Lines { reading, lines } => match lines.recv().await {
                None => Ok(Next::End),
                Some(line) => Ok(reading.event(line?)),
            },
        }
    }
}

/// The ids that a run gives to its events, so that each is known for itself wherever the stream has it.
pub(in crate::commands) struct Ids {
    field: String,
    /// The member that an event gets, up to the number within the run: with the field's name, and a text that no other run has.
    member: String,
}

impl Ids {
    fn new(field: &str) -> Self {
        let member = format!(r#"{}:"{:016x}-"#, Value::from(field), fastrand::u64(..));
        Self { field: field.to_owned(), member }
    }

    /// The event with an id. One that has its field already, or that is no JSON object, stays as it is.
    fn give(&self, event: Event, number: u64) -> Event {
        let Some(members) = members(&event.data, &self.field) else { return event };
        if members.has_field {
            return event;
        }
        let Event { partition_key, mut data } = event;
        // Behind the last member; a tree of all of them would cost more than to generate the event.
        data.truncate(data.trim_ascii_end().len().saturating_sub(1));
        let comma = if members.count > 0 { "," } else { "" };
        let mut text = [comma, &self.member].concat();
        text.push_str(&number.to_string());
        text.push_str("\"}");
        data.extend_from_slice(text.as_bytes());
        Event { partition_key, data }
    }
}

/// What is to be known of an object's members.
struct Members {
    count: usize,
    has_field: bool,
}

/// Looks through the members of a JSON object; `None` for anything else.
fn members(data: &[u8], field: &str) -> Option<Members> {
    let mut json = serde_json::Deserializer::from_slice(data);
    let members = json.deserialize_map(Look(field)).ok()?;
    json.end().ok()?;
    Some(members)
}

struct Look<'a>(&'a str);

impl<'de> Visitor<'de> for Look<'_> {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members { count: 0, has_field: false };
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            members.count += 1;
            members.has_field |= name == self.0;
            map.next_value::<IgnoredAny>()?;
        }
        Ok(members)
    }
}

/// Opens the file, or standard input for `-`.
pub(super) async fn open(path: &Path) -> anyhow::Result<mpsc::Receiver<io::Result<Line>>> {
    if path == Path::new("-") {
        return Ok(read(tokio::io::stdin()));
    }
    let file = tokio::fs::File::open(path).await;
    Ok(read(file.with_context(|| format!("opening {}", path.display()))?))
}

/// Reads in a task of its own: a line that is half read must not get lost when the reader is not waited for.
fn read(reader: impl AsyncRead + Unpin + Send + 'static) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let mut lines = Lines::new(BufReader::with_capacity(READ_BUFFER, reader), RECORD_BYTES);
    tokio::spawn(async move {
        while let Some(line) = lines.next().await.transpose() {
            let failed = line.is_err();
            if sender.send(line).await.is_err() || failed {
                break;
            }
        }
    });
    receiver
}

impl Reading {
    /// The line as an event, which goes under the text of its key, a number's too.
    fn event(&self, line: Line) -> Next {
        let (number, data) = match line {
            Line::TooLong { number, bytes } => return Next::TooLong { line: number, bytes },
            Line::Text { number, text } => (number, text),
        };
        let json: Option<Value> = serde_json::from_slice(&data).ok();
        let key = json.as_ref().and_then(|json| match json.get(&self.partition_field)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        let key = key.filter(|key| !key.is_empty() && key.chars().count() <= KEY_CHARS);
        let event = Event { partition_key: key.unwrap_or_else(|| digest(&data)), data };
        if size(&event) > RECORD_BYTES {
            return Next::TooLong { line: number, bytes: u64::try_from(size(&event)).unwrap_or(u64::MAX) };
        }
        let poison = self.recipe.is_some_and(|recipe| rejects(recipe, &event));
        Next::Event { event, poison, json: json.is_some() }
    }
}

fn rejects(recipe: &dyn Recipe, event: &Event) -> bool {
    let now_ms = now_ms();
    let record = Record::Stream(StreamRecord {
        partition_key: &event.partition_key,
        arrival_ms: now_ms,
        data: &event.data,
        ..StreamRecord::default()
    });
    recipe.process(&record, now_ms).is_err()
}

/// The same for the same line on every machine, so that a file that is sent twice goes to the same shards.
fn digest(data: &[u8]) -> String {
    hex::encode(&Sha256::digest(data)[..8])
}

/// The time in milliseconds since the epoch.
pub(in crate::commands) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(field: &str) -> Reading {
        let recipe: &dyn Recipe = streamkit_recipes::find("retail").unwrap();
        Reading { recipe: Some(recipe), partition_field: field.to_owned() }
    }

    fn sent(text: &[u8]) -> (Event, bool, bool) {
        match reading("userId").event(Line::Text { number: 7, text: text.to_vec() }) {
            Next::Event { event, poison, json } => (event, poison, json),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_go_out_unchanged_under_the_key_of_the_recipe() {
        let line = br#"{"userId":"u1","eventType":"view"}"#;
        let (event, poison, json) = sent(line);
        assert_eq!((event.partition_key.as_str(), event.data.as_slice()), ("u1", line.as_slice()));
        assert_eq!((poison, json), (false, true));
    }

    #[test]
    fn lines_for_code_that_is_not_known_go_under_the_field_that_is_named() {
        let own = Reading { recipe: None, partition_field: "order".to_owned() };
        for (line, key) in [(r#"{"order":7}"#, "7"), (r#"{"order":"a"}"#, "a")] {
            let next = own.event(Line::Text { number: 1, text: line.into() });
            let Next::Event { event, poison: false, json: true } = next else { panic!("{next:?}") };
            assert_eq!((event.partition_key.as_str(), event.data.as_slice()), (key, line.as_bytes()));
        }
    }

    #[test]
    fn lines_without_a_key_get_a_stable_one() {
        let long = format!(r#"{{"userId":"{}","eventType":"view"}}"#, "ü".repeat(KEY_CHARS + 1));
        for (line, poison, json) in [
            (long.as_bytes(), false, true),
            (br#"{"userId":null,"eventType":"view"}"#, true, true),
            (b"not JSON", true, false),
            (b"\xff", true, false),
        ] {
            let (event, is_poison, is_json) = sent(line);
            assert_eq!(event.partition_key, digest(line));
            assert_eq!(event.partition_key.len(), 16);
            assert_eq!((is_poison, is_json), (poison, json));
        }
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea");
    }

    #[tokio::test]
    async fn generated_events_have_ids_of_their_own_and_are_the_same_otherwise() {
        let recipe = streamkit_recipes::find("retail").unwrap();
        let streamkit_recipes::Samples::Stream(samples) = recipe.samples() else { panic!("retail reads a stream") };
        let mut ids = std::collections::BTreeSet::new();
        for (field, run) in [("eventId", 0), ("eventId", 1), ("orderId", 2)] {
            let mut source = Source::generator(samples, 7, None, field);
            for _ in 0..20 {
                let Next::Event { event, .. } = source.next().await.unwrap() else { panic!("it is endless") };
                ids.insert((run, streamkit_recipes::own_id(&event.data, field).unwrap()));
            }
        }
        assert_eq!(ids.iter().map(|(_, id)| id).collect::<std::collections::BTreeSet<_>>().len(), 60);
        let ids = Ids::new("userId");
        let event = |data: &[u8]| Event { partition_key: "k".to_owned(), data: data.to_vec() };
        assert_eq!(String::from_utf8(ids.give(event(b"{ } "), 1).data).unwrap(), format!("{{ {}1\"}}", ids.member));
        for data in [&br#"{"userId":"u1"}"#[..], b"not JSON", b"\xff", b"[1]"] {
            assert_eq!(ids.give(event(data), 1), event(data));
        }
    }

    #[test]
    fn a_line_that_fits_only_without_its_key_is_too_long() {
        let text = vec![b'x'; RECORD_BYTES];
        let next = reading("userId").event(Line::Text { number: 3, text });
        assert!(matches!(next, Next::TooLong { line: 3, bytes } if bytes == RECORD_BYTES as u64 + 16), "{next:?}");
    }
}
