//! One run on a table: the changes that were made, their expected effects, and the notifications received so far.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::{Value, json};
use streamkit_local::pattern_matches;
use streamkit_recipes::{
    Change, ChangeKind, Effects, Item, NotifiedChange, Object, Recipe, Record, TableKey, TableSamples, View, Write,
};
use tokio::time::Instant;

use super::notification_queue::NotificationQueue;
use crate::aws::{AwsError, answered};
use crate::commands::validate::telemetry::Growth;
use crate::commands::validate::validation::{Validation, not_up};
use crate::failure::Hint;
use crate::report::Passage;
use crate::table_writer::{self, TableSchema, TableWriter};

/// Everything that the checks share. It outlives a check that is interrupted, so that cleaning up knows what to look for.
pub(in crate::commands::validate) struct TableRun<'a> {
    pub(in crate::commands::validate) validation: Validation<'a>,
    pub(in crate::commands::validate) samples: &'static dyn TableSamples,
    pub(in crate::commands::validate) source: TableSchema,
    pub(in crate::commands::validate) notification_queue: NotificationQueue,
    /// All changes, in the order in which they were made.
    pub(in crate::commands::validate) made: Vec<MadeChange>,
    /// Others are told of the changes, too.
    pub(in crate::commands::validate) is_overheard: bool,
    /// The run's items that are there.
    items: BTreeMap<Item, Item>,
    writer: TableWriter,
    bucket: Option<String>,
}

/// A change that was made.
pub(in crate::commands::validate) struct MadeChange {
    pub(in crate::commands::validate) canary: bool,
    pub(in crate::commands::validate) kind: ChangeKind,
    pub(in crate::commands::validate) keys: Item,
    pub(in crate::commands::validate) old: Option<Item>,
    pub(in crate::commands::validate) new: Option<Item>,
    pub(in crate::commands::validate) at: Instant,
    pub(in crate::commands::validate) at_time: SystemTime,
    /// Its notification.
    pub(in crate::commands::validate) notified: Option<Notified>,
}

/// A notification.
pub(in crate::commands::validate) struct Notified {
    pub(in crate::commands::validate) change: NotifiedChange,
    pub(in crate::commands::validate) message: Value,
    pub(in crate::commands::validate) at: Instant,
    /// The effects of its change, as the recipe says.
    pub(in crate::commands::validate) expected: Effects,
}

impl<'a> TableRun<'a> {
    pub(in crate::commands::validate) async fn new(
        validation: Validation<'a>,
        samples: &'static dyn TableSamples,
    ) -> anyhow::Result<Self> {
        let table = validation.flow.source.name();
        let source = table_writer::describe(&validation.session.aws, table).await.map_err(|error| {
            match error.downcast_ref::<AwsError>() {
                Some(missing) if missing.is_missing() => {
                    not_up(&format!("no change can flow: there is no table {table}"))
                }
                _ => error,
            }
        })?;
        let topic = validation
            .flow
            .topic
            .as_deref()
            .context("the function publishes to no topic, so its changes have no notifications to check")?;
        Ok(Self {
            samples,
            source,
            notification_queue: NotificationQueue::new(&validation, topic),
            made: Vec::new(),
            is_overheard: false,
            items: BTreeMap::new(),
            writer: TableWriter::new(&validation.session.aws, table),
            bucket: validation.flow.bucket.clone(),
            validation,
        })
    }

    pub(in crate::commands::validate) fn key(&self) -> &TableKey {
        &self.source.key
    }

    /// Makes changes one after the other, and notes them.
    pub(in crate::commands::validate) async fn make(&mut self, writes: Vec<Write>, canary: bool) -> anyhow::Result<()> {
        for write in writes {
            let write = self.marked(write);
            let keys = write.key(self.key());
            let old = self.items.get(&keys).cloned();
            let new = write.apply(old.as_ref());
            // Noted before it is made: an interrupt may come in between.
            match &new {
                Some(item) => self.items.insert(keys.clone(), item.clone()),
                None => self.items.remove(&keys),
            };
            let kind = match (&old, &new) {
                (None, _) => ChangeKind::Insert,
                (Some(_), Some(_)) => ChangeKind::Modify,
                (Some(_), None) => ChangeKind::Remove,
            };
            // What the filter keeps from the function has no effects.
            let passes = self.passes(kind, &keys, old.as_ref(), new.as_ref());
            let at_time = SystemTime::now();
            let what = || format!("changing an item of DynamoDB table ({})", self.validation.flow.source.name());
            self.writer.write(&write).await.with_context(what)?;
            if passes {
                let (at, notified) = (Instant::now(), None);
                self.made.push(MadeChange { canary, kind, keys, old, new, at, at_time, notified });
            }
        }
        Ok(())
    }

