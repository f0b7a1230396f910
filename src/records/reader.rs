//! Reads one shard, page by page: `GetShardIterator` and `GetRecords` of Kinesis and of DynamoDB Streams.

use std::time::Duration;

use aws_sdk_dynamodbstreams::types::ShardIteratorType as TableIterator;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType as StreamIterator;
use tokio::time::{Instant, sleep, sleep_until};

use super::record::SourceRecord;
use super::shards::Source;
use crate::aws::{AwsError, Backoff, Clients, answered};

/// A shard of Kinesis answers five reads a second, to all readers together: one is left to others.
const BETWEEN_READS: Duration = Duration::from_millis(250);
/// Between looks at a shard that had nothing.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
const THROTTLED: Backoff = Backoff::new(Duration::from_millis(500), 2.0, Duration::from_secs(5));
/// How often a throttled read is tried again, beside the SDK's own tries.
const TRIES: usize = 8;
/// A table's stream does not say whether a reader has come to its end: so often it must answer with nothing.
const EMPTY_PAGES: u32 = 3;

/// The most records of one `GetRecords`.
const MOST_OF_STREAM: i32 = 10_000;
const MOST_OF_TABLE: i32 = 1_000;

/// Where in a shard to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// After all that it has now.
    Latest,
    /// With the oldest that it has.
    TrimHorizon,
    /// With what arrived at this time or later, in milliseconds since the epoch; a table's stream begins with its oldest then.
    AtTimestamp(i64),
    /// With the record of this sequence number.
    At(String),
    /// After it.
    After(String),
}

/// What one read brought.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<SourceRecord>,
    /// The shard is closed, and nothing is left in it.
    pub(crate) finished: bool,
    /// All that the shard had at the time of the read has been read.
    pub(crate) caught_up: bool,
}

/// Reads one shard.
#[derive(Debug)]
pub(crate) struct ShardReader {
    aws: Clients,
    source: Source,
    shard: String,
    /// Where to take the next iterator from, when there is none or it has expired.
    start: Start,
    iterator: Option<String>,
    next_read: Instant,
    empty_pages: u32,
    /// The most records of one read; as many as the service gives without.
    limit: Option<i32>,
}

impl ShardReader {
    pub(crate) fn new(aws: &Clients, source: &Source, shard: &str, start: Start) -> Self {
        let (aws, source, shard) = (aws.clone(), source.clone(), shard.to_owned());
        Self { aws, source, shard, start, iterator: None, next_read: Instant::now(), empty_pages: 0, limit: None }
    }

    /// Reads about so many records at a time.
    pub(crate) fn by(mut self, records: u64) -> Self {
        let most = if self.source.is_table() { MOST_OF_TABLE } else { MOST_OF_STREAM };
        self.limit = Some(i32::try_from(records).unwrap_or(most).clamp(1, most));
        self
    }

    /// Reads on, at most as often as the service allows. Throttles and expired iterators are seen to.
    ///
    /// # Errors
    /// AWS's, such as `TrimmedDataAccess` of a table's stream that has forgotten where to begin.
    pub(crate) async fn next(&mut self) -> Result<Page, AwsError> {
        let mut backoff = THROTTLED;
        let mut tries = 0;
        loop {
            sleep_until(self.next_read).await;
            match self.read().await {
                Ok(page) => return Ok(page),
                // An iterator lives for five minutes.
                Err(error) if error.is(&["ExpiredIteratorException"]) && tries < TRIES => self.iterator = None,
                Err(error) if is_throttle(&error) && tries < TRIES => sleep(backoff.pause()).await,
                Err(error) => return Err(error),
            }
            tries += 1;
        }
    }

    async fn read(&mut self) -> Result<Page, AwsError> {
        let iterator = match self.iterator.take() {
            Some(iterator) => Some(iterator),
            None => self.new_iterator().await?,
        };
        let Some(iterator) = iterator else { return Ok(Page { finished: true, caught_up: true, ..Page::default() }) };
        // A call that fails is made again from the same place.
        self.iterator = Some(iterator.clone());
        let (records, next, behind) = if self.source.is_table() {
            let answer = answered(
                self.aws.dynamodbstreams.get_records().shard_iterator(iterator).set_limit(self.limit).send().await,
            )?;
            let records = answer.records.unwrap_or_default().into_iter();
            let records = records.filter_map(|record| SourceRecord::of_table(&self.source.arn, &self.shard, record));
            (records.collect::<Vec<_>>(), answer.next_shard_iterator, None)
        } else {
            let answer =
                answered(self.aws.kinesis.get_records().shard_iterator(iterator).set_limit(self.limit).send().await)?;
            let records = answer.records.into_iter();
            let records = records.map(|record| SourceRecord::of_stream(&self.source.arn, &self.shard, record));
            (records.collect(), answer.next_shard_iterator, Some(answer.millis_behind_latest))
        };
        if let Some(last) = records.last() {
            self.start = Start::After(last.sequence_number.clone());
        }
        let finished = next.is_none();
        self.iterator = next;
        self.empty_pages = if records.is_empty() { self.empty_pages.saturating_add(1) } else { 0 };
        let caught_up = match behind {
            // Emulators may leave it out: then as for a table.
            Some(Some(behind)) => behind == 0,
            _ => self.empty_pages >= EMPTY_PAGES,
        };
        let pause = match (self.source.is_table(), records.is_empty()) {
            (true, false) => Duration::ZERO,
            (true, true) => BETWEEN_LOOKS,
            (false, _) => BETWEEN_READS,
        };
        self.next_read = Instant::now() + pause;
        Ok(Page { records, finished, caught_up: caught_up || finished })
    }

    async fn new_iterator(&self) -> Result<Option<String>, AwsError> {
        if self.source.is_table() {
            let call = self.aws.dynamodbstreams.get_shard_iterator().stream_arn(&self.source.arn).shard_id(&self.shard);
            let call = match &self.start {
                Start::Latest => call.shard_iterator_type(TableIterator::Latest),
                // These iterators know no times.
                Start::TrimHorizon | Start::AtTimestamp(_) => call.shard_iterator_type(TableIterator::TrimHorizon),
                Start::At(number) => call.shard_iterator_type(TableIterator::AtSequenceNumber).sequence_number(number),
                Start::After(number) => {
                    call.shard_iterator_type(TableIterator::AfterSequenceNumber).sequence_number(number)
                }
            };
            return Ok(answered(call.send().await)?.shard_iterator);
        }
        // By its name, which every endpoint takes.
        let call = self.aws.kinesis.get_shard_iterator().stream_name(self.source.name()).shard_id(&self.shard);
        let call = match &self.start {
            Start::Latest => call.shard_iterator_type(StreamIterator::Latest),
            Start::TrimHorizon => call.shard_iterator_type(StreamIterator::TrimHorizon),
            Start::AtTimestamp(ms) => {
                call.shard_iterator_type(StreamIterator::AtTimestamp).timestamp(DateTime::from_millis(*ms))
            }
            Start::At(number) => {
                call.shard_iterator_type(StreamIterator::AtSequenceNumber).starting_sequence_number(number)
            }
            Start::After(number) => {
                call.shard_iterator_type(StreamIterator::AfterSequenceNumber).starting_sequence_number(number)
            }
        };
        Ok(answered(call.send().await)?.shard_iterator)
    }
}

fn is_throttle(error: &AwsError) -> bool {
    error.is(&[
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "ThrottlingException",
        "KMSThrottlingException",
    ])
}
