//! The AWS nouns that a pipeline is made of, one file each, and the trait that they share.

mod alarm;
mod any;
mod bucket;
mod cloudwatch_tags;
mod consumer;
mod context;
mod dashboard;
mod function;
mod log_group;
mod mapping;
mod owned;
mod queue;
mod resource;
mod role;
mod stream;
mod sync;
mod table;
mod topic;

pub(crate) use alarm::{Alarm, AlarmMetric};
pub(crate) use any::{Any, actions};
pub(crate) use bucket::Bucket;
pub(crate) use consumer::Consumer;
pub(crate) use context::Cx;
pub(crate) use dashboard::Dashboard;
pub(crate) use function::Function;
pub(crate) use log_group::LogGroup;
pub(crate) use mapping::{Mapping, MappingSource, record_ages};
pub(crate) use owned::{OwnedResource, Search, UnreadableResource, owned_resources};
pub(crate) use queue::{Queue, Redrive};
pub(crate) use resource::{Observed, Resource};
pub(crate) use role::{INLINE_POLICY, Role, RoleArn};
pub(crate) use stream::{Stream, shard_steps};
pub(crate) use sync::sync;
pub(crate) use table::Table;
pub(crate) use topic::{Subscription, Topic};
