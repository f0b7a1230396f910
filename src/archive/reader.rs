//! Reads a source's archived records between two times, object by object, in the order of each shard.

use std::collections::{BTreeMap, HashSet, VecDeque};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::key::{ObjectKey, hour_prefix, source_prefix};
use super::object::lines;
use crate::aws::{Clients, answered};
use crate::records::{SourceRecord, order};

/// How many objects are read at once; each is a few megabytes at the most.
const READS: usize = 8;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// The archived records of one source. It holds the keys of two hours, and the records of a few objects.
pub(crate) struct ArchiveReader {
    /// The objects of an hour that are still to be read, in order, with their records as they come.
    objects: BoxStream<'static, anyhow::Result<(ObjectKey, Vec<SourceRecord>)>>,
    hours: Hours,
    since_ms: i64,
    until_ms: i64,
    /// The sequence numbers of objects which later ones may overlap, by shard: a batch that was delivered again may have been cut
    /// in other places.
    recent: BTreeMap<String, Vec<(String, HashSet<String>)>>,
    duplicates: u64,
}

impl ArchiveReader {
    /// Reads what the stream or table of this name got within `[since_ms, until_ms)`, in milliseconds since the epoch.
    pub(crate) fn new(aws: &Clients, bucket: &str, source: &str, since_ms: i64, until_ms: i64) -> Self {
        Self {
            objects: stream::empty().boxed(),
            hours: Hours::new(aws, bucket, source, since_ms, until_ms),
            since_ms,
            until_ms,
            recent: BTreeMap::new(),
            duplicates: 0,
        }
    }

    /// The records of the next object that has any; none at the end. Those of one shard come in its order, each once.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Vec<SourceRecord>>> {
        loop {
            let Some(object) = self.objects.next().await else {
                let Some(keys) = self.hours.next().await? else { return Ok(None) };
                self.objects = read(self.hours.aws.clone(), self.hours.bucket.clone(), keys);
                continue;
            };
            let (key, records) = object?;
            let records = self.without_duplicates(&key, records);
            let within = |record: &SourceRecord| (self.since_ms..self.until_ms).contains(&record.arrival_ms);
            let records: Vec<_> = records.into_iter().filter(within).collect();
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
    }

    /// How many records were left out because they had come before.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn without_duplicates(&mut self, key: &ObjectKey, records: Vec<SourceRecord>) -> Vec<SourceRecord> {
        let recent = self.recent.entry(key.shard.clone()).or_default();
        // First records come in order, so what ends before this one begins is over.
        recent.retain(|(last, _)| order(last) >= order(&key.first));
        let known = |record: &SourceRecord| recent.iter().any(|(_, numbers)| numbers.contains(&record.sequence_number));
        let all = records.len();
        let records: Vec<_> = records.into_iter().filter(|record| !known(record)).collect();
        self.duplicates += (all - records.len()) as u64;
        let numbers = records.iter().map(|record| record.sequence_number.clone()).collect();
        recent.push((key.last.clone(), numbers));
        records
    }
}

fn read(
    aws: Clients,
    bucket: String,
    keys: Vec<ObjectKey>,
) -> BoxStream<'static, anyhow::Result<(ObjectKey, Vec<SourceRecord>)>> {
    let read = move |key: ObjectKey| {
        let (aws, bucket) = (aws.clone(), bucket.clone());
        async move {
            // One that has expired since it was listed is as one that had expired before.
            let lines = lines(&aws, &bucket, &key.key).await?.unwrap_or_default();
            let records: anyhow::Result<Vec<_>> = lines.iter().map(SourceRecord::from_event).collect();
            let what = || format!("reading the object {} of S3 bucket ({bucket})", key.key);
            let mut records = records.with_context(what)?;
            records.sort_by(|one, two| order(&one.sequence_number).cmp(&order(&two.sequence_number)));
            Ok((key, records))
        }
    };
    stream::iter(keys).map(read).buffered(READS).boxed()
}

