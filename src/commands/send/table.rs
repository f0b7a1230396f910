//! Sending to a table: changes of its items, each item's in order, several items at a time.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::path::Path;
use std::time::Duration;

use streamkit_recipes::{TableKey, TableSamples, Write, Writer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::LONG_LINES_NAMED;
use super::lines::Line;
use super::pace::Pace;
use super::source::{now_ms, open};
use super::summary::Summary;
use crate::aws::AwsError;
use crate::interrupt::Interrupt;
use crate::report::{Bar, Reporter};
use crate::table_writer::{TableWriter, with_origin};

/// How many items are changed at once; changes of one item never are.
const WORKERS: usize = 16;
/// How many changes wait for each worker.
const WAITING: usize = 4;

/// Where changes come from.
pub(super) enum Source {
    /// Samples, with the region that they are written in where an attribute is named for it.
    Writer {
        writer: Box<dyn Writer + Send>,
        origin: Option<(String, String)>,
    },
    Lines(mpsc::Receiver<io::Result<Line>>),
}

enum Next {
    Write(Write),
    /// A line that is no change.
    Mistake {
        line: u64,
        why: String,
    },
    End,
}

impl Source {
    pub(super) fn writer(
        samples: &dyn TableSamples,
        seed: u64,
        key: &TableKey,
        origin: Option<(String, String)>,
    ) -> Self {
        Self::Writer { writer: samples.writer(seed, key), origin }
    }

    /// Opens the file, or standard input for `-`.
    pub(super) async fn lines(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::Lines(open(path).await?))
    }

    /// The next change. Dropping the future loses nothing.
    async fn next(&mut self, key: &TableKey) -> io::Result<Next> {
        match self {
            Self::Writer { writer, origin } => {
                let write = writer.next(now_ms());
                Ok(Next::Write(match origin {
                    Some((attribute, region)) => with_origin(write, attribute, region),
                    None => write,
                }))
            }
            Self::Lines(lines) => match lines.recv().await {
                None => Ok(Next::End),
                Some(line) => Ok(from_line(line?, key)),
            },
        }
    }
}

fn from_line(line: Line, key: &TableKey) -> Next {
    let (line, text) = match line {
        Line::TooLong { number, bytes } => {
            return Next::Mistake { line: number, why: format!("{bytes} bytes, and an item may have 400 KB") };
        }
        Line::Text { number, text } => (number, text),
    };
    match serde_json::from_slice::<Write>(&text) {
        Err(error) => Next::Mistake {
            line,
            why: format!(
                "no change ({error}); write {{\"put\": ITEM}}, {{\"update\": {{\"key\": KEY, \"set\": ITEM, \"remove\": [NAMES]}}}} or {{\"delete\": KEY}}, with values as in {{\"S\": \"text\"}}"
            ),
        },
        Ok(write) if write.key(key).len() < key.names().count() => {
            let names: Vec<_> = key.names().collect();
            Next::Mistake { line, why: format!("its key is not whole: the table's is {}", names.join(" and ")) }
        }
        Ok(write) => Next::Write(write),
    }
}

/// Makes the changes of a source in a table.
pub(super) struct TableSender<'a> {
    pub(super) writer: TableWriter,
    pub(super) key: TableKey,
    pub(super) source: Source,
    pub(super) pace: Option<Pace>,
    /// How many changes to make; none for as many as come.
    pub(super) left: Option<u64>,
    pub(super) end: Option<Instant>,
    pub(super) bar: &'a Bar,
    pub(super) reporter: &'a Reporter,
}

/// How a change ended, and how long it took.
type WriteResult = (Write, Result<u64, AwsError>, Duration);

