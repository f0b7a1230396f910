//! The audit objects of the recipe `changes`: found by their hours, and read.

use anyhow::Context as _;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use streamkit_recipes::{ChangeKind, Item};

use crate::aws::{Clients, answered};
use crate::failure::Hint;
use crate::records::order;

/// The prefix of all audit objects.
const PREFIX: &str = "audit-logs/";
const HOUR_MS: i64 = 60 * 60 * 1000;
/// How many objects are read at once. S3 takes some ten milliseconds for each.
pub(super) const READS: usize = 128;

/// A bucket with audit objects.
#[derive(Clone)]
pub(super) struct AuditLog {
    aws: Clients,
    bucket: String,
}

/// One audit object.
pub(super) struct AuditObject {
    pub(super) key: String,
    pub(super) body: String,
    pub(super) change: AuditedChange,
}

/// One change, as its object has it.
#[derive(Debug)]
pub(super) struct AuditedChange {
    pub(super) kind: ChangeKind,
    pub(super) table: String,
    pub(super) view: String,
    pub(super) changed_ms: i64,
    pub(super) keys: Item,
    pub(super) old: Option<Item>,
    pub(super) new: Option<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    event_name: String,
    table: String,
    stream_view_type: String,
    changed_at: String,
    keys: Item,
    old_image: Option<Item>,
    new_image: Option<Item>,
}

impl AuditLog {
    pub(super) fn new(aws: &Clients, bucket: &str) -> Self {
        Self { aws: aws.clone(), bucket: bucket.to_owned() }
    }

    /// Reads the objects of all hours that have a part in `[since_ms, until_ms)`, in any order. One that is gone since it was
    /// listed is left out.
    pub(super) fn read(
        &self,
        since_ms: Option<i64>,
        until_ms: Option<i64>,
    ) -> impl Stream<Item = anyhow::Result<AuditObject>> + Unpin + use<> {
        let log = self.clone();
        let read = move |key: String| {
            let log = log.clone();
            // A task of its own, since decoding what AWS answers is what takes the time.
            let reading = tokio::spawn(async move {
                let Some(body) = log.body(&key).await? else { return Ok(None) };
                let change = log.decoded(&key, &body)?;
                anyhow::Ok(Some(AuditObject { key, body, change }))
            });
            async move { reading.await? }
        };
        let objects = self.keys(since_ms, until_ms).map_ok(read).try_buffer_unordered(READS);
        objects.try_filter_map(async |object| Ok(object)).boxed()
    }

    /// Reads the change of one object again, if it is still there.
    pub(super) async fn change(&self, key: &str) -> anyhow::Result<Option<AuditedChange>> {
        self.body(key).await?.map(|body| self.decoded(key, &body)).transpose()
    }

    /// Lists the keys of the objects. The next page is asked for while those of the last one are used.
    fn keys(&self, since_ms: Option<i64>, until_ms: Option<i64>) -> impl Stream<Item = anyhow::Result<String>> + use<> {
        // The time of a change is rounded to seconds.
        let from = since_ms.map_or_else(|| PREFIX.to_owned(), hour_prefix);
        let last = until_ms.map(hour_prefix);
        let log = self.clone();
        let pages = stream::try_unfold(Some(None), move |page: Option<Option<String>>| {
            let (log, from, last) = (log.clone(), from.clone(), last.clone());
            async move {
                let Some(token) = page else { return Ok(None) };
                let call = log.aws.s3.list_objects_v2().bucket(&log.bucket).expected_bucket_owner(&log.aws.account);
                let call = call.prefix(PREFIX).start_after(from).set_continuation_token(token);
                let what = || format!("listing the audit objects of S3 bucket ({})", log.bucket);
                let answer = answered(call.send().await).with_context(what)?;
                let is_late = |key: &String| last.as_ref().is_some_and(|last| key > last && !key.starts_with(last));
                let mut next = answer.next_continuation_token.map(Some);
                let mut keys = Vec::new();
                for key in answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
                    if is_late(&key) {
                        next = None;
                        break;
                    }
                    if sequence_number(&key).is_some() {
                        keys.push(Ok(key));
                    }
                }
                anyhow::Ok(Some((stream::iter(keys), next)))
            }
        });
        pages.try_flatten()
    }

    async fn body(&self, key: &str) -> anyhow::Result<Option<String>> {
        let what = || format!("reading the audit object {key} of S3 bucket ({})", self.bucket);
        let call = self.aws.s3.get_object().bucket(&self.bucket).expected_bucket_owner(&self.aws.account).key(key);
        let object = match answered(call.send().await) {
            Err(error) if error.is(&["NoSuchKey"]) => return Ok(None),
            answer => answer.with_context(what)?,
        };
        let body = object.body.collect().await.with_context(what)?.to_vec();
        String::from_utf8(body).with_context(what).map(Some)
    }

    /// The change of an object with this body.
    pub(super) fn decoded(&self, key: &str, body: &str) -> anyhow::Result<AuditedChange> {
        let what = || format!("reading the audit object {key} of S3 bucket ({})", self.bucket);
        change(body.as_bytes()).with_context(what)
    }
}

