//! What the recipe `archive` has stored: objects of a bucket, found by source and hour, and read in the order of the stream.

mod key;
mod object;
mod reader;

pub(crate) use key::{ObjectKey, hour_prefix};
pub(crate) use object::lines;
pub(crate) use reader::ArchiveReader;
