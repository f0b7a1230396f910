//! The archives of a run's events: the objects of functions with a recipe that keeps whole batches.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use super::check::{Verdict, listed};
use super::stream_run::{Good, StreamRun};
use super::validation::{CLOCK_SKEW, Validation};
use crate::archive::{ObjectKey, hour_prefix, lines};
use crate::aws::{Clients, all, answered};
use crate::commands::since::epoch_ms;
use crate::pipeline::Flow;
use crate::producer::Position;
use crate::records::{Content, SourceRecord};
use crate::report::counted;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// The objects of one function, as far as they have events of the run.
pub(super) struct Archive {
    aws: Clients,
    bucket: String,
    /// The name of the stream.
    source: String,
    /// The function's name in the spec.
    pub(super) function: String,
    /// The objects that were read, and whether they have records of others, too.
    objects: BTreeMap<String, bool>,
    /// By shard and sequence number.
    found: BTreeMap<(String, String), SourceRecord>,
}

impl Archive {
    fn new(validation: &Validation<'_>, flow: &Flow) -> Option<Self> {
        Some(Self {
            aws: Clients::clone(&validation.session.aws),
            bucket: flow.bucket.clone()?,
            source: flow.source.name().to_owned(),
            function: flow.key.clone(),
            objects: BTreeMap::new(),
            found: BTreeMap::new(),
        })
    }

    /// That of the function itself, or those of others that keep all records of its source.
    pub(super) fn all(validation: &Validation<'_>) -> Vec<Self> {
        let own = validation.flow;
        let is_archive = |flow: &Flow| flow.recipe().is_ok_and(|recipe| recipe.batched().is_some());
        let flows =
            validation.session.pipeline.flows.iter().filter(|flow| is_archive(flow) && flow.source == own.source);
        // What a filter keeps from another function is not in its archive.
        let looked_at = |flow: &&Flow| flow.key == own.key || !is_archive(own) && flow.filter.is_empty();
        flows.filter(looked_at).filter_map(|flow| Self::new(validation, flow)).collect()
    }

    pub(super) fn has(&self, position: &Position) -> bool {
        self.found.contains_key(&position.place())
    }

    /// Looks once for these records of the run.
    pub(super) async fn look(&mut self, validation: &Validation<'_>, open: &[Position]) -> anyhow::Result<()> {
        if open.is_empty() {
            return Ok(());
        }
        for key in self.keys(validation).await? {
            let covers = |position: &Position| key.covers(&position.shard_id, &position.sequence_number);
            if self.objects.contains_key(&key.key) || !open.iter().any(covers) {
                continue;
            }
            let lines = lines(&self.aws, &self.bucket, &key.key).await?.unwrap_or_default();
            let records: anyhow::Result<Vec<_>> = lines.iter().map(SourceRecord::from_event).collect();
            let records =
                records.with_context(|| format!("reading the object {} of S3 bucket ({})", key.key, self.bucket))?;
            anyhow::ensure!(
                records.len() == key.records,
                "the object {} says that it has {} records, and has {}",
                key.key,
                key.records,
                records.len()
            );
            let all = records.len();
            let own: Vec<_> = records.into_iter().filter(|record| is_of(record, &validation.run_id)).collect();
            self.objects.insert(key.key, own.len() < all);
            self.found.extend(
                own.into_iter().map(|record| ((record.shard_id.clone(), record.sequence_number.clone()), record)),
            );
        }
        Ok(())
    }

    /// Lists what was archived since the run began, by the hours of the records.
    async fn keys(&self, validation: &Validation<'_>) -> anyhow::Result<Vec<ObjectKey>> {
        let mut prefixes = BTreeSet::new();
        let mut hour = epoch_ms(validation.started() - CLOCK_SKEW);
        let end = epoch_ms(validation.session.aws.now() + CLOCK_SKEW);
        while hour < end + HOUR_MS {
            prefixes.insert(hour_prefix(&self.source, hour.min(end)));
            hour += HOUR_MS;
        }
        let mut keys = Vec::new();
        for prefix in prefixes {
            let call = self.aws.s3.list_objects_v2().bucket(&self.bucket).expected_bucket_owner(&self.aws.account);
            let pages = all(call.prefix(&prefix).into_paginator().send()).await;
            let pages = pages.with_context(|| format!("listing S3 bucket ({}) below {prefix}", self.bucket))?;
            let objects = pages.into_iter().flat_map(|page| page.contents.unwrap_or_default());
            keys.extend(objects.filter_map(|object| ObjectKey::parse(&object.key?)));
        }
        Ok(keys)
    }