fn change(body: &[u8]) -> anyhow::Result<AuditedChange> {
    let Body { event_name, table, stream_view_type: view, changed_at, keys, old_image: old, new_image: new } =
        serde_json::from_slice(body).context("it is none that the recipe `changes` writes")?;
    let kind = ChangeKind::from_name(&event_name).with_context(|| format!("it is of a change `{event_name}`"))?;
    let changed: jiff::Timestamp = changed_at.parse().context("it has no time")?;
    Ok(AuditedChange { kind, table, view, changed_ms: changed.as_millisecond(), keys, old, new })
}

impl AuditedChange {
    /// # Errors
    /// The object does not say what the item was after the change.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.kind == ChangeKind::Remove || self.new.is_some() {
            return Ok(());
        }
        Err(Hint::error(
            format!(
                "the audit objects of table {} don't hold items as they were after a change: its stream was {}",
                self.table, self.view
            ),
            "write stream = \"new-and-old-images\" for the table: what changes from then on can be restored; take an earlier or \
             later time with --since",
        ))
    }
}

/// `audit-logs/<year>/<month>/<day>/<hour>/<sequence number>-<event id>.json`
pub(super) fn sequence_number(key: &str) -> Option<&str> {
    let (number, _) = key.strip_prefix(PREFIX)?.strip_suffix(".json")?.rsplit_once('/')?.1.split_once('-')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

/// What orders objects: of two changes of one item the later has the higher number.
pub(super) fn place(key: &str) -> ((usize, &str), &str) {
    (order(sequence_number(key).unwrap_or_default()), key)
}

fn hour_prefix(ms: i64) -> String {
    let hour = jiff::Timestamp::from_millisecond(ms.div_euclid(HOUR_MS) * HOUR_MS).unwrap_or_default();
    format!("{PREFIX}{}/", hour.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y/%m/%d/%H"))
}

/// An object of a change that is read from a text of so many bytes.
#[cfg(test)]
pub(super) fn object(bytes: usize) -> AuditObject {
    let change = AuditedChange {
        kind: ChangeKind::Remove,
        table: "t".to_owned(),
        view: "NEW_AND_OLD_IMAGES".to_owned(),
        changed_ms: 0,
        keys: Item::default(),
        old: None,
        new: None,
    };
    AuditObject { key: "audit-logs/2026/01/02/03/7-e.json".to_owned(), body: " ".repeat(bytes), change }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_sequence_numbers_and_hours() {
        let key = "audit-logs/2023/11/14/22/4421584500000000017450439091-c4ca4238a0b923820dcc509a6f75849b.json";
        assert_eq!(sequence_number(key), Some("4421584500000000017450439091"));
        assert_eq!(hour_prefix(1_700_000_000_123), "audit-logs/2023/11/14/22/");
        for other in ["audit-logs/x.json", "audit-logs/2023/11/14/22/x-y.json", "archive/2023/11/14/22/7-e.json", ""] {
            assert_eq!(sequence_number(other), None, "{other}");
        }
        assert!(place("audit-logs/2023/11/14/22/100-e.json") > place("audit-logs/2023/11/14/22/99-f.json"));
    }

    #[test]
    fn objects_without_the_item_after_the_change_are_refused() {
        let read = |name: &str, more: &str| {
            let json = format!(
                r#"{{"eventId":"e","eventName":"{name}","sequenceNumber":"7","table":"t","awsRegion":"eu-west-1",
                "changedAt":"2026-01-02T03:04:05.000Z","streamViewType":"KEYS_ONLY","keys":{{"id":{{"S":"x"}}}}{more}}}"#
            );
            change(json.as_bytes())
        };
        let error = read("INSERT", "").unwrap().check().unwrap_err().to_string();
        assert!(error.contains("its stream was KEYS_ONLY"), "{error}");
        assert!(read("REMOVE", "").unwrap().check().is_ok());
        let whole = read("MODIFY", r#","newImage":{"id":{"S":"x"}}"#).unwrap();
        assert!(whole.check().is_ok());
        assert_eq!((whole.changed_ms, whole.keys.len()), (1_767_323_045_000, 1));
        assert!(read("UPSERT", "").is_err() && change(b"{}").is_err());
    }
}
