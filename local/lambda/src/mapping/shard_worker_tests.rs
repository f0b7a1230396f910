//! What a shard's worker does with records that no test could put into a stream (too old, or without end), and after a panic.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};
use streamkit_wire::CallError;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::Config;
use crate::mapping::filters::Filters;
use crate::mapping::kind::SourceKind;
use crate::mapping::poller;
use crate::mapping::settings::Start;
use crate::mapping::source::{Part, Position, Shard, Source};
use crate::ports::{Ports, Queues, Reply};

const HOUR_MS: i64 = 3_600_000;

/// A mapping of a function that does not exist: nothing is ever delivered.
fn shared(ports: Ports, change: impl FnOnce(&mut Settings)) -> Arc<Shared> {
    let mut settings = Settings {
        kind: SourceKind::Kinesis,
        source_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".into(),
        function: "none".into(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:none".into(),
        enabled: true,
        start: Start::TrimHorizon,
        batch_size: 100,
        window: Duration::ZERO,
        parallelization: 1,
        bisect: false,
        max_retries: None,
        max_age_seconds: None,
        on_failure: None,
        report_item_failures: false,
        metrics: None,
        filters: Filters::default(),
        tumbling_seconds: 0,
        max_concurrency: None,
    };
    change(&mut settings);
    let config = Config {
        region: "us-east-1".into(),
        account: "000000000000".into(),
        endpoint: None,
        packages_url: String::new(),
        state_dir: std::env::temp_dir().join("streamkit-worker-tests"),
    };
    let engine = Engine::new(config, ports);
    let mapping = Mapping::new("uuid".into(), "arn".into(), settings, std::collections::BTreeMap::new());
    Arc::new(Shared {
        engine,
        settings: mapping.settings(),
        mapping: Arc::new(mapping),
        retention_ms: AtomicI64::new(24 * HOUR_MS),
        stop: CancellationToken::new(),
    })
}

fn record(sequence: usize, arrival_ms: i64) -> Record {
    Record { sequence: sequence.to_string(), arrival_ms, json: "{}".into(), filtered: false }
}

fn worker() -> WorkerId {
    ("shardId-000000000000".into(), 0)
}

/// Queues of which each has the URL `url of NAME`; hands on what is sent to them.
struct SentMessages(mpsc::UnboundedSender<Value>);

impl Queues for SentMessages {
    fn sqs<'a>(&'a self, operation: &'a str, input: Value) -> Reply<'a, Value> {
        let answer = match operation {
            "GetQueueUrl" => json!({ "QueueUrl": format!("url of {}", input["QueueName"].as_str().unwrap()) }),
            "SendMessage" => {
                self.0.send(input).unwrap();
                json!({ "MessageId": "1" })
            }
            other => panic!("{other} was called"),
        };
        Box::pin(async { Ok(answer) })
    }
}

/// Gives one page, and then nothing.
struct Once(Option<Page>);

impl Reader for Once {
    async fn read(&mut self, _: usize) -> Result<Page, CallError> {
        Ok(self.0.take().unwrap_or_default())
    }
}

/// Gives page after page.
struct Endless(Arc<AtomicUsize>);

impl Reader for Endless {
    async fn read(&mut self, limit: usize) -> Result<Page, CallError> {
        let page = self.0.fetch_add(1, Ordering::Relaxed);
        let records: Vec<_> = (0..limit).map(|at| record(page * limit + at, clock::now_ms())).collect();
        let through = records.last().map(|record| record.sequence.clone());
        Ok(Page { records, through, ..Page::default() })
    }
}

#[tokio::test]
async fn records_that_are_too_old_go_to_the_destination_and_those_that_left_the_stream_are_dropped() {
    let (sender, mut sent) = mpsc::unbounded_channel();
    let ports = Ports { queues: Arc::new(SentMessages(sender)), ..Ports::default() };
    let shared = shared(ports, |settings| {
        settings.max_age_seconds = Some(3600);
        settings.on_failure = Some("arn:aws:sqs:us-east-1:000000000000:old".into());
    });
    let now = clock::now_ms();
    let arrivals = [now - 25 * HOUR_MS, now - 3 * HOUR_MS, now - 2 * HOUR_MS, now];
    let records = arrivals.iter().enumerate().map(|(at, arrival_ms)| record(at, *arrival_ms)).collect();
    let reader = Once(Some(Page { records, through: Some("3".into()), ..Page::default() }));
    let running = tokio::spawn(ShardWorker::run(Arc::clone(&shared), worker(), reader));

    let mut messages = vec![sent.recv().await.unwrap()];
    messages.extend(std::iter::from_fn(|| sent.try_recv().ok()));
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["QueueUrl"], "url of old");
    let message: Value = serde_json::from_str(messages[0]["MessageBody"].as_str().unwrap()).unwrap();
    assert_eq!(message["requestContext"]["condition"], "RecordAgeExceeded");
    assert_eq!(message["requestContext"]["approximateInvokeCount"], 0);
    let info = &message["KinesisBatchInfo"];
    assert_eq!(
        (&info["startSequenceNumber"], &info["endSequenceNumber"], &info["batchSize"]),
        (&json!("1"), &json!("2"), &json!(2))
    );
    // The young one is still being tried.
    shared.stop.cancel();
    assert!(!running.await.unwrap());
    assert_eq!(shared.mapping.checkpoints().position(&worker()), Position::After("2".into()));
}

