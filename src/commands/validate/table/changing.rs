//! One run on a table: the changes that were made, what must follow from each, and what has been seen of that so far.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::Value;
use streamkit_recipes::{
    Change, ChangeKind, Effects, Item, Object, Recipe, Record, TableKey, TableSamples, Told, View, Write,
};
use tokio::time::Instant;

use super::mailbox::Mailbox;
use crate::aws::{AwsError, answered};
use crate::commands::validate::scene::{Scene, not_up};
use crate::commands::validate::telemetry::Growth;
use crate::writes::{Changer, Source, source};

/// Everything that the checks share. It outlives a check that is interrupted, so that cleaning up knows what to look for.
pub(in crate::commands::validate) struct Run<'a> {
    pub(in crate::commands::validate) scene: Scene<'a>,
    pub(in crate::commands::validate) samples: &'static dyn TableSamples,
    pub(in crate::commands::validate) source: Source,
    pub(in crate::commands::validate) mailbox: Mailbox,
    /// All changes, in the order in which they were made.
    pub(in crate::commands::validate) made: Vec<Made>,
    /// The run's items that are there.
    items: BTreeMap<Item, Item>,
    changer: Changer,
    bucket: Option<String>,
}

/// A change that was made.
pub(in crate::commands::validate) struct Made {
    pub(in crate::commands::validate) canary: bool,
    pub(in crate::commands::validate) kind: ChangeKind,
    pub(in crate::commands::validate) keys: Item,
    pub(in crate::commands::validate) old: Option<Item>,
    pub(in crate::commands::validate) new: Option<Item>,
    pub(in crate::commands::validate) at: Instant,
    pub(in crate::commands::validate) at_time: SystemTime,
    /// What was heard of it.
    pub(in crate::commands::validate) heard: Option<Heard>,
}

/// A notification.
pub(in crate::commands::validate) struct Heard {
    pub(in crate::commands::validate) told: Told,
    pub(in crate::commands::validate) message: Value,
    pub(in crate::commands::validate) at: Instant,
    /// What the recipe says must follow from the change that it is about.
    pub(in crate::commands::validate) wanted: Effects,
}

impl<'a> Run<'a> {
    pub(in crate::commands::validate) async fn new(
        scene: Scene<'a>,
        samples: &'static dyn TableSamples,
    ) -> anyhow::Result<Self> {
        let table = scene.flow.source.name();
        let source =
            source(&scene.session.aws, table).await.map_err(|error| match error.downcast_ref::<AwsError>() {
                Some(missing) if missing.is_missing() => {
                    not_up(&format!("no change can flow: there is no table {table}"))
                }
                _ => error,
            })?;
        let topic =
            scene.flow.topic.as_deref().context("the function publishes to no topic, so nothing can be heard of it")?;
        Ok(Self {
            samples,
            source,
            mailbox: Mailbox::new(&scene, topic),
            made: Vec::new(),
            items: BTreeMap::new(),
            changer: Changer::new(&scene.session.aws, table),
            bucket: scene.flow.bucket.clone(),
            scene,
        })
    }

    pub(in crate::commands::validate) fn key(&self) -> &TableKey {
        &self.source.key
    }

    /// Makes changes one after the other, and notes what must be heard of each.
    pub(in crate::commands::validate) async fn make(&mut self, writes: Vec<Write>, canary: bool) -> anyhow::Result<()> {
        for write in writes {
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
            let at_time = SystemTime::now();
            let what = || format!("changing an item of DynamoDB table ({})", self.scene.flow.source.name());
            self.changer.make(&write).await.with_context(what)?;
            self.made.push(Made { canary, kind, keys, old, new, at: Instant::now(), at_time, heard: None });
        }
        Ok(())
    }

    /// True when the run has put items that it has not deleted.
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

    /// Listens once, and notes what is heard of the run's changes. False when nothing was heard at all.
    pub(in crate::commands::validate) async fn listen(&mut self) -> anyhow::Result<bool> {
        let messages = self.mailbox.receive().await?;
        let at = Instant::now();
        for message in &messages {
            if let Some(told) = self.samples.told(message) {
                self.hear(told, message, at);
            }
        }
        Ok(!messages.is_empty())
    }

    /// Of the changes of one item the stream keeps the order, whatever order notifications come in.
    fn hear(&mut self, told: Told, message: &str, at: Instant) {
        let known = |made: &Made| made.heard.as_ref().is_some_and(|heard| heard.told.event_id == told.event_id);
        if self.made.iter().any(known) {
            return;
        }
        let Ok(message) = serde_json::from_str(message) else { return };
        let mut heard: Vec<(Told, Value, Instant)> = Vec::new();
        for made in self.made.iter_mut().filter(|made| made.keys == told.keys) {
            heard.extend(made.heard.take().map(|heard| (heard.told, heard.message, heard.at)));
        }
        let keys = told.keys.clone();
        heard.push((told, message, at));
        // A change that has not been heard of yet may lie in between: the kind tells, where several changes fit.
        heard.sort_by_key(|(told, ..)| (told.sequence_number.len(), told.sequence_number.clone()));
        let (recipe, view, scene) = (self.scene.recipe, self.source.view, &self.scene);
        let mut open = self.made.iter_mut().filter(|made| made.keys == keys).collect::<Vec<_>>().into_iter();
        for (told, message, at) in heard {
            let fits = |made: &&mut Made| made.kind == told.kind;
            let Some(made) = open.find(fits) else { continue };
            let Some(wanted) = wanted(recipe, scene, view, made, &told) else { continue };
            made.heard = Some(Heard { told, message, at, wanted });
        }
    }

