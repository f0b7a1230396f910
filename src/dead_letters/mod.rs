//! What failed: the messages of dead letter queues and the objects of on-failure buckets, read, told apart and looked through.

mod batch;
mod bucket;
mod letter;
mod message;
mod queue;
mod select;
mod store;

pub(crate) use batch::{FailedBatch, Reread};
pub(crate) use letter::{Letter, reread_letter};
pub(crate) use message::{Kind, Message};
pub(crate) use select::{Facts, Selection};
pub(crate) use store::{Receipt, Store, Usage};