#[tokio::test]
async fn worker_that_cannot_deliver_reads_no_further_than_a_page_ahead() {
    let shared = shared(Ports::default(), |_| {});
    let reads = Arc::new(AtomicUsize::new(0));
    let running = tokio::spawn(ShardWorker::run(Arc::clone(&shared), worker(), Endless(Arc::clone(&reads))));
    // Everything here runs in this thread: after so many turns each task is where it waits for a time to pass.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let seen = reads.load(Ordering::Relaxed);
    assert!((1..=3).contains(&seen), "{seen} pages were read");
    shared.stop.cancel();
    assert!(!running.await.unwrap());
    assert_eq!(shared.mapping.checkpoints().position(&worker()), Position::TrimHorizon);
}

/// Queues whose first call panics.
struct PanicsFirst(AtomicUsize, SentMessages);

impl Queues for PanicsFirst {
    fn sqs<'a>(&'a self, operation: &'a str, input: Value) -> Reply<'a, Value> {
        assert!(self.0.fetch_add(1, Relaxed) > 0, "the worker panics");
        self.1.sqs(operation, input)
    }
}

/// A stream of one shard with one old record, whose first reader panics.
struct OneShard(Arc<AtomicUsize>);

impl Source for OneShard {
    type Reader = OldRecord;

    async fn shards(&self) -> Result<Vec<Shard>, CallError> {
        Ok(vec![Shard { id: worker().0, parents: Vec::new(), closed: false }])
    }

    async fn end(&self, _: &str) -> Result<Position, CallError> {
        unreachable!("the mapping begins with the oldest record")
    }

    async fn retention_ms(&self) -> Result<i64, CallError> {
        Ok(24 * HOUR_MS)
    }

    fn reader(&self, _: &str, _: Part, from: Position) -> OldRecord {
        OldRecord { panics: self.0.fetch_add(1, Relaxed) == 0, left: from == Position::TrimHorizon }
    }
}

struct OldRecord {
    panics: bool,
    left: bool,
}

impl Reader for OldRecord {
    async fn read(&mut self, _: usize) -> Result<Page, CallError> {
        assert!(!self.panics, "the reader panics");
        if !std::mem::take(&mut self.left) {
            return Ok(Page::default());
        }
        let records = vec![record(7, clock::now_ms() - 2 * HOUR_MS)];
        Ok(Page { records, through: Some("7".into()), ..Page::default() })
    }
}

#[tokio::test]
async fn shard_goes_on_after_a_panic_of_its_reader_and_of_its_worker() {
    let (sender, mut sent) = mpsc::unbounded_channel();
    let queues = PanicsFirst(AtomicUsize::default(), SentMessages(sender));
    let shared = shared(Ports { queues: Arc::new(queues), ..Ports::default() }, |settings| {
        settings.max_age_seconds = Some(3600);
        settings.on_failure = Some("arn:aws:sqs:us-east-1:000000000000:old".into());
    });
    let readers = Arc::new(AtomicUsize::default());
    let (ready, reading) = oneshot::channel();
    let running = tokio::spawn(poller::run(Arc::clone(&shared), OneShard(Arc::clone(&readers)), ready));
    reading.await.unwrap();
    let message = sent.recv().await.unwrap();
    let body: Value = serde_json::from_str(message["MessageBody"].as_str().unwrap()).unwrap();
    assert_eq!(body["KinesisBatchInfo"]["startSequenceNumber"], "7");
    // The first reader panicked, then the first worker that had something to send.
    assert_eq!(readers.load(Relaxed), 3);
    let result = shared.mapping.shown()["LastProcessingResult"].as_str().unwrap().to_owned();
    assert!(
        result.starts_with("PROBLEM: the worker of shard shardId-000000000000 ended and is started again"),
        "{result}"
    );
    shared.stop.cancel();
    running.await.unwrap();
    assert!(sent.try_recv().is_err(), "the record was given up once");
}