/// The keys of a source's objects, hour by hour.
struct Hours {
    aws: Clients,
    bucket: String,
    source: String,
    /// Where the list goes on: behind this key, or with the next page.
    after: String,
    page: Option<String>,
    ended: bool,
    /// Keys behind this prefix are of hours that are too late.
    last_hour: String,
    listed: VecDeque<ObjectKey>,
    /// The objects of the hour that follows.
    ahead: Option<Vec<ObjectKey>>,
}

impl Hours {
    fn new(aws: &Clients, bucket: &str, source: &str, since_ms: i64, until_ms: i64) -> Self {
        // The times of a stream are approximate, so a record may be in an object of the hour after its own.
        let last_hour = hour_prefix(source, until_ms.saturating_add(HOUR_MS).min(LATEST_MS));
        Self {
            aws: aws.clone(),
            bucket: bucket.to_owned(),
            source: source.to_owned(),
            after: hour_prefix(source, since_ms.clamp(0, LATEST_MS)),
            page: None,
            ended: false,
            last_hour,
            listed: VecDeque::new(),
            ahead: None,
        }
    }

    /// The objects of the next hour in the order of shards and sequence numbers.
    async fn next(&mut self) -> anyhow::Result<Option<Vec<ObjectKey>>> {
        let Some(mut keys) = (match self.ahead.take() {
            Some(keys) => Some(keys),
            None => self.hour().await?,
        }) else {
            return Ok(None);
        };
        if let Some(mut following) = self.hour().await? {
            merge(&mut keys, &mut following);
            self.ahead = (!following.is_empty()).then_some(following);
        }
        keys.sort_by(|one, two| {
            (&one.shard, order(&one.first), order(&one.last)).cmp(&(&two.shard, order(&two.first), order(&two.last)))
        });
        Ok(Some(keys))
    }

    /// Lists the objects of the next hour that has any.
    async fn hour(&mut self) -> anyhow::Result<Option<Vec<ObjectKey>>> {
        let mut keys: Vec<ObjectKey> = Vec::new();
        loop {
            while let Some(key) = self.listed.front() {
                if keys.first().is_some_and(|first| first.hour != key.hour) {
                    return Ok(Some(keys));
                }
                keys.extend(self.listed.pop_front());
            }
            if self.ended {
                return Ok((!keys.is_empty()).then_some(keys));
            }
            self.list().await?;
        }
    }

    async fn list(&mut self) -> anyhow::Result<()> {
        let s3 = &self.aws.s3;
        let call = s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .expected_bucket_owner(&self.aws.account)
            .prefix(source_prefix(&self.source))
            .start_after(&self.after)
            .set_continuation_token(self.page.take());
        let what = || format!("listing the archive of {} in S3 bucket ({})", self.source, self.bucket);
        let answer = answered(call.send().await).with_context(what)?;
        self.page = answer.next_continuation_token;
        self.ended = self.page.is_none();
        for key in answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
            // What others have put there is none of the archive's.
            let Some(key) = ObjectKey::parse(&key) else { continue };
            if key.hour > self.last_hour {
                self.ended = true;
                break;
            }
            self.listed.push_back(key);
        }
        Ok(())
    }
}

/// 9999-12-30, the last day of the archive.
const LATEST_MS: i64 = 253_402_207_200_000;

/// Takes those objects of the following hour that belong before others of this one: the clock of a shard may go back by a moment.
fn merge(keys: &mut Vec<ObjectKey>, following: &mut Vec<ObjectKey>) {
    let mut latest: BTreeMap<String, String> = BTreeMap::new();
    for key in keys.iter() {
        let latest = latest.entry(key.shard.clone()).or_default();
        if order(latest) < order(&key.first) {
            latest.clone_from(&key.first);
        }
    }
    let (earlier, later) = std::mem::take(following)
        .into_iter()
        .partition(|key| latest.get(&key.shard).is_some_and(|latest| order(&key.first) < order(latest)));
    keys.extend::<Vec<_>>(earlier);
    *following = later;
}

#[cfg(test)]
mod tests;