    /// Says what is wrong with the record of an event.
    fn differences(&self, good: &Good, arn: &str) -> Option<String> {
        let what = format!("event {} of {}", good.position.sequence_number, good.event.partition_key);
        let Some(record) = self.found.get(&good.position.place()) else {
            return Some(format!("{what} is in no object"));
        };
        let Content::Stream { partition_key, data, .. } = &record.content else {
            return Some(format!("{what} is no record of a stream there"));
        };
        let mut wrong = Vec::new();
        if partition_key.as_deref() != Some(&good.event.partition_key) {
            wrong.push("partition key");
        }
        if *data != good.event.data {
            wrong.push("payload");
        }
        if record.source_arn != arn || record.arrival_ms == 0 {
            wrong.push("source or arrival");
        }
        (!wrong.is_empty()).then(|| format!("{what} has another {} there", wrong.join(", ")))
    }

    /// Deletes the objects that have nothing but the run's events. Gives how many, and how many stay for their other records.
    pub(super) async fn delete(&mut self) -> anyhow::Result<(usize, usize)> {
        let (mut deleted, mut kept) = (0, 0);
        for (key, has_others) in std::mem::take(&mut self.objects) {
            if has_others {
                kept += 1;
                continue;
            }
            let call =
                self.aws.s3.delete_object().bucket(&self.bucket).expected_bucket_owner(&self.aws.account).key(&key);
            answered(call.send().await)
                .with_context(|| format!("deleting the object {key} of S3 bucket ({})", self.bucket))?;
            deleted += 1;
        }
        Ok((deleted, kept))
    }
}

/// All that a run sends bears its name in the partition key.
fn is_of(record: &SourceRecord, run_id: &str) -> bool {
    matches!(&record.content, Content::Stream { partition_key: Some(key), .. } if key.contains(run_id))
}

/// Looks for all events of the run, good and bad, in the archives of other functions.
pub(super) async fn beside(run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    let deadline = run.validation.deadline();
    // Canaries before the first that came through were sent before the mappings read.
    while !run.unarchived().is_empty() {
        Box::pin(run.look_into_archives()).await?;
        if Instant::now() >= deadline {
            break;
        }
        sleep(run.pause()).await;
    }
    let missing = run.unarchived();
    let all = run.placed().count();
    let objects: usize = run.archives.iter().map(|archive| archive.objects.len()).sum();
    let observed = if missing.is_empty() {
        format!("all {all} in {}", counted(objects, "object"))
    } else {
        let texts: Vec<_> = missing.iter().map(|at| format!("{} is in no object", at.sequence_number)).collect();
        listed(&texts)
    };
    let functions: Vec<_> = run.archives.iter().map(|archive| archive.function.as_str()).collect();
    Ok(Verdict::new(missing.is_empty(), observed).or_hint(format!("see the log of {}", functions.join(", "))))
}

/// Compares these events with their records in the objects.
pub(super) fn verdict(run: &StreamRun<'_>, of: &dyn Fn(&Good) -> bool) -> Verdict {
    let arn = run.validation.session.aws.arn("kinesis", &format!("stream/{}", run.validation.flow.source.name()));
    let events: Vec<&Good> = run.good.iter().filter(|good| of(good)).collect();
    let wrong: Vec<String> = run
        .archives
        .iter()
        .flat_map(|archive| events.iter().filter_map(|good| archive.differences(good, &arn)))
        .collect();
    let objects: usize = run.archives.iter().map(|archive| archive.objects.len()).sum();
    let observed = if wrong.is_empty() {
        format!("all {}, in {} so far", events.len(), counted(objects, "object"))
    } else {
        format!("{} wrong: {}", counted(wrong.len(), "event"), listed(&wrong))
    };
    Verdict::new(wrong.is_empty() && !events.is_empty(), observed).or_hint(run.validation.see_log())
}
