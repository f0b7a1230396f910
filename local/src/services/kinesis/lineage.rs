//! Which shards were made of which. The engine says it of shards that were split or merged, not of those that
//! `UpdateShardCount` made; consumers go from parent to child by it.

use ferrokinesis::types::Shard;
use serde_json::{Value, json};

/// The shards that were closed to make this one: at most two are named.
pub(super) fn parents(all: &[Shard], of: &Shard) -> Vec<String> {
    let named: Vec<String> =
        [&of.parent_shard_id, &of.adjacent_parent_shard_id].into_iter().flatten().cloned().collect();
    if !named.is_empty() {
        return named;
    }
    let mut parents: Vec<&Shard> = Vec::new();
    // Identifiers grow with time: the youngest come first, and hide those that they were made of.
    for other in all.iter().rev().filter(|other| other.shard_id < of.shard_id && is_closed(other)) {
        if overlap(other, of) && !parents.iter().any(|parent| overlap(parent, other)) {
            parents.push(other);
        }
    }
    parents.into_iter().rev().take(2).map(|parent| parent.shard_id.clone()).collect()
}

/// The shards that go on where a closed one ended, as `GetRecords` and `SubscribeToShard` name them.
pub(super) fn children(all: &[Shard], of: &Shard) -> Value {
    all.iter()
        .filter_map(|shard| {
            let parents = parents(all, shard);
            parents.contains(&of.shard_id).then(
                || json!({"ShardId": shard.shard_id, "ParentShards": parents, "HashKeyRange": shard.hash_key_range}),
            )
        })
        .collect()
}

/// Names the parents of shards in an answer.
pub(super) fn complete(all: &[Shard], listed: &mut Value) {
    for shown in listed.as_array_mut().into_iter().flatten() {
        let Some(shard) = all.iter().find(|shard| shown["ShardId"] == shard.shard_id.as_str()) else { continue };
        for (member, parent) in ["ParentShardId", "AdjacentParentShardId"].iter().zip(parents(all, shard)) {
            shown[*member] = json!(parent);
        }
    }
}

pub(super) fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range.ending_sequence_number.is_some()
}

fn overlap(one: &Shard, other: &Shard) -> bool {
    let range = |shard: &Shard| {
        let number = |text: &str| text.parse::<u128>().unwrap_or_default();
        (number(&shard.hash_key_range.starting_hash_key), number(&shard.hash_key_range.ending_hash_key))
    };
    let (one, other) = (range(one), range(other));
    one.0 <= other.1 && other.0 <= one.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, first: u32, last: u32, closed: bool) -> Shard {
        let mut shard = json!({
            "ShardId": id,
            "HashKeyRange": {"StartingHashKey": first.to_string(), "EndingHashKey": last.to_string()},
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        });
        if closed {
            shard["SequenceNumberRange"]["EndingSequenceNumber"] = json!("2");
        }
        serde_json::from_value(shard).unwrap()
    }

    #[test]
    fn shards_follow_the_youngest_whose_keys_they_took_over() {
        let all = [
            shard("0", 0, 99, true),
            shard("1", 0, 49, true),
            shard("2", 50, 99, true),
            shard("3", 0, 99, true),
            shard("4", 0, 29, false),
            shard("5", 30, 99, false),
        ];
        let parents: Vec<Vec<String>> = all.iter().map(|shard| parents(&all, shard)).collect();
        assert_eq!(parents, [vec![], vec!["0"], vec!["0"], vec!["1", "2"], vec!["3"], vec!["3"]]);
        let children = children(&all, &all[2]);
        assert_eq!((&children[0]["ShardId"], &children[0]["ParentShards"]), (&json!("3"), &json!(["1", "2"])));
        let mut listed = json!([{"ShardId": "3"}, {"ShardId": "0"}]);
        complete(&all, &mut listed);
        let three = json!({"ShardId": "3", "ParentShardId": "1", "AdjacentParentShardId": "2"});
        assert_eq!(listed, json!([three, {"ShardId": "0"}]));
    }
}
