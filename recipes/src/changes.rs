//! The change capture recipe: each change of a table's item becomes an audit object, which is never overwritten, and a
//! notification.
//!
//! A change is reported as far as the stream includes it: images that its view type leaves out are named, never guessed.

mod traffic;

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, de};

use crate::json::{push_item, push_list, push_text};
use crate::time::iso_8601;
use crate::{
    Attribute, Change, ChangeKind, Count, Effects, Images, Item, Needs, Notification, NotifiedChange, Object, Recipe,
    Record, Rejected, Sampled, Samples, SourceKind, TableKey, TableSamples, Write, Writer,
};

/// The key prefix of all audit objects.
const PREFIX: &str = "audit-logs/";

/// SNS takes 256 KB, everything included; a notification that would be longer leaves out the images, which the audit
/// object has.
const MESSAGE_MAX_BYTES: usize = 128 * 1024;

/// The names of changed attributes are cut to this length in a notification that would be too long.
const NAMES_MAX_BYTES: usize = 64 * 1024;

/// SNS's limit for a subject.
const SUBJECT_MAX_CHARS: usize = 100;

/// The attributes that a global table of version 2017.11.29 adds to items have names that begin so.
const REPLICATION: &str = "aws:rep:";

/// Holds the region of an item's last write, in such a table.
const UPDATE_REGION: &str = "aws:rep:updateregion";

/// The recipe; it has no state.
#[derive(Debug)]
pub(crate) struct Changes;

impl Recipe for Changes {
    fn name(&self) -> &'static str {
        "changes"
    }

    fn about(&self) -> &'static str {
        "Audits and announces every change of a table (DynamoDB to S3 and SNS)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Table
    }

    fn needs(&self) -> Needs {
        Needs {
            bucket: Some(PREFIX),
            topic: true,
            uses_images: Images::BOTH,
            image_use: "to tell which attributes a change touches",
            ..Needs::default()
        }
    }

    fn namespace(&self) -> &'static str {
        "ChangeCapture"
    }

    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("Changes", &["EventName"]), ("Expiries", &[]), ("ReplicatedChanges", &[])]
    }

    fn process(&self, record: &Record<'_>, _now_ms: i64) -> Result<Effects, Rejected> {
        let change = record.change()?;
        check_images(change)?;
        let audit = Audit::of(change)?;
        let key = object_key(change, &audit.changed_at);
        let (body, origin) = (audit.to_json(), audit.origin);
        let notification = notification(change, audit, &body, &key);
        let mut effects = Effects::new()
            .object(Object { key, body: body.into_bytes(), content_type: "application/json", keep_existing: false })
            .notification(notification)
            .count(Count::one("Changes").of("EventName", change.kind.name()));
        if change.is_expiry() {
            effects = effects.count(Count::one("Expiries"));
        }
        if origin == Origin::Replicated {
            effects = effects.count(Count::one("ReplicatedChanges"));
        }
        Ok(effects)
    }
}

/// The audit object of a change.
struct Audit<'a> {
    event_id: &'a str,
    event_name: &'static str,
    sequence_number: &'a str,
    table: &'a str,
    aws_region: &'a str,
    changed_at: String,
    stream_view_type: &'static str,
    size_bytes: u64,
    origin: Origin,
    /// Only for a delete.
    deleted_by: Option<&'static str>,
    keys: &'a Item,
    old_image: Option<&'a Item>,
    new_image: Option<&'a Item>,
    /// Images that the change has, and the stream does not carry.
    not_carried: Vec<&'static str>,
    /// `None` (null) if that takes an image that the stream does not carry.
    changed_attributes: Option<Vec<&'a str>>,
}

/// Where a change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// In the stream's own region.
    Local,
    /// In another region; a global table brought it here.
    Replicated,
    /// The item does not say: the table is no global one, or is one of version 2019.11.21, or the view type carries no
    /// image.
    Unmarked,
}

impl Origin {
    fn of(change: &Change<'_>) -> Self {
        let marked = [change.new, change.old].into_iter().flatten().find_map(|image| image.get(UPDATE_REGION));
        match marked {
            Some(Attribute::S(region)) if region == change.region => Self::Local,
            Some(Attribute::S(_)) => Self::Replicated,
            _ => Self::Unmarked,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Replicated => "replicated",
            Self::Unmarked => "unmarked",
        }
    }
}

/// The images that a change of this kind has.
fn images(kind: ChangeKind) -> Images {
    Images { old: kind != ChangeKind::Insert, new: kind != ChangeKind::Remove }
}