impl TableSender<'_> {
    /// Makes changes until the source ends, time is up, the user stops it or the table takes none; then waits for what is
    /// under way. Gives the first error.
    pub(super) async fn run(
        mut self,
        summary: &mut Summary,
        mut interrupt: Interrupt,
    ) -> (io::Result<()>, Option<AwsError>) {
        let (ended, mut made) = mpsc::unbounded_channel::<WriteResult>();
        let mut tasks = JoinSet::new();
        let workers: Vec<_> = (0..WORKERS).map(|_| self.worker(&mut tasks, ended.clone())).collect();
        drop(ended);
        let mut error = None;
        let mut result = Ok(());
        // A change that waits for its worker.
        let mut waiting: Option<(usize, Write)> = None;
        let mut mistakes = 0;
        loop {
            let out = self.left == Some(0) && waiting.is_none();
            if out || error.is_some() {
                break;
            }
            let due = self.pace.as_ref().map(Pace::due).filter(|due| *due > Instant::now());
            tokio::select! {
                biased;
                Some(made) = made.recv() => self.count(summary, made, &mut error),
                () = interrupt.changed() => break,
                () = sleep_until(self.end.unwrap_or_else(Instant::now)), if self.end.is_some() => break,
                permit = workers[waiting.as_ref().map_or(0, |(worker, _)| *worker)].reserve(), if waiting.is_some() => {
                    if let (Ok(permit), Some((_, write))) = (permit, waiting.take()) {
                        permit.send(write);
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && waiting.is_none() => {}
                next = self.source.next(&self.key), if due.is_none() && waiting.is_none() => match next {
                    Ok(Next::End) => break,
                    Ok(Next::Write(write)) => {
                        self.took();
                        waiting = Some((worker_of(&write, &self.key), write));
                    }
                    Ok(Next::Mistake { line, why }) => {
                        self.took();
                        summary.failed += 1;
                        mistakes += 1;
                        if mistakes <= LONG_LINES_NAMED {
                            let more = if mistakes == LONG_LINES_NAMED { "; more of them are only counted" } else { "" };
                            let error = anyhow::anyhow!("line {line} is not sent: {why}{more}");
                            self.bar.suspend(|| self.reporter.error(&error));
                        }
                    }
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                },
            }
        }
        drop(workers);
        while let Some(made) = made.recv().await {
            self.count(summary, made, &mut error);
        }
        while tasks.join_next().await.is_some() {}
        (result, error)
    }

    /// Starts a worker, which makes its changes one after the other.
    fn worker(&self, tasks: &mut JoinSet<()>, ended: mpsc::UnboundedSender<WriteResult>) -> mpsc::Sender<Write> {
        let (sender, mut waiting) = mpsc::channel::<Write>(WAITING);
        let writer = self.writer.clone();
        tasks.spawn(async move {
            while let Some(write) = waiting.recv().await {
                let began = Instant::now();
                let result = writer.write(&write).await;
                if ended.send((write, result, began.elapsed())).is_err() {
                    break;
                }
            }
        });
        sender
    }

    fn took(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.took(Instant::now());
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
    }

    fn count(&self, summary: &mut Summary, (write, result, took): WriteResult, error: &mut Option<AwsError>) {
        if let Some(timeline) = &mut summary.timeline {
            timeline.note(Instant::now(), u64::from(result.is_ok()), took);
        }
        match result {
            Ok(retried) => {
                summary.sent += 1;
                summary.retried += retried;
                summary.bytes += size(&write);
                let changes = summary.changes.get_or_insert_default();
                match write {
                    Write::Put(_) => changes.puts += 1,
                    Write::Update { .. } => changes.updates += 1,
                    Write::Delete(_) => changes.deletes += 1,
                }
            }
            // The item is to blame, and the next one may be better.
            Err(why) if why.is(&["ValidationException"]) => {
                summary.failed += 1;
                if summary.failed <= LONG_LINES_NAMED {
                    self.bar.suspend(|| self.reporter.error(&anyhow::anyhow!("a change is refused: {why}")));
                }
            }
            Err(why) => {
                summary.failed += 1;
                error.get_or_insert(why);
            }
        }
        self.bar.set_position(summary.sent + summary.failed);
    }
}

/// The worker of an item: the same for all of its changes.
fn worker_of(write: &Write, key: &TableKey) -> usize {
    let mut hasher = DefaultHasher::new();
    for value in write.key(key).values() {
        serde_json::to_string(value).unwrap_or_default().hash(&mut hasher);
    }
    usize::try_from(hasher.finish() % WORKERS as u64).unwrap_or_default()
}

/// About what goes over the wire.
fn size(write: &Write) -> u64 {
    let text = match write {
        Write::Put(item) | Write::Delete(item) => serde_json::to_string(item),
        Write::Update { key, set, .. } => serde_json::to_string(&(key, set)),
    };
    text.map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use streamkit_recipes::{Attribute, Item, KeyAttribute, KeyKind};

    use super::*;

    fn key() -> TableKey {
        TableKey { partition: KeyAttribute::new("id", KeyKind::S), sort: None }
    }

    fn line(text: &str) -> Result<Write, String> {
        match from_line(Line::Text { number: 3, text: text.as_bytes().to_vec() }, &key()) {
            Next::Write(write) => Ok(write),
            Next::Mistake { line, why } => Err(format!("{line}: {why}")),
            Next::End => Err("end".to_owned()),
        }
    }

    #[test]
    fn lines_are_changes() {
        let id = |id: &str| Item::from([("id".to_owned(), Attribute::S(id.to_owned()))]);
        assert_eq!(line(r#"{"put":{"id":{"S":"a"}}}"#), Ok(Write::Put(id("a"))));
        assert_eq!(line(r#"{"delete":{"id":{"S":"a"}}}"#), Ok(Write::Delete(id("a"))));
        let update = line(r#"{"update":{"key":{"id":{"S":"a"}},"set":{"n":{"N":"1"}},"remove":["x"]}}"#);
        let set = Item::from([("n".to_owned(), Attribute::N("1".to_owned()))]);
        assert_eq!(update, Ok(Write::Update { key: id("a"), set, remove: vec!["x".to_owned()] }));
    }

    #[test]
    fn lines_that_are_no_changes_are_explained() {
        for text in ["", "text", "{}", r#"{"id":{"S":"a"}}"#, r#"{"put":{"id":"a"}}"#, r#"{"upsert":{"id":{"S":"a"}}}"#]
        {
            assert!(line(text).unwrap_err().starts_with("3: no change ("), "{text}");
        }
        assert_eq!(line(r#"{"put":{"other":{"S":"a"}}}"#).unwrap_err(), "3: its key is not whole: the table's is id");
    }

    #[test]
    fn changes_of_one_item_share_a_worker() {
        let recipe = streamkit_recipes::find("changes").unwrap();
        let streamkit_recipes::Samples::Table(samples) = recipe.samples() else { panic!("a table's recipe") };
        let workers: std::collections::BTreeSet<_> = samples
            .marked("run", 0, &key())
            .into_iter()
            .map(|writes| {
                let workers: std::collections::BTreeSet<_> =
                    writes.iter().map(|write| worker_of(write, &key())).collect();
                assert_eq!(workers.len(), 1);
                workers
            })
            .collect();
        assert!(workers.len() > 1);
    }
}
