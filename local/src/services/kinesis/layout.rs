//! What puts and reads need of a stream, kept until an operation changes it: the engine copies a stream for each look.

use std::collections::HashMap;
use std::sync::Arc;

use ferrokinesis::sequence::parse_sequence;
use ferrokinesis::store::Store;
use ferrokinesis::types::{Stream, StreamStatus};
use parking_lot::RwLock;
use streamkit_wire::CallError;

use super::lineage::is_closed;
use super::service::failed;

/// An open shard, as puts see it.
pub(super) struct OpenShard {
    pub(super) id: Arc<str>,
    /// Its place among all shards of the stream, closed ones included.
    pub(super) index: i64,
    pub(super) made_ms: u64,
    first_hash: u128,
    last_hash: u128,
}

/// A stream.
pub(super) struct Layout {
    pub(super) stream: Stream,
    /// In the order of their hash keys.
    pub(super) open: Vec<OpenShard>,
}

impl Layout {
    fn new(stream: Stream) -> Self {
        let shards = stream.shards.iter().zip(0_i64..).filter(|(shard, _)| !is_closed(shard));
        let mut open: Vec<OpenShard> = shards
            .map(|(shard, index)| OpenShard {
                id: shard.shard_id.as_str().into(),
                index,
                made_ms: parse_sequence(&shard.sequence_number_range.starting_sequence_number)
                    .map_or(0, |number| number.shard_create_time),
                first_hash: shard.hash_key_range.start_u128(),
                last_hash: shard.hash_key_range.end_u128(),
            })
            .collect();
        open.sort_by_key(|shard| shard.first_hash);
        Self { stream, open }
    }

    /// The place among the open shards of the one that a hash key belongs to.
    pub(super) fn place_of(&self, hash: u128) -> Option<usize> {
        let place = self.open.partition_point(|shard| shard.first_hash <= hash).checked_sub(1)?;
        (hash <= self.open[place].last_hash).then_some(place)
    }

    /// Whether records may be put.
    pub(super) fn takes_records(&self) -> bool {
        matches!(self.stream.stream_status, StreamStatus::Active | StreamStatus::Updating)
    }
}

/// The layouts of all streams that are ACTIVE and not about to change.
#[derive(Default)]
pub(super) struct Layouts(RwLock<Known>);

#[derive(Default)]
struct Known {
    streams: HashMap<String, Arc<Layout>>,
    /// Operations under way that may change a stream.
    changing: usize,
    /// Grows with each of them.
    changes: u64,
}

impl Layouts {
    /// The stream of this name, as it is now.
    pub(super) async fn of(&self, store: &Store, name: &str) -> Result<Arc<Layout>, CallError> {
        let changes = {
            let known = self.0.read();
            if let Some(layout) = known.streams.get(name) {
                return Ok(Arc::clone(layout));
            }
            known.changes
        };
        let layout = Arc::new(Layout::new(store.get_stream(name).await.map_err(failed)?));
        let mut known = self.0.write();
        // The engine finishes changes in tasks of its own; until then the stream is not ACTIVE.
        let steady = layout.stream.stream_status == StreamStatus::Active;
        if steady && known.changing == 0 && known.changes == changes {
            known.streams.insert(name.to_owned(), Arc::clone(&layout));
        }
        Ok(layout)
    }

    /// Forgets all layouts, now and when the guard is dropped; between, nothing is kept.
    pub(super) fn change(&self) -> Change<'_> {
        self.0.write().begin();
        Change(self)
    }
}

impl Known {
    fn begin(&mut self) {
        self.streams.clear();
        self.changing += 1;
        self.changes += 1;
    }

    fn end(&mut self) {
        self.streams.clear();
        self.changing -= 1;
        self.changes += 1;
    }
}

/// An operation under way that may change a stream.
pub(super) struct Change<'a>(&'a Layouts);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.0.write().end();
    }
}

#[cfg(test)]
impl Layout {
    /// A stream with one shard, which takes all keys.
    pub(super) fn with_one_shard(id: &str) -> Self {
        let shard = serde_json::json!({
            "ShardId": id,
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string()},
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        });
        let shard = serde_json::from_value(shard).unwrap();
        let (active, made) = (StreamStatus::Active, ferrokinesis::types::EpochSeconds(0.0));
        Self::new(
            ferrokinesis::types::StreamBuilder::new("s".to_owned(), "arn".to_owned(), active, made, vec![shard])
                .build(),
        )
    }
}
