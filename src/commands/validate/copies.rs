//! The copies of a run's events: the records of the stream, in another region or not, that a mirror copies into.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use streamkit_recipes::CopyOf;

use super::check::{Verdict, listed};
use super::stream_run::{Good, StreamRun};
use super::validation::{CLOCK_SKEW, Validation};
use crate::aws::{Arn, Clients};
use crate::commands::since::epoch_ms;
use crate::pipeline::Flow;
use crate::producer::Position;
use crate::records::{Content, ShardReader, Source, SourceRecord, Start};
use crate::report::counted;

/// What the stream that a function copies into has of the run.
pub(super) struct Copies {
    /// Of the stream's region.
    aws: Arc<Clients>,
    stream: Source,
    readers: BTreeMap<String, ShardReader>,
    /// By the shard and sequence number of the record that each is a copy of.
    found: BTreeMap<(String, String), Copied>,
    /// Copies of records that were there already.
    doubles: usize,
}

/// A copy as it lies in the stream.
struct Copied {
    of: CopyOf,
    partition_key: Option<String>,
    payload: Vec<u8>,
}

impl Copies {
    /// Those of the function itself, if it makes any.
    pub(super) fn of(validation: &Validation<'_>) -> Option<Self> {
        let flow: &Flow = validation.flow;
        let arn = flow.stream.as_deref().filter(|_| validation.recipe.takes_records_as_they_lie())?;
        let region = Arn::parse(arn).map(|arn| arn.region)?;
        Some(Self {
            aws: validation.session.aws.in_region(&region),
            stream: Source::new(arn),
            readers: BTreeMap::new(),
            found: BTreeMap::new(),
            doubles: 0,
        })
    }

    /// The stream, as texts name it.
    pub(super) fn place(&self) -> String {
        format!("{} in {}", self.stream.name(), self.aws.region)
    }

    pub(super) fn has(&self, position: &Position) -> bool {
        self.found.contains_key(&position.place())
    }

    /// Reads once what has come into the stream.
    pub(super) async fn look(&mut self, validation: &Validation<'_>) -> anyhow::Result<()> {
        let shards = self.stream.shards(&self.aws).await;
        let shards = shards.with_context(|| format!("listing the shards of Kinesis stream ({})", self.place()))?;
        let since = epoch_ms(validation.started() - CLOCK_SKEW);
        for shard in shards {
            let (aws, stream) = (&self.aws, &self.stream);
            let reader = self.readers.entry(shard.id.clone());
            let reader = reader.or_insert_with(|| ShardReader::new(aws, stream, &shard.id, Start::AtTimestamp(since)));
            loop {
                let page = reader.next().await;
                let page = page.with_context(|| format!("reading Kinesis stream ({})", stream.name()))?;
                for record in page.records {
                    let Some(copied) = Copied::of(record, &validation.run_id) else { continue };
                    let at = (copied.of.shard_id.clone(), copied.of.sequence_number.clone());
                    self.doubles += usize::from(self.found.insert(at, copied).is_some());
                }
                if page.caught_up {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Says what is wrong with the copy of an event.
    fn differences(&self, good: &Good, arn: &str) -> Option<String> {
        let what = format!("event {} of {}", good.position.sequence_number, good.event.partition_key);
        let Some(copied) = self.found.get(&good.position.place()) else {
            return Some(format!("{what} has no copy"));
        };
        let mut wrong = Vec::new();
        if copied.partition_key.as_deref() != Some(&good.event.partition_key) {
            wrong.push("partition key");
        }
        if copied.payload != good.event.data {
            wrong.push("payload");
        }
        if copied.of.stream_arn != arn || copied.of.approximate_arrival_timestamp == 0 {
            wrong.push("stream or arrival");
        }
        (!wrong.is_empty()).then(|| format!("the copy of {what} has another {}", wrong.join(", ")))
    }
}

impl Copied {
    /// The copy that a record is, if it is one of the run's.
    fn of(record: SourceRecord, run_id: &str) -> Option<Self> {
        let Content::Stream { partition_key, data, .. } = record.content else { return None };
        // All that a run sends bears its name in the partition key.
        partition_key.as_ref().filter(|key| key.contains(run_id))?;
        let (of, payload) = CopyOf::read(&data)?;
        Some(Self { of, partition_key, payload })
    }
}

/// Compares these events with their copies.
pub(super) fn verdict(run: &StreamRun<'_>, of: &dyn Fn(&Good) -> bool) -> Verdict {
    let Some(copies) = &run.copies else { return Verdict::new(false, "the function copies nothing") };
    let arn = run.validation.session.aws.arn("kinesis", &format!("stream/{}", run.validation.flow.source.name()));
    let events: Vec<&Good> = run.good.iter().filter(|good| of(good)).collect();
    let wrong: Vec<String> = events.iter().filter_map(|good| copies.differences(good, &arn)).collect();
    let observed = if wrong.is_empty() {
        let doubles = match copies.doubles {
            0 => String::new(),
            doubles => format!(", {} so far", counted(doubles, "double")),
        };
        format!("all {} in {}{doubles}", events.len(), copies.place())
    } else {
        format!("{} wrong: {}", counted(wrong.len(), "event"), listed(&wrong))
    };
    Verdict::new(wrong.is_empty() && !events.is_empty(), observed).or_hint(run.validation.see_log())
}
