//! Where events come from: a recipe's generator, or lines of a file.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
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
pub(super) enum Source {
    Generator { generator: Box<dyn Generator + Send>, poison: Option<Share>, made: u64 },
    Lines { recipe: &'static dyn Recipe, partition_field: &'static str, lines: mpsc::Receiver<io::Result<Line>> },
}

/// What a source gives.
#[derive(Debug)]
pub(super) enum Next {
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
    pub(super) fn generator(samples: &dyn StreamSamples, seed: u64, poison: Option<Share>) -> Self {
        Self::Generator { generator: samples.generator(seed), poison, made: 0 }
    }

    /// Opens the file, or standard input for `-`.
    pub(super) async fn lines(
        recipe: &'static dyn Recipe,
        samples: &dyn StreamSamples,
        path: &Path,
    ) -> anyhow::Result<Self> {
        let lines = open(path).await?;
        Ok(Self::Lines { recipe, partition_field: samples.partition_field(), lines })
    }

    /// The next event. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Next> {
        match self {
            Self::Generator { generator, poison, made } => {
                let poison = poison.is_some_and(|share| share.holds(*made));
                *made += 1;
                let event = if poison { generator.poison() } else { generator.next(now_ms()) };
                Ok(Next::Event { event, poison, json: true })
            }
            Self::Lines { recipe, partition_field, lines } => match lines.recv().await {
                None => Ok(Next::End),
                Some(line) => Ok(from_line(*recipe, partition_field, line?)),
            },
        }
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

fn from_line(recipe: &dyn Recipe, partition_field: &str, line: Line) -> Next {
    let (number, data) = match line {
        Line::TooLong { number, bytes } => return Next::TooLong { line: number, bytes },
        Line::Text { number, text } => (number, text),
    };
    let json: Option<serde_json::Value> = serde_json::from_slice(&data).ok();
    let key = json.as_ref().and_then(|json| json.get(partition_field)).and_then(|key| key.as_str());
    let key = key.filter(|key| !key.is_empty() && key.chars().count() <= KEY_CHARS);
    let event = Event { partition_key: key.map_or_else(|| digest(&data), str::to_owned), data };
    if size(&event) > RECORD_BYTES {
        return Next::TooLong { line: number, bytes: u64::try_from(size(&event)).unwrap_or(u64::MAX) };
    }
    let now_ms = now_ms();
    let record = Record::Stream(StreamRecord {
        shard_id: "",
        sequence_number: "",
        partition_key: &event.partition_key,
        arrival_ms: now_ms,
        data: &event.data,
    });
    let poison = recipe.process(&record, now_ms).is_err();
    Next::Event { event, poison, json: json.is_some() }
}

/// The same for the same line on every machine, so that a file that is sent twice goes to the same shards.
fn digest(data: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(data).iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The time in milliseconds since the epoch.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &[u8]) -> (Event, bool, bool) {
        let recipe = streamkit_recipes::find("retail").unwrap();
        match from_line(recipe, "userId", Line::Text { number: 7, text: text.to_vec() }) {
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
    fn lines_without_a_key_get_a_stable_one() {
        let long = format!(r#"{{"userId":"{}","eventType":"view"}}"#, "ü".repeat(KEY_CHARS + 1));
        for (line, poison, json) in [
            (long.as_bytes(), false, true),
            (br#"{"userId":7,"eventType":"view"}"#, true, true),
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

    #[test]
    fn a_line_that_fits_only_without_its_key_is_too_long() {
        let recipe = streamkit_recipes::find("retail").unwrap();
        let text = vec![b'x'; RECORD_BYTES];
        let next = from_line(recipe, "userId", Line::Text { number: 3, text });
        assert!(matches!(next, Next::TooLong { line: 3, bytes } if bytes == RECORD_BYTES as u64 + 16), "{next:?}");
    }
}