    /// The write as somebody in this region would make it.
    fn marked(&self, write: Write) -> Write {
        match &self.validation.flow.origin {
            Some(attribute) => table_writer::with_origin(write, attribute, &self.validation.session.aws.region),
            None => write,
        }
    }

    fn passes(&self, kind: ChangeKind, keys: &Item, old: Option<&Item>, new: Option<&Item>) -> bool {
        passes(&self.validation.flow.filter, self.source.view, kind, keys, old, new)
    }

    /// # Errors
    /// The function's filter lets no new item through, so no canary has an effect.
    pub(super) fn check_filter(&self) -> anyhow::Result<()> {
        let canary = self.marked(self.samples.canary(&self.validation.run_id, 0, 0, self.key()));
        let (keys, new) = (canary.key(self.key()), canary.apply(None));
        if self.passes(ChangeKind::Insert, &keys, None, new.as_ref()) {
            return Ok(());
        }
        Err(Hint::error(
            format!(
                "the filter of [function.{}.source] lets no new item of `validate` through",
                self.validation.flow.key
            ),
            "let it pass what the recipe takes, or choose another function with --function",
        ))
    }

    /// True if the run has items in the table.
    pub(in crate::commands::validate) fn has_items(&self) -> bool {
        !self.items.is_empty()
    }

    /// Deletes what the run has put and not deleted.
    pub(in crate::commands::validate) async fn delete_items(&mut self) -> anyhow::Result<usize> {
        let keys: Vec<Item> = self.items.keys().cloned().collect();
        let count = keys.len();
        self.make(keys.into_iter().map(Write::Delete).collect(), true).await?;
        Ok(count)
    }

    /// Receives messages once, and notes the notifications of the run's changes. False if there was no message at all.
    pub(in crate::commands::validate) async fn receive_notifications(&mut self) -> anyhow::Result<bool> {
        let messages = self.notification_queue.receive().await?;
        let at = Instant::now();
        for message in &messages {
            if let Some(change) = self.samples.notified_change(message) {
                self.assign(change, message, at);
            }
        }
        Ok(!messages.is_empty())
    }

    /// Assigns a notification to its change. The stream keeps the order of the changes of one item, and notifications may
    /// arrive in any order, so all of the item's notifications are assigned anew by sequence number.
    fn assign(&mut self, change: NotifiedChange, message: &str, at: Instant) {
        let known = |made: &MadeChange| {
            made.notified.as_ref().is_some_and(|notified| notified.change.event_id == change.event_id)
        };
        if self.made.iter().any(known) {
            return;
        }
        let Ok(message) = serde_json::from_str(message) else { return };
        let mut notified: Vec<(NotifiedChange, Value, Instant)> = Vec::new();
        for made in self.made.iter_mut().filter(|made| made.keys == change.keys) {
            notified.extend(made.notified.take().map(|notified| (notified.change, notified.message, notified.at)));
        }
        let keys = change.keys.clone();
        notified.push((change, message, at));
        // The notification of a change in between may still be missing: the kind decides which change this one is about.
        notified.sort_by_key(|(change, ..)| (change.sequence_number.len(), change.sequence_number.clone()));
        let (recipe, view, validation) = (self.validation.recipe, self.source.view, &self.validation);
        let mut open = self.made.iter_mut().filter(|made| made.keys == keys).collect::<Vec<_>>().into_iter();
        for (change, message, at) in notified {
            let fits = |made: &&mut MadeChange| made.kind == change.kind;
            let Some(made) = open.find(fits) else { continue };
            let Some(expected) = expected_effects(recipe, validation, view, made, &change) else { continue };
            made.notified = Some(Notified { change, message, at, expected });
        }
    }

    /// The marked changes that were announced, from the table's answer to the notification.
    pub(in crate::commands::validate) fn passages(&self) -> Vec<Passage> {
        let marked = self.made.iter().filter(|made| !made.canary);
        marked.filter_map(|made| Some(Passage { sent: made.at, seen: made.notified.as_ref()?.at })).collect()
    }

    /// The objects of all changes that have a notification.
    pub(in crate::commands::validate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.made.iter().filter_map(|made| made.notified.as_ref()).flat_map(|notified| &notified.expected.objects)
    }

