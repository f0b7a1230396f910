//! The keys of archived objects, which say what is in them.

use crate::records::order;

/// The prefix of all archived objects.
const PREFIX: &str = "archive/";
const HOUR_MS: i64 = 60 * 60 * 1000;

/// `archive/<source>/<year>/<month>/<day>/<hour>/<shard>/<first>-<last>-<records>-<checksum>.ndjson.gz`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectKey {
    pub(crate) key: String,
    /// Up to the hour, with a slash at its end.
    pub(crate) hour: String,
    /// The shard; the same for all changes of a table.
    pub(crate) shard: String,
    /// The sequence numbers of its first and last record.
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) records: usize,
}

impl ObjectKey {
    /// None for a key that no object of the recipe has.
    pub(crate) fn parse(key: &str) -> Option<Self> {
        let (folder, name) = key.rsplit_once('/')?;
        let (hour, shard) = folder.rsplit_once('/')?;
        let mut parts = name.strip_suffix(".ndjson.gz")?.split('-');
        let mut number =
            || parts.next().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        let (first, last, records) = (number()?, number()?, number()?);
        // Filled up with zeros in front.
        let first = first.trim_start_matches('0');
        let first = if first.is_empty() { "0" } else { first };
        if !key.starts_with(PREFIX) || parts.next().is_none() || parts.next().is_some() {
            return None;
        }
        Some(Self {
            key: key.to_owned(),
            hour: format!("{hour}/"),
            shard: shard.to_owned(),
            first: first.to_owned(),
            last: last.to_owned(),
            records: records.parse().ok()?,
        })
    }

    /// Whether a record of this shard and sequence number can be in the object.
    pub(crate) fn covers(&self, shard: &str, sequence_number: &str) -> bool {
        self.shard == shard
            && order(&self.first) <= order(sequence_number)
            && order(sequence_number) <= order(&self.last)
    }
}

/// The prefix of a source's objects.
pub(super) fn source_prefix(source: &str) -> String {
    format!("{PREFIX}{source}/")
}

/// The prefix of a source's objects of the hour with this time, in milliseconds since the epoch.
pub(crate) fn hour_prefix(source: &str, ms: i64) -> String {
    let hour = jiff::Timestamp::from_millisecond(ms.div_euclid(HOUR_MS) * HOUR_MS).unwrap_or_default();
    let hour = hour.to_zoned(jiff::tz::TimeZone::UTC);
    format!("{}{}/", source_prefix(source), hour.strftime("%Y/%m/%d/%H"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_is_in_the_object() {
        let key = "archive/events/2023/11/14/22/shardId-000000000001/00041-107-2-0a1b2c3d.ndjson.gz";
        let parsed = ObjectKey::parse(key).unwrap();
        assert_eq!(
            (parsed.hour.as_str(), parsed.shard.as_str()),
            ("archive/events/2023/11/14/22/", "shardId-000000000001")
        );
        assert_eq!((parsed.first.as_str(), parsed.last.as_str(), parsed.records), ("41", "107", 2));
        assert!(parsed.covers("shardId-000000000001", "41") && parsed.covers("shardId-000000000001", "107"));
        assert!(!parsed.covers("shardId-000000000001", "108") && !parsed.covers("shardId-000000000001", "7"));
        assert!(!parsed.covers("shardId-000000000002", "50"));
        assert_eq!(hour_prefix("events", 1_700_000_000_123), parsed.hour);
        for other in [
            "",
            "archive/x.ndjson.gz",
            "archive/e/2023/11/14/22/s/1-2-3.ndjson.gz",
            "audit-logs/2023/11/14/22/7-e.json",
        ] {
            assert_eq!(ObjectKey::parse(other), None, "{other}");
        }
    }

    /// The command line reads what the recipe writes.
    #[test]
    fn keys_of_the_recipe_are_read() {
        let record = streamkit_recipes::ReceivedRecord {
            source_arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/events",
            shard_id: "shardId-000000000000",
            sequence_number: "49590338271490256608559692538361571095921575989136588898",
            arrival_ms: 1_700_000_000_123,
            json: "{}",
        };
        let archive = streamkit_recipes::find("archive").unwrap();
        let parts = archive.batched().unwrap().process(&[record], "b");
        let key = ObjectKey::parse(&parts[0].effects.objects[0].key).unwrap();
        assert_eq!(key.hour, hour_prefix("events", record.arrival_ms));
        assert_eq!((key.first.as_str(), key.last.as_str()), (record.sequence_number, record.sequence_number));
    }
}