/// What the view type carries and the change has must be there.
fn check_images(change: &Change<'_>) -> Result<(), Rejected> {
    let (has, carried) = (images(change.kind), change.view.images());
    let missing =
        |name: &str| Rejected::new("missing_field", format!("{name}: missing from a {} stream", change.view.name()));
    if has.old && carried.old && change.old.is_none() {
        return Err(missing("OldImage"));
    }
    if has.new && carried.new && change.new.is_none() {
        return Err(missing("NewImage"));
    }
    if change.keys.is_empty() {
        return Err(Rejected::new("missing_field", "Keys: missing"));
    }
    Ok(())
}

impl<'a> Audit<'a> {
    fn of(change: &Change<'a>) -> Result<Self, Rejected> {
        let changed_at = iso_8601(change.created_ms);
        let changed_at =
            changed_at.ok_or_else(|| Rejected::new("out_of_range", "ApproximateCreationDateTime: no such time"))?;
        let (has, carried) = (images(change.kind), change.view.images());
        let lacking = [("oldImage", has.old && !carried.old), ("newImage", has.new && !carried.new)];
        Ok(Self {
            event_id: change.event_id,
            event_name: change.kind.name(),
            sequence_number: change.sequence_number,
            table: change.table,
            aws_region: change.region,
            changed_at,
            stream_view_type: change.view.name(),
            size_bytes: change.size_bytes,
            origin: Origin::of(change),
            deleted_by: (change.kind == ChangeKind::Remove).then(|| if change.is_expiry() { "ttl" } else { "user" }),
            keys: change.keys,
            old_image: change.old,
            new_image: change.new,
            not_carried: lacking.into_iter().filter(|(_, lacks)| *lacks).map(|(name, _)| name).collect(),
            changed_attributes: changed_attributes(change),
        })
    }
}

impl Audit<'_> {
    fn to_json(&self) -> String {
        let texts = [
            ("{\"eventId\":", self.event_id),
            (",\"eventName\":", self.event_name),
            (",\"sequenceNumber\":", self.sequence_number),
            (",\"table\":", self.table),
            (",\"awsRegion\":", self.aws_region),
            (",\"changedAt\":", &self.changed_at),
            (",\"streamViewType\":", self.stream_view_type),
        ];
        // Most changes are about as long: the text need not grow.
        let mut json = String::with_capacity(1024);
        for (name, text) in texts {
            json.push_str(name);
            push_text(&mut json, text);
        }
        json.push_str(",\"sizeBytes\":");
        json.push_str(&self.size_bytes.to_string());
        json.push_str(",\"origin\":");
        push_text(&mut json, self.origin.name());
        if let Some(by) = self.deleted_by {
            json.push_str(",\"deletedBy\":");
            push_text(&mut json, by);
        }
        json.push_str(",\"keys\":");
        push_item(&mut json, self.keys);
        for (name, image) in [(",\"oldImage\":", self.old_image), (",\"newImage\":", self.new_image)] {
            if let Some(image) = image {
                json.push_str(name);
                push_item(&mut json, image);
            }
        }
        json.push_str(",\"notCarried\":");
        push_list(&mut json, &self.not_carried, |json, name| push_text(json, name));
        json.push_str(",\"changedAttributes\":");
        match &self.changed_attributes {
            None => json.push_str("null"),
            Some(names) => push_list(&mut json, names, |json, name| push_text(json, name)),
        }
        json.push('}');
        json
    }
}

/// The names of attributes that differ, without those of the key and of replication; none known if it takes an image
/// that the stream does not carry.
fn changed_attributes<'a>(change: &Change<'a>) -> Option<Vec<&'a str>> {
    if !images(change.kind).are_in(change.view.images()) {
        return None;
    }
    let attributes = |image: Option<&'a Item>| image.into_iter().flat_map(Item::iter).peekable();
    let (mut old, mut new) = (attributes(change.old), attributes(change.new));
    // Both are in the order of their names.
    let mut changed = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Some(changed),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        // A new item differs in its key too.
        let was = if order.is_le() { old.next() } else { None };
        let is = if order.is_ge() { new.next() } else { None };
        if was != is
            && let Some((name, _)) = was.or(is)
            && !name.starts_with(REPLICATION)
        {
            changed.push(name);
        }
    }
}

/// The object's key: the hour of the change, and its identity. A change that is delivered again gets the same key, and no
/// two changes share one.
fn object_key(change: &Change<'_>, changed_at: &str) -> String {
    // Years, months, days and hours of `2026-01-02T03:04:05.678Z`.
    let hour = changed_at.get(..13).unwrap_or(changed_at).replace(['-', 'T'], "/");
    [PREFIX, &hour, "/", change.sequence_number, "-", change.event_id, ".json"].concat()
}

/// The body of a notification, but for the change itself.
struct MessageHead<'a> {
    message: String,
    /// The key of the audit object.
    audit_object: &'a str,
    /// Whether the images, which the audit object has, are left out here.
    images_omitted: bool,
    /// How many names of changed attributes are left out here.
    attributes_omitted: usize,
}

