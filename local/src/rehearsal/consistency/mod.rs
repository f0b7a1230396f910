//! Eventual consistency: what a read, a list or a dependent call does not know yet of what was just made, changed or deleted.

mod knowledge;
mod table;
mod views;

pub(crate) use knowledge::{Consistency, Event, Known, Mutated, Thing};
pub(crate) use table::{Kind, Part};
