//! Effects as JSON, to keep them beside a state.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use streamkit_recipes::{Aggregation, Count, Effects, Item, Notification, Object, Unit};

/// What followed from a record when it changed the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The record's lane and mark.
    pub(super) record: String,
    #[serde(flatten)]
    kept: Kept,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<Item>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objects: Vec<KeptObject>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notifications: Vec<KeptNotification>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    counts: Vec<KeptCount>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptObject {
    key: String,
    base64: String,
    #[serde(rename = "type")]
    content_type: String,
    #[serde(default)]
    keep: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptNotification {
    subject: String,
    message: String,
    attributes: Vec<(String, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptCount {
    metric: String,
    /// As text: JSON's numbers may lose their last digit.
    value: String,
    unit: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sample: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dimensions: Vec<(String, String)>,
}

impl Entry {
    pub(super) fn new(record: String, effects: &Effects) -> Self {
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let kept = Kept {
            items: effects.items.clone(),
            objects: effects.objects.iter().map(KeptObject::of).collect(),
            notifications: effects
                .notifications
                .iter()
                .map(|message| KeptNotification {
                    subject: message.subject.clone(),
                    message: message.message.clone(),
                    attributes: message.attributes.iter().map(|(name, value)| owned(name, value)).collect(),
                })
                .collect(),
            counts: effects
                .counts
                .iter()
                .map(|count| KeptCount {
                    metric: count.metric.to_owned(),
                    value: count.value.to_string(),
                    unit: count.unit.name().to_owned(),
                    sample: count.aggregation == Aggregation::Samples,
                    dimensions: count.dimensions.iter().map(|(name, value)| owned(name, value)).collect(),
                })
                .collect(),
        };
        Self { record, kept }
    }

    /// The effects; `None` if another version has written them in a way that this one does not know.
    pub(super) fn effects(&self) -> Option<Effects> {
        let Kept { items, objects, notifications, counts } = &self.kept;
        let mut effects = Effects::new();
        effects.items.clone_from(items);
        for object in objects {
            effects.objects.push(object.object()?);
        }
        for KeptNotification { subject, message, attributes } in notifications {
            let attributes = attributes.iter().map(|(key, value)| (name(key), value.clone())).collect();
            let (subject, message) = (subject.clone(), message.clone());
            effects.notifications.push(Notification { subject, message, attributes });
        }
        for count in counts {
            effects.counts.push(count.count()?);
        }
        Some(effects)
    }
}

impl KeptObject {
    fn of(object: &Object) -> Self {
        Self {
            key: object.key.clone(),
            base64: STANDARD.encode(&object.body),
            content_type: object.content_type.to_owned(),
            keep: object.keep_existing,
        }
    }

    fn object(&self) -> Option<Object> {
        Some(Object {
            key: self.key.clone(),
            body: STANDARD.decode(&self.base64).ok()?,
            content_type: name(&self.content_type),
            keep_existing: self.keep,
        })
    }
}

impl KeptCount {
    fn count(&self) -> Option<Count> {
        let units = [Unit::Count, Unit::Milliseconds, Unit::Bytes, Unit::None];
        Some(Count {
            metric: name(&self.metric),
            value: self.value.parse().ok()?,
            unit: units.into_iter().find(|unit| unit.name() == self.unit)?,
            aggregation: if self.sample { Aggregation::Samples } else { Aggregation::Sum },
            dimensions: self.dimensions.iter().map(|(key, value)| (name(key), value.clone())).collect(),
        })
    }
}

/// The name as recipes write it in their code: the same few for as long as the process lives, so each is kept once.
fn name(text: &str) -> &'static str {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(known) = names.get(text) {
        return known;
    }
    let name: &'static str = Box::leak(text.to_owned().into_boxed_str());
    names.insert(name);
    name
}
