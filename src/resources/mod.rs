//! The AWS nouns that a pipeline is made of, one file each, and the trait that they share.

mod alarm;
mod bucket;
mod consumer;
mod dashboard;
mod function;
mod leftover;
mod log_group;
mod mapping;
mod queue;
mod resource;
mod role;
mod stream;
mod table;
mod topic;

pub(crate) use alarm::{Alarm, AlarmMetric};
pub(crate) use bucket::Bucket;
pub(crate) use consumer::Consumer;
pub(crate) use dashboard::Dashboard;
pub(crate) use function::Function;
pub(crate) use leftover::{Leftover, leftovers};
pub(crate) use log_group::LogGroup;
pub(crate) use mapping::{Mapping, MappingSource, record_ages};
pub(crate) use queue::{Queue, Redrive};
pub(crate) use resource::{Any, Cx, Fields, Observed, Resource, Type, sync, tag_changes};
pub(crate) use role::Role;
pub(crate) use stream::{Stream, shard_steps};
pub(crate) use table::Table;
pub(crate) use topic::{Subscription, Topic};