impl MessageHead<'_> {
    /// The whole body, with the change as its last field: JSON that is there already.
    fn with(&self, change: &str) -> String {
        let mut json = String::with_capacity(change.len() + 512);
        json.push_str("{\"message\":");
        push_text(&mut json, &self.message);
        json.push_str(",\"auditObject\":");
        push_text(&mut json, self.audit_object);
        json.push_str(",\"imagesOmitted\":");
        json.push_str(if self.images_omitted { "true" } else { "false" });
        json.push_str(",\"attributesOmitted\":");
        json.push_str(&self.attributes_omitted.to_string());
        json.push_str(",\"change\":");
        json.push_str(change);
        json.push('}');
        json
    }
}

/// `audit` as JSON is `audit_json`.
fn notification(change: &Change<'_>, mut audit: Audit<'_>, audit_json: &str, object_key: &str) -> Notification {
    let done = match (change.kind, audit.deleted_by) {
        (ChangeKind::Insert, _) => "was created",
        (ChangeKind::Modify, _) => "was changed",
        (ChangeKind::Remove, Some("ttl")) => "expired",
        (ChangeKind::Remove, _) => "was deleted",
    };
    let mut head = MessageHead {
        message: format!("The item {} of table {} {done}", described(change.keys), change.table),
        audit_object: object_key,
        images_omitted: false,
        attributes_omitted: 0,
    };
    let mut message = head.with(audit_json);
    if message.len() > MESSAGE_MAX_BYTES {
        head.images_omitted = true;
        audit.old_image = None;
        audit.new_image = None;
        if let Some(names) = &mut audit.changed_attributes {
            let mut bytes = 0;
            let fitting = names.iter().take_while(|name| {
                bytes += name.len();
                bytes <= NAMES_MAX_BYTES
            });
            let fitting = fitting.count();
            head.attributes_omitted = names.len() - fitting;
            names.truncate(fitting);
        }
        message = head.with(&audit.to_json());
    }
    let attributes = [
        ("deletedBy", audit.deleted_by.unwrap_or_default()),
        ("eventId", change.event_id),
        ("eventName", change.kind.name()),
        ("origin", audit.origin.name()),
        ("sequenceNumber", change.sequence_number),
        ("table", change.table),
    ];
    // Subscribers filter by attributes; one that is not there never matches, and an empty one is refused.
    let attributes = attributes.into_iter().filter(|(_, value)| !value.is_empty());
    let mut subject = [change.kind.name(), " in ", change.table].concat();
    if let Some((end, _)) = subject.char_indices().nth(SUBJECT_MAX_CHARS) {
        subject.truncate(end);
    }
    Notification { subject, message, attributes: attributes.map(|(name, value)| (name, value.to_owned())).collect() }
}

/// A key as text, such as `UserId=user-0001, ActivityId=activity-7`.
fn described(keys: &Item) -> String {
    let mut text = String::new();
    for (name, value) in keys.iter() {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        match value {
            Attribute::S(value) | Attribute::N(value) => text.push_str(value),
            other => text.push_str(&serde_json::to_string(other).expect("a value always serializes")),
        }
    }
    text
}

/// An body as a subscriber reads it.
#[derive(Deserialize)]
struct PublishedMessage {
    change: PublishedChange,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublishedChange {
    event_id: String,
    event_name: String,
    sequence_number: String,
    #[serde(deserialize_with = "timestamp")]
    changed_at: jiff::Timestamp,
    size_bytes: u64,
    keys: Item,
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::Timestamp, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

impl Sampled for Changes {
    fn samples(&self) -> Samples<'_> {
        Samples::Table(self)
    }
}

impl TableSamples for Changes {
    fn writer(&self, seed: u64, key: &TableKey) -> Box<dyn Writer + Send> {
        Box::new(traffic::Traffic::new(seed, key.clone()))
    }

    fn marked(&self, run: &str, now_ms: i64, key: &TableKey) -> Vec<Vec<Write>> {
        traffic::marked(run, now_ms, key)
    }

    fn canary(&self, run: &str, n: usize, now_ms: i64, key: &TableKey) -> Write {
        traffic::canary(run, n, now_ms, key)
    }

    fn notified_change(&self, message: &str) -> Option<NotifiedChange> {
        let PublishedMessage { change } = serde_json::from_str(message).ok()?;
        let PublishedChange { event_id, event_name, sequence_number, changed_at, size_bytes, keys } = change;
        let (kind, created_ms) = (ChangeKind::from_name(&event_name)?, changed_at.as_millisecond());
        Some(NotifiedChange { event_id, kind, sequence_number, created_ms, size_bytes, keys })
    }
}

#[cfg(test)]
mod tests;
