//! Records of streams and tables as they lie in their shards: read again, with the identity that Lambda gives them.

mod attribute;
mod reader;
mod record;
mod sequence;
mod shards;

pub(crate) use reader::{ShardReader, Start};
pub(crate) use record::{Content, SourceRecord, source_arn};
pub(crate) use sequence::order;
pub(crate) use shards::{Shard, Source, parents_first};
