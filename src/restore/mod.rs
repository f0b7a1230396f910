//! Rebuilds a table from the audit objects of the recipe `changes`: its changes written again, in order, up to a moment.

mod audit;
mod chain;
mod image;
mod kept;
mod run;
mod target;

pub(crate) use run::{Options, Summary, restore};
