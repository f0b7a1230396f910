//! Global tables, version 2019.11.21: tables of several regions with the same items.
//!
//! See <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GlobalTables.html>.

mod changes;
mod delivery;
mod group;
mod replication;

pub(crate) use replication::{OtherRegions, Replication};

pub(super) use group::Write;