    /// Reads an object; none if there is no such object.
    pub(in crate::commands::validate) async fn read(&self, key: &str) -> anyhow::Result<Option<Value>> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        let (s3, owner) = (&self.validation.session.aws.s3, &self.validation.session.aws.account);
        let what = || format!("reading the object {key} of bucket {bucket}");
        let answer = match answered(s3.get_object().bucket(bucket).expected_bucket_owner(owner).key(key).send().await) {
            Err(error) if error.is(&["NoSuchKey"]) => return Ok(None),
            answer => answer.with_context(what)?,
        };
        let bytes = answer.body.collect().await.with_context(what)?.into_bytes();
        Ok(Some(serde_json::from_slice(&bytes).with_context(what)?))
    }

    /// Lists the keys of the bucket that begin so.
    pub(in crate::commands::validate) async fn list(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let Some(bucket) = &self.bucket else { return Ok(Vec::new()) };
        let (s3, owner) = (&self.validation.session.aws.s3, &self.validation.session.aws.account);
        let call = s3.list_objects_v2().bucket(bucket).expected_bucket_owner(owner).prefix(prefix).send().await;
        let answer = answered(call).with_context(|| format!("listing the bucket {bucket} below {prefix}"))?;
        Ok(answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect())
    }

    /// Deletes the run's objects.
    pub(in crate::commands::validate) async fn delete_objects(&self) -> anyhow::Result<usize> {
        let Some(bucket) = &self.bucket else { return Ok(0) };
        let mut count = 0;
        for object in self.objects() {
            let aws = &self.validation.session.aws;
            let call = aws.s3.delete_object().bucket(bucket).expected_bucket_owner(&aws.account).key(&object.key);
            answered(call.send().await)
                .with_context(|| format!("deleting the object {} of bucket {bucket}", object.key))?;
            count += 1;
        }
        Ok(count)
    }

    /// The least growth of every metric: by the changes that have a notification.
    pub(in crate::commands::validate) fn wanted_metrics(&self) -> Growth {
        let mut growth = Growth::default();
        for notified in self.made.iter().filter_map(|made| made.notified.as_ref()) {
            growth.add(self.validation.recipe.processed_metric(), &notified.expected.counts);
        }
        growth
    }

    /// All metrics that the run will look at; what they were before is read before anything is changed.
    pub(in crate::commands::validate) fn metrics(&self) -> Growth {
        let mut growth = Growth::default();
        let nobody = Item::new();
        for kind in ChangeKind::ALL {
            let made = MadeChange {
                canary: false,
                kind,
                keys: self.samples.canary(&self.validation.run_id, 0, 0, self.key()).key(self.key()),
                old: (kind != ChangeKind::Insert).then(|| nobody.clone()),
                new: (kind != ChangeKind::Remove).then(|| nobody.clone()),
                at: Instant::now(),
                at_time: SystemTime::now(),
                notified: None,
            };
            let change = NotifiedChange {
                event_id: String::new(),
                kind,
                sequence_number: String::new(),
                created_ms: 0,
                size_bytes: 0,
                keys: made.keys.clone(),
            };
            if let Some(effects) =
                expected_effects(self.validation.recipe, &self.validation, self.source.view, &made, &change)
            {
                growth.add(self.validation.recipe.processed_metric(), &effects.counts);
            }
        }
        growth
    }
}

/// Whether a change of a table with this view type reaches a function with this filter.
pub(super) fn passes(
    filter: &[Value],
    view: View,
    kind: ChangeKind,
    keys: &Item,
    old: Option<&Item>,
    new: Option<&Item>,
) -> bool {
    let carried = view.images();
    let mut change = json!({ "Keys": keys });
    for (name, image) in [("OldImage", old.filter(|_| carried.old)), ("NewImage", new.filter(|_| carried.new))] {
        if let Some(image) = image {
            change[name] = json!(image);
        }
    }
    let record = json!({ "eventName": kind.name(), "dynamodb": change });
    filter.is_empty() || filter.iter().any(|pattern| pattern_matches(pattern, &record) == Ok(true))
}

/// The effects of a change, as the recipe says. The images are those that the view type includes.
fn expected_effects(
    recipe: &dyn Recipe,
    validation: &Validation<'_>,
    view: View,
    made: &MadeChange,
    change: &NotifiedChange,
) -> Option<Effects> {
    let change = Change {
        event_id: &change.event_id,
        sequence_number: &change.sequence_number,
        kind: made.kind,
        table: validation.flow.source.name(),
        region: &validation.session.aws.region,
        created_ms: change.created_ms,
        size_bytes: change.size_bytes,
        view,
        keys: &made.keys,
        old: made.old.as_ref().filter(|_| view.images().old),
        new: made.new.as_ref().filter(|_| view.images().new),
        user: None,
    };
    recipe.process(&Record::Change(change), 0).ok()
}