    /// The time from the table's answer to the notification, for each marked change.
    pub(in crate::commands::validate) fn latencies(&self) -> Vec<Duration> {
        let marked = self.made.iter().filter(|made| !made.canary);
        marked.filter_map(|made| Some(made.heard.as_ref()?.at.saturating_duration_since(made.at))).collect()
    }

    /// Every object that the run has made, as far as that was heard of.
    pub(in crate::commands::validate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.made.iter().filter_map(|made| made.heard.as_ref()).flat_map(|heard| &heard.wanted.objects)
    }

    /// Reads an object; none if there is no such object.
    pub(in crate::commands::validate) async fn read(&self, key: &str) -> anyhow::Result<Option<Value>> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        let s3 = &self.scene.session.aws.s3;
        let what = || format!("reading the object {key} of bucket {bucket}");
        let answer = match answered(s3.get_object().bucket(bucket).key(key).send().await) {
            Err(error) if error.is(&["NoSuchKey"]) => return Ok(None),
            answer => answer.with_context(what)?,
        };
        let bytes = answer.body.collect().await.with_context(what)?.into_bytes();
        Ok(Some(serde_json::from_slice(&bytes).with_context(what)?))
    }

    /// Lists the keys of the bucket that begin so.
    pub(in crate::commands::validate) async fn list(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let Some(bucket) = &self.bucket else { return Ok(Vec::new()) };
        let s3 = &self.scene.session.aws.s3;
        let call = s3.list_objects_v2().bucket(bucket).prefix(prefix).send().await;
        let answer = answered(call).with_context(|| format!("listing the bucket {bucket} below {prefix}"))?;
        Ok(answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect())
    }

    /// Deletes the run's objects.
    pub(in crate::commands::validate) async fn delete_objects(&self) -> anyhow::Result<usize> {
        let Some(bucket) = &self.bucket else { return Ok(0) };
        let mut count = 0;
        for object in self.objects() {
            let call = self.scene.session.aws.s3.delete_object().bucket(bucket).key(&object.key);
            answered(call.send().await)
                .with_context(|| format!("deleting the object {} of bucket {bucket}", object.key))?;
            count += 1;
        }
        Ok(count)
    }

    /// What every metric must have grown by at least: by changes that were heard of.
    pub(in crate::commands::validate) fn wanted_metrics(&self) -> Growth {
        let mut growth = Growth::default();
        for heard in self.made.iter().filter_map(|made| made.heard.as_ref()) {
            growth.add(self.scene.recipe.processed_metric(), &heard.wanted.counts);
        }
        growth
    }

    /// All metrics that the run will look at; what they were before is read before anything is changed.
    pub(in crate::commands::validate) fn metrics(&self) -> Growth {
        let mut growth = Growth::default();
        let nobody = Item::new();
        for kind in ChangeKind::ALL {
            let made = Made {
                canary: false,
                kind,
                keys: self.samples.canary(&self.scene.name, 0, 0, self.key()).key(self.key()),
                old: (kind != ChangeKind::Insert).then(|| nobody.clone()),
                new: (kind != ChangeKind::Remove).then(|| nobody.clone()),
                at: Instant::now(),
                at_time: SystemTime::now(),
                heard: None,
            };
            let told = Told {
                event_id: String::new(),
                kind,
                sequence_number: String::new(),
                created_ms: 0,
                size_bytes: 0,
                keys: made.keys.clone(),
            };
            if let Some(effects) = wanted(self.scene.recipe, &self.scene, self.source.view, &made, &told) {
                growth.add(self.scene.recipe.processed_metric(), &effects.counts);
            }
        }
        growth
    }
}

/// What the recipe says of a change, with its images as far as the view type carries them.
fn wanted(recipe: &dyn Recipe, scene: &Scene<'_>, view: View, made: &Made, told: &Told) -> Option<Effects> {
    let change = Change {
        event_id: &told.event_id,
        sequence_number: &told.sequence_number,
        kind: made.kind,
        table: scene.flow.source.name(),
        region: &scene.session.aws.region,
        created_ms: told.created_ms,
        size_bytes: told.size_bytes,
        view,
        keys: &made.keys,
        old: made.old.as_ref().filter(|_| view.images().old),
        new: made.new.as_ref().filter(|_| view.images().new),
        user: None,
    };
    recipe.process(&Record::Change(change), 0).ok()
}
