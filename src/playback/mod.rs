//! Records played to a function again: invoked directly, with events as its mapping would send them.

mod batches;
mod player;
mod rate;
mod response;

pub(crate) use batches::batches;
pub(crate) use player::{Again, Failure, Mode, Played, Player, Stopped};
pub(crate) use rate::Rate;
