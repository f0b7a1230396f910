//! A stream's shards, with their parents: `ListShards` of Kinesis, `DescribeStream` of DynamoDB Streams.

use std::collections::BTreeSet;

use super::record::source_arn;
use crate::aws::{Arn, AwsError, Clients, all_pages, answered};

/// What records are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The ARN of a Kinesis stream, or of a table's stream.
    pub(crate) arn: String,
}

impl Source {
    /// The stream of this ARN, or that which the consumer of this ARN reads.
    pub(crate) fn new(arn: &str) -> Self {
        Self { arn: source_arn(arn).to_owned() }
    }

    pub(crate) fn is_table(&self) -> bool {
        self.arn.contains(":dynamodb:")
    }

    /// The name of the stream or table.
    pub(crate) fn name(&self) -> String {
        let resource = Arn::parse(&self.arn).map_or_else(|| self.arn.clone(), |arn| arn.resource);
        resource.split('/').nth(1).unwrap_or(&resource).to_owned()
    }
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) id: String,
    /// Those of which it has the keys since a reshard, as far as the stream still has them.
    pub(crate) parents: Vec<String>,
    /// The sequence number from which on it has records.
    pub(crate) first: Option<String>,
    /// The last one of a closed shard.
    pub(crate) last: Option<String>,
}

impl Source {
    /// All shards, closed ones too for as long as they have records.
    pub(crate) async fn shards(&self, aws: &Clients) -> Result<Vec<Shard>, AwsError> {
        let mut shards = if self.is_table() { self.of_table(aws).await? } else { self.of_stream(aws).await? };
        let known: BTreeSet<String> = shards.iter().map(|shard| shard.id.clone()).collect();
        for shard in &mut shards {
            shard.parents.retain(|parent| known.contains(parent));
        }
        Ok(shards)
    }

    async fn of_stream(&self, aws: &Clients) -> Result<Vec<Shard>, AwsError> {
        let found = all_pages(async |token: Option<String>| {
            let call = aws.kinesis.list_shards();
            // A token stands for the stream too, and is refused beside its name.
            let call = match token {
                Some(token) => call.next_token(token),
                None => call.stream_name(self.name()),
            };
            let answer = answered(call.send().await)?;
            Ok((answer.shards.unwrap_or_default(), answer.next_token))
        });
        let shards = found.await?.into_iter().map(|shard| {
            let range = shard.sequence_number_range;
            Shard {
                id: shard.shard_id,
                parents: shard.parent_shard_id.into_iter().chain(shard.adjacent_parent_shard_id).collect(),
                first: range.as_ref().map(|range| range.starting_sequence_number.clone()),
                last: range.and_then(|range| range.ending_sequence_number),
            }
        });
        Ok(shards.collect())
    }

    async fn of_table(&self, aws: &Clients) -> Result<Vec<Shard>, AwsError> {
        let found = all_pages(async |after: Option<String>| {
            let call = aws.dynamodbstreams.describe_stream().stream_arn(&self.arn).set_exclusive_start_shard_id(after);
            let stream = answered(call.send().await)?.stream_description;
            let (shards, next) =
                stream.map(|stream| (stream.shards, stream.last_evaluated_shard_id)).unwrap_or_default();
            Ok((shards.unwrap_or_default(), next))
        });
        let shards = found.await?.into_iter().filter_map(|shard| {
            let range = shard.sequence_number_range;
            Some(Shard {
                id: shard.shard_id?,
                parents: shard.parent_shard_id.into_iter().collect(),
                first: range.as_ref().and_then(|range| range.starting_sequence_number.clone()),
                last: range.and_then(|range| range.ending_sequence_number),
            })
        });
        Ok(shards.collect())
    }
}

/// The shards in groups: each after the groups that have its parents. The shards of one group have no key in common.
pub(crate) fn parents_first(mut shards: Vec<Shard>) -> Vec<Vec<Shard>> {
    let mut groups = Vec::new();
    while !shards.is_empty() {
        let open: BTreeSet<String> = shards.iter().map(|shard| shard.id.clone()).collect();
        let waits = |shard: &Shard| shard.parents.iter().any(|parent| open.contains(parent));
        let (later, now): (Vec<_>, Vec<_>) = shards.into_iter().partition(waits);
        // Shards that are each other's parents are none of AWS's.
        if now.is_empty() {
            groups.push(later);
            break;
        }
        groups.push(now);
        shards = later;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> Shard {
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        Shard { id: id.to_owned(), parents, first: None, last: None }
    }

    #[test]
    fn sources_have_the_name_of_their_stream_or_table() {
        let name = |arn: &str| Source::new(arn).name();
        assert_eq!(name("arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:1"), "s");
        assert_eq!(name("arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"), "t");
    }

    #[test]
    fn children_come_after_all_of_their_parents() {
        let shards =
            vec![shard("d", &["c"]), shard("c", &["a", "b"]), shard("a", &[]), shard("b", &[]), shard("e", &[])];
        let groups = parents_first(shards);
        let ids: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(|shard| shard.id.as_str()).collect()).collect();
        assert_eq!(ids, [vec!["a", "b", "e"], vec!["c"], vec!["d"]]);
        assert_eq!(parents_first(vec![shard("x", &["y"]), shard("y", &["x"])]).len(), 1);
    }
}
